//! Switching autocommit by statements that the server has prepared: to read the text takes it as long as to run a look-up, and a block has
//! two of them.

use mysql::Statement;

/// By whether it is on.
pub(super) const SWITCHES: [&str; 2] = ["SET autocommit=0", "SET autocommit=1"];

/// So many blocks come before it is worth two round trips more.
pub(super) const BLOCKS: u8 = 2;

pub(super) enum Switches {
    /// Texts, as something between here and the server may read them, or the program wants nothing prepared.
    Texts,
    /// Texts for now, after so many blocks.
    Counted(u8),
    /// Nobody has seen yet that they switch anything.
    Tried(Box<[Statement; 2]>),
    Prepared(Box<[Statement; 2]>),
}

impl Switches {
    /// Whether they may be prepared on a connection.
    pub(super) fn new(may_be_prepared: bool) -> Self {
        if may_be_prepared { Self::Counted(0) } else { Self::Texts }
    }

    /// The server has forgotten every statement.
    pub(super) fn forget(&mut self) {
        if !matches!(self, Self::Texts) {
            *self = Self::Counted(0);
        }
    }
}
