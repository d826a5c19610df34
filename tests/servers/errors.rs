//! What callers act on: predicates, numbers, and what an error does not say.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use dockline::{Connection, ErrorKind, Settings, params};
use dockline_tests::connections;
use dockline_tests::servers::{Kind, PASSWORD, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_deadlock_can_be_tried_again),
        case!(a_serialization_failure_can_be_tried_again).only(&[Kind::Postgres]),
        case!(a_lock_that_takes_too_long),
        case!(a_server_without_connections_left).own_server_with(|builder| builder.setting("max_connections", "12")),
        case!(a_session_that_was_made_read_only),
        case!(users_databases_and_hosts_that_are_wrong),
        case!(a_failed_commit_says_that_the_work_is_lost).only(&[Kind::Postgres]),
        case!(a_statement_that_ends_the_transaction_by_itself).only(Kind::MYSQLS),
        case!(the_password_is_nowhere),
    ]
}

/// Two transactions that wait for each other; the answer is the error of the one that was chosen.
fn a_deadlock_can_be_tried_again(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", ()).unwrap();
    db.execute_many("INSERT INTO t VALUES (?, 0)", [params![1], params![2]]).unwrap();
    let update = |db: &Connection, id: i32| db.execute("UPDATE t SET n = n + 1 WHERE id = ?", params![id]);
    db.set_autocommit(false).unwrap();
    update(db, 1).unwrap();
    let registry = opened.connections.clone();
    let (locked, is_locked) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let db = registry.get("default").unwrap();
        db.set_autocommit(false).unwrap();
        update(&db, 2).unwrap();
        locked.send(()).unwrap();
        let result = update(&db, 1);
        let _ = if result.is_ok() { db.commit() } else { db.rollback() };
        result
    });
    is_locked.recv().unwrap();
    let ours = update(db, 2);
    let in_transaction_after = ours.is_err();
    let _ = if ours.is_ok() { db.commit() } else { db.rollback() };
    let theirs = other.join().unwrap();
    let error = ours.err().or(theirs.err()).expect("one of them is chosen");
    assert!(error.is_retryable() && !error.is_disconnect(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Operational);
    assert_eq!(error.code().as_deref(), Some(if server.kind().is_postgres() { "40P01" } else { "1213" }));
    let _ = in_transaction_after;
    db.set_autocommit(true).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT sum(n) FROM t", ()).unwrap(), 2, "the other's work stands");
}

fn a_serialization_failure_can_be_tried_again(server: &Server) {
    let opened = Opened::with(server, |settings| {
        settings.isolation_level(Some(dockline::IsolationLevel::Serializable)).autocommit(false)
    });
    let db = &opened.db;
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.commit().unwrap();
    let registry = opened.connections.clone();
    db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap();
    std::thread::spawn(move || {
        let db = registry.get("default").unwrap();
        db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap();
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
        db.commit().unwrap();
    })
    .join()
    .unwrap();
    let error = db.execute("INSERT INTO t VALUES (2)", ()).and_then(|_| db.commit()).unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(error.code().as_deref(), Some("40001"));
    let _ = db.rollback();
}

fn a_lock_that_takes_too_long(server: &Server) {
    let limit = if server.kind().is_postgres() {
        "SET lock_timeout = '200ms'"
    } else {
        "SET SESSION innodb_lock_wait_timeout = 1"
    };
    let opened = Opened::with(server, |settings| settings.init_sql(limit));
    let db = &opened.db;
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1, 0)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("UPDATE t SET n = 1", ()).unwrap();
    let registry = opened.connections.clone();
    let error =
        std::thread::spawn(move || registry.get("default").unwrap().execute("UPDATE t SET n = 2", ()).unwrap_err())
            .join()
            .unwrap();
    assert!(error.is_lock_timeout() && error.is_retryable() && !error.is_disconnect(), "{error:?}");
    assert_eq!(error.code().as_deref(), Some(if server.kind().is_postgres() { "55P03" } else { "1205" }));
    db.commit().unwrap();
}

fn a_server_without_connections_left(server: &Server) {
    let opened = Opened::new(server);
    // It asks the server for its limits; the first connection does so too where warnings are logged.
    opened.connections.check().unwrap();
    let (let_go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let mut threads = Vec::new();
    let error = loop {
        let (registry, wait) = (opened.connections.clone(), std::sync::Arc::clone(&wait));
        let (answer, is_answered) = mpsc::channel();
        threads.push(std::thread::spawn(move || {
            let opened = registry.get("default").unwrap().ensure_connection();
            answer.send(opened).unwrap();
            // Until the sender is gone.
            let _ = wait.lock().unwrap().recv();
        }));
        if let Err(error) = is_answered.recv().unwrap() {
            break error;
        }
        assert!(threads.len() < 40, "the server takes any number");
    };
    assert!(error.is_exhausted() && !error.may_have_executed(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Operational);
    assert_eq!(error.code().as_deref(), Some(if server.kind().is_postgres() { "53300" } else { "1040" }));
    let hint = error.hint().unwrap_or_default();
    let count = threads.len() + 1;
    let said = format!("{count} threads of this process use this alias, and the server takes 12 connections");
    assert!(hint.contains(&said) && hint.contains("pooler") && error.to_string().contains(hint), "{error}");
    // The connection that is there goes on.
    assert_eq!(opened.db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    drop(let_go);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The program's own doing is no demotion: the connection stays.
fn a_session_that_was_made_read_only(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    let serial = db.serial();
    db.execute("START TRANSACTION READ ONLY", ()).unwrap();
    let error = db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
    assert!(error.is_read_only() && !error.is_disconnect(), "{error:?}");
    let _ = db.rollback();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    assert_eq!(db.serial(), serial);
}

fn users_databases_and_hosts_that_are_wrong(server: &Server) {
    let is_postgres = server.kind().is_postgres();
    let url = server.url();
    let with = |change: fn(Settings) -> Settings| {
        let settings = change(Settings::from_url(&url).unwrap().connect_timeout(Duration::from_secs(5)));
        connections(settings).get("default").unwrap().ensure_connection().unwrap_err()
    };
    for (error, codes) in [
        (with(|settings| settings.password("guess")), if is_postgres { ["28P01", "28P01"] } else { ["1045", "1045"] }),
        // For a user that does not exist, MySQL 9 asks for a plugin at random, to give nothing away.
        (with(|settings| settings.user("nobody")), if is_postgres { ["28P01", "28000"] } else { ["1045", "2059"] }),
        (
            with(|settings| settings.name("no_such_database")),
            if is_postgres { ["3D000", "3D000"] } else { ["1049", "1044"] },
        ),
    ] {
        let code = error.code().unwrap_or_default();
        assert!(codes.contains(&code.as_str()), "{error:?}");
        assert!(!error.is_disconnect() && !error.may_have_executed(), "{error:?}");
        assert_eq!(error.alias(), Some("default"));
    }
    let nobody = with(|settings| settings.port(Some(dockline_tests::servers::free_port())));
    assert!(nobody.is_disconnect() && !nobody.is_exhausted(), "{nobody:?}");
    assert_eq!(nobody.kind(), ErrorKind::Operational);
    assert!(nobody.message().contains("127.0.0.1"), "{nobody}");
    let unknown = with(|settings| settings.host("name.invalid"));
    assert!(unknown.message().contains("name.invalid"), "{unknown}");
}

fn a_failed_commit_says_that_the_work_is_lost(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    assert_eq!(db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err().kind(), ErrorKind::Integrity);
    let refused = db.execute("INSERT INTO t VALUES (2)", ()).unwrap_err();
    assert_eq!((refused.kind(), refused.code().as_deref()), (ErrorKind::Internal, Some("25P02")));
    let error = db.execute("COMMIT", ()).unwrap_err();
    assert!(error.is_work_lost() && !error.is_commit_unknown(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::TransactionManagement);
    // By hand it is as in Django: no error, but the hooks of what was lost do not run.
    let ran = Rc::new(Cell::new(false));
    let hook = Rc::clone(&ran);
    db.atomic(|| db.on_commit(move || hook.set(true))).unwrap();
    db.execute("SELECT 1/0", ()).unwrap_err();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert!(!ran.get());
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
}

/// CREATE TABLE commits; with autocommit off, what follows is a transaction again.
fn a_statement_that_ends_the_transaction_by_itself(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    db.execute("CREATE TABLE u (n INTEGER)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (2)", ()).unwrap();
    db.rollback().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);

    // After BEGIN, the transaction is over with it, and a loss loses nothing.
    db.execute("BEGIN", ()).unwrap();
    db.execute("CREATE TABLE v (n INTEGER)", ()).unwrap();
    opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM v", ()).unwrap(), 0);
}

fn the_password_is_nowhere(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    let mut seen = format!("{db:?} {:?} {:?}", opened.connections, db.server_info().unwrap());
    for sql in ["SELEC", "SELECT * FROM missing", "SELECT 1; SELECT 2"] {
        seen.push_str(&format!("{:?}", db.execute(sql, ()).unwrap_err()));
    }
    opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
    let held = db.hold();
    seen.push_str(&format!("{:?}", db.execute("SELECT 1", ()).unwrap_err()));
    drop(held);
    assert!(!seen.contains(PASSWORD) && !seen.contains("s3cret"), "{seen}");
}
