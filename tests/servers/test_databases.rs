//! Databases that live as long as a test.

use std::sync::atomic::{AtomicUsize, Ordering};

use dockline::testing::{Template, TestDatabase};
use dockline::{Connections, ErrorKind, params};
use dockline_tests::Database;
use dockline_tests::servers::Server;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        // The tests' user may make databases on servers of the test's own alone.
        case!(every_thread_of_a_test_is_on_its_database).private(),
        case!(migrations_run_once_where_databases_can_be_copied).private(),
        case!(a_database_goes_although_somebody_is_in_the_middle_of_something).private(),
        case!(migrations_that_fail_leave_nothing_behind).private(),
    ]
}

/// Runs it on the server and on SQLite.
fn on_each(server: &Server, play: fn(&Connections)) {
    let (opened, embedded) = (Opened::new(server), Database::new());
    for connections in [&opened.connections, &embedded.connections()] {
        play(connections);
    }
}

/// Whether a database of that name is there. SQLite would make the file.
fn exists(connections: &Connections, name: &str) -> bool {
    let db = connections.get("default").unwrap();
    let sql = match db.vendor() {
        "postgresql" => "SELECT count(*) FROM pg_database WHERE datname = ?",
        "mysql" => "SELECT count(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?",
        _ => return std::fs::exists(name).unwrap(),
    };
    db.query_value::<i64>(sql, params![name]).unwrap() == 1
}

fn every_thread_of_a_test_is_on_its_database(server: &Server) {
    on_each(server, |connections| {
        let names = [1, 2].map(|n| {
            let test = TestDatabase::create(connections, "default").unwrap();
            let db = test.get("default").unwrap();
            db.execute("CREATE TABLE job (n INTEGER)", ()).unwrap();
            let threads = [n, 10 * n].map(|n| {
                let registry = test.registry().clone();
                let insert = move || {
                    registry
                        .get("default")?
                        .atomic(|| registry.get("default")?.execute("INSERT INTO job VALUES (?)", params![n]))
                };
                std::thread::spawn(insert)
            });
            for thread in threads {
                thread.join().unwrap().unwrap();
            }
            assert_eq!(db.query_value::<i64>("SELECT sum(n) FROM job", ()).unwrap(), 11 * n);
            assert!(exists(connections, test.name()));
            test.name().to_owned()
        });
        assert!(names[0] != names[1] && names.iter().all(|name| name.contains("dockline_test_")), "{names:?}");
        assert!(names.iter().all(|name| !exists(connections, name)), "they are gone: {names:?}");
        let outside = connections.get("default").unwrap().execute("INSERT INTO job VALUES (1)", ());
        assert!(outside.is_err(), "nothing of it is in the database of the alias");
    });
}

static RUNS: AtomicUsize = AtomicUsize::new(0);
static SCHEMA: Template = Template::new(|db| {
    RUNS.fetch_add(1, Ordering::SeqCst);
    db.execute_script("CREATE TABLE job (n INTEGER NOT NULL); INSERT INTO job VALUES (7);").map(drop)
});

fn migrations_run_once_where_databases_can_be_copied(server: &Server) {
    on_each(server, |connections| {
        let runs_before = RUNS.load(Ordering::SeqCst);
        let tests: Vec<_> = (0..4)
            .map(|n| {
                let connections = connections.clone();
                std::thread::spawn(move || {
                    let test = SCHEMA.database(&connections, "default")?;
                    let db = test.get("default")?;
                    db.execute("INSERT INTO job VALUES (?)", params![n])?;
                    db.query_value::<i64>("SELECT sum(n) FROM job", ())
                })
            })
            .collect();
        for (n, test) in tests.into_iter().enumerate() {
            assert_eq!(test.join().unwrap().unwrap(), 7 + n as i64);
        }
        let runs = RUNS.load(Ordering::SeqCst) - runs_before;
        let copies = connections.get("default").unwrap().vendor() != "mysql";
        // Other kinds of servers run this test at the same time.
        assert!(if copies { runs >= 1 } else { runs >= 4 }, "{runs}");
    });
}

fn a_database_goes_although_somebody_is_in_the_middle_of_something(server: &Server) {
    on_each(server, |connections| {
        let test = TestDatabase::create(connections, "default").unwrap();
        let name = test.name().to_owned();
        let db = test.get("default").unwrap();
        db.execute("CREATE TABLE job (n INTEGER)", ()).unwrap();
        // Left open, as by a test that panics: the server would not drop a table that a transaction has read.
        db.set_autocommit(false).unwrap();
        db.query("SELECT n FROM job", ()).unwrap();
        drop(test);
        assert!(!exists(connections, &name));
        let error = db.query("SELECT 1", ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interface, "the registry has been shut down: {error}");
    });
}

fn migrations_that_fail_leave_nothing_behind(server: &Server) {
    static BROKEN: Template = Template::new(|db| db.execute("CREATE TABL job", ()).map(drop));
    on_each(server, |connections| {
        for _ in 0..2 {
            let error = BROKEN.database(connections, "default").unwrap_err();
            assert!(error.code().is_some(), "{error}");
        }
        let error = TestDatabase::create(connections, "missing").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionDoesNotExist);
    });
}
