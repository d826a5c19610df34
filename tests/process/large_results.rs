//! A result of a million rows is read without being kept. In a process of its own, whose memory nobody else uses.

#![cfg(target_os = "linux")]

use std::ops::ControlFlow;

use dockline::{Connection, Settings, params};
use dockline_tests::servers::{Kind, Server};

const ROWS: i64 = 1_000_000;
const MOST: u64 = 64 << 20;

#[test]
fn a_million_rows_take_little_memory() {
    let embedded = dockline_tests::in_memory();
    let db = embedded.get("default").unwrap();
    assert!(growth_of(|| read_all(&db)) < MOST, "SQLite");

    for kind in Kind::ALL {
        if let Err(reason) = kind.available() {
            assert_eq!(*kind, Kind::Mysql, "{reason}");
            eprintln!("skipped: {reason}");
            continue;
        }
        let server = Server::shared(*kind);
        for prepares in [true, false] {
            let database = server.database();
            let settings = Settings::from_url(&database.url()).unwrap().prepared_statements(prepares);
            let connections = dockline_tests::connections(settings);
            let db = connections.get("default").unwrap();
            db.execute("CREATE TABLE digit (n BIGINT)", ()).unwrap();
            db.execute_many("INSERT INTO digit VALUES (?)", (0..10).map(|n| params![n])).unwrap();
            let growth = growth_of(|| read_all(&db));
            assert!(growth < MOST, "{}: {growth} bytes more, prepared: {prepares}", kind.name());
        }
    }
    dockline_tests::servers::end_shared();

    // The measure can tell: what is kept takes more. Last, for what is freed may stay with the process.
    let kept = growth_of(|| assert_eq!(db.query(&rows(&db), ()).unwrap().len(), 1_000_000));
    assert!(kept > MOST, "{kept} bytes for all rows");
}

/// Rows of a number and some text, which the database makes up.
fn rows(db: &Connection) -> String {
    if db.vendor() == "sqlite" {
        return format!(
            "WITH RECURSIVE r (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < {}) SELECT n, hex(zeroblob(50)) FROM r",
            ROWS - 1
        );
    }
    "SELECT a.n + b.n * 10 + c.n * 100 + d.n * 1000 + e.n * 10000 + f.n * 100000 AS n, repeat('0', 100) AS word \
     FROM digit a, digit b, digit c, digit d, digit e, digit f"
        .to_owned()
}

fn read_all(db: &Connection) {
    let (mut count, mut sum) = (0, 0);
    db.query_each(&rows(db), (), |mut row| {
        count += 1;
        sum += row.get::<i64, _>(0)?;
        assert_eq!(row.take::<String, _>(1)?.len(), 100);
        Ok(ControlFlow::<()>::Continue(()))
    })
    .unwrap();
    assert_eq!((count, sum), (ROWS, ROWS * (ROWS - 1) / 2));
}

/// By how many bytes the memory of this process grew, at its peak.
fn growth_of(run: impl FnOnce()) -> u64 {
    // The kernel begins anew with the peak.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let before = kilobytes("VmRSS:");
    run();
    kilobytes("VmHWM:").saturating_sub(before) * 1024
}

fn kilobytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
