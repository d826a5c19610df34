//! Plays a scenario from its first step to its last.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use dockline::{Connections, Databases};

use super::administration::{Fresh, Place};
use super::databases::databases;
use super::engine::Engine;
use super::physicals::Physicals;
use super::scenario::{Op, Scenario, Step};
use super::session::Session;
use super::trace::{Entry, Outcome, Seen, Trace};

/// How long a step may take.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// How long the end of a registry may take, once its threads have ended.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Plays a scenario on a database of its own, which is removed afterwards.
///
/// # Errors
///
/// Where it cannot be played: what the scenario says is impossible, or the server does not do what administration
/// asks of it.
pub fn run(scenario: &Scenario, place: &Place) -> Result<Trace, String> {
    scenario.check(place.engine())?;
    let database = place.create()?;
    let played = play(scenario, place.engine(), &database);
    let removed = database.remove();
    let trace = played?;
    removed.map_err(|reason| format!("the scenario's database stays behind: {reason}"))?;
    Ok(Trace { name: scenario.name.clone(), trace })
}

fn play(scenario: &Scenario, engine: Engine, database: &Fresh<'_>) -> Result<Vec<Entry>, String> {
    database.set_up(&scenario.setup, engine)?;
    let databases = databases(&scenario.databases, &database.settings())?;
    let mut stage = Stage::new(engine, databases, Physicals::new(database.administrator()?));
    let played = stage.play(scenario);
    stage.clear();
    played
}

/// The registry of a scenario, and its threads.
struct Stage {
    engine: Engine,
    connections: Connections,
    physicals: Arc<Physicals>,
    actors: HashMap<String, Actor>,
}

impl Stage {
    fn new(engine: Engine, databases: Databases, physicals: Physicals) -> Self {
        // As in Django a wrong configuration is an error of the first step that needs it.
        let connections = Connections::lazy(move || Ok(databases.clone()));
        Self { engine, connections, physicals: Arc::new(physicals), actors: HashMap::new() }
    }

    fn play(&mut self, scenario: &Scenario) -> Result<Vec<Entry>, String> {
        let mut trace = Vec::with_capacity(scenario.steps.len());
        for (number, step) in scenario.steps.iter().enumerate() {
            let entry = match step.op {
                Op::ThreadExit => self.end_thread(number, step),
                _ => self.actor(&step.thread).act(number, step),
            };
            let entry = entry.map_err(|reason| format!("step {number}: {reason}"))?;
            let goes_on = entry.seen.is_some();
            trace.push(entry);
            if !goes_on {
                break;
            }
        }
        Ok(trace)
    }

    fn actor(&mut self, thread: &str) -> &Actor {
        self.actors
            .entry(thread.to_owned())
            .or_insert_with(|| Actor::new(self.engine, self.connections.clone(), Arc::clone(&self.physicals)))
    }

    fn end_thread(&mut self, number: usize, step: &Step) -> Result<Entry, String> {
        let outcome = match self.actors.remove(&step.thread) {
            Some(actor) => {
                let id = actor.thread.thread().id();
                if !actor.end(STEP_LIMIT) {
                    return Ok(Entry::cut_short(number, step.name(), "Timeout"));
                }
                self.physicals.forget(id);
                Outcome::Value(serde_json::Value::Null)
            }
            None => Outcome::Error("LookupError".to_owned()),
        };
        let seen = Seen { conn: None, open: self.physicals.count_listed()? };
        Ok(Entry { step: number, op: step.name().to_owned(), outcome, seen: Some(seen), fired: Vec::new() })
    }

    /// Ends what has not ended. A thread that hangs is left to itself.
    fn clear(&mut self) {
        for (_, actor) in self.actors.drain() {
            actor.end(STEP_LIMIT);
        }
        self.connections.shutdown(SHUTDOWN_LIMIT);
    }
}

/// A thread of a scenario: it does one step after the other, as it is told.
struct Actor {
    steps: Sender<(usize, Step)>,
    entries: Receiver<Result<Entry, String>>,
    thread: JoinHandle<()>,
}

impl Actor {
    fn new(engine: Engine, connections: Connections, physicals: Arc<Physicals>) -> Self {
        let (steps, to_do) = mpsc::channel::<(usize, Step)>();
        let (done, entries) = mpsc::channel();
        let thread = thread::spawn(move || {
            let session = Session::new(engine, connections, physicals);
            for (number, step) in to_do {
                if done.send(session.run(number, &step)).is_err() {
                    break;
                }
            }
            session.leave();
        });
        Self { steps, entries, thread }
    }

    fn act(&self, number: usize, step: &Step) -> Result<Entry, String> {
        // A thread that has ended gives no answer either.
        let _ = self.steps.send((number, step.clone()));
        match self.entries.recv_timeout(STEP_LIMIT) {
            Ok(entry) => entry,
            Err(RecvTimeoutError::Timeout) => Ok(Entry::cut_short(number, step.name(), "Timeout")),
            Err(RecvTimeoutError::Disconnected) => Ok(Entry::cut_short(number, step.name(), "Panic")),
        }
    }

    /// Ends the thread, and waits until all that it does at its end is done. False where that takes longer than the
    /// limit.
    fn end(self, limit: Duration) -> bool {
        drop(self.steps);
        let started = Instant::now();
        while !self.thread.is_finished() {
            if started.elapsed() > limit {
                return false;
            }
            sleep(Duration::from_millis(1));
        }
        // It has told of a panic already.
        let _ = self.thread.join();
        true
    }
}
