//! What the tests of transactions share: a table of numbers in a file, and a list of what has happened.

use std::cell::RefCell;
use std::rc::Rc;

use dockline::{Connection, Connections, Databases, Error, ErrorKind, Result, Settings, params, rusqlite};
use dockline_tests::{Database, memory};

/// A table of numbers, a connection to it, and another that sees what is committed.
pub(crate) struct Numbers {
    pub(crate) db: Connection,
    pub(crate) connections: Connections,
    other: Connection,
    _others: Connections,
    // Gone after what is open on it.
    database: Database,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self::with(|settings| settings)
    }

    pub(crate) fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        Self::on("default", change)
    }

    /// Under an alias of its own, to find it in the log, which all tests share. The alias default has another file.
    pub(crate) fn named(alias: &str) -> Self {
        Self::on(alias, |settings| settings)
    }

    fn on(alias: &str, change: impl FnOnce(Settings) -> Settings) -> Self {
        let database = Database::new();
        let others = database.connections();
        let other = others.get("default").expect("an alias");
        other.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).expect("a table");
        let settings = change(database.settings());
        let databases = Databases::new().with("default", memory()).with(alias, settings);
        let connections = Connections::new(databases).expect("a registry");
        let db = connections.get(alias).expect("an alias");
        Self { db, connections, other, _others: others, database }
    }

    pub(crate) fn insert(&self, number: i64) -> Result<()> {
        insert(&self.db, number)
    }

    /// What is committed, in order.
    pub(crate) fn stored(&self) -> Vec<i64> {
        let rows: Vec<(i64,)> = self.other.query_as("SELECT n FROM t ORDER BY n", ()).expect("the numbers");
        rows.into_iter().map(|(number,)| number).collect()
    }

    /// The connection that looks on.
    pub(crate) fn other(&self) -> &Connection {
        &self.other
    }

    pub(crate) fn settings(&self) -> Settings {
        self.database.settings()
    }

    /// A connection past Dockline, as another program has it: it is in no queue of writers.
    pub(crate) fn bare(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.database.path()).expect("the file")
    }

    /// A statement runs, and nothing is open.
    pub(crate) fn assert_well(&self) {
        let state = self.db.state();
        assert!(!state.in_atomic_block && self.db.get_rollback().is_err(), "{state:?}");
        self.insert(UNUSED).expect("a statement");
        assert!(self.stored().contains(&UNUSED), "a transaction is open");
        self.db.execute("DELETE FROM t WHERE n = ?", params![UNUSED]).expect("a statement");
        assert!(self.db.state().autocommit && !self.db.state().needs_rollback);
    }
}

/// A number that no test has.
const UNUSED: i64 = 1_000_000;

pub(crate) fn insert(db: &Connection, number: i64) -> Result<()> {
    db.execute("INSERT INTO t VALUES (?)", params![number]).map(drop)
}

/// What has happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Record(Rc<RefCell<Vec<String>>>);

impl Record {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// A hook that says that it has run.
    pub(crate) fn hook(&self, what: &str) -> impl FnOnce() + 'static {
        let (record, what) = (self.clone(), what.to_owned());
        move || record.add(what)
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Nobody else has it any more.
    pub(crate) fn is_mine_alone(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

/// An error of a program's own.
#[derive(Debug)]
pub(crate) enum Mine {
    Refused,
    Database(Error),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// An error of a call that does not fit the state of the transaction.
#[track_caller]
pub(crate) fn assert_misuse(error: &Error, words: &str) {
    assert_eq!(error.kind(), ErrorKind::TransactionManagement, "{error:?}");
    assert!(error.message().contains(words), "{error} lacks {words:?}");
    assert_eq!(error.alias(), Some("default"));
    assert!(!error.may_have_executed() && !error.is_disconnect() && !error.is_retryable(), "{error:?}");
}
