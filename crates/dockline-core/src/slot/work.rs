//! What a turn can run.

use crate::base::value::Value;

/// What a turn runs.
#[derive(Clone, Copy)]
pub(crate) enum Work<'sql> {
    Statement(&'sql str, &'sql [Value]),
    /// A statement of which somebody further out tells.
    Wrapped(&'sql str),
    Native,
    SetAutocommit(bool),
    Begin,
    Commit,
    Rollback,
}

impl<'sql> Work<'sql> {
    /// What the logs call it. Django does not log that autocommit is switched on.
    pub(crate) fn sql(self) -> Option<&'sql str> {
        match self {
            Self::Statement(sql, _) => Some(sql),
            Self::SetAutocommit(false) | Self::Begin => Some("BEGIN"),
            Self::Commit => Some("COMMIT"),
            Self::Rollback => Some("ROLLBACK"),
            Self::SetAutocommit(true) | Self::Native | Self::Wrapped(_) => None,
        }
    }

    pub(super) fn params(self) -> &'sql [Value] {
        match self {
            Self::Statement(_, params) => params,
            _ => &[],
        }
    }

    /// What runs, for who looks at it from outside.
    pub(super) fn text(self) -> Option<&'sql str> {
        match self {
            Self::Wrapped(sql) => Some(sql),
            work => work.sql(),
        }
    }

    pub(super) fn commits(self) -> bool {
        matches!(self, Self::Commit | Self::SetAutocommit(true))
    }

    pub(super) fn ends_transaction(self) -> bool {
        self.commits() || matches!(self, Self::Rollback)
    }
}
