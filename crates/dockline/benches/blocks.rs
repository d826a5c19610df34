//! What an atomic block costs beside what the database does for it: blocks on SQLite in memory, beside the same statements
//! on the bare driver, in one run.
//!
//! `cargo bench -p dockline --bench blocks`. A figure is processor time a call, over all threads.

mod support;

use criterion::Criterion;
use dockline::{Atomic, Connection, Connections, Databases, Error, Settings, rusqlite};
use support::{Results, THREADS};

fn main() {
    let mut criterion = support::criterion();
    let results = Results::default();
    for threads in THREADS {
        bare(&mut criterion, &results, "bare: BEGIN, COMMIT", threads, &["BEGIN", "COMMIT"]);
        ours(&mut criterion, &results, "atomic", threads, |db| db.atomic(|| Ok(())));
        ours(&mut criterion, &results, "begin_atomic, commit", threads, |db| db.begin_atomic(Atomic::new())?.commit());
        let nested = ["BEGIN", "SAVEPOINT s", "RELEASE SAVEPOINT s", "COMMIT"];
        bare(&mut criterion, &results, "bare: with a savepoint", threads, &nested);
        ours(&mut criterion, &results, "atomic in atomic", threads, |db| db.atomic(|| db.atomic(|| Ok(()))));
        ours(&mut criterion, &results, "atomic, one hook", threads, |db| db.atomic(|| db.on_commit(|| ())));
    }
    criterion.final_summary();
    results.print(
        &[
            "bare: BEGIN, COMMIT",
            "atomic",
            "begin_atomic, commit",
            "atomic, one hook",
            "bare: with a savepoint",
            "atomic in atomic",
        ],
        &[("atomic", "bare: BEGIN, COMMIT"), ("atomic in atomic", "bare: with a savepoint")],
    );
}

fn bare(criterion: &mut Criterion, results: &Results, name: &str, threads: usize, statements: &[&str]) {
    let open = || rusqlite::Connection::open_in_memory().unwrap();
    results.measure(criterion, name, threads, open, |connection| {
        for sql in statements {
            connection.prepare_cached(sql).unwrap().raw_execute().unwrap();
        }
    });
}

fn ours(
    criterion: &mut Criterion,
    results: &Results,
    name: &str,
    threads: usize,
    call: impl Fn(&Connection) -> Result<(), Error> + Sync,
) {
    let open = || {
        // A database for each thread: what is measured is not SQLite's lock.
        let settings = Settings::from_url("sqlite::memory:").unwrap();
        let connections = Connections::new(Databases::new().with("default", settings)).unwrap();
        let db = connections.get("default").unwrap();
        db.ensure_connection().unwrap();
        (db, connections)
    };
    results.measure(criterion, name, threads, open, |(db, _)| call(db).unwrap());
}
