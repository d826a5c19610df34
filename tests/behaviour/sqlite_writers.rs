//! Threads that write to one SQLite file: they take turns, whatever they reach it by.

use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use dockline::{
    Atomic, Connection, Connections, Databases, Error, ErrorKind, Result, Retry, Settings, TransactionMode, params,
    rusqlite,
};
use dockline_tests::{Database, Story, log_capture, on_thread, wait_until};

pub(crate) const INSERT: &str = "INSERT INTO t VALUES (?)";
const NEVER: &str = "1h";

pub(crate) fn with_table() -> Database {
    let database = Database::new();
    make_table(&database.settings());
    database
}

pub(crate) fn make_table(settings: &Settings) {
    let connections = dockline_tests::connections(settings.clone());
    connections.get("default").unwrap().execute("CREATE TABLE t (n)", ()).unwrap();
}

pub(crate) fn db(connections: &Connections) -> Connection {
    connections.get("default").unwrap()
}

pub(crate) fn count(database: &Database) -> i64 {
    db(&database.connections()).query_value("SELECT count(*) FROM t", ()).unwrap()
}

/// Has the turn of a file on a thread of its own, until it is told to end its block.
struct Holder {
    end: Sender<()>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Holder {
    fn begin(settings: Settings) -> Self {
        Self::run(settings, |db, began, end| {
            db.atomic(|| {
                db.execute(INSERT, params!["a secret"])?;
                began.send(()).unwrap();
                end.recv().unwrap();
                Ok(())
            })
        })
    }

    fn run(
        settings: Settings,
        hold: impl FnOnce(&Connection, Sender<()>, Receiver<()>) -> Result<()> + Send + 'static,
    ) -> Self {
        let (began, has_begun) = channel();
        let (end, ends) = channel();
        let holder = thread::Builder::new().name("the holder".to_owned());
        let connections = dockline_tests::connections(settings);
        let thread = holder.spawn(move || hold(&db(&connections), began, ends)).unwrap();
        has_begun.recv().unwrap();
        Self { end, thread }
    }

    fn end(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

fn assert_names_the_holder(error: &Error) {
    let message = error.message();
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Operational, Some("5")), "{error}");
    assert!(error.is_lock_timeout() && error.is_retryable() && !error.may_have_executed(), "{error:?}");
    assert!(message.contains("\"the holder\"") && message.contains("INSERT INTO t"), "{error}");
    assert!(!message.contains("secret"), "{error}");
}

#[test]
fn threads_of_one_process_are_never_told_that_it_is_locked() {
    let database = with_table();
    let link = database.path().with_file_name("link.db");
    symlink(database.path(), &link).unwrap();
    let by_link = Settings::new().engine("sqlite").name(link.to_str().unwrap());
    let patient = |settings: Settings| dockline_tests::connections(settings.option("busy_timeout", NEVER));
    let registries = [patient(database.settings()), patient(by_link)];
    thread::scope(|scope| {
        for n in 0..24 {
            let connections = &registries[n % 2];
            scope.spawn(move || {
                let db = db(connections);
                for round in 0..20 {
                    match round % 4 {
                        0 => drop(db.execute(INSERT, params![round]).unwrap()),
                        1 => drop(db.execute_many(INSERT, [params![round]]).unwrap()),
                        2 => {
                            db.set_autocommit(false).unwrap();
                            db.query("SELECT count(*) FROM t", ()).unwrap();
                            db.execute(INSERT, params![round]).unwrap();
                            db.commit().unwrap();
                            db.set_autocommit(true).unwrap();
                        }
                        _ => connections
                            .in_request(|| {
                                db.atomic(|| {
                                    db.query("SELECT count(*) FROM t", ())?;
                                    db.execute(INSERT, params![round]).map(drop)
                                })
                            })
                            .unwrap(),
                    }
                }
            });
        }
    });
    assert_eq!(count(&database), 24 * 20);
}

#[test]
fn what_writes_in_other_ways_takes_its_turn_too() {
    let database = with_table();
    let connections = database.connections_with(|settings| settings.option("busy_timeout", NEVER));
    thread::scope(|scope| {
        for n in 0..6 {
            let connections = &connections;
            scope.spawn(move || {
                let db = db(connections);
                for round in 0..5 {
                    match n {
                        0 => drop(db.execute(&format!("PRAGMA user_version = {round}"), ()).unwrap()),
                        1 => drop(db.execute(&format!("CREATE TABLE t{round} AS SELECT * FROM t"), ()).unwrap()),
                        2 => drop(db.execute("VACUUM", ()).unwrap()),
                        3 => drop(db.query("PRAGMA wal_checkpoint(TRUNCATE)", ()).unwrap()),
                        4 => db
                            .native::<rusqlite::Connection, _>(|native| native.execute_batch("BEGIN IMMEDIATE; COMMIT"))
                            .unwrap()
                            .unwrap(),
                        _ => drop(db.execute(INSERT, params![round]).unwrap()),
                    }
                }
            });
        }
    });
}

#[test]
fn a_time_out_names_who_writes_and_a_time_out_of_zero_does_so_at_once() {
    let database = with_table();
    let holder = Holder::begin(database.settings());
    for (timeout, said) in [("0", "busy_timeout is 0"), ("20ms", "waited 20.0ms, busy_timeout")] {
        let connections = database.connections_with(|settings| settings.option("busy_timeout", timeout));
        let db = db(&connections);
        for error in [
            db.execute(INSERT, params![1]).unwrap_err(),
            db.execute_many(INSERT, [params![1]]).unwrap_err(),
            db.atomic(|| db.execute(INSERT, params![1])).unwrap_err(),
            db.native::<rusqlite::Connection, _>(|_| ()).unwrap_err(),
        ] {
            assert_names_the_holder(&error);
            assert!(error.message().contains(said), "{error}");
        }
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0, "who reads does not wait");
    }
    let limited = database.connections_with(|settings| settings.statement_timeout(Some(Duration::from_millis(20))));
    let error = db(&limited).execute(INSERT, params![1]).unwrap_err();
    assert!(error.is_lock_timeout() && error.message().contains("statement_timeout"), "{error}");
    holder.end();
    assert_eq!(count(&database), 1);
}

#[test]
fn a_canceller_ends_the_waiting() {
    let database = with_table();
    for is_bare in [false, true] {
        let bare = rusqlite::Connection::open(database.path()).unwrap();
        let holder = if is_bare {
            bare.execute_batch("BEGIN IMMEDIATE").unwrap();
            None
        } else {
            Some(Holder::begin(database.settings()))
        };
        let connections = database.connections_with(|settings| settings.option("busy_timeout", NEVER));
        let db = db(&connections);
        db.ensure_connection().unwrap();
        let canceller = db.canceller();
        let killer = thread::spawn(move || wait_until("it waits", || canceller.cancel().unwrap()));
        let error = db.execute(INSERT, params![1]).unwrap_err();
        killer.join().unwrap();
        assert!(error.is_cancelled() && !error.is_lock_timeout() && !error.may_have_executed(), "{error:?}");
        drop(bare);
        if let Some(holder) = holder {
            holder.end();
        }
        db.execute(INSERT, params![1]).unwrap();
    }
}

#[test]
fn a_thread_that_would_wait_for_itself_has_an_error_at_once() {
    let database = with_table();
    let databases = Databases::new()
        .with("default", database.settings().option("busy_timeout", NEVER))
        .with("other", database.settings().option("busy_timeout", NEVER));
    let connections = Connections::new(databases).unwrap();
    let (db, other) = (db(&connections), connections.get("other").unwrap());
    db.atomic(|| {
        db.execute(INSERT, params![1])?;
        let error = other.execute(INSERT, params![2]).unwrap_err();
        assert!(
            error.message().contains("by this very thread") && error.message().contains("INSERT INTO t"),
            "{error}"
        );
        assert!(!error.is_retryable() && !error.is_lock_timeout(), "{error:?}");
        assert_eq!(other.query_value::<i64>("SELECT count(*) FROM t", ())?, 0);
        Ok::<_, Error>(())
    })
    .unwrap();
    other.execute(INSERT, params![2]).unwrap();
    // An iterator of parameters runs before the turn is taken.
    let rows = (0..3).map(|n| {
        other.execute(INSERT, params![n]).unwrap();
        params![n]
    });
    assert_eq!(db.execute_many(INSERT, rows).unwrap(), 3);
    assert_eq!(count(&database), 8);
}

#[test]
fn threads_that_wait_for_each_other_are_found() {
    let (first, second) = (with_table(), with_table());
    let connections = Connections::new(
        Databases::new()
            .with("default", first.settings().option("busy_timeout", NEVER))
            .with("second", second.settings().option("busy_timeout", NEVER)),
    )
    .unwrap();
    let barrier = std::sync::Barrier::new(2);
    let run = |mine: &str, others: &str| {
        let (mine, others) = (connections.get(mine)?, connections.get(others)?);
        mine.atomic(|| {
            mine.execute(INSERT, params![1])?;
            barrier.wait();
            others.execute(INSERT, params![1]).map(drop)
        })
    };
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let threads =
            [("default", "second"), ("second", "default")].map(|(mine, others)| scope.spawn(move || run(mine, others)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let errors: Vec<&Error> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(errors.len(), 1, "{results:?}");
    assert!(errors[0].message().contains("a deadlock") && errors[0].is_retryable(), "{}", errors[0]);
    assert_eq!(count(&first) + count(&second), 2);
}

#[test]
fn a_connection_with_attached_files_takes_the_turn_of_each() {
    let (database, other) = (with_table(), with_table());
    let connections = database.connections_with(|settings| settings.option("busy_timeout", "0"));
    let db = db(&connections);
    db.execute("ATTACH ? AS other", params![other.path().to_str().unwrap()]).unwrap();
    let holder = Holder::begin(other.settings());
    assert_names_the_holder(&db.execute("INSERT INTO other.t VALUES (1)", ()).unwrap_err());
    assert_names_the_holder(&db.atomic(|| db.execute(INSERT, params![1])).unwrap_err());
    let own = database.connections_with(|settings| settings.option("busy_timeout", "0"));
    on_thread(move || own.get("default").unwrap().execute(INSERT, params![1]).unwrap());
    holder.end();
    db.execute("INSERT INTO other.t VALUES (1)", ()).unwrap();
    db.execute("DETACH other", ()).unwrap();
    let holder = Holder::begin(other.settings());
    db.execute(INSERT, params![1]).unwrap();
    holder.end();
    assert_eq!((count(&database), count(&other)), (2, 3));
}

#[test]
fn two_that_attach_each_others_file_do_not_lock_each_other_out() {
    let (first, second) = (with_table(), with_table());
    thread::scope(|scope| {
        for (own, other) in [(&first, &second), (&second, &first)] {
            scope.spawn(move || {
                let connections = own.connections_with(|settings| settings.option("busy_timeout", NEVER));
                let db = db(&connections);
                db.execute("ATTACH ? AS other", params![other.path().to_str().unwrap()]).unwrap();
                for n in 0..20 {
                    db.atomic(|| {
                        db.execute(INSERT, params![n])?;
                        db.execute("INSERT INTO other.t VALUES (?)", params![n]).map(drop)
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!((count(&first), count(&second)), (40, 40));
}

#[test]
fn a_turn_is_passed_on_by_a_panic_and_by_the_end_of_a_thread() {
    let database = with_table();
    type Leave = fn(&Connection);
    let ways: [Leave; 5] = [
        |db| drop(db.atomic(|| -> Result<()> { panic!("in a block") })),
        |db| {
            db.set_autocommit(false).unwrap();
            db.execute(INSERT, params![1]).unwrap();
        },
        |db| drop(db.native::<rusqlite::Connection, _>(|_| panic!("in native"))),
        |db| {
            let sql = "INSERT INTO t VALUES (1) RETURNING n";
            let _: Result<Option<()>> = db.query_each(sql, (), |_| -> Result<ControlFlow<()>> { panic!("among rows") });
        },
        |db| {
            db.execute("BEGIN IMMEDIATE", ()).unwrap();
            panic!("in a transaction by hand");
        },
    ];
    for leave in ways {
        let connections = database.connections();
        let _ = thread::spawn(move || leave(&connections.get("default").unwrap())).join();
        let impatient = database.connections_with(|settings| settings.option("busy_timeout", "0"));
        db(&impatient).execute("DELETE FROM t", ()).unwrap();
    }
    // The thread goes on after the panic; what is wrong with its connection keeps nobody from writing.
    let connections = database.connections();
    let here = db(&connections);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        here.native::<rusqlite::Connection, _>(|_| panic!("in native"))
    }));
    assert!(panic.is_err());
    let impatient = database.connections_with(|settings| settings.option("busy_timeout", "0"));
    on_thread(move || db(&impatient).execute(INSERT, params![1]).unwrap());
}

#[test]
fn the_wrong_type_of_native_keeps_no_turn() {
    let database = with_table();
    let connections = database.connections();
    let here = db(&connections);
    assert_eq!(here.native::<String, _>(|_| ()).unwrap_err().kind(), ErrorKind::NotSupported);
    let impatient = database.connections_with(|settings| settings.option("busy_timeout", "0"));
    on_thread(move || db(&impatient).execute(INSERT, params![1]).unwrap());
}

#[test]
fn a_deferred_block_that_cannot_write_any_more_says_why_and_can_be_tried_again() {
    let database = with_table();
    let connections = database.connections_with(|settings| settings.transaction_mode(TransactionMode::Deferred));
    let (db, other) = (db(&connections), database.connections());
    let mut attempts = 0;
    let mut first = None;
    let write = |n: i64| {
        let other = other.clone();
        on_thread(move || other.get("default").unwrap().execute(INSERT, params![n]).unwrap());
    };
    Retry::new()
        .pauses(Duration::ZERO, Duration::ZERO)
        .run(&db, || {
            attempts += 1;
            db.query("SELECT * FROM t", ())?;
            if attempts == 1 {
                write(1);
            }
            let written = db.execute(INSERT, params![2]);
            if let Err(error) = written {
                // It has no turn: another can write while its block is still open.
                write(3);
                first = Some(error.message().to_owned());
                return Err(error);
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    let first = first.unwrap();
    assert!(first.contains("SQLITE_BUSY_SNAPSHOT") && first.contains("transaction_mode=immediate"), "{first}");
    assert_eq!((attempts, count(&database)), (2, 3));

    let error = db
        .atomic(|| {
            db.query("SELECT * FROM t", ())?;
            write(4);
            db.execute(INSERT, params![5])
        })
        .unwrap_err();
    assert_eq!(error.code().as_deref(), Some("517"));
    assert!(error.is_retryable() && !error.is_lock_timeout() && !error.is_disconnect(), "{error:?}");
}

#[test]
fn what_only_reads_waits_for_no_writer_and_writes_nothing() {
    let database = with_table();
    let holder = Holder::begin(database.settings());
    let connections = database.connections_with(|settings| settings.option("busy_timeout", "0"));
    let writing = db(&connections);
    let read_only = Atomic::new().read_only(true);
    let counted: i64 = writing.atomic_with(read_only, || writing.query_value("SELECT count(*) FROM t", ())).unwrap();
    assert_eq!(counted, 0);
    let error = writing.atomic_with(read_only, || writing.execute(INSERT, params![1])).unwrap_err();
    assert!(error.is_read_only() && error.message().contains("read_only"), "{error:?}");
    let refused = writing
        .atomic_with(read_only, || {
            writing.native::<rusqlite::Connection, _>(|native| native.execute("INSERT INTO t VALUES (1)", ()))
        })
        .unwrap();
    assert!(refused.is_err(), "native is read-only too");

    let reading = database.connections_with(|settings| settings.option("mode", "ro").option("busy_timeout", "0"));
    let reading = db(&reading);
    reading.atomic(|| reading.query("SELECT * FROM t", ()).map(drop)).unwrap();
    reading.native::<rusqlite::Connection, _>(|_| ()).unwrap();
    let error = reading.execute(INSERT, params![1]).unwrap_err();
    assert!(error.is_read_only() && !error.may_have_executed(), "{error:?}");
    holder.end();
    writing.atomic(|| writing.execute(INSERT, params![1])).unwrap();
    writing
        .native::<rusqlite::Connection, _>(|native| native.execute("INSERT INTO t VALUES (1)", ()))
        .unwrap()
        .unwrap();
    assert_eq!(count(&database), 3);
}

#[test]
fn who_sits_on_the_turn_is_named_in_a_warning() {
    log_capture::start();
    let database = with_table();
    let holder = Holder::begin(database.settings());
    let settings = database.settings().option("slow_writer", "10ms");
    let waiting =
        thread::spawn(move || db(&dockline_tests::connections(settings)).execute(INSERT, params![1]).map(drop));
    let path = database.path().display().to_string();
    let warned = || {
        let lines = log_capture::lines("dockline::connection", &path);
        lines.into_iter().find(|(level, line)| *level == log::Level::Warn && line.contains("\"the holder\""))
    };
    wait_until("it is named", || warned().is_some());
    holder.end();
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_shutdown_while_writers_wait_leaves_nobody_hanging() {
    let database = with_table();
    let holder = Holder::begin(database.settings());
    let connections = database.connections_with(|settings| settings.option("busy_timeout", NEVER));
    let story = Story::of(&connections);
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let connections = connections.clone();
            thread::spawn(move || db(&connections).execute(INSERT, params![n]))
        })
        .collect();
    wait_until("all have a connection", || story.opened() == 4);
    let report = connections.shutdown(Duration::from_millis(10));
    assert!(report.left.len() <= 4);
    holder.end();
    for thread in waiting {
        // Its turn came, or it had not begun.
        if let Err(error) = thread.join().unwrap() {
            assert_eq!(error.kind(), ErrorKind::Interface, "{error}");
        }
    }
    assert!(connections.shutdown(Duration::from_secs(30)).left.is_empty());
}

#[test]
fn another_process_is_waited_for() {
    let database = with_table();
    let bare = rusqlite::Connection::open(database.path()).unwrap();
    bare.execute_batch("BEGIN IMMEDIATE").unwrap();
    let impatient = database.connections_with(|settings| settings.option("busy_timeout", "20ms"));
    let error = db(&impatient).execute(INSERT, params![1]).unwrap_err();
    assert!(error.is_lock_timeout() && error.is_retryable(), "{error:?}");
    assert!(error.message().contains("another process") && error.message().contains("busy_timeout"), "{error}");

    let (began, has_begun) = channel();
    let patient = database.connections_with(|settings| settings.option("busy_timeout", NEVER));
    let waiting = thread::spawn(move || {
        let db = db(&patient);
        db.ensure_connection().unwrap();
        began.send(()).unwrap();
        db.execute(INSERT, params![1])
    });
    has_begun.recv().unwrap();
    bare.execute_batch("COMMIT").unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), 1);
}

#[test]
fn blobs_and_temporary_tables_are_written_beside_other_writers() {
    let database = with_table();
    let connections = database.connections_with(|settings| settings.option("busy_timeout", NEVER));
    thread::scope(|scope| {
        for n in 0..4_u8 {
            let connections = &connections;
            scope.spawn(move || {
                let db = db(connections);
                let blob = vec![n; 300_000];
                db.execute("CREATE TEMPORARY TABLE mine (n)", ()).unwrap();
                for _ in 0..3 {
                    db.execute("INSERT INTO mine VALUES (?)", params![blob.clone()]).unwrap();
                    db.execute("INSERT INTO t SELECT n FROM mine", ()).unwrap();
                }
                let read: Vec<(Vec<u8>,)> = db.query_as("SELECT n FROM mine", ()).unwrap();
                assert!(read.len() == 3 && read.iter().all(|(read,)| *read == blob));
            });
        }
    });
    assert_eq!(count(&database), 4 * 6);
}

#[test]
fn init_sql_that_writes_takes_its_turn_and_opens_inside_a_block_of_its_own_thread() {
    let database = with_table();
    let settings = || {
        database
            .settings()
            .option("busy_timeout", NEVER)
            .init_sql("CREATE TABLE IF NOT EXISTS made (n); PRAGMA cache_size = 10")
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            let connections = dockline_tests::connections(settings());
            scope.spawn(move || db(&connections).execute(INSERT, params![1]).unwrap());
        }
    });
    let (first, second) = (dockline_tests::connections(settings()), dockline_tests::connections(settings()));
    let (first, second) = (db(&first), db(&second));
    let opened = first.atomic(|| {
        first.execute(INSERT, params![1])?;
        second.query("SELECT * FROM made", ()).map(drop)
    });
    opened.unwrap();
}
