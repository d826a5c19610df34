//! The query log, and connections that are open for a while only.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use dockline::{Atomic, Connection, Error, ErrorKind, Result};
use dockline_tests::{Story, in_memory};

use crate::stage::{Mine, Numbers};

/// What the log has, with the numbers of savepoints left out.
fn logged(db: &Connection) -> Vec<String> {
    let savepoint = |sql: &str| sql.contains("SAVEPOINT");
    let plain = |sql: String| if savepoint(&sql) { sql.trim_end_matches(char::is_numeric).to_owned() } else { sql };
    db.queries().into_iter().map(|query| plain(query.sql)).collect()
}

#[test]
fn the_log_has_what_begins_and_ends_transactions() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    db.force_query_log(true);
    db.atomic(|| {
        numbers.insert(1)?;
        drop(db.begin_atomic(Atomic::new())?);
        db.atomic(|| numbers.insert(2))
    })
    .unwrap();
    drop(db.begin_atomic(Atomic::new()).unwrap());
    let expected = [
        "BEGIN",
        "INSERT INTO t VALUES (?)",
        "SAVEPOINT dockline_",
        "ROLLBACK TO SAVEPOINT dockline_",
        "RELEASE SAVEPOINT dockline_",
        "SAVEPOINT dockline_",
        "INSERT INTO t VALUES (?)",
        "RELEASE SAVEPOINT dockline_",
        "COMMIT",
        "BEGIN",
        "ROLLBACK",
    ];
    assert_eq!(logged(db), expected);
    assert!(db.queries().iter().all(|query| query.duration > Duration::ZERO), "{:?}", db.queries());
    numbers.connections.reset_queries();
    db.set_autocommit(false).unwrap();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(logged(db), ["BEGIN", "COMMIT"], "as Django, also where no transaction is open");
}

#[test]
fn the_log_has_what_failed_and_what_was_refused() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    db.force_query_log(true);
    let failed: Result<(), Mine> = db.atomic(|| {
        let _ = db.execute("NONSENSE", ());
        db.set_rollback(true)?;
        let _ = numbers.insert(1);
        Err(Mine::Refused)
    });
    assert!(failed.is_err());
    assert_eq!(logged(db), ["BEGIN", "NONSENSE", "INSERT INTO t VALUES (?)", "ROLLBACK"]);
}

#[test]
fn a_request_empties_the_log_when_it_starts_and_leaves_it_when_it_ends() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.query("SELECT 0", ()).unwrap();
    db.force_query_log(true);
    db.query("SELECT 1", ()).unwrap();
    connections.in_request(|| db.query("SELECT 2", ())).unwrap();
    assert_eq!(logged(&db), ["SELECT 2"]);
    db.close();
    db.query("SELECT 3", ()).unwrap();
    assert_eq!(logged(&db), ["SELECT 2", "SELECT 3"], "it is kept over a reconnect");
    db.force_query_log(false);
    db.query("SELECT 4", ()).unwrap();
    assert_eq!(logged(&db), ["SELECT 2", "SELECT 3"]);
    connections.reset_queries();
    assert_eq!(logged(&db), [""; 0]);
}

#[test]
fn a_wrapped_statement_is_logged_once_as_the_program_gave_it() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    let _wrapper = db.execute_wrapper(|execution| execution.run_as("SELECT 'another'", &[]));
    db.force_query_log(true);
    assert_eq!(db.query_value::<String>("SELECT 'one'", ()).unwrap(), "another");
    assert_eq!(logged(&db), ["SELECT 'one'"]);
}

#[test]
fn a_temporary_connection_is_closed_after_its_closure() {
    let connections = in_memory();
    let (db, story) = (connections.get("default").unwrap(), Story::of(&connections));
    let answer: Result<i64> = db.temporary(|db| {
        assert!(db.is_connected());
        db.query_value("SELECT 7", ())
    });
    assert_eq!((answer.unwrap(), story.opened(), story.open()), (7, 1, 0));
    let failed: Result<(), Mine> = db.temporary(|_| Err(Mine::Refused));
    assert!(matches!(failed, Err(Mine::Refused)));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        db.temporary(|db| -> Result<()> {
            db.query("SELECT 1", ())?;
            resume_unwind(Box::new("on purpose"));
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!((story.opened(), story.open()), (3, 0));
}

#[test]
fn a_temporary_connection_closes_only_what_it_has_opened() {
    let connections = in_memory();
    let (db, story) = (connections.get("default").unwrap(), Story::of(&connections));
    db.query("SELECT 1", ()).unwrap();
    let serial = db.serial();
    db.temporary(|db| db.query("SELECT 2", ())).unwrap();
    assert_eq!(db.serial(), serial);
    db.close();
    db.temporary(|db| {
        db.temporary(|db| db.query("SELECT 3", ()))?;
        assert!(db.is_connected(), "it is that of the outer one");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!((story.opened(), story.open()), (2, 0));
}

#[test]
fn a_temporary_connection_that_cannot_be_opened_runs_nothing() {
    let numbers = Numbers::with(|settings| settings.name("/nowhere/at/all.db"));
    let mut runs = false;
    let failed: Result<()> = numbers.db.temporary(|_| {
        runs = true;
        Ok(())
    });
    assert_eq!((failed.unwrap_err().kind(), runs), (ErrorKind::Operational, false));
}
