//! A request of one look-up by primary key on SQLite, beside the bare driver with a connection for each thread, and
//! beside r2d2, in one run.
//!
//! `cargo bench -p dockline --bench lookup`. A figure is processor time a call, over all threads.

mod support;

use std::cell::Cell;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::Criterion;
use dockline::{Connections, Databases, Settings, params, rusqlite};
use support::{Results, THREADS};

const ROWS: u32 = 1000;
const SELECT: &str = "SELECT name FROM item WHERE id = ?";

fn main() {
    let mut criterion = support::criterion();
    let results = Results::default();
    let file = std::env::temp_dir().join(format!("dockline-lookup-{}.db", std::process::id()));
    let connections = fill(&file);
    for threads in THREADS {
        bare(&mut criterion, &results, threads, &file);
        statement(&mut criterion, &results, threads, &connections);
        request(&mut criterion, &results, threads, &connections);
        for checks in [false, true] {
            pooled(&mut criterion, &results, threads, &file, checks);
        }
    }
    connections.close_all();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
    criterion.final_summary();
    results.print(
        &["bare driver", "statement", "request", "r2d2", "r2d2, checked"],
        &[("statement", "bare driver"), ("request", "bare driver"), ("r2d2", "request"), ("r2d2, checked", "request")],
    );
}

fn fill(file: &Path) -> Connections {
    let settings = Settings::new().engine("sqlite").name(file.to_str().unwrap());
    let connections = Connections::new(Databases::new().with("default", settings)).unwrap();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute_many("INSERT INTO item VALUES (?, ?)", (0..ROWS).map(|id| params![id, format!("name {id}")])).unwrap();
    db.set_autocommit(true).unwrap();
    connections
}

fn ids() -> Cell<u32> {
    Cell::new(0)
}

fn next(id: &Cell<u32>) -> u32 {
    id.set((id.get() + 1) % ROWS);
    id.get()
}

fn look_up(connection: &rusqlite::Connection, id: u32) -> String {
    connection.prepare_cached(SELECT).unwrap().query_row([id], |row| row.get(0)).unwrap()
}

fn bare(criterion: &mut Criterion, results: &Results, threads: usize, file: &Path) {
    let open = || (rusqlite::Connection::open(file).unwrap(), ids());
    results.measure(criterion, "bare driver", threads, open, |(connection, id)| {
        black_box(look_up(connection, next(id)));
    });
}

fn statement(criterion: &mut Criterion, results: &Results, threads: usize, connections: &Connections) {
    let get = || (connections.get("default").unwrap(), ids());
    results.measure(criterion, "statement", threads, get, |(db, id)| {
        black_box(db.query_value::<String>(SELECT, params![next(id)]).unwrap());
    });
}

fn request(criterion: &mut Criterion, results: &Results, threads: usize, connections: &Connections) {
    results.measure(criterion, "request", threads, ids, |id| {
        let _request = connections.request();
        let db = connections.get("default").unwrap();
        black_box(db.query_value::<String>(SELECT, params![next(id)]).unwrap());
    });
}

/// A place for each thread. Checked is r2d2's default.
fn pooled(criterion: &mut Criterion, results: &Results, threads: usize, file: &Path, checks: bool) {
    struct Manager(PathBuf);

    impl r2d2::ManageConnection for Manager {
        type Connection = rusqlite::Connection;
        type Error = rusqlite::Error;

        fn connect(&self) -> rusqlite::Result<rusqlite::Connection> {
            rusqlite::Connection::open(&self.0)
        }

        fn is_valid(&self, connection: &mut rusqlite::Connection) -> rusqlite::Result<()> {
            connection.execute_batch("SELECT 1")
        }

        fn has_broken(&self, _: &mut rusqlite::Connection) -> bool {
            false
        }
    }

    let size = u32::try_from(threads).unwrap();
    let manager = Manager(file.to_owned());
    let pool = r2d2::Pool::builder().max_size(size).test_on_check_out(checks).build(manager).unwrap();
    let name = if checks { "r2d2, checked" } else { "r2d2" };
    results.measure(criterion, name, threads, ids, |id| {
        black_box(look_up(&pool.get().unwrap(), next(id)));
    });
}
