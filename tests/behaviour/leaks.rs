//! Connections that are held for too long: what the log says, and when.

use std::sync::mpsc::channel;
use std::time::Duration;

use dockline::{Atomic, Connections, Databases, Settings};
use dockline_tests::{log_capture, memory, on_thread, wait_until};
use log::Level;

const SOON: Duration = Duration::from_millis(40);

/// A registry whose alias of that name, which no other test has, watches its holds.
fn watched(alias: &str) -> Connections {
    log_capture::start();
    let settings = memory().leak_threshold(Some(SOON));
    Connections::new(Databases::new().with("default", memory()).with(alias, settings)).unwrap()
}

fn lines(alias: &str, text: &str) -> Vec<(Level, String)> {
    let lines = log_capture::lines("dockline::connection", &format!("alias {alias:?}"));
    lines.into_iter().filter(|(_, line)| line.contains(text)).collect()
}

#[test]
fn a_hold_that_lasts_is_reported_once_and_its_end() {
    let alias = "leak of a block";
    let registry = watched(alias);
    let db = registry.get(alias).unwrap();
    let line = line!() + 1;
    db.atomic(|| {
        db.query("SELECT 40\n  + 2", ())?;
        wait_until("it is reported", || lines(alias, "has been held").len() == 1);
        let status = registry.status();
        let status = status.alias(alias).unwrap();
        assert_eq!(status.totals.leaks, 1);
        assert!(status.connections[0].held_for.unwrap() > SOON, "{status:?}");
        assert!(status.connections[0].held_at.as_ref().unwrap().contains("leaks.rs"), "{status:?}");
        assert_eq!(status.connections[0].last_statement.as_deref(), Some("SELECT 40 + 2"));
        // Rounds go by, and say nothing more.
        let other = watched("leak meanwhile");
        on_thread(move || {
            let db = other.get("leak meanwhile").unwrap();
            let _hold = db.hold();
            db.query("SELECT 1", ()).unwrap();
            wait_until("another one is reported", || lines("leak meanwhile", "has been held").len() == 1);
        });
        assert!(lines(alias, "was returned").is_empty());
        Ok::<_, dockline::Error>(())
    })
    .unwrap();
    let reported = lines(alias, "has been held");
    let [(Level::Warn, reported)] = &reported[..] else { panic!("{reported:?}") };
    assert!(reported.contains("longer than leak_threshold (40.0ms)"), "{reported}");
    assert!(reported.contains(&format!("leaks.rs:{line}:")), "{reported}");
    assert!(reported.ends_with("its last statement is: SELECT 40 + 2"), "{reported}");
    let returned = lines(alias, "was returned after");
    let [(Level::Warn, returned)] = &returned[..] else { panic!("{returned:?}") };
    assert!(returned.contains(&format!("leaks.rs:{line}:")), "{returned}");
    assert_eq!(registry.status().alias(alias).unwrap().connections[0].held_for, None);
}

#[test]
fn a_statement_that_runs_is_named() {
    let alias = "leak of a statement";
    let registry = watched(alias);
    let db = registry.get(alias).unwrap();
    let request = registry.request();
    db.query_each("SELECT 'slow'", (), |_| {
        wait_until("it is reported", || lines(alias, "has been held").len() == 1);
        Ok(std::ops::ControlFlow::<()>::Continue(()))
    })
    .unwrap();
    drop(request);
    assert!(lines(alias, "has been held")[0].1.ends_with("it runs: SELECT 'slow'"));
    assert_eq!(lines(alias, "was returned after").len(), 1);
}

/// Each kind of hold, on threads of their own.
#[test]
fn requests_tasks_holds_and_transactions_are_watched() {
    type Use = fn(&Connections, &dockline::Connection, &(dyn Fn() + Sync));
    let uses: [(&str, Use); 5] = [
        ("leak of a request", |registry, db, wait| {
            let _request = registry.request();
            db.query("SELECT 1", ()).unwrap();
            wait();
        }),
        ("leak of a task", |registry, _, wait| {
            registry.task(|| {
                registry.get("leak of a task").unwrap().query("SELECT 1", ()).unwrap();
                wait();
            })();
        }),
        ("leak of a hold", |_, db, wait| {
            db.query("SELECT 1", ()).unwrap();
            let _hold = db.hold();
            db.query("SELECT 1", ()).unwrap();
            wait();
        }),
        ("leak of a text", |_, db, wait| {
            db.execute("BEGIN", ()).unwrap();
            wait();
            db.execute("COMMIT", ()).unwrap();
        }),
        ("leak without autocommit", |_, db, wait| {
            db.set_autocommit(false).unwrap();
            db.execute("CREATE TEMPORARY TABLE t (n INTEGER)", ()).unwrap();
            wait();
            db.rollback().unwrap();
        }),
    ];
    for (alias, call) in uses {
        let registry = watched(alias);
        let db = registry.get(alias).unwrap();
        call(&registry, &db, &|| wait_until("it is reported", || lines(alias, "has been held").len() == 1));
        assert_eq!(lines(alias, "was returned after").len(), 1, "{alias}");
    }
}

#[test]
fn a_connection_that_is_closed_or_whose_thread_ends_is_returned() {
    for (alias, closes) in [("leak that is closed", true), ("leak of a thread", false)] {
        let registry = watched(alias);
        on_thread(move || {
            let db = registry.get(alias).unwrap();
            let block = db.begin_atomic(Atomic::new().read_only(true)).unwrap();
            db.query("SELECT 1", ()).unwrap();
            wait_until("it is reported", || lines(alias, "has been held").len() == 1);
            if closes {
                db.close();
            }
            std::mem::forget(block);
        });
        wait_until("it is returned", || lines(alias, "was returned after").len() == 1);
    }
}

#[test]
fn what_is_idle_or_short_is_no_leak() {
    let alias = "no leak";
    let registry = watched(alias);
    let other = watched("leak that is one");
    let (held, is_held) = channel();
    let db = registry.get(alias).unwrap();
    db.query("SELECT 1", ()).unwrap();
    let thread = std::thread::spawn(move || {
        let db = other.get("leak that is one").unwrap();
        let _hold = db.hold();
        db.query("SELECT 1", ()).unwrap();
        held.send(()).unwrap();
        wait_until("it is reported", || lines("leak that is one", "has been held").len() == 1);
    });
    is_held.recv().unwrap();
    while !thread.is_finished() {
        // A request that does not use the connection, and one that does, for a moment.
        drop(registry.request());
        let _request = registry.request();
        db.query("SELECT 1", ()).unwrap();
    }
    thread.join().unwrap();
    let long: Vec<_> = lines(alias, "has been held");
    // Unless the machine stood still in the middle of a short one.
    assert_eq!(long.len(), lines(alias, "was returned after").len(), "{long:?}");
}

#[test]
fn zero_is_refused() {
    let databases = Databases::new().with("default", memory().leak_threshold(Some(Duration::ZERO)));
    let error = Connections::new(databases).unwrap_err();
    assert!(error.to_string().contains("leak_threshold"), "{error}");
    let settings = Settings::from_url("sqlite::memory:?leak_threshold=30s").unwrap();
    assert_eq!(settings.get_leak_threshold(), Some(Duration::from_secs(30)));
}
