//! The file of an SQLite database, its log and its disk, beside threads that write.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use dockline::{Atomic, Connections, Error, ErrorKind, params};
use dockline_tests::{on_thread, wait_until};

use crate::sqlite_writers::{INSERT, count, db, make_table, with_table};

#[test]
fn a_file_that_is_removed_or_replaced_takes_no_writes() {
    for is_replaced in [false, true] {
        let database = with_table();
        let connections = database.connections();
        let db = db(&connections);
        db.execute(INSERT, params![1]).unwrap();
        move_away(&database.path());
        if is_replaced {
            make_table(&database.settings());
        }
        let error = db.execute(INSERT, params![2]).unwrap_err();
        assert!(error.is_disconnect() && !error.may_have_executed(), "{error:?}");
        let said = if is_replaced { "was replaced" } else { "was removed" };
        assert!(error.message().contains(said), "{error}");
        if is_replaced {
            db.execute(INSERT, params![2]).unwrap();
            assert_eq!(count(&database), 1);
        }
    }
}

fn move_away(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let from = format!("{}{suffix}", path.display());
        let _ = std::fs::rename(&from, format!("{from}.away"));
    }
}

#[test]
fn a_full_disk_is_an_error_and_the_turn_goes_on() {
    let database = with_table();
    let connections = database.connections();
    let db = db(&connections);
    db.query("PRAGMA max_page_count = 20", ()).unwrap();
    let blob = vec![7_u8; 10_000];
    let error = db
        .atomic(|| {
            for _ in 0..100 {
                db.execute(INSERT, params![blob.clone()])?;
            }
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Operational, Some("13")), "{error:?}");
    assert_eq!(count(&database), 0);
    let impatient = database.connections_with(|settings| settings.option("busy_timeout", "0"));
    on_thread(move || impatient.get("default").unwrap().execute(INSERT, params![1]).unwrap());
    assert_eq!(count(&database), 1);
}

#[test]
fn the_log_is_emptied_beside_readers_of_whom_one_always_reads() {
    let database = with_table();
    let connections = database.connections_with(|settings| settings.option("synchronous", "off"));
    let db = db(&connections);
    let log = format!("{}-wal", database.path().display());
    let size = || std::fs::metadata(&log).map_or(0, |found| found.len());
    let (begun, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| read_in_turns(&database.connections(), &begun, &is_over));
        }
        wait_until("a reader reads", || begun.load(Ordering::Relaxed) > 1);
        let blob = vec![1_u8; 1_000_000];
        while size() < 20_000_000 {
            db.execute(INSERT, params![blob.clone()]).unwrap();
        }
        // Else it would only grow: SQLite itself begins it anew when nobody reads.
        wait_until("it is emptied", || {
            db.execute(INSERT, params![1]).unwrap();
            size() < 10_000_000
        });
        is_over.store(true, Ordering::Relaxed);
    });
}

/// Reads, and does not end before another has begun to: there is always one that reads, and none does for long.
fn read_in_turns(connections: &Connections, begun: &AtomicU64, is_over: &AtomicBool) {
    let db = db(connections);
    while !is_over.load(Ordering::Relaxed) {
        db.atomic_with(Atomic::new().read_only(true), || {
            db.query("SELECT count(*) FROM t", ())?;
            let mine = begun.fetch_add(1, Ordering::Relaxed) + 1;
            while begun.load(Ordering::Relaxed) == mine && !is_over.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

#[test]
fn check_tells_of_a_reader_that_keeps_the_log() {
    let database = with_table();
    let connections = database.connections_with(|settings| settings.option("synchronous", "off"));
    let here = db(&connections);
    here.execute(INSERT, params![1]).unwrap();
    assert!(connections.check().unwrap().iter().all(|finding| finding.id != "log_held_back"));
    let readers = database.connections();
    let reader = db(&readers);
    let reading = reader.begin_atomic(Atomic::new().read_only(true)).unwrap();
    reader.query("SELECT * FROM t", ()).unwrap();
    let blob = vec![1_u8; 1_000_000];
    for _ in 0..20 {
        here.execute(INSERT, params![blob.clone()]).unwrap();
    }
    let findings = connections.check().unwrap();
    assert!(
        findings.iter().any(|finding| finding.id == "log_held_back" && finding.message.contains("MiB")),
        "{findings:?}"
    );
    reading.commit().unwrap();
    assert!(connections.check().unwrap().iter().all(|finding| finding.id != "log_held_back"));
}
