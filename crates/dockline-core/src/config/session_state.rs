//! What a session holds that a new connection would lack.

use std::collections::BTreeMap;
use std::fmt;

/// The state of a session: locks, temporary tables, variables and whatever else would be missing on a new connection.
///
/// A backend adds what a statement makes, and takes out what a later one ends. The core does not replace a connection
/// that holds something, and names it in the error.
///
/// ```
/// use dockline::backend::{SessionState, StateKind};
///
/// let mut state = SessionState::default();
/// state.hold(StateKind::Lock, "import");
/// state.hold_for_transaction(StateKind::Setting, "app.tenant");
/// assert_eq!(state.to_string(), r#"the lock "import", the setting "app.tenant""#);
///
/// state.end_transaction();
/// state.release(StateKind::Lock, "import");
/// assert!(state.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionState {
    held: BTreeMap<(StateKind, String), Scope>,
}

/// What kind of thing a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StateKind {
    /// An advisory lock.
    Lock,
    /// Locked tables, or a lock of the whole server.
    TableLock,
    /// A role or a user other than the one that logged in.
    Role,
    /// A current database other than the one that the settings name.
    Database,
    /// A temporary table, view or sequence.
    TemporaryTable,
    /// A variable of the session.
    Variable,
    /// A setting of the session.
    Setting,
    /// A character set other than UTF-8.
    CharacterSet,
    /// A channel that the session listens to.
    Listener,
    /// A statement that was prepared by SQL.
    PreparedStatement,
    /// A cursor that outlives its transaction.
    Cursor,
    /// An attached database.
    AttachedDatabase,
    /// A table that is open for reading by `HANDLER`.
    Handler,
    /// A library that was loaded.
    Library,
    /// A resource group other than the server's choice.
    ResourceGroup,
    /// The value that `LAST_INSERT_ID` gives to the next statement.
    LastInsertId,
    /// Something that is known to be there, but not what it is.
    Unknown,
}

/// How long something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    Transaction,
}

impl SessionState {
    /// Whether a new connection would lack nothing.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Adds something that is held until it is released, or the session ends. The name may be empty.
    pub fn hold(&mut self, kind: StateKind, name: impl Into<String>) {
        self.held.insert((kind, name.into()), Scope::Session);
    }

    /// Adds something that the end of the transaction takes away. What the session holds already stays held.
    pub fn hold_for_transaction(&mut self, kind: StateKind, name: impl Into<String>) {
        self.held.entry((kind, name.into())).or_insert(Scope::Transaction);
    }

    /// Takes out one thing. Nothing happens if it is not there.
    pub fn release(&mut self, kind: StateKind, name: &str) {
        self.held.remove(&(kind, name.to_owned()));
    }

    /// Takes out everything of one kind.
    pub fn release_all(&mut self, kind: StateKind) {
        self.held.retain(|(held, _), _| *held != kind);
    }

    /// Takes out what was held for the transaction alone.
    pub fn end_transaction(&mut self) {
        self.held.retain(|_, scope| *scope == Scope::Session);
    }

    /// Takes out everything.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// Whether something of this kind and name is held.
    pub fn holds(&self, kind: StateKind, name: &str) -> bool {
        self.held.contains_key(&(kind, name.to_owned()))
    }

    /// Lists what is held: its kind, and its name if it has one.
    pub fn iter(&self) -> impl Iterator<Item = (StateKind, &str)> {
        self.held.keys().map(|(kind, name)| (*kind, name.as_str()))
    }
}

/// At most this many things are named in a message.
const NAMED: usize = 8;

/// `the lock "import", the temporary table "t"`, or `nothing`.
impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (at, (kind, name)) in self.iter().take(NAMED).enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            match name {
                "" => write!(f, "{separator}{kind}")?,
                name => write!(f, "{separator}{kind} {name:?}")?,
            }
        }
        match self.held.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "the lock",
            Self::TableLock => "the table lock",
            Self::Role => "the role",
            Self::Database => "the current database",
            Self::TemporaryTable => "the temporary table",
            Self::Variable => "the variable",
            Self::Setting => "the setting",
            Self::CharacterSet => "the character set",
            Self::Listener => "the listener",
            Self::PreparedStatement => "the prepared statement",
            Self::Cursor => "the cursor",
            Self::AttachedDatabase => "the attached database",
            Self::Handler => "the handler",
            Self::Library => "the library",
            Self::ResourceGroup => "the resource group",
            Self::LastInsertId => "the value for LAST_INSERT_ID",
            Self::Unknown => "state of a kind that is not known",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_released_is_not_held_any_more() {
        let mut state = SessionState::default();
        state.hold(StateKind::Lock, "a");
        state.hold(StateKind::Lock, "b");
        state.hold(StateKind::Role, "reader");
        state.release(StateKind::Lock, "a");
        state.release(StateKind::Role, "writer");
        assert!(!state.holds(StateKind::Lock, "a") && state.holds(StateKind::Lock, "b"));
        assert!(state.holds(StateKind::Role, "reader"));
        state.release_all(StateKind::Lock);
        assert_eq!(state.iter().collect::<Vec<_>>(), [(StateKind::Role, "reader")]);
        state.clear();
        assert!(state.is_empty());
    }

    #[test]
    fn the_end_of_the_transaction_takes_away_what_was_held_for_it_alone() {
        let mut state = SessionState::default();
        state.hold(StateKind::Setting, "a");
        state.hold_for_transaction(StateKind::Setting, "a");
        state.hold_for_transaction(StateKind::Setting, "b");
        state.end_transaction();
        assert!(state.holds(StateKind::Setting, "a") && !state.holds(StateKind::Setting, "b"));
    }

    #[test]
    fn a_message_names_what_is_held_up_to_a_limit() {
        let mut state = SessionState::default();
        assert_eq!(state.to_string(), "nothing");
        state.hold(StateKind::Unknown, "");
        assert_eq!(state.to_string(), "state of a kind that is not known");
        for n in 0..10 {
            state.hold(StateKind::Lock, n.to_string());
        }
        assert!(state.to_string().starts_with(r#"the lock "0", the lock "1""#), "{state}");
        assert!(state.to_string().ends_with("and 3 more"), "{state}");
    }
}
