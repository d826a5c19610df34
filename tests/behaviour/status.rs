//! What `status` says of all threads.

use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use dockline::signals::CloseReason;
use dockline::{Connections, Databases, Error, Phase, params};
use dockline_tests::scripted::Script;
use dockline_tests::{in_memory, memory, on_thread, wait_until};

#[test]
fn phases_are_those_of_what_runs() {
    let registry = in_memory();
    let db = registry.get("default").unwrap();
    let phase = || registry.status().aliases[0].connections.first().map(|connection| connection.phase);
    assert_eq!(phase(), None, "nothing is open");
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(phase(), Some(Phase::Idle));
    db.query_each("SELECT 1", (), |_| {
        assert_eq!(phase(), Some(Phase::Running));
        Ok(std::ops::ControlFlow::<()>::Continue(()))
    })
    .unwrap();
    db.atomic(|| {
        assert_eq!(phase(), Some(Phase::InTransaction));
        assert_eq!(registry.status().aliases[0].connections[0].holds, ["a transaction"]);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(phase(), Some(Phase::Idle));
    let request = registry.request();
    assert_eq!(phase(), Some(Phase::InUse));
    drop(request);
    let hold = db.hold();
    assert_eq!(phase(), Some(Phase::InUse));
    drop(hold);
    assert_eq!(phase(), Some(Phase::Idle));
    db.close();
    assert_eq!(phase(), None);
}

#[test]
fn counts_are_those_of_all_threads_and_agree_with_the_list() {
    const THREADS: usize = 8;
    let registry = Connections::new(Databases::new().with("default", memory()).with("other", memory())).unwrap();
    let (ready, done) = (Arc::new(Barrier::new(THREADS + 1)), Arc::new(Barrier::new(THREADS + 1)));
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let (registry, ready, done) = (registry.clone(), Arc::clone(&ready), Arc::clone(&done));
            let run = move || {
                let alias = if n % 2 == 0 { "default" } else { "other" };
                registry.get(alias).unwrap().query("SELECT 1", ()).unwrap();
                let request = (n < 4).then(|| registry.request());
                ready.wait();
                done.wait();
                drop(request);
            };
            std::thread::Builder::new().name(format!("worker {n}")).spawn(run).unwrap()
        })
        .collect();
    ready.wait();
    let status = registry.status();
    for alias in ["default", "other"] {
        let status = status.alias(alias).unwrap();
        assert_eq!((status.counts.open, status.counts.in_use, status.counts.idle), (4, 2, 2), "{alias}");
        assert_eq!(status.connections.len(), 4);
        assert!(status.connections.iter().all(|connection| connection.thread.starts_with("worker ")));
        assert_eq!(status.totals.opened, 4);
    }
    done.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let status = registry.status();
    let status = status.alias("default").unwrap();
    assert_eq!((status.counts.open, status.connections.len()), (0, 0));
    assert_eq!(
        (status.totals.opened, status.totals.closed_by(CloseReason::ThreadExit), status.totals.statements),
        (4, 4, 4)
    );
}

#[test]
fn totals_count_what_has_happened() {
    let registry = in_memory();
    let db = registry.get("default").unwrap();
    for _ in 0..3 {
        let _request = registry.request();
        db.query("SELECT 1", ()).unwrap();
    }
    drop(registry.request());
    db.close();
    db.query("SELECT 1", ()).unwrap();
    let other = registry.clone();
    on_thread(move || drop(other.get("default").unwrap().query("SELECT 1", ()).unwrap()));
    let status = registry.status();
    let totals = &status.alias("default").unwrap().totals;
    assert_eq!((totals.opened, totals.reused, totals.statements), (3, 2, 5));
    assert_eq!(totals.closed, [(CloseReason::Asked, 1), (CloseReason::ThreadExit, 1)]);
    assert_eq!(status.aliases[0].connections[0].statements, 1, "those of the connection that is open");

    let (registry, script) = Script::connections(|settings| settings);
    script.connects.store(false, std::sync::atomic::Ordering::SeqCst);
    registry.get("default").unwrap().execute("work", ()).unwrap_err();
    assert_eq!(registry.status().aliases[0].totals.connect_errors, 1);
}

#[test]
fn a_connection_that_is_being_closed_is_counted_and_no_longer_open() {
    let (registry, script) = Script::connections(|settings| settings);
    let (closing, release) = channel::<()>();
    *script.at_close.lock().unwrap() = Some(Box::new(move || assert!(release.recv().is_err())));
    let other = registry.clone();
    let thread = std::thread::spawn(move || {
        let db = other.get("default").unwrap();
        db.ensure_connection().unwrap();
        db.close();
    });
    wait_until("the connection is being closed", || registry.status().aliases[0].counts.closing == 1);
    assert_eq!(registry.status().aliases[0].counts.open, 0);
    drop(closing);
    thread.join().unwrap();
    assert_eq!(registry.status().aliases[0].counts.closing, 0);
}

#[test]
fn a_pause_is_seen_by_looking_twice() {
    let registry = in_memory();
    let db = registry.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    let unused = || registry.status().aliases[0].connections[0].unused;
    assert_eq!(unused(), Duration::ZERO);
    wait_until("the pause is seen", || unused() > Duration::ZERO);
    db.query("SELECT ?", params![2]).unwrap();
    assert_eq!(unused(), Duration::ZERO, "it was used meanwhile");
}

#[test]
fn an_alias_that_is_unknown_by_now_is_listed_while_it_has_connections() {
    let registry = Connections::new(Databases::new().with("default", memory()).with("old", memory())).unwrap();
    let db = registry.get("old").unwrap();
    db.query("SELECT 1", ()).unwrap();
    registry.remove("old").unwrap();
    assert_eq!(registry.status().alias("old").unwrap().counts.open, 1);
    drop(db);
    registry.close_old_connections();
    assert!(registry.status().alias("old").is_none());
    assert_eq!(registry.status().aliases.len(), 1);
}

#[test]
fn looking_opens_nothing_and_loads_no_configuration() {
    let registry = Connections::lazy(|| panic!("the configuration is not to be loaded"));
    assert!(registry.status().aliases.is_empty());
}

/// It prints how long it takes; how long is too long depends on the machine.
#[test]
fn a_thousand_threads_are_read_at_once() {
    const THREADS: usize = 1_000;
    let registry = in_memory();
    let (ready, done) = (Arc::new(Barrier::new(THREADS + 1)), Arc::new(Barrier::new(THREADS + 1)));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (registry, ready, done) = (registry.clone(), Arc::clone(&ready), Arc::clone(&done));
            let run = move || {
                registry.get("default").unwrap().query("SELECT 1", ()).unwrap();
                ready.wait();
                done.wait();
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap()
        })
        .collect();
    ready.wait();
    assert_eq!(registry.status().aliases[0].counts.open, THREADS);
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(registry.status().aliases[0].connections.len(), THREADS);
    }
    println!("status of {THREADS} threads: {:.0?}", started.elapsed() / 20);
    done.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn it_is_serialized_with_durations_in_seconds() {
    let registry = in_memory();
    let db = registry.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    db.close();
    db.query("SELECT 1", ()).unwrap();
    let json = serde_json::to_value(registry.status()).unwrap();
    let alias = &json["aliases"][0];
    assert_eq!(alias["alias"], "default");
    assert_eq!(alias["counts"]["idle"], 1);
    assert_eq!(alias["totals"]["closed"]["asked"], 1);
    assert_eq!(alias["connections"][0]["phase"], "idle");
    assert!(alias["connections"][0]["age"].is_f64() && alias["longest_wait"].is_null());
}
