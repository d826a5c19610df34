//! The outline: what a text does, as far as the text tells.

use super::meaning::Meanings;
use super::state::StateChange;
use super::transaction::TransactionChange;
use super::verb::Verb;

/// What a statement does, read off its text once, without asking a server.
///
/// It is made to be trusted in one direction. What it knows, it knows; what it does not know it calls unknown, and then
/// each answer is the worst one: it writes, may run code of the database's, may commit, and reads nothing only.
///
/// The text says nothing of what hangs on a name: a view whose functions write, a trigger, a rule, an operator of the
/// program's own. A table that is read is taken for a table.
///
/// ```
/// use dockline::statement::{Dialect, Outline, Verb};
///
/// let outline = Outline::of("/* app */ CALL pay(?)", Dialect::MYSQL);
/// assert_eq!(outline.verb(), Verb::Call);
/// assert!(outline.may_stop_half_way() && !outline.reads_only());
///
/// let delete = Outline::of("WITH d AS (DELETE FROM job RETURNING id) SELECT * FROM d", Dialect::POSTGRES);
/// assert_eq!(delete.verb(), Verb::Select);
/// assert!(delete.writes() && delete.gives_rows());
///
/// assert!(Outline::of("SELECT lower(name) FROM job", Dialect::SQLITE).reads_only());
/// assert!(!Outline::of("SELECT claim(id) FROM job", Dialect::SQLITE).reads_only());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub(crate) verb: Verb,
    pub(crate) statements: Statements,
    pub(crate) explained: Option<Explained>,
    pub(crate) facts: Facts,
    pub(crate) meaning: Meanings,
    pub(crate) transaction: Option<TransactionChange>,
    pub(crate) state: Vec<StateChange>,
}

/// How many statements stand in a text. The body of a routine belongs to the statement that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statements {
    /// White space and comments.
    None,
    /// One, with or without a semicolon behind it.
    One,
    /// More than one. Whatever one of them does, the outline says of all.
    Several,
}

/// What `EXPLAIN` does with its statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Explained {
    /// It is planned.
    Planned,
    /// It runs: `EXPLAIN ANALYZE`.
    Run,
}

/// Yes and no, each with the worst value for what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) known: bool,
    pub(crate) reads_only: bool,
    pub(crate) writes: bool,
    pub(crate) gives_rows: bool,
    pub(crate) locks_rows: bool,
    pub(crate) calls_functions: bool,
    pub(crate) half_way: bool,
    pub(crate) commits: bool,
    pub(crate) stands_alone: bool,
    pub(crate) changes_schema: bool,
    pub(crate) asks_for_file: bool,
    pub(crate) uses_last: bool,
    pub(crate) uses_last_id: bool,
}

impl Facts {
    /// A statement that is known, and does none of it.
    pub(crate) const NOTHING: Self = Self {
        known: true,
        reads_only: false,
        writes: false,
        gives_rows: false,
        locks_rows: false,
        calls_functions: false,
        half_way: false,
        commits: false,
        stands_alone: false,
        changes_schema: false,
        asks_for_file: false,
        uses_last: false,
        uses_last_id: false,
    };

    /// The worst. It is not refused for asking for a file: the server says no to what it does not know.
    pub(crate) const UNKNOWN: Self = Self {
        known: false,
        reads_only: false,
        writes: true,
        gives_rows: true,
        locks_rows: true,
        calls_functions: true,
        half_way: true,
        commits: true,
        stands_alone: false,
        changes_schema: true,
        asks_for_file: false,
        uses_last: true,
        uses_last_id: true,
    };

    /// Of two statements together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            known: self.known && other.known,
            reads_only: self.reads_only && other.reads_only,
            writes: self.writes || other.writes,
            gives_rows: self.gives_rows || other.gives_rows,
            locks_rows: self.locks_rows || other.locks_rows,
            calls_functions: self.calls_functions || other.calls_functions,
            half_way: self.half_way || other.half_way,
            commits: self.commits || other.commits,
            stands_alone: self.stands_alone || other.stands_alone,
            changes_schema: self.changes_schema || other.changes_schema,
            asks_for_file: self.asks_for_file || other.asks_for_file,
            uses_last: self.uses_last || other.uses_last,
            uses_last_id: self.uses_last_id || other.uses_last_id,
        }
    }
}

impl Outline {
    /// Of a text without a statement.
    pub(crate) fn nothing() -> Self {
        Self { statements: Statements::None, ..Self::new(Verb::Unknown, Facts::UNKNOWN) }
    }

    pub(crate) fn unknown() -> Self {
        Self {
            meaning: Meanings::all(),
            transaction: Some(TransactionChange::Unknown),
            ..Self::new(Verb::Unknown, Facts::UNKNOWN)
        }
    }

    pub(crate) fn new(verb: Verb, facts: Facts) -> Self {
        Self {
            verb,
            statements: Statements::One,
            explained: None,
            facts,
            meaning: Meanings::default(),
            transaction: None,
            state: Vec::new(),
        }
    }

    /// Returns the kind of statement; of several, that of the first.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Returns whether the text is no statement, one, or several.
    pub fn statements(&self) -> Statements {
        self.statements
    }

    /// Returns whether every statement in the text is of a kind that the outline knows.
    pub fn is_known(&self) -> bool {
        self.facts.known
    }

    /// Returns whether it is known to only read: it writes nothing, locks nothing that another session waits for, changes
    /// nothing of the session, and calls no function but the server's own that do neither.
    pub fn reads_only(&self) -> bool {
        self.facts.reads_only
    }

    /// Returns whether it writes, or may do so for all that is known.
    pub fn writes(&self) -> bool {
        self.facts.writes
    }

    /// Returns whether it may give rows.
    pub fn gives_rows(&self) -> bool {
        self.facts.gives_rows
    }

    /// Returns whether it locks the rows that it reads, as `SELECT … FOR UPDATE`, or whole tables until the
    /// transaction ends.
    pub fn locks_rows(&self) -> bool {
        self.facts.locks_rows
    }

    /// Returns whether it may run code that is not the server's own: routines, blocks, prepared statements, and functions
    /// that are not known. What such code does the text does not tell: it may take locks, and change state.
    pub fn runs_code(&self) -> bool {
        self.facts.calls_functions || self.facts.half_way
    }

    /// Returns whether some of it may stand when it fails: a routine or block that commits on the way, or several
    /// statements. Such a text is never run again by itself.
    pub fn may_stop_half_way(&self) -> bool {
        self.facts.half_way || self.statements == Statements::Several
    }

    /// Returns whether it commits the transaction that it stands in, or may do so, without being a `COMMIT`: schema changes
    /// on MySQL and MariaDB, and routines. It commits before it runs, also if it then fails.
    pub fn commits_by_itself(&self) -> bool {
        self.facts.commits
    }

    /// Returns whether it ends what was begun with everything kept, by itself or because it asks for it.
    pub fn may_commit(&self) -> bool {
        self.facts.commits || self.transaction.as_ref().is_some_and(TransactionChange::commits)
    }

    /// Returns whether the server refuses it inside a transaction, as PostgreSQL's `VACUUM`.
    pub fn stands_alone(&self) -> bool {
        self.facts.stands_alone
    }

    /// Returns what it does to the transaction, if anything.
    pub fn transaction(&self) -> Option<&TransactionChange> {
        self.transaction.as_ref()
    }

    /// Returns whether it makes, changes or drops something that other statements name.
    pub fn changes_schema(&self) -> bool {
        self.facts.changes_schema
    }

    /// Returns what it changes of the meaning of other texts. Everything, if it is unknown; ask
    /// [`runs_code`](Self::runs_code) as well, because code may change it too.
    pub fn meaning(&self) -> Meanings {
        self.meaning
    }

    /// Returns what the text makes or ends of the session's state, in its order. A statement that is unknown, or
    /// [runs code](Self::runs_code), may do more.
    pub fn state(&self) -> &[StateChange] {
        &self.state
    }

    /// Returns whether the session may hold something after it that it has not held before, and that outlives the
    /// transaction; also if it is unknown, or runs a routine.
    pub fn may_hold_state(&self) -> bool {
        let makes = |change: &StateChange| matches!(change, StateChange::Makes(..));
        self.facts.half_way || self.state.iter().any(makes)
    }

    /// Returns whether its result depends on the statement before it: `LAST_INSERT_ID()`, `ROW_COUNT()`, `lastval()`.
    pub fn uses_last_statement(&self) -> bool {
        self.facts.uses_last
    }

    /// Returns whether its result depends on the last statement that gave a number to a row, which may lie further back:
    /// `LAST_INSERT_ID()`, `@@identity`, `lastval()`.
    pub fn uses_last_insert_id(&self) -> bool {
        self.facts.uses_last_id
    }

    /// Returns whether the server asks the client for a file or sends it one: `LOAD DATA LOCAL`, `COPY … FROM STDIN`.
    pub fn asks_for_file(&self) -> bool {
        self.facts.asks_for_file
    }

    /// Returns what is done with the statement behind `EXPLAIN`.
    pub fn explained(&self) -> Option<Explained> {
        self.explained
    }
}
