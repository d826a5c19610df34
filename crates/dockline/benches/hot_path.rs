//! What `get` and a request with nothing due cost, beside a bare `thread_local!` cell and r2d2, in one run.
//!
//! `cargo bench -p dockline --bench hot_path`. A figure is processor time a call, over all threads: where nothing is
//! shared it is the same for any number of them, also where there are more threads than cores. Waiting for a lock
//! costs no processor time, which is to r2d2's advantage. The tables at the end are medians and their ratios.

mod support;

use std::cell::Cell;
use std::hint::black_box;

use criterion::Criterion;
use dockline::{Connections, Databases, Settings};
use support::{Results, THREADS};

fn main() {
    let mut criterion = support::criterion();
    let results = Results::default();
    for threads in THREADS {
        cell(&mut criterion, &results, threads);
        for aliases in [1, 10] {
            get(&mut criterion, &results, threads, aliases);
        }
        request(&mut criterion, &results, threads);
        r2d2_get(&mut criterion, &results, threads);
    }
    criterion.final_summary();
    results.print(
        &["cell", "get, 1 alias", "get, 10 aliases", "request", "r2d2"],
        &[("get, 1 alias", "cell"), ("get, 10 aliases", "cell"), ("r2d2", "get, 1 alias"), ("r2d2", "request")],
    );
}

fn cell(criterion: &mut Criterion, results: &Results, threads: usize) {
    thread_local! { static CELL: Cell<u64> = const { Cell::new(0) }; }
    results.measure(
        criterion,
        "cell",
        threads,
        || (),
        |()| {
            // The inner black box keeps the look-up of the cell in the loop.
            black_box(CELL.with(|cell| black_box(cell).get()));
        },
    );
}

fn get(criterion: &mut Criterion, results: &Results, threads: usize, aliases: usize) {
    let registry = registry(aliases);
    let names: Vec<String> = registry.aliases().unwrap();
    let open = || {
        for name in &names {
            registry.get(name).unwrap().ensure_connection().unwrap();
        }
        Cell::new(0)
    };
    results.measure(
        criterion,
        &format!("get, {aliases} {}", if aliases == 1 { "alias" } else { "aliases" }),
        threads,
        open,
        |next: &Cell<usize>| {
            next.set(if next.get() + 1 == names.len() { 0 } else { next.get() + 1 });
            black_box(registry.get(black_box(&names[next.get()]))).unwrap();
        },
    );
}

fn request(criterion: &mut Criterion, results: &Results, threads: usize) {
    let registry = registry(1);
    let open = || registry.get("default").unwrap().ensure_connection().unwrap();
    results.measure(criterion, "request", threads, open, |()| {
        let _request = registry.request();
        black_box(registry.get("default")).unwrap();
    });
}

/// A pool of connections that are nothing, with a place for each thread and no checks: what remains is the pool.
fn r2d2_get(criterion: &mut Criterion, results: &Results, threads: usize) {
    struct Nothing;

    impl r2d2::ManageConnection for Nothing {
        type Connection = ();
        type Error = std::convert::Infallible;

        fn connect(&self) -> Result<(), Self::Error> {
            Ok(())
        }

        fn is_valid(&self, (): &mut ()) -> Result<(), Self::Error> {
            Ok(())
        }

        fn has_broken(&self, (): &mut ()) -> bool {
            false
        }
    }

    let size = u32::try_from(threads).unwrap();
    let pool = r2d2::Pool::builder().max_size(size).test_on_check_out(false).build(Nothing).unwrap();
    results.measure(
        criterion,
        "r2d2",
        threads,
        || (),
        |()| {
            black_box(pool.get()).unwrap();
        },
    );
}

fn registry(aliases: usize) -> Connections {
    let settings = Settings::from_url("sqlite::memory:").unwrap();
    let mut databases = Databases::new().with("default", settings.clone());
    for n in 1..aliases {
        databases = databases.with(format!("tenant_{n}"), settings.clone());
    }
    Connections::new(databases).unwrap()
}
