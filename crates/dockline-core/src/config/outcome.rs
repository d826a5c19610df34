//! How a session stands after a call.

/// What a session answers after each call, besides the call's result: see
/// [`Session::outcome`](crate::backend::Session::outcome).
///
/// Every field has to be given. What a backend does not know it calls unknown, and the core then expects the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether a transaction is open now.
    pub transaction: TransactionState,
    /// The database rolled a transaction back during the last call without being asked to: a deadlock's victim, or
    /// `INSERT OR ROLLBACK` on SQLite. Its work is gone, although the connection is well.
    pub rolled_back: bool,
    /// The last call committed something, or may have: a statement that commits by itself, a routine, a COMMIT that was
    /// sent as text. A block around it cannot be run again.
    pub committed: bool,
}

/// Whether a transaction is open, by the word of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionState {
    /// None is open.
    None,
    /// One is open.
    Open,
    /// One is open that failed: it can only be rolled back.
    Failed,
    /// The database has not said. The core treats it as open.
    Unknown,
}

impl Outcome {
    /// Of a session without a transaction, after a call that committed nothing.
    pub const IDLE: Self = Self { transaction: TransactionState::None, rolled_back: false, committed: false };
}

impl TransactionState {
    /// Whether there is, or may be, a transaction: then the connection is not replaced, and nothing is repeated.
    pub fn may_be_open(self) -> bool {
        self != Self::None
    }
}
