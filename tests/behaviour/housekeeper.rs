//! The housekeeper: what it closes, and what it leaves alone.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use dockline::signals::CloseReason;
use dockline::{Connection, Connections, Settings};
use dockline_tests::scripted::Script;
use dockline_tests::{Story, connections, memory, wait_until};

const SOON: Duration = Duration::from_millis(60);

/// Its connections are due as soon as nothing uses them.
fn watched(settings: Settings) -> Settings {
    settings.housekeeper(true).conn_max_idle(Some(SOON))
}

/// A thread that sleeps after it has run this, until the other end is dropped.
fn sleeping(
    registry: &Connections,
    run: impl FnOnce(&Connections, &Connection) + Send + 'static,
) -> (Sender<()>, JoinHandle<()>) {
    let ((wake, sleep), (ready, is_ready)) = (channel::<()>(), channel());
    let registry = registry.clone();
    let thread = std::thread::spawn(move || {
        let db = registry.get("default").unwrap();
        run(&registry, &db);
        ready.send(()).unwrap();
        assert!(sleep.recv().is_err());
    });
    is_ready.recv().unwrap();
    (wake, thread)
}

#[test]
fn an_idle_connection_is_closed_although_its_thread_sleeps() {
    let registry = connections(watched(memory()));
    let story = Story::of(&registry);
    let (wake, thread) = sleeping(&registry, |_, db| drop(db.query("SELECT 1", ()).unwrap()));
    wait_until("it is closed", || story.closed() == 1);
    assert_eq!(story.reasons(), [CloseReason::MaxIdle]);
    assert_eq!(registry.status().aliases[0].counts.open, 0);
    drop(wake);
    thread.join().unwrap();
}

#[test]
fn a_connection_that_is_too_old_or_gone_is_closed_although_its_thread_sleeps() {
    let registry = connections(memory().housekeeper(true).conn_max_age(Some(SOON)));
    let story = Story::of(&registry);
    let (wake, thread) = sleeping(&registry, |_, db| drop(db.query("SELECT 1", ()).unwrap()));
    wait_until("it is closed", || story.closed() == 1);
    assert_eq!(story.reasons(), [CloseReason::MaxAge]);
    drop(wake);
    thread.join().unwrap();
}

#[test]
fn its_owner_goes_on_with_a_new_one() {
    let registry = connections(watched(memory()));
    let story = Story::of(&registry);
    let db = registry.get("default").unwrap();
    for round in 1..=3 {
        assert_eq!(db.query_value::<i64>("SELECT 7", ()).unwrap(), 7);
        wait_until("it is closed", || story.closed() == round);
        assert!(!db.is_connected());
    }
}

/// Each does something that would be missed; meanwhile the connections of another thread come and go.
#[test]
fn what_is_in_use_is_left_alone() {
    type Use = fn(&Connections, &Connection);
    let uses: [(&str, Use); 6] = [
        ("a request", |registry, db| {
            std::mem::forget(registry.request());
            db.query("SELECT 1", ()).unwrap();
        }),
        ("a block", |_, db| std::mem::forget(db.begin_atomic(dockline::Atomic::new().read_only(true)).unwrap())),
        ("a text", |_, db| assert_eq!(db.execute("BEGIN", ()).unwrap(), 0)),
        ("a hold", |_, db| {
            db.query("SELECT 1", ()).unwrap();
            std::mem::forget(db.hold());
        }),
        ("a temporary table", |_, db| assert_eq!(db.execute("CREATE TEMPORARY TABLE t (n INTEGER)", ()).unwrap(), 0)),
        ("autocommit", |_, db| {
            db.query("SELECT 1", ()).unwrap();
            db.set_autocommit(false).unwrap();
        }),
    ];
    let registry = connections(watched(memory()));
    let threads: Vec<_> = uses.into_iter().map(|(_, run)| sleeping(&registry, run)).collect();
    let story = Story::of(&registry);
    let db = registry.get("default").unwrap();
    for round in 1..=3 {
        db.query("SELECT 1", ()).unwrap();
        wait_until("that of this thread is closed", || story.closed() >= round);
    }
    let status = registry.status();
    assert_eq!(status.aliases[0].connections.len(), uses.len(), "{status:#?}");
    for (wake, thread) in threads {
        drop(wake);
        thread.join().unwrap();
    }
}

#[test]
fn a_statement_that_runs_is_left_alone() {
    let registry = connections(watched(memory()));
    let story = Story::of(&registry);
    let other = registry.clone();
    let (ready, is_ready) = channel();
    let (wake, sleep) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let db = other.get("default").unwrap();
        db.query_each("SELECT 1", (), |_| {
            ready.send(()).unwrap();
            assert!(sleep.recv().is_err());
            Ok(std::ops::ControlFlow::<()>::Continue(()))
        })
        .unwrap();
    });
    is_ready.recv().unwrap();
    let db = registry.get("default").unwrap();
    for round in 1..=2 {
        db.query("SELECT 1", ()).unwrap();
        wait_until("that of this thread is closed", || story.closed() == round);
    }
    assert_eq!(registry.status().aliases[0].counts.in_use, 1);
    drop(wake);
    thread.join().unwrap();
}

#[test]
fn a_receiver_that_panics_does_not_end_it() {
    let registry = connections(watched(memory()));
    registry.signals().connection_closed.connect(|_| panic!("the receiver of the housekeeper's test panics"));
    let story = Story::of(&registry);
    let db = registry.get("default").unwrap();
    for round in 1..=2 {
        db.query("SELECT 1", ()).unwrap();
        wait_until("it is closed", || story.closed() == round);
    }
}

#[test]
fn a_driver_that_panics_in_closing_does_not_end_it() {
    let (registry, script) = Script::connections(watched);
    script.close_panics.store(true, Ordering::SeqCst);
    let story = Story::of(&registry);
    let db = registry.get("default").unwrap();
    for round in 1..=2 {
        db.execute("work", ()).unwrap();
        wait_until("it is closed", || story.closed() == round);
    }
}
