//! What the benchmarks share: many threads at once, processor time, medians and ratios.

use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use cpu_time::ThreadTime;
use criterion::Criterion;

pub(crate) const THREADS: [usize; 3] = [1, 2, 64];
const SAMPLES: usize = 20;

pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

/// Nanoseconds a call, by name and number of threads.
#[derive(Default)]
pub(crate) struct Results(Mutex<BTreeMap<(String, usize), Vec<f64>>>);

impl Results {
    /// Times `call` on so many threads at once, each with what `prepare` made on it.
    pub(crate) fn measure<S>(
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

    /// Prints the medians of these, by name, and the ratios of these pairs.
    pub(crate) fn print(&self, names: &[&str], ratios: &[(&str, &str)]) {
        heading("ns a call");
        for name in names {
            line(name, |threads| self.median(name, threads));
        }
        heading("ratio");
        for (name, peer) in ratios {
            let ratio = |threads| Some(self.median(name, threads)? / self.median(peer, threads)?);
            line(&format!("{name} / {peer}"), ratio);
        }
    }
}

fn heading(title: &str) {
    print!("\n{title:<44}");
    for threads in THREADS {
        print!(" {:>12}", format!("threads {threads}"));
    }
    println!();
}

fn line(title: &str, figure: impl Fn(usize) -> Option<f64>) {
    print!("{title:<44}");
    for threads in THREADS {
        match figure(threads) {
            Some(figure) => print!(" {figure:>12.2}"),
            None => print!(" {:>12}", "-"),
        }
    }
    println!();
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
