//! Threads that all connect at once, and threads that live for one request.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::contestants::{self, Contestant};
use crate::options::Options;
use crate::place::{Place, Places};
use crate::report::{Report, Table};
use crate::stats::{Ratio, median};

const STORM: usize = 64;

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    let threads = if options.smoke { 4 } else { STORM };
    let lives = options.amount(100).min(100);
    report.text(&format!(
        "A storm: {threads} threads begin at once with nothing open, and each makes a request; the time until the last is done, making a pool \
         included. A short life: a thread is started, makes one request, and is waited for to its very end, {lives} times, one after the \
         other; a pool keeps its connection from one to the next, and Dockline closes a thread's connections with the thread: programs that \
         start threads all day keep a few alive instead, or use a pool of threads."
    ));
    let mut table = Table::new(["", "", "storm", "÷ bare", "failed", "short life", "÷ bare"]);
    for place in &places.all {
        let names: Vec<&str> = contestants::three(place, 1).iter().map(|contestant| contestant.name()).collect();
        let mut storms: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
        let mut shorts: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
        let mut failed = vec![0; names.len()];
        for _ in 0..options.rounds(5) {
            for at in 0..names.len() {
                let (seconds, failures) = storm(place, at, threads);
                storms[at].push(seconds * 1e3);
                failed[at] += failures;
                let contestant = contestants::one_of_three(place, 1, at);
                shorts[at].push(short_lives(&*contestant, lives) * 1e6);
            }
        }
        for (at, name) in names.iter().enumerate() {
            table.row([
                place.database.to_string(),
                (*name).to_owned(),
                format!("{:.1} ms", median(&storms[at])),
                Ratio::of(&storms[at], &storms[0]).to_string(),
                failed[at].to_string(),
                format!("{:.0} µs", median(&shorts[at])),
                Ratio::of(&shorts[at], &shorts[0]).to_string(),
            ]);
        }
    }
    report.table(&table);
}

fn storm(place: &Place, at: usize, threads: usize) -> (f64, usize) {
    let began = Instant::now();
    let contestant = contestants::one_of_three(place, threads, at);
    let ready = Barrier::new(threads);
    let failures = thread::scope(|scope| {
        let run = || {
            ready.wait();
            contestant.on_thread().look_ups(&[1]).is_err()
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers.into_iter().map(|worker| usize::from(worker.join().unwrap_or(true))).sum()
    });
    (began.elapsed().as_secs_f64(), failures)
}

/// Seconds for one of them.
fn short_lives(contestant: &dyn Contestant, lives: u32) -> f64 {
    let began = Instant::now();
    for _ in 0..lives {
        // A scope can end before destructors of thread-locals have run; joining the thread waits for them.
        thread::scope(|scope| scope.spawn(|| contestant.on_thread().look_ups(&[1])).join())
            .expect("a thread that ends")
            .expect("a request");
    }
    began.elapsed().as_secs_f64() / f64::from(lives)
}
