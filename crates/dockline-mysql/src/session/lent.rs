//! What there was when the driver's own object was lent.

/// The driver's own object was lent, and may have done anything.
#[derive(Clone, Copy)]
pub(super) struct Lent {
    /// A transaction was open, or was to begin with the next statement.
    pub(super) in_transaction: bool,
}
