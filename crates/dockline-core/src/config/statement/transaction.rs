//! What a statement does to a transaction.

/// A begin, an end, or a mark of a transaction, as the text asks for it.
///
/// Names are as the server takes them: without quotes, and in lower case unless quotes keep their case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionChange {
    /// `BEGIN`, `START TRANSACTION`
    Begin,
    /// `COMMIT`, and `END` on PostgreSQL and SQLite.
    Commit {
        /// Another transaction begins at once (`AND CHAIN`).
        chain: bool,
        /// The server closes the connection (`RELEASE`).
        release: bool,
    },
    /// `ROLLBACK`, and `ABORT` on PostgreSQL.
    Rollback {
        /// Another transaction begins at once (`AND CHAIN`).
        chain: bool,
        /// The server closes the connection (`RELEASE`).
        release: bool,
    },
    /// `SAVEPOINT name`
    Savepoint(Box<str>),
    /// `RELEASE SAVEPOINT name`
    Release(Box<str>),
    /// `ROLLBACK TO SAVEPOINT name`
    RollbackTo(Box<str>),
    /// `PREPARE TRANSACTION`: this session's transaction is over, and somebody is to commit it later.
    Prepare,
    /// `XA …`: a step of a distributed transaction.
    Xa(XaStep),
    /// `SET autocommit = …`; `None` if the text does not say which. Switching it on commits.
    Autocommit(Option<bool>),
    /// Something may have begun or ended: there are several statements, or one that is not known.
    Unknown,
}

/// A step of a distributed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum XaStep {
    /// `XA START`, `XA BEGIN`
    Begin,
    /// `XA END`: the work is done, and the transaction is still this session's.
    End,
    /// `XA PREPARE`
    Prepare,
    /// `XA COMMIT`
    Commit,
    /// `XA ROLLBACK`
    Rollback,
}

impl TransactionChange {
    /// Returns whether the transaction is over after it, and none has begun.
    pub fn ends(&self) -> bool {
        use TransactionChange::{Commit, Prepare, Rollback, Xa};
        match self {
            Commit { chain, .. } | Rollback { chain, .. } => !chain,
            Prepare => true,
            Xa(step) => matches!(step, XaStep::Prepare | XaStep::Commit | XaStep::Rollback),
            _ => false,
        }
    }

    /// Returns whether it asks for a commit, also where another transaction begins at once.
    pub fn commits(&self) -> bool {
        use TransactionChange::{Autocommit, Commit, Unknown, Xa};
        matches!(self, Commit { .. } | Xa(XaStep::Commit) | Autocommit(Some(true) | None) | Unknown)
    }
}
