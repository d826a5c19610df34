//! Random programs: whatever they do, no boundary misses a slot that it has something to do with.

use std::cell::Cell;
use std::mem::forget;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::Plain;
use crate::base::ids::TaskPolicy;
use crate::config::settings::{Databases, Settings};
use crate::handle::atomic::{Atomic, AtomicBlock};
use crate::registry::Registry;
use crate::registry::task::Task;
use crate::thread::local;

const ALIASES: [&str; 6] = ["default", "checked", "capped", "young", "manual", "held"];

const STEPS: u32 = 40;

fn settings(alias: &str) -> Settings {
    let settings = Settings::new().engine("plain").conn_max_age(None);
    match alias {
        "checked" => settings.conn_health_checks(true),
        "capped" => settings.max_connections(Some(2)).acquire_timeout(Duration::from_secs(1)),
        "young" => settings.conn_max_age(Some(Duration::ZERO)),
        "manual" => settings.autocommit(false),
        "held" => settings.conn_max_idle(Some(Duration::from_millis(1))),
        _ => settings,
    }
}

/// What a program runs on.
#[derive(Clone)]
struct Stage {
    registry: Registry,
    backend: Plain,
    /// Also in a receiver, whose panic goes no further.
    has_missed: Arc<AtomicBool>,
}

impl Stage {
    fn new() -> Self {
        let backend = Plain::default();
        backend.is_usable.store(true, Ordering::SeqCst);
        let databases =
            ALIASES.iter().fold(Databases::new(), |databases, alias| databases.with(*alias, settings(alias)));
        let registry = Registry::builder().engine(backend.clone()).build(databases).unwrap();
        Self { registry, backend, has_missed: Arc::default() }
    }

    /// Has receivers use the registry that tells them, while it plays.
    fn play_with_receivers(&self, seed: u64) {
        let (stage, next) = (self.clone(), AtomicU64::new(seed));
        let receive = Arc::new(move || {
            thread_local! {
                static IS_TOLD: Cell<bool> = const { Cell::new(false) };
            }
            // What a receiver does is not told on.
            if !IS_TOLD.replace(true) {
                stage.play(&mut Rng::with_seed(next.fetch_add(1, Ordering::SeqCst)), 2, 2);
                IS_TOLD.set(false);
            }
        });
        let (signals, receive) = (self.registry.signals(), || Arc::clone(&receive));
        let (at_closed, at_finished, at_done) = (receive(), receive(), receive());
        let closed = signals.connection_closed.connect(move |_| at_closed());
        let finished = signals.request_finished.connect(move |_| at_finished());
        let done = signals.task_done.connect(move |_| at_done());
        self.play(&mut Rng::with_seed(seed), STEPS, 0);
        // They keep the registry alive.
        signals.connection_closed.disconnect(closed);
        signals.request_finished.disconnect(finished);
        signals.task_done.disconnect(done);
    }

    fn assert_nothing_is_missed(&self, what: &str) {
        if let Some(registry) = local::find(self.registry.shared().hot.id) {
            let missed = registry.missed();
            self.has_missed.fetch_or(!missed.is_empty(), Ordering::SeqCst);
            assert!(missed.is_empty(), "after {what}: {missed:?}");
        }
    }

    /// Does so many things at random, and leaves open what it has begun, or not.
    fn play(&self, random: &mut Rng, steps: u32, depth: u32) {
        let (mut blocks, mut holds, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..steps {
            let alias = ALIASES[random.usize(..ALIASES.len())];
            let Ok(db) = self.registry.get(alias) else {
                self.registry.add(alias, settings(alias)).unwrap();
                continue;
            };
            let did = random.u32(..26);
            match did {
                0..=3 => drop(db.execute("SELECT 1", ())),
                4 => {
                    self.backend.fails.store(true, Ordering::SeqCst);
                    drop(db.execute("SELECT 1", ()));
                    self.backend.fails.store(false, Ordering::SeqCst);
                }
                5 => drop(db.execute("BEGIN", ())),
                6 => drop(db.execute("COMMIT", ())),
                7 => blocks.extend(db.begin_atomic(Atomic::new())),
                8 if random.bool() => drop(blocks.pop()),
                8 => drop(blocks.pop().map(AtomicBlock::commit)),
                9 => drop(db.set_autocommit(random.bool())),
                10 => holds.push(db.hold()),
                11 => drop(holds.pop()),
                12 => db.force_query_log(random.bool()),
                13 | 14 => requests.push(self.registry.request()),
                15 | 16 => drop(requests.pop()),
                17 if depth < 2 => self.task(random, depth),
                18 => self.registry.replace(alias, settings(alias)).unwrap(),
                19 if alias != "default" => self.registry.remove(alias).unwrap(),
                20 => db.close(),
                21 => self.registry.close_old_connections(),
                22 => {
                    self.backend.is_usable.store(random.bool(), Ordering::SeqCst);
                    db.is_usable();
                }
                23 => {
                    let panics = |_: &mut Plain| -> u8 { resume_unwind(Box::new("the program panics")) };
                    let _ = catch_unwind(AssertUnwindSafe(|| db.native(panics)));
                }
                24 => drop(db.on_commit(|| ())),
                25 => self.registry.reset_queries(),
                _ => drop(db.ensure_connection()),
            }
            self.assert_nothing_is_missed(&format!("{did} on {alias}"));
        }
        if random.bool() {
            blocks.into_iter().for_each(forget);
        }
        while let Some(request) = requests.pop() {
            drop(request);
            self.assert_nothing_is_missed("a request");
        }
    }

    /// After a request, nothing of it is left on connections that commit each statement.
    fn assert_nothing_is_left(&self) {
        drop(self.registry.request());
        for db in ALIASES.iter().filter_map(|alias| self.registry.get(alias).ok()) {
            assert!(db.queries().is_empty(), "{db:?}");
            if db.is_connected() && !db.in_atomic_block() && db.autocommit().unwrap_or_default() {
                assert!(!db.native(|session: &mut Plain| session.in_transaction).unwrap_or_default(), "{db:?}");
            }
        }
    }

    fn task(&self, random: &mut Rng, depth: u32) {
        let policies = [TaskPolicy::Keep, TaskPolicy::CloseAll, TaskPolicy::CloseDue];
        let task = Task::new().policy(policies[random.usize(..policies.len())]);
        let (stage, mut random) = (self.clone(), random.fork());
        self.registry.task_with(task, move || stage.play(&mut random, 6, depth + 1))();
        self.assert_nothing_is_missed("a task");
    }
}

/// Plays each on a thread of its own: what it leaves open keeps its registry there.
fn played(seeds: Range<u64>, play: fn(&Stage, u64)) {
    for seed in seeds {
        let played = thread::spawn(move || {
            let stage = Stage::new();
            play(&stage, seed);
            assert!(!stage.has_missed.load(Ordering::SeqCst));
            stage.assert_nothing_is_left();
        });
        assert!(played.join().is_ok(), "seed {seed}");
    }
}

#[test]
fn no_boundary_misses_what_it_has_to_do() {
    played(0..500, |stage, seed| stage.play(&mut Rng::with_seed(seed), STEPS, 0));
}

#[test]
fn no_boundary_misses_what_receivers_have_it_do() {
    played(0..500, Stage::play_with_receivers);
}
