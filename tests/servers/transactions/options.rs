//! Isolation levels and read-only blocks, limits inside of blocks, and constraints that are checked at their end.

use std::cell::Cell;
use std::mem::forget;
use std::rc::Rc;
use std::time::Duration;

use dockline::testing::TestCase;
use dockline::{Atomic, Error, ErrorKind, IsolationLevel, Result, params};
use dockline_tests::on_thread;
use dockline_tests::servers::{Kind, Server};

use super::{Numbers, assert_refused, insert, refused};
use crate::case::{Case, case};
use crate::opened::Opened;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(an_isolation_level_is_that_of_its_block),
        case!(a_read_only_block_takes_no_writes),
        case!(a_block_may_write_where_the_session_may_not),
        case!(options_of_an_inner_block_are_refused),
        case!(a_deferred_constraint_fails_the_commit).only(&[Kind::Postgres]),
        case!(a_statement_that_runs_too_long_fails_its_block_alone),
        case!(a_statement_of_its_own_that_commits).only(Kind::MYSQLS),
        case!(a_leaked_block_holds_no_lock_after_its_request),
        case!(a_leaked_block_ends_with_its_thread),
        case!(nothing_of_a_test_stays),
        case!(a_request_leaves_the_failed_transaction_of_a_test_alone),
    ]
}

fn an_isolation_level_is_that_of_its_block(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, other) = (numbers.db(), numbers.other());
    let count = || db.query_value::<i64>("SELECT count(*) FROM t", ());
    /// What a block counts before and after another connection inserts a row.
    fn sees(db: &dockline::Connection, atomic: Atomic, between: impl Fn(), count: impl Fn() -> Result<i64>) -> i64 {
        db.atomic_with(atomic, || {
            let before = count()?;
            between();
            Ok::<_, Error>(count()? - before)
        })
        .unwrap()
    }
    let next = Cell::new(0);
    let between = || {
        next.set(next.get() + 1);
        insert(&other, next.get()).unwrap();
    };
    let repeatable = Atomic::new().isolation_level(IsolationLevel::RepeatableRead);
    for _ in 0..2 {
        assert_eq!(sees(db, repeatable, between, count), 0);
        assert_eq!(sees(db, Atomic::new(), between, count), 1, "the next has the connection's again");
    }
    assert_eq!(sees(db, repeatable.read_only(true), between, count), 0);
    // Nothing was read: it is gone with its block all the same.
    db.atomic_with(repeatable, || Ok::<_, Error>(())).unwrap();
    drop(db.begin_atomic(repeatable).unwrap());
    assert_eq!(sees(db, Atomic::new(), between, count), 1);
    assert_eq!(next.get(), 6);
    let before = count().unwrap();
    between();
    assert_eq!(count().unwrap(), before + 1);
    if server.kind().is_postgres() {
        let level = Atomic::new().isolation_level(IsolationLevel::Serializable);
        let shown = || db.query_value::<String>("SHOW transaction_isolation", ());
        assert_eq!(db.atomic_with(level, shown).unwrap(), "serializable");
        assert_eq!(db.atomic(shown).unwrap(), "read committed");
    }
}

fn a_read_only_block_takes_no_writes(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, serial) = (numbers.db(), numbers.db().serial());
    let read_only = Atomic::new().read_only(true);
    for _ in 0..2 {
        let error = db.atomic_with(read_only, || numbers.insert(1)).unwrap_err();
        assert!(error.is_read_only() && !error.is_work_lost() && !error.is_disconnect(), "{error:?}");
        assert_eq!(db.atomic_with(read_only, || db.query_value::<i64>("SELECT count(*) FROM t", ())).unwrap(), 0);
    }
    numbers.assert_well();
    db.atomic(|| numbers.insert(1)).unwrap();
    assert_eq!(numbers.stored(), [1]);
    assert_eq!(db.serial(), serial, "it is taken for no demotion");
}

fn a_block_may_write_where_the_session_may_not(server: &Server) {
    let numbers = Numbers::new(server);
    let sql = if server.kind().is_postgres() {
        "SET default_transaction_read_only = on"
    } else {
        "SET SESSION TRANSACTION READ ONLY"
    };
    let reading = crate::opened::settings(&numbers.opened.database.url()).init_sql(sql);
    numbers.opened.connections.add("reading", reading).unwrap();
    let db = numbers.opened.connections.get("reading").unwrap();
    let error = db.atomic(|| insert(&db, 1)).unwrap_err();
    assert!(error.is_read_only(), "{error:?}");
    db.atomic_with(Atomic::new().read_only(false), || insert(&db, 2)).unwrap();
    let error = db.atomic(|| insert(&db, 3)).unwrap_err();
    assert!(error.is_read_only(), "only for that block: {error:?}");
    assert_eq!(numbers.stored(), [2]);
}

fn options_of_an_inner_block_are_refused(server: &Server) {
    let numbers = Numbers::new(server);
    numbers
        .db()
        .atomic(|| {
            numbers.insert(1)?;
            for atomic in [Atomic::new().isolation_level(IsolationLevel::ReadCommitted), Atomic::new().read_only(true)]
            {
                let error = numbers.db().begin_atomic(atomic).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TransactionManagement, "{error:?}");
            }
            numbers.insert(2)
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1, 2]);
}

fn a_deferred_constraint_fails_the_commit(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, serial) = (numbers.db(), numbers.db().serial());
    db.execute("CREATE TABLE child (n INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)", ()).unwrap();
    let ran = Rc::new(Cell::new(false));
    let error = db
        .atomic(|| {
            numbers.insert(1)?;
            let runs = Rc::clone(&ran);
            db.on_commit(move || runs.set(true))?;
            db.execute("INSERT INTO child VALUES (2)", ())
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Integrity, Some("23503")));
    assert!(!error.is_commit_unknown() && !error.is_disconnect() && !error.is_after_commit(), "{error:?}");
    assert_eq!((numbers.stored(), ran.get(), db.serial()), (vec![], false, serial));
    numbers.assert_well();
}

fn a_statement_that_runs_too_long_fails_its_block_alone(server: &Server) {
    let limit = Some(Duration::from_millis(150));
    let numbers = Numbers::of(Opened::with(server, |settings| settings.statement_timeout(limit)));
    let db = numbers.db();
    let too_long = || -> Result<()> {
        let digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)";
        let many: Vec<String> = (0..20).map(|at| format!("{digits} x{at}")).collect();
        let error = db.query(&format!("SELECT count(*) FROM {} WHERE x0.d > 7 OR x1.d >= 0", many.join(", ")), ());
        let error = error.unwrap_err();
        assert!(error.is_cancelled() && !error.is_disconnect(), "{error:?}");
        Err(error)
    };
    db.atomic(|| {
        numbers.insert(1)?;
        assert!(db.atomic(too_long).unwrap_err().is_cancelled());
        numbers.insert(2)
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 2]);

    // Without a block around it, PostgreSQL gives the whole transaction up.
    let swallowed = db.atomic(|| {
        numbers.insert(3)?;
        let _ = too_long();
        Ok::<_, Error>(())
    });
    if server.kind().is_postgres() {
        let error = swallowed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionManagement);
        assert!(error.is_work_lost(), "{error:?}");
        assert_eq!(numbers.stored(), [1, 2]);
    } else {
        swallowed.unwrap();
        assert_eq!(numbers.stored(), [1, 2, 3]);
    }
    numbers.assert_well();
}

/// What comes before CREATE TABLE is committed by it; what comes behind it is still in the block.
fn a_statement_of_its_own_that_commits(server: &Server) {
    let numbers = Numbers::new(server);
    let db = numbers.db();
    let block = |table: &str, first: i64| -> Result<()> {
        numbers.insert(first)?;
        db.execute(&format!("CREATE TABLE {table} (n INTEGER)"), ())?;
        numbers.insert(first + 1)
    };
    assert_refused(&db.atomic(|| {
        block("u", 1)?;
        Err(refused())
    }));
    assert_eq!(numbers.stored(), [1]);
    numbers.assert_well();
    db.atomic(|| block("v", 3)).unwrap();
    assert_eq!(numbers.stored(), [1, 3, 4]);
    numbers.assert_well();
}

fn a_leaked_block_holds_no_lock_after_its_request(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, other) = (numbers.db(), numbers.other());
    numbers.insert(1).unwrap();
    let lock = "SELECT n FROM t WHERE n = 1 FOR UPDATE NOWAIT";
    {
        let _request = numbers.opened.connections.request();
        forget(db.begin_atomic(Atomic::new()).unwrap());
        forget(db.begin_atomic(Atomic::new()).unwrap());
        db.execute("UPDATE t SET v = 7", ()).unwrap();
        assert!(other.query(lock, ()).unwrap_err().is_lock_timeout());
    }
    other.query(lock, ()).expect("it is free");
    assert_eq!(other.query_value::<i64>("SELECT v FROM t", ()).unwrap(), 0);
    numbers.assert_well();
}

fn a_leaked_block_ends_with_its_thread(server: &Server) {
    let numbers = Numbers::new(server);
    numbers.insert(1).unwrap();
    let connections = numbers.opened.connections.clone();
    on_thread(move || {
        let db = connections.get("default").unwrap();
        forget(db.begin_atomic(Atomic::new()).unwrap());
        db.execute("UPDATE t SET v = 7", ()).unwrap();
    });
    numbers.admin().wait_until_connections(1);
    assert_eq!(numbers.db().query_value::<i64>("SELECT v FROM t WHERE n = 1 FOR UPDATE NOWAIT", ()).unwrap(), 0);
}

fn nothing_of_a_test_stays(server: &Server) {
    let numbers =
        Numbers::of(Opened::with(server, |settings| settings.conn_max_age(Some(Duration::ZERO)).atomic_requests(true)));
    let (db, connections) = (numbers.db(), &numbers.opened.connections);
    // Creating the table was no request, so it is there still.
    let serial = db.serial();
    let test = TestCase::begin(connections, &["default"]).unwrap();
    connections.in_request(|| numbers.insert(1)).unwrap();
    let error = connections.in_request(|| numbers.insert(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    db.atomic_with(Atomic::new().durable(true), || numbers.insert(2)).unwrap();
    let seen: Vec<(i64,)> = db.query_as("SELECT n FROM t WHERE v = ? ORDER BY n", params![0]).unwrap();
    assert_eq!((seen, db.serial()), (vec![(1,), (2,)], serial));
    drop(test);
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

/// On PostgreSQL it answers nothing but its end, and a savepoint from before.
fn a_request_leaves_the_failed_transaction_of_a_test_alone(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, connections) = (numbers.db(), &numbers.opened.connections);
    let _test = TestCase::begin(connections, &["default"]).unwrap();
    numbers.insert(1).unwrap();
    let (savepoint, serial) = (db.savepoint().unwrap(), db.serial());
    let error = connections.in_request(|| db.execute("NONSENSE", ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Programming);
    assert_eq!(db.serial(), serial);
    db.savepoint_rollback(&savepoint).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT n FROM t", ()).unwrap(), 1);
}
