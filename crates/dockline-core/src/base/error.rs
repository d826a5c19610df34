//! The one error type, its kinds, and what a caller can ask of it.

mod asked;
mod shown;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::details::{Details, Place};

/// What the calls of this crate return.
///
/// ```
/// fn count(db: &dockline::Connection) -> dockline::Result<i64> {
///     db.query_value("SELECT count(*) FROM job", ())
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the database, of its driver or of this crate.
///
/// The [`kind`](Error::kind) says which class of PEP 249 it belongs to, or which of the three that Django adds. The
/// predicates say what a caller can act on. `Display` prints one level, with the alias, the driver's code and, on lines of their own,
/// what the server says besides; the driver's own error is the [`source`](StdError::source). `Debug` is for people too, as it is what
/// a `main` prints that returns an error: the same, the kind, the facts and the causes; `{:#?}` prints the fields.
///
/// ```
/// use dockline::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Operational, "server has gone away").with_code("2006");
/// assert_eq!(error.to_string(), "server has gone away (2006)");
/// assert_eq!(error.kind(), ErrorKind::Operational);
/// ```
pub struct Error {
    // One word wide, so that `Result<u64>` stays small on the path where nothing fails.
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    alias: Option<Arc<str>>,
    code: Option<String>,
    facts: u16,
    constraint: Option<Constraint>,
    details: Option<Box<Details>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The class of an [`Error`]: PEP 249's, and the three that Django adds.
///
/// ```
/// use dockline::{Error, ErrorKind};
///
/// /// The status of HTTP to answer with.
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::Integrity => 409,
///         ErrorKind::Data => 422,
///         ErrorKind::Operational => 503,
///         _ => 500,
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The interface was used in a way that it cannot serve: after shutdown, on a thread that is ending.
    Interface,
    /// The database failed in a way that no other kind describes, for example a damaged file.
    Database,
    /// A value does not fit: out of range, null where none may be, not UTF-8.
    Data,
    /// The operation of the database failed: connecting, a lost connection, a lock, a missing file.
    Operational,
    /// A constraint was violated.
    Integrity,
    /// The database reports a fault of its own.
    Internal,
    /// The statement or the call is wrong: number of parameters, two statements in one text, a missing table.
    Programming,
    /// The database or its driver cannot do this.
    NotSupported,
    /// The alias is not configured (Django's `ConnectionDoesNotExist`).
    ConnectionDoesNotExist,
    /// The configuration is missing or wrong (Django's `ImproperlyConfigured`).
    ImproperlyConfigured,
    /// The call does not fit the state of the transaction (Django's `TransactionManagementError`).
    TransactionManagement,
}

/// What is known of an [`Error`] besides its kind; a backend states it by [`Error::with_fact`].
///
/// ```
/// use dockline::{Error, ErrorKind, Fact};
///
/// let lost = Error::new(ErrorKind::Operational, "the connection was lost").with_fact(Fact::Disconnect);
/// assert!(lost.is_disconnect());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// The connection is gone or can no longer be trusted.
    Disconnect,
    /// The same transaction can be tried again: a lock, a deadlock, a serialization failure.
    Retryable,
    /// A resource has run out: connections, file descriptors.
    Exhausted,
    /// The server has no place for another connection, and may have one when others are closed.
    ServerFull,
    /// The statement was cancelled, or ran into a time limit.
    Cancelled,
    /// A transaction that was open is gone, and its work with it.
    WorkLost,
    /// A commit was sent, and its outcome is not known.
    CommitUnknown,
    /// The statement was sent, and may have taken effect.
    MayHaveExecuted,
    /// Waiting for a lock took longer than the server's limit.
    LockTimeout,
    /// The server, or the session, takes no writes.
    ReadOnly,
    /// A transaction was committed before this error.
    AfterCommit,
    /// A durable block was to stand inside another.
    NestedDurable,
    /// The savepoint that the statement names does not exist, or no transaction is open that could have one.
    SavepointMissing,
}

/// The constraint that a statement violated.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// let insert = || db.execute("INSERT INTO job (name) VALUES (?)", ("resize",));
/// insert()?;
/// let error = insert().unwrap_err();
/// println!("{:?} is there already", error.constraint().and_then(|constraint| constraint.name()));
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    kind: ConstraintKind,
    name: Option<String>,
}

impl Constraint {
    /// Makes a constraint, as a backend reports it.
    ///
    /// ```
    /// use dockline::{Constraint, ConstraintKind};
    ///
    /// let constraint = Constraint::new(ConstraintKind::Unique, Some("job_name".into()));
    /// assert_eq!(constraint.name(), Some("job_name"));
    /// ```
    pub fn new(kind: ConstraintKind, name: Option<String>) -> Self {
        Self { kind, name }
    }

    /// Returns which kind of constraint it is.
    ///
    /// ```
    /// use dockline::{Constraint, ConstraintKind, Error};
    ///
    /// /// Tells a user what to change.
    /// fn advice(error: &Error) -> &'static str {
    ///     match error.constraint().map(Constraint::kind) {
    ///         Some(ConstraintKind::Unique) => "this name is taken",
    ///         Some(ConstraintKind::NotNull) => "a field is empty",
    ///         _ => "try again later",
    ///     }
    /// }
    /// ```
    pub fn kind(&self) -> ConstraintKind {
        self.kind
    }

    /// Returns its name, or that of its column, as far as the server tells.
    ///
    /// ```
    /// use dockline::{Constraint, Error};
    ///
    /// fn is_about_email(error: &Error) -> bool {
    ///     error.constraint().and_then(Constraint::name) == Some("user_email_key")
    /// }
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// Which kind of constraint was violated.
///
/// ```
/// use dockline::ConstraintKind;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// let error = db.execute("INSERT INTO job (name) VALUES (?)", (None::<&str>,)).unwrap_err();
/// assert_eq!(error.constraint().map(|constraint| constraint.kind()), Some(ConstraintKind::NotNull));
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConstraintKind {
    /// A unique index or a primary key.
    Unique,
    /// A reference to another table.
    ForeignKey,
    /// A column that takes no null, or has no default.
    NotNull,
    /// A check.
    Check,
    /// PostgreSQL's exclusion constraint.
    Exclusion,
    /// Another one, or one that the server does not tell apart.
    Other,
}

impl Fact {
    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl Error {
    /// Makes an error of that kind. The message is lower case, without a full stop, and holds no secret.
    ///
    /// ```
    /// use dockline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Data, "the amount is negative");
    /// assert_eq!(error.to_string(), "the amount is negative");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                alias: None,
                code: None,
                facts: 0,
                constraint: None,
                details: None,
                source: None,
            }),
        }
    }

    /// Makes an [`ErrorKind::ImproperlyConfigured`] error.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// assert!(Error::config("the region is not set").is_config());
    /// ```
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::ImproperlyConfigured, message)
    }

    /// Adds the alias, unless the error already has one.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// let error = Error::config("the region is not set").with_alias("replica");
    /// assert_eq!(error.alias(), Some("replica"));
    /// ```
    #[must_use]
    pub fn with_alias(mut self, alias: impl Into<Arc<str>>) -> Self {
        self.inner.alias.get_or_insert_with(|| alias.into());
        self
    }

    /// Adds the code that the server or the driver gave, as operators search for it.
    ///
    /// ```
    /// use dockline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Operational, "server has gone away").with_code("2006");
    /// assert_eq!(error.code().as_deref(), Some("2006"));
    /// ```
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.inner.code = Some(code.into());
        self
    }

    /// States a fact.
    ///
    /// ```
    /// use dockline::{Error, ErrorKind, Fact};
    ///
    /// // What a test of code that tries again makes:
    /// let error = Error::new(ErrorKind::Operational, "deadlock").with_fact(Fact::Retryable);
    /// assert!(error.is_retryable());
    /// ```
    #[must_use]
    pub fn with_fact(mut self, fact: Fact) -> Self {
        self.inner.facts |= fact.bit();
        self
    }

    /// States which constraint was violated.
    ///
    /// ```
    /// use dockline::{Constraint, ConstraintKind, Error, ErrorKind};
    ///
    /// let constraint = Constraint::new(ConstraintKind::Unique, Some("job_name".into()));
    /// let error = Error::new(ErrorKind::Integrity, "duplicate key").with_constraint(constraint);
    /// assert!(error.constraint().is_some());
    /// ```
    #[must_use]
    pub fn with_constraint(mut self, constraint: Constraint) -> Self {
        self.inner.constraint = Some(constraint);
        self
    }

    /// Adds what the server says in detail.
    ///
    /// ```
    /// use dockline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Integrity, "duplicate key").with_detail("Key (id)=(1) already exists.");
    /// assert_eq!(error.detail(), Some("Key (id)=(1) already exists."));
    /// ```
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.details().detail = Some(detail.into());
        self
    }

    /// Adds what may help.
    ///
    /// ```
    /// use dockline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Programming, "no such column").with_hint("did you mean \"name\"?");
    /// assert_eq!(error.hint(), Some("did you mean \"name\"?"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.details().hint = Some(hint.into());
        self
    }

    /// Adds where in its statement the error is, in characters, counted from 1. `Display` shows the line. A position that the statement
    /// does not have is left out.
    ///
    /// ```
    /// use dockline::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Programming, "syntax error").with_position("SELECT * FORM job", 10);
    /// assert_eq!(error.position(), Some(10));
    /// ```
    #[must_use]
    pub fn with_position(mut self, statement: &str, position: usize) -> Self {
        self.details().place = Place::of(statement, position);
        self
    }

    fn details(&mut self) -> &mut Details {
        self.inner.details.get_or_insert_default()
    }

    /// Adds the error that caused this one.
    ///
    /// ```
    /// use std::error::Error as _;
    /// use dockline::{Error, ErrorKind};
    ///
    /// let cause = "x".parse::<i64>().unwrap_err();
    /// let error = Error::new(ErrorKind::Data, "the setting is no number").with_source(cause);
    /// assert!(error.source().is_some());
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Puts `context` and a colon before the message.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// let error = Error::config("the region is not set").with_context("starting");
    /// assert_eq!(error.message(), "starting: the region is not set");
    /// ```
    #[must_use]
    pub fn with_context(mut self, context: impl fmt::Display) -> Self {
        self.inner.message = format!("{context}: {}", self.inner.message).into();
        self
    }

    /// The error for a log, which is read by others than the caller. What a server says, which has a code, can quote values: of that it
    /// is the kind and the code.
    pub(crate) fn brief(&self) -> String {
        match &self.inner.code {
            Some(code) => format!("{:?} error ({code})", self.kind()),
            None => format!("{:?} error: {}", self.kind(), self.message()),
        }
    }

    fn has(&self, fact: Fact) -> bool {
        self.inner.facts & fact.bit() != 0
    }

    /// Django's rule for `errors_occurred`: every class but these two says that the connection may be unwell.
    pub(crate) fn questions_the_connection(&self) -> bool {
        !matches!(self.kind(), ErrorKind::Data | ErrorKind::Integrity)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Makes the error of a call that does not fit the state of the transaction.
pub(crate) fn misuse(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::TransactionManagement, message)
}

/// Makes the error of a thread that is ending.
#[cold]
pub(crate) fn ending(alias: &str) -> Error {
    let message = "this thread is ending: its connections are closed, and it cannot open others";
    Error::new(ErrorKind::Interface, message).with_alias(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_gets_has_no_text_of_the_server() {
        let error = Error::new(ErrorKind::Integrity, "Key (card)=(4111) already exists").with_code("23505");
        assert_eq!(error.brief(), "Integrity error (23505)");
        assert_eq!(Error::new(ErrorKind::Data, "a hook's own").brief(), "Data error: a hook's own");
    }

    #[test]
    fn the_first_alias_stays() {
        let error = Error::config("x").with_alias("inner").with_alias("outer");
        assert_eq!(error.alias(), Some("inner"));
    }

    #[test]
    fn each_fact_answers_its_own_predicate() {
        let error = Error::config("x").with_fact(Fact::WorkLost).with_fact(Fact::MayHaveExecuted);
        assert!(error.is_work_lost() && error.may_have_executed());
        assert!(!error.is_disconnect() && !error.is_retryable() && !error.is_exhausted());
        assert!(!error.is_cancelled() && !error.is_commit_unknown());
    }
}
