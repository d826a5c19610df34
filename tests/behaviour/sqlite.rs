use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dockline::{ErrorKind, Settings, TransactionMode, params, rusqlite};
use dockline_tests::{Database, Story, connections, in_memory, on_thread};

const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

#[test]
fn a_file_has_the_write_ahead_log_a_busy_timeout_and_foreign_keys() {
    let database = Database::new();
    let db = database.connections().get("default").unwrap().alias().to_owned();
    assert_eq!(db, "default");
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    assert_eq!(db.vendor(), "sqlite");
    assert_eq!(db.query_value::<String>("PRAGMA journal_mode", ()).unwrap(), "wal");
    for _ in 0..2 {
        assert_eq!(db.query_value::<i64>("PRAGMA busy_timeout", ()).unwrap(), 5000);
    }
    db.execute("PRAGMA busy_timeout = 70", ()).unwrap();
    assert_eq!(db.query_value::<i64>("PRAGMA busy_timeout", ()).unwrap(), 70);
    db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)", ()).unwrap();
    db.execute("CREATE TABLE child (parent REFERENCES parent)", ()).unwrap();
    let error = db.execute("INSERT INTO child VALUES (1)", ()).unwrap_err();
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Integrity, Some("787")));
}

#[test]
fn options_change_what_a_file_has() {
    let database = Database::new();
    let connections = database.connections_with(|settings| {
        settings.option("journal_mode", "delete").option("foreign_keys", "false").option("synchronous", "off")
    });
    let db = connections.get("default").unwrap();
    assert_eq!(db.query_value::<String>("PRAGMA journal_mode", ()).unwrap(), "delete");
    assert!(!db.query_value::<bool>("PRAGMA foreign_keys", ()).unwrap());
    assert_eq!(db.query_value::<i64>("PRAGMA synchronous", ()).unwrap(), 0);
}

#[test]
fn memory_is_one_database_for_all_threads_and_outlives_their_connections() {
    let connections = in_memory();
    let worker = connections.clone();
    on_thread(move || {
        let db = worker.get("default").unwrap();
        db.execute("CREATE TABLE t (a)", ()).unwrap();
        db.execute("INSERT INTO t VALUES (7)", ()).unwrap();
    });
    let db = connections.get("default").unwrap();
    assert_eq!(db.query_value::<i64>("SELECT a FROM t", ()).unwrap(), 7);
    connections.close_all();
    assert_eq!(db.query_value::<i64>("SELECT a FROM t", ()).unwrap(), 7);
    assert!(in_memory().get("default").unwrap().query("SELECT a FROM t", ()).is_err(), "another registry has its own");
}

#[test]
fn memory_is_written_by_many_threads() {
    let connections = in_memory();
    connections.get("default").unwrap().execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    thread::scope(|scope| {
        for n in 0..4 {
            let connections = &connections;
            scope.spawn(move || {
                for _ in 0..50 {
                    connections.get("default").unwrap().execute("INSERT INTO t VALUES (?)", params![n]).unwrap();
                }
            });
        }
    });
    assert_eq!(connections.get("default").unwrap().query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 200);
}

#[test]
fn transaction_mode_says_when_the_lock_is_taken() {
    let database = Database::new();
    database.connections().get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    let other = rusqlite::Connection::open(database.path()).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    for (mode, blocks) in [(TransactionMode::Deferred, false), (TransactionMode::Immediate, true)] {
        let connections = database.connections_with(|settings| settings.transaction_mode(mode));
        let db = connections.get("default").unwrap();
        db.set_autocommit(false).unwrap();
        db.query("SELECT * FROM t", ()).unwrap();
        let written = other.execute("INSERT INTO t VALUES (1)", ());
        assert_eq!(written.is_err(), blocks, "{mode}");
        db.rollback().unwrap();
    }
    assert_eq!(Settings::new().get_transaction_mode(), TransactionMode::Immediate);
}

#[test]
fn a_statement_is_cancelled_from_another_thread() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    let canceller = db.canceller();
    assert!(!canceller.cancel().unwrap(), "nothing runs");
    let (first_row, wait) = mpsc::channel();
    let killer = thread::spawn(move || {
        wait.recv().unwrap();
        assert!(canceller.cancel().unwrap());
    });
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let error = db
        .query_each(endless, (), |_| {
            let _ = first_row.send(());
            Ok(ControlFlow::<()>::Continue(()))
        })
        .unwrap_err();
    killer.join().unwrap();
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Operational, Some("9")));
    assert!(error.is_cancelled() && !error.is_disconnect() && !error.may_have_executed());
    db.query("SELECT 1", ()).unwrap();
}

#[test]
fn a_canceller_follows_its_connection() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    let canceller = db.canceller();
    db.query("SELECT 1", ()).unwrap();
    db.close();
    let (started, wait) = mpsc::channel();
    let killer = thread::spawn(move || {
        wait.recv().unwrap();
        while !canceller.cancel().unwrap() {
            thread::yield_now();
        }
    });
    started.send(()).unwrap();
    assert!(db.query(ENDLESS, ()).unwrap_err().is_cancelled());
    killer.join().unwrap();
}

#[test]
fn execute_many_is_cancelled_between_two_rows() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    let canceller = db.canceller();
    let rows = (0..10).map(|n| {
        if n == 5 {
            assert!(canceller.cancel().unwrap());
        }
        params![n]
    });
    let error = db.execute_many("INSERT INTO t VALUES (?)", rows).unwrap_err();
    assert!(error.is_cancelled() && !error.may_have_executed(), "{error:?}");
    assert!(error.message().contains("row 6: "), "{error}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
}

#[test]
fn statement_timeout_ends_a_statement() {
    let database = Database::new();
    let connections = database.connections_with(|settings| settings.statement_timeout(Some(Duration::from_millis(30))));
    let db = connections.get("default").unwrap();
    let error = db.query(ENDLESS, ()).unwrap_err();
    assert!(error.is_cancelled() && error.message().contains("statement_timeout (30ms)"), "{error}");
    db.query("SELECT 1", ()).unwrap();
}

#[test]
fn a_cancelled_write_in_a_transaction_says_that_its_work_is_lost() {
    let database = Database::new();
    let connections = database.connections_with(|settings| settings.statement_timeout(Some(Duration::from_millis(30))));
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.execute("BEGIN", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    let error = db.execute(&format!("INSERT INTO t {ENDLESS}"), ()).unwrap_err();
    // SQLite rolls the whole transaction back when a write is interrupted.
    assert!(error.is_cancelled() && error.is_work_lost(), "{error:?}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
}

#[test]
fn a_missing_folder_is_a_clear_operational_error() {
    let connections = connections(Settings::from_url("sqlite:/nonexistent/folder/app.db").unwrap());
    let error = connections.get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Operational, Some("default")));
    assert!(error.message().contains("the folder /nonexistent/folder does not exist"), "{error}");
}

#[test]
fn a_folder_and_a_file_that_is_no_database_are_clear_errors() {
    let database = Database::new();
    let folder = database.path().parent().unwrap().to_str().unwrap().to_owned();
    let error =
        connections(Settings::new().engine("sqlite").name(&folder)).get("default").unwrap().query("SELECT 1", ());
    let error = error.unwrap_err();
    assert!(error.kind() == ErrorKind::Operational && error.message().contains("it is a folder"), "{error}");

    std::fs::write(database.path(), "this is a text, and long enough to be looked at as a database").unwrap();
    let error = database.connections().get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database, "{error}");
}

#[test]
fn mode_ro_reads_and_does_not_write_and_mode_rw_does_not_create() {
    let database = Database::new();
    let missing = database.connections_with(|settings| settings.option("mode", "rw"));
    let error = missing.get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    assert!(error.kind() == ErrorKind::Operational && !database.path().exists(), "{error}");

    database.connections().get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    let connections = database.connections_with(|settings| settings.option("mode", "ro"));
    let db = connections.get("default").unwrap();
    db.query("SELECT * FROM t", ()).unwrap();
    assert_eq!(db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err().kind(), ErrorKind::Operational);
}

#[test]
fn errors_have_the_kinds_that_django_gives_them() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE CHECK (name <> 'x'))", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1, 'a')", ()).unwrap();
    for (sql, kind) in [
        ("SELEC 1", ErrorKind::Operational),
        ("SELECT * FROM missing", ErrorKind::Operational),
        ("SELECT missing FROM t", ErrorKind::Operational),
        ("INSERT INTO t VALUES (1, 'b')", ErrorKind::Integrity),
        ("INSERT INTO t VALUES (2, 'a')", ErrorKind::Integrity),
        ("INSERT INTO t VALUES (2, NULL)", ErrorKind::Integrity),
        ("INSERT INTO t VALUES (2, 'x')", ErrorKind::Integrity),
        ("INSERT INTO t VALUES ('text', 'b')", ErrorKind::Integrity),
        ("SELECT zeroblob(2000000000)", ErrorKind::Data),
        ("SELECT abs(-9223372036854775808)", ErrorKind::Operational),
    ] {
        let error = db.query(sql, ()).unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.code().is_some() && !error.may_have_executed() && std::error::Error::source(&error).is_some());
    }
}

#[test]
fn what_stands_after_a_failed_statement_may_have_executed() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a UNIQUE)", ()).unwrap();
    let error = db.execute("INSERT INTO t VALUES (1), (1)", ()).unwrap_err();
    assert!(!error.may_have_executed());
    let error = db.execute("INSERT OR FAIL INTO t VALUES (1), (1)", ()).unwrap_err();
    assert!(error.may_have_executed(), "one row stands");
}

#[test]
fn prepared_statements_may_be_off() {
    let database = Database::new();
    let connections = database.connections_with(|settings| settings.prepared_statements(false));
    let db = connections.get("default").unwrap();
    for n in 0..3 {
        assert_eq!(db.query_value::<i64>("SELECT ?", params![n]).unwrap(), n);
    }
}

#[test]
fn init_sql_runs_on_every_connection_and_its_errors_are_those_of_connecting() {
    let database = Database::new();
    let connections = database
        .connections_with(|settings| settings.init_sql("CREATE TEMPORARY TABLE a (b); INSERT INTO a VALUES (7);"));
    let db = connections.get("default").unwrap();
    for _ in 0..2 {
        assert_eq!(db.query_value::<i64>("SELECT b FROM a", ()).unwrap(), 7);
        db.close();
    }
    let story = Story::of(&connections);
    connections.replace("default", database.settings().init_sql("SELEC")).unwrap();
    let error = db.query("SELECT 1", ()).unwrap_err();
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Operational, Some("1")));
    assert!(error.message().starts_with("init_sql: SQL "), "{error}");
    assert_eq!((db.is_connected(), story.opened()), (false, 0));
}

#[test]
fn a_cached_statement_sees_a_changed_schema() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a, b)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1, 2)", ()).unwrap();
    let columns = || db.query_one("SELECT * FROM t", ()).unwrap().columns().to_vec();
    assert_eq!(columns(), ["a", "b"]);
    db.execute("ALTER TABLE t DROP COLUMN a", ()).unwrap();
    db.execute("ALTER TABLE t ADD COLUMN c", ()).unwrap();
    assert_eq!(columns(), ["b", "c"]);
    db.execute("ALTER TABLE t ADD COLUMN d", ()).unwrap();
    db.execute("DELETE FROM t", ()).unwrap();
    assert!(db.query("SELECT * FROM t", ()).unwrap().is_empty());
}

#[test]
fn a_write_that_is_left_early_and_cannot_commit_is_an_error() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)", ()).unwrap();
    db.execute("CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)", ()).unwrap();
    let insert = "INSERT INTO child VALUES (7), (8) RETURNING parent";
    let error = db.query_each(insert, (), |_| Ok(ControlFlow::Break(()))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM child", ()).unwrap(), 0);
}

#[test]
fn state_that_init_sql_makes_anew_keeps_no_idle_connection() {
    let database = Database::new();
    let connections = database.connections_with(|settings| {
        settings.init_sql("CREATE TEMPORARY TABLE a (b)").conn_max_idle(Some(Duration::from_nanos(1)))
    });
    let db = connections.get("default").unwrap();
    db.execute("INSERT INTO a VALUES (1)", ()).unwrap();
    let serial = db.serial();
    db.query("SELECT * FROM a", ()).unwrap();
    assert_ne!(db.serial(), serial);
}

#[test]
fn statement_timeout_counts_for_each_row_of_execute_many() {
    let database = Database::new();
    let connections = database.connections_with(|settings| settings.statement_timeout(Some(Duration::from_millis(50))));
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    let rows = (0..4).map(|n| {
        thread::sleep(Duration::from_millis(30));
        params![n]
    });
    assert_eq!(db.execute_many("INSERT INTO t VALUES (?)", rows).unwrap(), 4);
}
