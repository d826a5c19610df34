//! How an error is shown: to a program's user, to its developer, and by a `main` that returns one.

use std::error::Error as StdError;
use std::fmt;

use super::{Error, Fact};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(alias) = self.alias() {
            write!(f, "alias {alias:?}: ")?;
        }
        f.write_str(self.message())?;
        if let Some(code) = &self.inner.code {
            write!(f, " ({code})")?;
        }
        match &self.inner.details {
            Some(details) => details.fmt(f),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FACTS: [Fact; 13] = [
            Fact::Disconnect,
            Fact::Retryable,
            Fact::Exhausted,
            Fact::ServerFull,
            Fact::Cancelled,
            Fact::WorkLost,
            Fact::CommitUnknown,
            Fact::MayHaveExecuted,
            Fact::LockTimeout,
            Fact::ReadOnly,
            Fact::AfterCommit,
            Fact::NestedDurable,
            Fact::SavepointMissing,
        ];
        let facts: Vec<Fact> = FACTS.into_iter().filter(|fact| self.has(*fact)).collect();
        if !f.alternate() {
            return self.fmt_for_people(f, &facts);
        }
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("alias", &self.inner.alias)
            .field("message", &self.inner.message)
            .field("code", &self.inner.code)
            .field("facts", &facts)
            .field("constraint", &self.inner.constraint)
            .field("details", &self.inner.details)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl Error {
    /// One line, but for what the server says besides: message, kind, facts, causes.
    fn fmt_for_people(&self, f: &mut fmt::Formatter<'_>, facts: &[Fact]) -> fmt::Result {
        write!(f, "{self}")?;
        let separator = if self.inner.details.is_some() { "\n" } else { " " };
        write!(f, "{separator}[{:?}", self.kind())?;
        for fact in facts {
            write!(f, ", {fact:?}")?;
        }
        f.write_str("]")?;
        // The driver's own error often says the same once more, and then nothing else.
        let causes: Vec<String> =
            std::iter::successors(self.source(), |cause| (*cause).source()).map(ToString::to_string).collect();
        if !causes.iter().any(|cause| cause.contains(self.message())) {
            causes.iter().try_for_each(|cause| write!(f, ": {cause}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;

    #[test]
    fn display_has_alias_and_code_and_one_level() {
        let error = Error::new(ErrorKind::Operational, "cannot open the file")
            .with_alias("default")
            .with_code("14")
            .with_source(std::io::Error::other("no such folder"));
        assert_eq!(error.to_string(), r#"alias "default": cannot open the file (14)"#);
        assert_eq!(error.source().unwrap().to_string(), "no such folder");
    }

    #[test]
    fn what_main_prints_is_for_people() {
        let error = Error::new(ErrorKind::Operational, "the connection was lost")
            .with_alias("default")
            .with_code("2013")
            .with_fact(Fact::Disconnect)
            .with_source(std::io::Error::other("broken pipe"));
        let shown = r#"alias "default": the connection was lost (2013) [Operational, Disconnect]: broken pipe"#;
        assert_eq!(format!("{error:?}"), shown);
        assert!(format!("{error:#?}").contains("facts: ["), "{error:#?}");
        let same = Error::new(ErrorKind::Data, "no").with_source(std::io::Error::other("db error: no"));
        assert_eq!(format!("{same:?}"), "no [Data]");
    }

    #[test]
    fn details_stand_on_lines_of_their_own() {
        let error = Error::new(ErrorKind::Programming, "column \"nam\" does not exist")
            .with_code("42703")
            .with_position("SELECT nam FROM t", 8)
            .with_detail("There is one.")
            .with_hint("Perhaps you meant \"name\".");
        let lines = [
            "LINE 1: SELECT nam FROM t",
            "               ^",
            "DETAIL:  There is one.",
            "HINT:  Perhaps you meant \"name\".",
        ];
        assert_eq!(error.to_string(), format!("column \"nam\" does not exist (42703)\n{}", lines.join("\n")));
        assert_eq!((error.position(), error.detail()), (Some(8), Some("There is one.")));
        assert_eq!(error.brief(), "Programming error (42703)", "no log has them");
    }
}
