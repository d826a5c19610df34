//! Statements that a connection of SQLite keeps prepared mean what they would if they were prepared anew.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use dockline::{Atomic, Canceller, Connection, Connections, Settings, params, rusqlite};
use dockline_tests::{Database, in_memory, on_thread};

/// It takes far longer than any limit here, and ends all the same.
const LONG: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000000) SELECT max(i) FROM n";
/// It takes so many steps that SQLite asks whether to go on.
const SHORT: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT max(i) FROM n";
const LIMIT: Duration = Duration::from_millis(30);

fn number(db: &Connection, sql: &str) -> i64 {
    db.query_value(sql, ()).expect(sql)
}

#[test]
fn a_pragma_that_comes_again_takes_effect_again() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    for (pragma, values) in [
        ("synchronous", [0, 2]),
        ("busy_timeout", [70, 90]),
        ("cache_size", [100, 200]),
        ("wal_autocheckpoint", [10, 20]),
        ("temp_store", [1, 2]),
        ("foreign_keys", [0, 1]),
        ("recursive_triggers", [0, 1]),
        ("secure_delete", [0, 1]),
    ] {
        let ask = format!("PRAGMA {pragma}");
        for round in 0..3 {
            for value in values {
                db.execute(&format!("PRAGMA {pragma} = {value}"), ()).unwrap();
                assert_eq!(number(&db, &ask), value, "{pragma}, round {round}");
            }
        }
    }
}

#[test]
fn a_pragma_tells_what_is_so_now() {
    let (database, other) = (Database::new(), Database::new());
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    assert_eq!(db.query("PRAGMA database_list", ()).unwrap().len(), 1);
    db.execute("ATTACH ? AS other", params![other.path().to_str().unwrap()]).unwrap();
    assert_eq!(db.query("PRAGMA database_list", ()).unwrap().len(), 2);
    db.execute("DETACH other", ()).unwrap();
    assert_eq!(db.query("PRAGMA database_list", ()).unwrap().len(), 1);
}

#[test]
fn a_transaction_is_one_of_the_files_that_are_attached_now() {
    let (database, other) = (Database::new(), Database::new());
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    let state = |db: &Connection, schema: &'static str| {
        db.native(move |sqlite: &mut rusqlite::Connection| sqlite.transaction_state(Some(schema)).unwrap()).unwrap()
    };
    for _ in 0..2 {
        db.atomic(|| Ok::<_, dockline::Error>(())).unwrap();
        db.execute("BEGIN IMMEDIATE", ()).unwrap();
        db.execute("COMMIT", ()).unwrap();
    }
    db.execute("ATTACH ? AS other", params![other.path().to_str().unwrap()]).unwrap();
    db.atomic(|| {
        assert_eq!(state(&db, "main"), rusqlite::TransactionState::Write);
        assert_eq!(state(&db, "other"), rusqlite::TransactionState::Write, "block");
        Ok::<_, dockline::Error>(())
    })
    .unwrap();
    db.execute("BEGIN IMMEDIATE", ()).unwrap();
    assert_eq!(state(&db, "other"), rusqlite::TransactionState::Write, "text");
    db.execute("COMMIT", ()).unwrap();
    db.execute("DETACH other", ()).unwrap();
    db.atomic(|| Ok::<_, dockline::Error>(())).unwrap();
}

#[test]
fn a_plan_is_that_of_the_schema_that_there_is() {
    let database = Database::new();
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a, b)", ()).unwrap();
    let plan = |db: &Connection| {
        let rows = db.query("EXPLAIN QUERY PLAN SELECT b FROM t WHERE a = 1", ()).unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail").unwrap()).collect::<String>()
    };
    assert!(plan(&db).contains("SCAN"), "{}", plan(&db));
    let worker = connections.clone();
    on_thread(move || {
        worker.get("default").unwrap().execute("CREATE INDEX i ON t (a)", ()).unwrap();
    });
    db.query("SELECT * FROM t", ()).unwrap();
    assert!(plan(&db).contains("INDEX i"), "{}", plan(&db));
    db.execute("DROP TABLE t", ()).unwrap();
    db.query("EXPLAIN QUERY PLAN SELECT b FROM t WHERE a = 1", ()).unwrap_err();
}

fn limited(database: &Database) -> Connections {
    database.connections_with(|settings| settings.statement_timeout(Some(LIMIT)))
}

fn assert_is_limited(db: &Connection) {
    let error = db.query(LONG, ()).unwrap_err();
    assert!(error.is_cancelled() && error.message().contains("statement_timeout"), "{error}");
}

fn let_the_limit_pass() {
    let began = Instant::now();
    while began.elapsed() < LIMIT * 2 {
        thread::yield_now();
    }
}

#[test]
fn native_and_init_sql_are_not_limited_by_statement_timeout() {
    let database = Database::new();
    let connections = limited(&database);
    let db = connections.get("default").unwrap();
    let counted = db.native(|sqlite: &mut rusqlite::Connection| {
        let_the_limit_pass();
        sqlite.query_row(SHORT, (), |row| row.get::<_, i64>(0))
    });
    assert_eq!(counted.unwrap().unwrap(), 10_000);
    assert_is_limited(&db);
    let slow = SHORT.replace("10000", "1000000");
    let connections = database.connections_with(|settings| {
        settings.statement_timeout(Some(Duration::from_millis(1))).init_sql(format!("{slow}; {slow}"))
    });
    connections.get("default").unwrap().ensure_connection().unwrap();
}

#[test]
fn the_limits_hold_after_native_has_put_something_in_their_place() {
    let database = Database::new();
    let connections = limited(&database);
    let db = connections.get("default").unwrap();
    db.native(|sqlite: &mut rusqlite::Connection| {
        let _ = sqlite.progress_handler(0, None::<fn() -> bool>);
    })
    .unwrap();
    assert_is_limited(&db);
    let path = database.path();
    let first = db
        .native(move |sqlite: &mut rusqlite::Connection| {
            std::mem::replace(sqlite, rusqlite::Connection::open(path).unwrap())
        })
        .unwrap();
    assert_is_limited(&db);
    // The limits are those of the one that is in use.
    let counted = db.query_each("SELECT 1", (), |_| {
        let_the_limit_pass();
        let counted: i64 = first.query_row(SHORT, (), |row| row.get(0)).unwrap();
        Ok(ControlFlow::Break(counted))
    });
    assert_eq!(counted.unwrap(), Some(10_000));
    let canceller = db.canceller();
    let killer = cancelling(canceller);
    assert!(db.query(LONG, ()).unwrap_err().is_cancelled());
    killer.join().unwrap();
}

#[test]
fn each_wait_of_native_has_its_time() {
    let patience = Duration::from_secs(2);
    let database = Database::new();
    let settings = |settings: Settings| {
        settings.option("journal_mode", "delete").option("busy_timeout", format!("{}ms", patience.as_millis()))
    };
    let connections = database.connections_with(settings);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    let written = db.native(|sqlite: &mut rusqlite::Connection| {
        for _ in 0..2 {
            beside_a_reader(&connections, || sqlite.execute("INSERT INTO t VALUES (2)", ()))?;
            thread::sleep(patience + Duration::from_millis(100));
        }
        Ok::<_, rusqlite::Error>(())
    });
    written.unwrap().unwrap();
}

/// Runs it while another thread reads, which ends a moment later.
fn beside_a_reader<R>(connections: &Connections, call: impl FnOnce() -> R) -> R {
    let (reads, begun) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let db = connections.get("default").unwrap();
            db.query_each("SELECT a FROM t", (), |_| {
                reads.send(()).unwrap();
                thread::sleep(Duration::from_millis(50));
                Ok(ControlFlow::Break(()))
            })
            .unwrap();
        });
        begun.recv().unwrap();
        call()
    })
}

/// Cancels what runs next.
fn cancelling(canceller: Canceller) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while !canceller.cancel().unwrap() {
            thread::yield_now();
        }
    })
}

/// Cancels what runs on its own connection whenever it commits.
fn cancels_each_commit(db: &Connection) {
    let canceller = db.canceller();
    db.native(move |sqlite: &mut rusqlite::Connection| {
        let _ = sqlite.commit_hook(Some(move || {
            let _ = canceller.cancel();
            false
        }));
    })
    .unwrap();
}

#[test]
fn a_commit_that_is_cancelled_says_whether_it_was_done() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    cancels_each_commit(&db);
    // SQLite asks every thousand steps, also those of a statement that was run before.
    for n in 1..=1_200_i64 {
        let by_block = db.atomic(|| db.execute("INSERT INTO t VALUES (1)", ()));
        by_block.unwrap_or_else(|error| panic!("block {n}: {error:?}"));
        db.execute("BEGIN", ()).unwrap();
        db.execute("INSERT INTO t VALUES (2)", ()).unwrap();
        db.execute("COMMIT", ()).unwrap_or_else(|error| panic!("text {n}: {error:?}"));
        assert_eq!(number(&db, "SELECT count(*) FROM t"), 2 * n);
    }
}

#[test]
fn a_change_of_the_schema_that_is_cancelled_may_have_been_done() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    cancels_each_commit(&db);
    let is_there = || number(&db, "SELECT count(*) FROM sqlite_schema WHERE name = 'i'") == 1;
    let mut cancelled = 0;
    // With each row it takes some steps more, until SQLite asks after the last of them.
    for n in 0..1_500 {
        let _ = db.execute("INSERT INTO t VALUES (?)", params![n]);
        match db.execute("CREATE INDEX i ON t (a)", ()) {
            Err(error) if is_there() => {
                cancelled += 1;
                assert!(error.is_cancelled() && error.may_have_executed(), "{error:?}");
            }
            made => drop(made.unwrap()),
        }
        while is_there() {
            let _ = db.execute("DROP INDEX i", ());
        }
    }
    assert!(cancelled > 0);
}

#[test]
fn what_is_only_done_if_something_exists_sees_that_it_does() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    for _ in 0..3 {
        db.execute("DROP TABLE IF EXISTS t", ()).unwrap();
        db.execute("CREATE TABLE IF NOT EXISTS t (a)", ()).unwrap();
        db.execute("CREATE INDEX IF NOT EXISTS i ON t (a)", ()).unwrap();
        db.execute("CREATE TEMP VIEW IF NOT EXISTS v AS SELECT 1", ()).unwrap();
        assert_eq!(number(&db, "SELECT count(*) FROM sqlite_schema"), 2);
        db.execute("DROP VIEW IF EXISTS v", ()).unwrap();
        db.query("SELECT * FROM v", ()).unwrap_err();
        db.execute("DROP INDEX IF EXISTS i", ()).unwrap();
        db.execute("DROP TABLE IF EXISTS t", ()).unwrap();
        assert_eq!(number(&db, "SELECT count(*) FROM sqlite_schema"), 0);
    }
}

/// Cancels what runs on its own connection when a row of that number is written.
fn cancels_at(db: &Connection, at: i64) {
    let canceller = db.canceller();
    db.native(move |sqlite: &mut rusqlite::Connection| {
        let _ = sqlite.update_hook(Some(move |_: rusqlite::hooks::Action, _: &str, _: &str, row: i64| {
            if row == at {
                assert!(canceller.cancel().unwrap());
            }
        }));
    })
    .unwrap();
}

#[test]
fn rows_that_are_cancelled_in_their_midst_leave_no_transaction() {
    for at in [3, 10] {
        let database = Database::new();
        let connections = database.connections();
        let db = connections.get("default").unwrap();
        db.execute("CREATE TABLE t (a)", ()).unwrap();
        cancels_at(&db, at);
        let rows = (1..=10).map(|n| params![n]);
        let error = db.execute_many("INSERT INTO t VALUES (?)", rows).unwrap_err();
        assert!(error.is_cancelled(), "{error:?}");
        let open = db.native(|sqlite: &mut rusqlite::Connection| !sqlite.is_autocommit()).unwrap();
        assert!(!open, "a transaction is open after {error}");
        db.execute("INSERT INTO t (rowid, a) VALUES (77, 7)", ()).unwrap();
        let worker = connections.clone();
        on_thread(move || {
            assert_eq!(number(&worker.get("default").unwrap(), "SELECT count(*) FROM t"), 1);
        });
    }
}

#[test]
fn a_request_whose_statement_was_cancelled_keeps_its_connection() {
    let database = Database::new();
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TEMP TABLE mine (a)", ()).unwrap();
    let canceller = db.canceller();
    let request = connections.request();
    db.execute("BEGIN", ()).unwrap();
    let killer = cancelling(canceller);
    assert!(db.query(LONG, ()).unwrap_err().is_cancelled());
    killer.join().unwrap();
    drop(request);
    db.query("SELECT * FROM mine", ()).unwrap();
}

#[test]
fn what_needs_the_file_alone_finds_no_statement_in_its_way() {
    let (database, other) = (Database::new(), Database::new());
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    for n in 0..10 {
        db.execute("INSERT INTO t VALUES (?)", params![n]).unwrap();
    }
    db.execute("ATTACH ? AS other", params![other.path().to_str().unwrap()]).unwrap();
    db.execute("CREATE TABLE other.u AS SELECT * FROM t", ()).unwrap();
    let first = |sql: &str| {
        db.query_each(sql, (), |_| Ok(ControlFlow::Break(()))).unwrap();
    };
    first("SELECT * FROM t");
    first("SELECT * FROM other.u");
    first("INSERT INTO other.u VALUES (1), (2) RETURNING a");
    first("PRAGMA database_list");
    db.execute("DETACH other", ()).unwrap();
    for sql in ["VACUUM", "REINDEX", "PRAGMA journal_mode = delete", "PRAGMA journal_mode = wal", "VACUUM"] {
        db.query(sql, ()).expect(sql);
    }
    assert_eq!(db.query_value::<String>("PRAGMA journal_mode", ()).unwrap(), "wal");
}

#[test]
fn native_in_a_read_only_block_leaves_query_only_as_it_was() {
    let database = Database::new();
    database.connections().get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    let connections = database.connections_with(|settings| settings.init_sql("PRAGMA query_only = on"));
    let db = connections.get("default").unwrap();
    for _ in 0..2 {
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
        db.atomic_with(Atomic::new().read_only(true), || {
            db.native(|sqlite: &mut rusqlite::Connection| sqlite.execute("INSERT INTO t VALUES (1)", ()).unwrap_err())
        })
        .unwrap();
    }
    db.execute("PRAGMA query_only = off", ()).unwrap();
    db.atomic_with(Atomic::new().read_only(true), || {
        db.native(|sqlite: &mut rusqlite::Connection| sqlite.execute("INSERT INTO t VALUES (1)", ()).unwrap_err())
    })
    .unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
}

#[test]
fn a_virtual_table_is_dropped_though_its_statements_are_kept() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    for _ in 0..2 {
        db.execute("CREATE VIRTUAL TABLE f USING fts5(x)", ()).unwrap();
        db.execute("INSERT INTO f VALUES (?)", params!["one two"]).unwrap();
        assert_eq!(number(&db, "SELECT count(*) FROM f WHERE f MATCH 'two'"), 1);
        db.query_each("SELECT * FROM f", (), |_| Ok(ControlFlow::Break(()))).unwrap();
        db.execute("DROP TABLE f", ()).unwrap();
        db.query("SELECT * FROM f", ()).unwrap_err();
    }
}
