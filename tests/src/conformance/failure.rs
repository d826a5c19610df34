//! How steps fail, and by what names traces know it.

use std::error::Error as StdError;
use std::fmt;

use dockline::ErrorKind;

use super::trace::Outcome;

/// Why a step did not do what it says.
#[derive(Debug)]
pub(super) enum Failure {
    Dockline(dockline::Error),
    Own(Own),
}

/// What does not come from Dockline.
#[derive(Debug, Clone)]
pub(super) enum Own {
    /// The scenario's own exception.
    Raised,
    /// The step names something that is not there.
    Missing,
    /// The scenario cannot be played any further.
    Broken(String),
}

impl Failure {
    pub(super) const RAISED: Self = Self::Own(Own::Raised);
    pub(super) const MISSING: Self = Self::Own(Own::Missing);

    pub(super) fn broken(reason: String) -> Self {
        Self::Own(Own::Broken(reason))
    }

    /// What the trace says of it.
    ///
    /// # Errors
    ///
    /// Where the scenario cannot go on.
    pub(super) fn outcome(&self) -> Result<Outcome, String> {
        let name = match self {
            Self::Dockline(error) => {
                let error = of_hook(error);
                match error.source().and_then(|source| source.downcast_ref()) {
                    Some(own) => return Self::Own(Own::clone(own)).outcome(),
                    None => name(error),
                }
            }
            Self::Own(Own::Raised) => "Raised",
            Self::Own(Own::Missing) => "LookupError",
            Self::Own(Own::Broken(reason)) => return Err(reason.clone()),
        };
        Ok(Outcome::Error(name.to_owned()))
    }

    /// As a callback fails with it.
    pub(super) fn into_boxed(self) -> Box<dyn StdError + Send + Sync> {
        match self {
            Self::Dockline(error) => error.into(),
            Self::Own(own) => own.into(),
        }
    }
}

/// The error of the hook, where it is one that came after a commit.
fn of_hook(error: &dockline::Error) -> &dockline::Error {
    let source = error.source().filter(|_| error.is_after_commit());
    source.and_then(|source| source.downcast_ref()).map_or(error, of_hook)
}

/// The name of Django's class.
fn name(error: &dockline::Error) -> &'static str {
    if error.is_nested_durable() {
        return "RuntimeError";
    }
    match error.kind() {
        ErrorKind::Interface => "InterfaceError",
        ErrorKind::Database => "DatabaseError",
        ErrorKind::Data => "DataError",
        ErrorKind::Operational => "OperationalError",
        ErrorKind::Integrity => "IntegrityError",
        ErrorKind::Internal => "InternalError",
        ErrorKind::Programming => "ProgrammingError",
        ErrorKind::NotSupported => "NotSupportedError",
        ErrorKind::ConnectionDoesNotExist => "ConnectionDoesNotExist",
        ErrorKind::ImproperlyConfigured => "ImproperlyConfigured",
        ErrorKind::TransactionManagement => "TransactionManagementError",
        // The list may grow, and Django's classes do not.
        _ => "Error",
    }
}

impl From<dockline::Error> for Failure {
    fn from(error: dockline::Error) -> Self {
        Self::Dockline(error)
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raised => "the scenario's own exception",
            Self::Missing => "the step names what is not there",
            Self::Broken(reason) => reason,
        })
    }
}

impl StdError for Own {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_own_exception_is_found_inside_docklines() {
        let named = |failure: Failure| failure.outcome().unwrap();
        let error = |name: &str| Outcome::Error(name.to_owned());
        let hook_failed = dockline::Error::new(ErrorKind::Database, "a hook failed").with_source(Own::Raised);
        assert_eq!(named(hook_failed.into()), error("Raised"));
        assert_eq!(named(dockline::Error::new(ErrorKind::Data, "too long").into()), error("DataError"));
        assert_eq!(named(Failure::MISSING), error("LookupError"));
        assert_eq!(Failure::broken("no server".to_owned()).outcome(), Err("no server".to_owned()));
    }
}
