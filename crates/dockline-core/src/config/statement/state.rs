//! What a statement makes or ends of the state that a session holds.

use crate::config::session_state::{SessionState, StateKind};

/// A change of the session's state, as the text asks for it. Whether it came to pass is for the server to say: a
/// `GET_LOCK` may time out, and PostgreSQL undoes a `SET` with the transaction.
///
/// Names are as the server takes them: without quotes, and in lower case unless quotes keep their case. A lock of PostgreSQL
/// has its key for a name, such as `7`, `1, 2` or `7 (shared)`; a variable of the user's has its `@`. The name is empty if
/// there is only one of the kind, or if the text does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateChange {
    /// The session holds it until it is ended.
    Makes(StateKind, Box<str>),
    /// The session holds it until the transaction ends: `SET LOCAL`, `pg_advisory_xact_lock`, a cursor without `WITH HOLD`.
    MakesLocal(StateKind, Box<str>),
    /// It is no longer held. The text says so without a condition.
    Ends(StateKind, Box<str>),
    /// Nothing of this kind is held any more: `RELEASE_ALL_LOCKS()`, `UNLISTEN *`, `RESET ALL`.
    EndsAll(StateKind),
    /// Nothing is held any more: `DISCARD ALL`.
    EndsEverything,
}

impl StateChange {
    pub(crate) fn makes(kind: StateKind) -> Self {
        Self::Makes(kind, Box::default())
    }

    pub(crate) fn ends(kind: StateKind) -> Self {
        Self::Ends(kind, Box::default())
    }
}

impl SessionState {
    /// Follows a statement that has run: adds what it makes, and takes out what it ends.
    ///
    /// ```
    /// use dockline::backend::SessionState;
    /// use dockline::statement::{Dialect, Outline};
    ///
    /// let mut state = SessionState::default();
    /// for sql in ["LISTEN jobs", "SET LOCAL work_mem = '1GB'", "SELECT pg_advisory_lock(7)", "UNLISTEN *"] {
    ///     Outline::of(sql, Dialect::POSTGRES).state().iter().for_each(|change| state.apply(change));
    /// }
    /// state.end_transaction();
    /// assert_eq!(state.to_string(), r#"the lock "7""#);
    /// ```
    pub fn apply(&mut self, change: &StateChange) {
        match change {
            StateChange::Makes(kind, name) => self.hold(*kind, &**name),
            StateChange::MakesLocal(kind, name) => self.hold_for_transaction(*kind, &**name),
            StateChange::Ends(kind, name) => self.release(*kind, name),
            StateChange::EndsAll(kind) => self.release_all(*kind),
            StateChange::EndsEverything => self.clear(),
        }
    }
}
