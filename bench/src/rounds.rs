//! Contestants that take turns, so that what else the machine does meets all of them alike.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

use crate::stats::{Ratio, median, quantile};

/// What went wrong, in the words of whoever it went wrong with.
pub(crate) type Outcome = Result<(), String>;

/// A call that a thread makes again and again, told how often it has made it.
pub(crate) type Call<'a> = Box<dyn FnMut(u32) -> Outcome + 'a>;

/// One that takes part: by its name, and by what makes the call of a thread, which is told its number.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    pub(crate) on_thread: Box<dyn Fn(u32) -> Call<'a> + Sync + 'a>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(name: impl Into<String>, on_thread: impl Fn(u32) -> Call<'a> + Sync + 'a) -> Self {
        Self { name: name.into(), on_thread: Box::new(on_thread) }
    }
}

pub(crate) struct Plan {
    pub(crate) threads: usize,
    pub(crate) rounds: usize,
    /// How long a turn takes.
    pub(crate) slice: Duration,
    /// How many calls are made from one look at the clock to the next.
    pub(crate) calls_a_look: u32,
}

/// What one contestant's turns gave, one figure a round.
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) per_second: Vec<f64>,
    /// Processor time of the whole process for one call, in microseconds.
    pub(crate) processor: Vec<f64>,
    /// What 99 of 100 calls stay below, in microseconds.
    pub(crate) p99: Vec<f64>,
    /// The slowest thread's share of the median one's.
    pub(crate) slowest: Vec<f64>,
    pub(crate) failures: u64,
    pub(crate) calls: u64,
    pub(crate) reason: Option<String>,
}

impl Measured {
    pub(crate) fn rate_beside(&self, baseline: &Self) -> Ratio {
        Ratio::of(&self.per_second, &baseline.per_second)
    }

    pub(crate) fn processor_beside(&self, baseline: &Self) -> Ratio {
        Ratio::of(&self.processor, &baseline.processor)
    }

    pub(crate) fn p99_beside(&self, baseline: &Self) -> Ratio {
        Ratio::of(&self.p99, &baseline.p99)
    }
}

/// What the threads of one contestant and the one that leads them share.
struct Stage {
    /// All have connected, and have made some calls.
    ready: Barrier,
    start: Barrier,
    end: Barrier,
    is_over: AtomicBool,
    turns: Mutex<Vec<Turn>>,
    failures: AtomicU64,
    reason: Mutex<Option<String>>,
}

/// What one thread did in one turn.
struct Turn {
    calls: u64,
    seconds: f64,
    latencies: Vec<u64>,
}

impl Stage {
    fn new(threads: usize) -> Self {
        Self {
            ready: Barrier::new(threads + 1),
            start: Barrier::new(threads + 1),
            end: Barrier::new(threads + 1),
            is_over: AtomicBool::new(false),
            turns: Mutex::default(),
            failures: AtomicU64::new(0),
            reason: Mutex::default(),
        }
    }

    fn note(&self, outcome: Outcome) {
        if let Err(reason) = outcome {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.reason.lock().unwrap().get_or_insert(reason);
        }
    }

    /// What a thread does from its first turn to the last.
    fn work(&self, mut call: Call<'_>, slice: Duration, calls_a_look: u32) {
        let mut n = 0;
        for _ in 0..20 {
            self.note(call(n));
            n += 1;
        }
        self.ready.wait();
        loop {
            self.start.wait();
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let mut turn = Turn { calls: 0, seconds: 0.0, latencies: Vec::with_capacity(4096) };
            let began = Instant::now();
            let mut last = began;
            // A thread that comes late has its share all the same.
            while turn.calls == 0 || last - began < slice {
                for _ in 0..calls_a_look {
                    self.note(call(n));
                    n = n.wrapping_add(1);
                }
                let now = Instant::now();
                turn.latencies.push(u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX));
                turn.calls += u64::from(calls_a_look);
                last = now;
            }
            turn.seconds = (last - began).as_secs_f64();
            self.turns.lock().unwrap().push(turn);
            self.end.wait();
        }
    }

    fn turn(&self, measured: &mut Measured) {
        let began = ProcessTime::now();
        self.start.wait();
        self.end.wait();
        let processor = began.elapsed();
        let turns = std::mem::take(&mut *self.turns.lock().unwrap());
        let calls: u64 = turns.iter().map(|turn| turn.calls).sum();
        let rates: Vec<f64> = turns.iter().map(|turn| turn.calls as f64 / turn.seconds).collect();
        let latencies: Vec<f64> =
            turns.iter().flat_map(|turn| turn.latencies.iter().map(|nanos| *nanos as f64 / 1e3)).collect();
        measured.calls += calls;
        measured.per_second.push(rates.iter().sum());
        measured.processor.push(processor.as_secs_f64() * 1e6 / calls as f64);
        measured.p99.push(quantile(&latencies, 0.99));
        measured.slowest.push(quantile(&rates, 0.0) / median(&rates));
    }
}

/// Lets each have its turn in each round. Who begins moves on by one with each round.
pub(crate) fn interleave(entries: &[Entry<'_>], plan: &Plan) -> Vec<Measured> {
    let stages: Vec<Stage> = entries.iter().map(|_| Stage::new(plan.threads)).collect();
    let mut measured: Vec<Measured> = entries
        .iter()
        .map(|entry| Measured {
            name: entry.name.clone(),
            per_second: Vec::new(),
            processor: Vec::new(),
            p99: Vec::new(),
            slowest: Vec::new(),
            failures: 0,
            calls: 0,
            reason: None,
        })
        .collect();
    thread::scope(|scope| {
        for (entry, stage) in entries.iter().zip(&stages) {
            for thread in 0..plan.threads {
                let number = u32::try_from(thread).expect("a number of threads");
                scope.spawn(move || stage.work((entry.on_thread)(number), plan.slice, plan.calls_a_look));
            }
            // One after the other, and before the first turn, so that nobody's connecting is in another's figures.
            stage.ready.wait();
        }
        for round in 0..plan.rounds {
            for turn in 0..entries.len() {
                let at = (round + turn) % entries.len();
                stages[at].turn(&mut measured[at]);
            }
        }
        for stage in &stages {
            stage.is_over.store(true, Ordering::Relaxed);
            stage.start.wait();
        }
    });
    for (measured, stage) in measured.iter_mut().zip(&stages) {
        measured.failures = stage.failures.load(Ordering::Relaxed);
        measured.reason = stage.reason.lock().unwrap().take();
    }
    measured
}
