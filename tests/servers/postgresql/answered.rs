//! An answer that has come is believed, also if the connection ends behind it.

use dockline::{Connection, Error, params};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::settings;

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]);
    vec![
        only(case!(a_commit_that_was_answered_is_well)),
        only(case!(a_rollback_that_was_answered_is_well)),
        only(case!(a_statement_that_was_answered_is_well)),
        only(case!(rows_that_have_come_are_well)),
        only(case!(a_deferred_constraint_fails_the_commit)),
        only(case!(a_commit_that_begins_another_transaction)),
    ]
}

/// A connection through a proxy, and one beside it that sees what is stored.
struct Cut<'server> {
    db: Connection,
    witness: Connection,
    proxy: Proxy,
    _connections: [dockline::Connections; 2],
    _database: dockline_tests::servers::FreshDatabase<'server>,
}

impl<'server> Cut<'server> {
    fn new(server: &'server Server) -> Self {
        let database = server.database();
        let proxy = Proxy::start(server.address());
        let direct = database.url();
        let via = direct.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
        assert_ne!(direct, via);
        let connections = [via, direct].map(|url| dockline_tests::connections(settings(&url)));
        let [db, witness] = [0, 1].map(|at| connections[at].get("default").unwrap());
        witness.execute("CREATE TABLE t (a INTEGER PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)", ()).unwrap();
        Self { db, witness, proxy, _connections: connections, _database: database }
    }

    fn is_stored(&self, number: i64) -> bool {
        self.witness.query_value("SELECT EXISTS (SELECT 1 FROM t WHERE a = ?)", params![number]).unwrap()
    }

    /// After the cut, the next statement has a new connection.
    fn assert_well(&self) {
        assert_eq!(self.db.query_value::<i64>("SELECT 7", ()).unwrap(), 7);
        self.proxy.pass();
    }
}

/// `CommandComplete("COMMIT")` takes 12 bytes, and what says that the server is ready 6.
const COMPLETE: u64 = 12;
const ALL: u64 = 18;

fn a_commit_that_was_answered_is_well(server: &Server) {
    let cut = Cut::new(server);
    for after in 0..=ALL {
        let number = i64::try_from(after).unwrap();
        let ran = std::cell::Cell::new(false);
        let result = cut.db.atomic(|| {
            cut.db.execute("INSERT INTO t VALUES (?)", params![number])?;
            cut.proxy.cut_after(after);
            Ok::<_, Error>(())
        });
        ran.set(result.is_ok());
        match &result {
            Ok(()) => assert!(cut.is_stored(number), "cut after {after}"),
            Err(error) => {
                assert!(after < COMPLETE, "cut after {after}: {error:?}");
                assert!(error.is_commit_unknown() && error.may_have_executed(), "{error:?}");
            }
        }
        assert!(!cut.db.in_atomic_block());
        cut.proxy.wait_until_cuts(usize::try_from(after).unwrap() + 1);
        cut.assert_well();
    }
}

fn a_rollback_that_was_answered_is_well(server: &Server) {
    let cut = Cut::new(server);
    cut.db.set_autocommit(false).unwrap();
    cut.db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    cut.proxy.cut_after(ALL + 2);
    cut.db.rollback().unwrap();
    cut.proxy.wait_until_cuts(1);
    cut.db.set_autocommit(true).unwrap_or_default();
    cut.db.close();
    assert!(!cut.is_stored(1));
    cut.assert_well();
}

/// What the server says of a statement is kept back until it has committed it: nothing of it is believed before the end.
fn a_statement_that_was_answered_is_well(server: &Server) {
    let cut = Cut::new(server);
    let insert = |number: i64| cut.db.execute("INSERT INTO t VALUES (?)", params![number]);
    cut.db.execute("DELETE FROM t WHERE a < 0", ()).unwrap();
    insert(-1).unwrap();
    let before = cut.proxy.bytes_from_server();
    insert(-2).unwrap();
    let answer = cut.proxy.bytes_from_server() - before;
    for (at, after) in (0..=answer).enumerate() {
        let number = i64::try_from(after).unwrap();
        // Prepared on the new connection.
        cut.db.query("SELECT 1", ()).unwrap();
        cut.db.execute("INSERT INTO t VALUES (?)", params![-100 - number]).unwrap();
        cut.proxy.cut_after(after);
        match insert(number) {
            Ok(count) => {
                assert_eq!((count, after), (1, answer));
                assert!(cut.is_stored(number));
            }
            Err(error) => {
                assert!(after < answer, "{error:?}");
                assert!(error.is_disconnect() && error.may_have_executed(), "{error:?}");
            }
        }
        cut.proxy.wait_until_cuts(at + 1);
        cut.assert_well();
    }
}

fn rows_that_have_come_are_well(server: &Server) {
    let cut = Cut::new(server);
    let sql = "SELECT n FROM generate_series(1, 5) AS n";
    let read = || cut.db.query_as::<(i64,)>(sql, ());
    read().unwrap();
    let before = cut.proxy.bytes_from_server();
    read().unwrap();
    cut.proxy.cut_after(cut.proxy.bytes_from_server() - before);
    assert_eq!(read().unwrap(), [(1,), (2,), (3,), (4,), (5,)]);
    cut.proxy.wait_until_cuts(1);
    cut.assert_well();
    // Inside a block it is well, too; what follows it is not.
    let error = cut
        .db
        .atomic(|| {
            cut.db.execute("INSERT INTO t VALUES (1)", ())?;
            read()?;
            let before = cut.proxy.bytes_from_server();
            read()?;
            cut.proxy.cut_after(cut.proxy.bytes_from_server() - before);
            read()?;
            cut.proxy.wait_until_cuts(2);
            let error = cut.db.execute("INSERT INTO t VALUES (2)", ()).unwrap_err();
            assert!(error.is_work_lost() && !error.may_have_executed(), "{error:?}");
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert!(error.is_work_lost(), "{error:?}");
    assert!(!cut.is_stored(1) && !cut.is_stored(2));
    cut.assert_well();
}

fn a_deferred_constraint_fails_the_commit(server: &Server) {
    let cut = Cut::new(server);
    cut.db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    let error = cut
        .db
        .atomic(|| {
            cut.db.execute("INSERT INTO t VALUES (2)", ())?;
            cut.db.execute("INSERT INTO t VALUES (1)", ())?;
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!(error.code().as_deref(), Some("23505"));
    assert!(!error.is_commit_unknown() && !error.is_disconnect(), "{error:?}");
    assert!(!cut.is_stored(2));
    // The same outside a block: the statement itself fails, though its count had come before.
    let error = cut.db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
    assert_eq!(error.code().as_deref(), Some("23505"));
    cut.db.execute("INSERT INTO t VALUES (3)", ()).unwrap();
    assert!(cut.is_stored(3));
}

fn a_commit_that_begins_another_transaction(server: &Server) {
    let cut = Cut::new(server);
    cut.db.set_autocommit(false).unwrap();
    cut.db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    cut.db.execute("COMMIT AND CHAIN", ()).unwrap();
    cut.db.execute("INSERT INTO t VALUES (2)", ()).unwrap();
    cut.db.execute("ROLLBACK AND CHAIN", ()).unwrap();
    cut.db.execute("INSERT INTO t VALUES (3)", ()).unwrap();
    cut.db.rollback().unwrap();
    cut.db.set_autocommit(true).unwrap();
    assert_eq!([1, 2, 3].map(|number| cut.is_stored(number)), [true, false, false]);
}
