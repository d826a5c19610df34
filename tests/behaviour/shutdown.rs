use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use dockline::signals::CloseReason;
use dockline::{ErrorKind, params};
use dockline_tests::{Database, Story, in_memory};

#[test]
fn after_shutdown_a_statement_is_one_clear_error() {
    let connections = in_memory();
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    let report = connections.shutdown(Duration::from_secs(5));
    assert_eq!((report.closed, report.left.len()), (1, 0));
    assert_eq!(story.reasons(), [CloseReason::Shutdown]);
    for error in [
        db.query("SELECT 1", ()).unwrap_err(),
        db.ensure_connection().unwrap_err(),
        connections.get("default").unwrap().query("SELECT 1", ()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.alias()), (ErrorKind::Interface, Some("default")));
        assert!(error.message().contains("shut down"), "{error}");
    }
    drop(connections.request());
    connections.close_old_connections();
    assert_eq!(connections.shutdown(Duration::ZERO).closed, 0, "it may be called again");
}

#[test]
fn shutdown_closes_what_idles_in_other_threads() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    let (opened, over) = (Arc::new(Barrier::new(4)), Arc::new(Barrier::new(4)));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (connections, opened, over) = (connections.clone(), Arc::clone(&opened), Arc::clone(&over));
            thread::spawn(move || {
                connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
                opened.wait();
                over.wait();
            })
        })
        .collect();
    opened.wait();
    assert_eq!(connections.shutdown(Duration::from_secs(5)).closed, 3);
    assert_eq!(story.reasons(), [CloseReason::Shutdown; 3]);
    over.wait();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(story.closed(), 3, "the threads' ends find nothing more to close");
}

#[test]
fn shutdown_waits_for_a_transaction_and_lets_it_commit() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    connections.get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    connections.close_all();
    let (begun, wait) = mpsc::channel();
    let worker = thread::spawn({
        let connections = connections.clone();
        move || {
            let db = connections.get("default").unwrap();
            db.set_autocommit(false).unwrap();
            db.execute("INSERT INTO t VALUES (?)", params![1]).unwrap();
            begun.send(()).unwrap();
            // Until the registry is shut down: then no other connection opens.
            while on_another_thread_opens(&connections) {
                thread::yield_now();
            }
            db.execute("INSERT INTO t VALUES (?)", params![2]).unwrap();
            db.commit().unwrap();
            db.query("SELECT 1", ()).unwrap_err().kind()
        }
    });
    wait.recv().unwrap();
    let report = connections.shutdown(Duration::from_secs(30));
    assert_eq!(report.left, []);
    assert_eq!(worker.join().unwrap(), ErrorKind::Interface);
    assert_eq!(story.open(), 0);
    let count: i64 = database.connections().get("default").unwrap().query_value("SELECT count(*) FROM t", ()).unwrap();
    assert_eq!(count, 2);
}

fn on_another_thread_opens(connections: &dockline::Connections) -> bool {
    thread::scope(|scope| {
        scope.spawn(|| connections.get("default").unwrap().ensure_connection().is_ok()).join().unwrap()
    })
}

#[test]
fn shutdown_has_a_limit_and_says_what_was_left() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    let (begun, wait) = mpsc::channel();
    let over = Arc::new(Barrier::new(2));
    let worker = thread::Builder::new().name("the busy one".into()).spawn({
        let (connections, over) = (connections.clone(), Arc::clone(&over));
        move || {
            connections.get("default").unwrap().execute("BEGIN", ()).unwrap();
            begun.send(()).unwrap();
            over.wait();
        }
    });
    wait.recv().unwrap();
    let started = Instant::now();
    let report = connections.shutdown(Duration::from_millis(20));
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!((report.left[0].alias.as_str(), report.left[0].thread.as_str()), ("default", "the busy one"));
    assert_eq!(report.left.len(), 1);
    over.wait();
    worker.unwrap().join().unwrap();
    assert_eq!(story.reasons(), [CloseReason::ThreadExit]);
}

#[test]
fn after_shutdown_a_request_runs_and_one_that_is_a_transaction_does_not_begin() {
    for (atomic, runs) in [(false, true), (true, false)] {
        let database = Database::new();
        let connections = database.connections_with(|settings| settings.atomic_requests(atomic));
        connections.shutdown(Duration::ZERO);
        let mut ran = false;
        let result: dockline::Result<i64> = connections.in_request(|| {
            ran = true;
            connections.get("default")?.query_value("SELECT 1", ())
        });
        assert_eq!((result.unwrap_err().kind(), ran), (ErrorKind::Interface, runs));
    }
}

#[test]
fn shutdown_in_a_task_and_in_its_hook_closes_what_the_task_used() {
    let connections = in_memory();
    let story = Story::of(&connections);
    let (in_task, in_hook) = (connections.clone(), connections.clone());
    let task = dockline::Task::new().on_done(move |_| assert_eq!(in_hook.shutdown(Duration::ZERO).left, []));
    let report = connections.task_with(task, || {
        in_task.get("default").unwrap().query("SELECT 1", ()).unwrap();
        in_task.shutdown(Duration::from_secs(5))
    })();
    assert_eq!((report.closed, report.left.len()), (1, 0));
    assert_eq!(story.reasons(), [CloseReason::Shutdown]);
}

#[test]
fn shutdown_in_a_block_waits_for_itself_and_lets_it_commit() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.atomic(|| {
        db.execute("INSERT INTO t VALUES (1)", ())?;
        let report = connections.shutdown(Duration::from_millis(5));
        assert_eq!((report.closed, report.left.len()), (0, 1));
        db.execute("INSERT INTO t VALUES (2)", ()).map(drop)
    })
    .unwrap();
    assert_eq!(db.query("SELECT 1", ()).unwrap_err().kind(), ErrorKind::Interface);
    assert_eq!(story.open(), 0);
    let count: i64 = database.connections().get("default").unwrap().query_value("SELECT count(*) FROM t", ()).unwrap();
    assert_eq!(count, 2);
}

#[test]
fn several_shutdowns_at_once_close_each_connection_once() {
    const WORKERS: usize = 8;
    let connections = in_memory();
    let story = Story::of(&connections);
    let (opened, over) = (Barrier::new(WORKERS + 1), Barrier::new(WORKERS + 1));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
                opened.wait();
                over.wait();
            });
        }
        opened.wait();
        let all = || connections.shutdown(Duration::from_secs(30));
        let reports: Vec<_> = (0..4).map(|_| scope.spawn(all)).collect();
        let reports: Vec<_> = reports.into_iter().map(|report| report.join().unwrap()).collect();
        over.wait();
        assert!(reports.iter().all(|report| report.left.is_empty()));
        assert_eq!(reports.iter().map(|report| report.closed).sum::<usize>(), WORKERS);
    });
    assert_eq!(story.reasons(), [CloseReason::Shutdown; WORKERS]);
}
