//! What `get` and a request with nothing due cost, beside a bare `thread_local!` cell and r2d2, in one run.
//!
//! `cargo bench -p dockline --bench hot_path`. A figure is processor time a call, over all threads: where nothing is
//! shared it is the same for any number of them, also where there are more threads than cores. Waiting for a lock
//! costs no processor time, which is to r2d2's advantage. The tables at the end are medians and their ratios.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use cpu_time::ThreadTime;
use criterion::Criterion;
use dockline::{Connections, Databases, Settings};

const THREADS: [usize; 3] = [1, 2, 64];
const SAMPLES: usize = 20;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
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
    results.print();
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
    results.measure(criterion, &format!("get, {aliases} aliases"), threads, open, |next: &Cell<usize>| {
        next.set(if next.get() + 1 == names.len() { 0 } else { next.get() + 1 });
        black_box(registry.get(black_box(&names[next.get()]))).unwrap();
    });
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

/// Nanoseconds a call, by name and number of threads.
#[derive(Default)]
struct Results(Mutex<BTreeMap<(String, usize), Vec<f64>>>);

impl Results {
    /// Times `call` on so many threads at once, each with what `prepare` made on it.
    fn measure<S>(
        &self,
        criterion: &mut Criterion,
        name: &str,
        threads: usize,
        prepare: impl Fn() -> S + Sync,
        call: impl Fn(&S) + Sync,
    ) {
        criterion.bench_function(&format!("{name}, {threads} threads"), |bencher| {
            bencher.iter_custom(|calls| {
                let each = on_threads(threads, calls, &prepare, &call) / u32::try_from(threads).unwrap();
                let nanoseconds = each.as_secs_f64() * 1e9 / calls as f64;
                self.0.lock().unwrap().entry((name.to_owned(), threads)).or_default().push(nanoseconds);
                each
            });
        });
    }

    fn median(&self, name: &str, threads: usize) -> Option<f64> {
        let mut samples = self.0.lock().unwrap().get(&(name.to_owned(), threads))?.clone();
        // Criterion warms up with few calls, whose figures are mostly the start of threads.
        samples.drain(..samples.len().saturating_sub(SAMPLES));
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }

    fn print(&self) {
        println!("\n{:<18} {:>12} {:>12} {:>12}", "ns a call", "1 thread", "2 threads", "64 threads");
        for name in ["cell", "get, 1 aliases", "get, 10 aliases", "request", "r2d2"] {
            print!("{name:<18}");
            for threads in THREADS {
                print!(" {:>12.1}", self.median(name, threads).unwrap_or(f64::NAN));
            }
            println!();
        }
        println!("\n{:<34} {:>12} {:>12} {:>12}", "ratio", "1 thread", "2 threads", "64 threads");
        for (name, peer) in
            [("get, 1 aliases", "cell"), ("get, 10 aliases", "cell"), ("r2d2", "get, 1 aliases"), ("r2d2", "request")]
        {
            print!("{:<34}", format!("{name} / {peer}"));
            for threads in THREADS {
                let ratio = self.median(name, threads).zip(self.median(peer, threads)).map(|(a, b)| a / b);
                print!(" {:>12.2}", ratio.unwrap_or(f64::NAN));
            }
            println!();
        }
    }
}

/// The processor time of all of them.
fn on_threads<S>(
    threads: usize,
    calls: u64,
    prepare: &(impl Fn() -> S + Sync),
    call: &(impl Fn(&S) + Sync),
) -> Duration {
    let ready = Barrier::new(threads);
    thread::scope(|scope| {
        let run = || {
            let state = prepare();
            ready.wait();
            let began = ThreadTime::now();
            for _ in 0..calls {
                call(&state);
            }
            began.elapsed()
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}
