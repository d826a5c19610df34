//! Atomic blocks on servers: what they cost, what their options do, what becomes of them when the connection is lost, and
//! what is tried again.

mod cost;
mod lost;
mod options;
mod refused;
mod retry;

use dockline::{Connection, Error, ErrorKind, Result, params};
use dockline_tests::servers::{Admin, Server};

use crate::case::Case;
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    [cost::cases(), lost::cases(), options::cases(), refused::cases(), retry::cases()].concat()
}

/// A table of numbers with values, and a connection to it.
struct Numbers<'server> {
    opened: Opened<'server>,
}

impl<'server> Numbers<'server> {
    fn new(server: &'server Server) -> Self {
        Self::of(Opened::new(server))
    }

    fn of(opened: Opened<'server>) -> Self {
        opened.db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v INTEGER)", ()).expect("a table");
        Self { opened }
    }

    fn db(&self) -> &Connection {
        &self.opened.db
    }

    fn admin(&self) -> Admin {
        self.opened.database.admin()
    }

    /// Another connection of this thread, past any proxy.
    fn other(&self) -> Connection {
        let connections = &self.opened.connections;
        // It may be there already.
        let _ = connections.add("other", settings(&self.opened.database.url()));
        connections.get("other").expect("an alias")
    }

    fn insert(&self, number: i64) -> Result<()> {
        insert(self.db(), number)
    }

    /// What is committed.
    fn stored(&self) -> Vec<i64> {
        let rows: Vec<(i64,)> = self.other().query_as("SELECT n FROM t ORDER BY n", ()).expect("the numbers");
        rows.into_iter().map(|(number,)| number).collect()
    }

    /// Ends the session of the connection, as an administrator does, and waits until it is gone.
    fn kill(&self) {
        self.admin().kill_and_wait(self.db().server_connection_id().expect("a session"));
    }

    /// A statement runs, and nothing is open.
    fn assert_well(&self) {
        let db = self.db();
        self.insert(UNUSED).expect("a statement");
        assert!(self.stored().contains(&UNUSED), "a transaction is open");
        db.execute("DELETE FROM t WHERE n = ?", params![UNUSED]).expect("a statement");
        let state = db.state();
        assert!(state.connected && state.autocommit && !state.in_atomic_block && !state.needs_rollback, "{state:?}");
    }
}

/// A number that no test has.
const UNUSED: i64 = 1_000_000;

fn insert(db: &Connection, number: i64) -> Result<()> {
    db.execute("INSERT INTO t VALUES (?, 0)", params![number]).map(drop)
}

/// An error of a program's own.
fn refused() -> Error {
    Error::new(ErrorKind::Interface, "refused")
}

#[track_caller]
fn assert_refused(result: &Result<()>) {
    assert!(result.as_ref().is_err_and(|error| error.message() == "refused"), "{result:?}");
}
