//! What the server reports of the session with its answers: whether a transaction is open, and whether the session has
//! state of its own.

use dockline_core::backend::{SessionState, StateKind, TransactionState};
use dockline_core::statement::{Outline, StateChange, TransactionChange};
use mysql::Conn;
use mysql::consts::SessionStateType;
use mysql::session_state_change::SessionStateChange;

#[derive(Debug, Default)]
pub(crate) struct Tracking {
    /// By the server's last word on it.
    open: bool,
    /// With autocommit off, what reads begins a transaction too, and the end of a result has no room for that news.
    doubt: bool,
    pub(crate) autocommit: bool,
    /// Variables, temporary tables, a chosen database: what the server reports, without saying which.
    state: bool,
    /// What statements made, by their text.
    held: SessionState,
    /// LOCK TABLES.
    locks: bool,
    /// The last call committed something, or may have.
    committed: bool,
    /// Dates and times without a zone are in UTC.
    pub(crate) at_utc: bool,
}

/// Whose statement an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Callers,
}

impl Tracking {
    pub(crate) fn new(autocommit: bool, at_utc: bool) -> Self {
        Self { autocommit, at_utc, ..Self::default() }
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.open || self.doubt
    }

    /// By the server's word, without a doubt.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn has_state(&self) -> bool {
        self.state || self.locks || !self.held.is_empty()
    }

    /// A statement of the caller's has run: it may have made or ended state that the server does not report.
    pub(crate) fn follow(&mut self, outline: &Outline) {
        for change in outline.state() {
            match change {
                // The server reports them, also when they are unlocked by what is no UNLOCK.
                StateChange::Makes(StateKind::TableLock, name) if name.is_empty() => {}
                // It is the next transaction's.
                StateChange::MakesLocal(..) => {}
                change => self.held.apply(change),
            }
        }
    }

    /// What the server has said of the transaction.
    pub(crate) fn transaction(&self) -> TransactionState {
        match (self.open, self.doubt) {
            (true, _) => TransactionState::Open,
            (false, true) => TransactionState::Unknown,
            (false, false) => TransactionState::None,
        }
    }

    /// What a new session would lack.
    pub(crate) fn session_state(&self) -> SessionState {
        let mut state = self.held.clone();
        if self.state {
            state.hold(StateKind::Unknown, "");
        }
        if self.locks {
            state.hold(StateKind::TableLock, "");
        }
        state
    }

    /// A call begins.
    pub(crate) fn begin_call(&mut self) {
        self.committed = false;
    }

    pub(crate) fn committed(&self) -> bool {
        self.committed
    }

    /// A statement is sent that commits by itself, also where it then fails.
    pub(crate) fn set_committed(&mut self) {
        self.committed = true;
    }

    /// A transaction has been ended by us, or was found to be over.
    pub(crate) fn set_open(&mut self, open: bool) {
        self.open = open;
        self.doubt = false;
    }

    /// A statement has given rows, or has failed: neither comes with news.
    pub(crate) fn doubts(&mut self) {
        self.doubt |= !self.autocommit;
    }

    /// A statement of the caller's has been answered without rows.
    pub(crate) fn answered(&mut self, outline: &Outline) {
        if self.doubt && outline.transaction().is_some_and(TransactionChange::ends) {
            self.doubt = false;
        }
    }

    /// Reads what came with the last answer.
    pub(crate) fn read(&mut self, conn: &Conn, whose: Whose) {
        for change in conn.session_state_changes().unwrap_or_default() {
            match change.data_type() {
                SessionStateType::SESSION_TRACK_TRANSACTION_STATE => {
                    // Behind its length: T or I, then five for what was read and written, then S, then L for locked tables.
                    let state = change.data_ref();
                    self.set_open(state.get(1).is_some_and(|byte| *byte != b'_'));
                    self.locks = state.get(8).is_some_and(|byte| *byte != b'_');
                }
                SessionStateType::SESSION_TRACK_STATE_CHANGE => {
                    self.state |= whose == Whose::Callers && change.data_ref().contains(&b'1');
                }
                SessionStateType::SESSION_TRACK_SYSTEM_VARIABLES => {
                    let Ok(SessionStateChange::SystemVariables(variables)) = change.decode() else { continue };
                    for variable in &variables {
                        match variable.name_bytes() {
                            b"autocommit" => self.autocommit = variable.value_bytes() == b"ON",
                            // SYSTEM may be any.
                            b"time_zone" => self.at_utc = is_utc(&String::from_utf8_lossy(variable.value_bytes())),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether a time zone is that of instants.
pub(crate) fn is_utc(zone: &str) -> bool {
    ["+00:00", "-00:00", "UTC", "Etc/UTC", "GMT"].iter().any(|utc| zone.eq_ignore_ascii_case(utc))
}

#[cfg(test)]
mod tests {
    use dockline_core::statement::Dialect;

    use super::*;

    #[test]
    fn with_autocommit_off_rows_leave_a_doubt() {
        let mut tracking = Tracking::new(true, true);
        tracking.doubts();
        assert!(!tracking.in_transaction());
        tracking.autocommit = false;
        tracking.doubts();
        assert!(tracking.in_transaction());
        tracking.answered(&Outline::of("SET @x = 1", Dialect::MYSQL));
        assert!(tracking.in_transaction());
        tracking.answered(&Outline::of("/* app */ COMMIT", Dialect::MYSQL));
        assert!(!tracking.in_transaction());
    }
}
