//! What the connections of this process to one database share: the queue of its writers, and what is known of its log and of
//! other processes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use dockline_core::backend::PerProcess;

use crate::identity::Identity;
use crate::queue::{Queue, Turn};

/// How long the threads of this process write one after the other, while another process wants to write too.
const SLICE: Duration = Duration::from_millis(5);
/// How long they leave the file alone then: longer than the longest step of who waits in another process.
const GAP: Duration = Duration::from_millis(1);
/// For how long another process is thought to want to write, after it was met.
const MEMORY: Duration = Duration::from_secs(1);

/// A database, of which this process has connections.
pub(crate) struct Database {
    identity: Identity,
    /// What errors call it.
    name: Box<str>,
    pub(crate) queue: Arc<Queue>,
    /// Another process was met lately. Each who takes the turn asks, and mostly there is none.
    has_met: AtomicBool,
    /// Held for a moment, by who has the turn.
    others: Mutex<Others>,
    pub(crate) log: Mutex<LogState>,
    /// How many transactions have ended since the size of the log was looked at. Who has the turn writes it.
    pub(crate) ended: AtomicU32,
}

/// What is known of other processes that write.
#[derive(Default)]
struct Others {
    met: Option<Instant>,
    slice_began: Option<Instant>,
}

/// What is known of the write-ahead log.
#[derive(Default)]
pub(crate) struct LogState {
    /// When emptying it was last tried in vain.
    pub(crate) stuck: Option<Instant>,
    pub(crate) was_told: bool,
}

#[derive(Default)]
struct Table {
    databases: Mutex<HashMap<Identity, Weak<Database>>>,
    /// Which queue each thread waits in, to find those who wait for each other.
    waits: Mutex<HashMap<u64, Arc<Queue>>>,
}

static TABLE: PerProcess<Table> = PerProcess::new();

impl Database {
    /// That of this identity, the same for the whole process; a process that was forked begins with none.
    pub(crate) fn of(identity: Identity, name: &str) -> Arc<Self> {
        let table = TABLE.get();
        let mut databases = lock(&table.value.databases);
        if let Some(database) = databases.get(&identity).and_then(Weak::upgrade) {
            return database;
        }
        databases.retain(|_, database| database.strong_count() > 0);
        let database = Arc::new(Self {
            identity: identity.clone(),
            name: name.into(),
            queue: Arc::default(),
            has_met: AtomicBool::new(false),
            others: Mutex::default(),
            log: Mutex::default(),
            ended: AtomicU32::new(0),
        });
        databases.insert(identity, Arc::downgrade(&database));
        database
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Another process had the file when this one wanted to write.
    pub(crate) fn met_another_process(&self, now: Instant) {
        let mut others = lock(&self.others);
        others.met = Some(now);
        // It has had its share now.
        others.slice_began = None;
        self.has_met.store(true, Ordering::Relaxed);
    }

    /// How long who has just got the turn leaves the file alone, so that another process can have it: this one's threads hand
    /// it on faster than the other one looks.
    #[inline]
    pub(crate) fn courtesy(&self) -> Option<Duration> {
        if self.has_met.load(Ordering::Relaxed) { self.courtesy_to_others(Instant::now()) } else { None }
    }

    fn courtesy_to_others(&self, now: Instant) -> Option<Duration> {
        let mut others = lock(&self.others);
        let met = others.met?;
        if now.saturating_duration_since(met) > MEMORY {
            *others = Others::default();
            self.has_met.store(false, Ordering::Relaxed);
            return None;
        }
        let began = *others.slice_began.get_or_insert(now);
        if now.saturating_duration_since(began) < SLICE {
            return None;
        }
        others.slice_began = None;
        Some(GAP)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A thread waits in a queue while this lives.
pub(crate) struct Wait {
    thread: u64,
}

impl Wait {
    /// Says that a thread waits in a queue. `None` where that would never end: who has the turn waits, itself or through others,
    /// for a turn of this thread's.
    pub(crate) fn begin(thread: u64, queue: &Arc<Queue>) -> Option<Self> {
        let table = TABLE.get();
        // All who begin to wait come by here one after the other, so that the last of a circle sees the others.
        let mut waits = lock(&table.value.waits);
        let mut next = Arc::clone(queue);
        for _ in 0..=waits.len() {
            match next.holding_thread() {
                // In the queue that it waits in, the turn has come to it meanwhile.
                Some(holder) if holder == thread && Arc::ptr_eq(&next, queue) => break,
                Some(holder) if holder == thread => return None,
                Some(holder) => match waits.get(&holder) {
                    Some(queue) => next = Arc::clone(queue),
                    None => break,
                },
                None => break,
            }
        }
        waits.insert(thread, Arc::clone(queue));
        Some(Self { thread })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        lock(&TABLE.get().value.waits).remove(&self.thread);
    }
}

/// The turns that a connection has: one for each database that it can write to.
#[derive(Default)]
pub(crate) struct Turns(Vec<Turn>);

impl Turns {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, database: &Database) -> bool {
        self.0.iter().any(|turn| turn.is_of(&database.queue))
    }

    pub(crate) fn add(&mut self, turn: Turn) {
        self.0.push(turn);
    }

    /// Says with which statement the transaction began.
    pub(crate) fn began_with(&self, statement: &Arc<str>) {
        for turn in &self.0 {
            turn.began_with(statement);
        }
    }

    pub(crate) fn pass_on(&mut self) {
        self.0.clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Joined, Waiting, Who};

    fn who(thread: u64) -> Who {
        Who { thread, name: "a thread".into(), statement: "BEGIN".into() }
    }

    fn turn(queue: &Arc<Queue>, thread: u64) -> Turn {
        match queue.join(who(thread)) {
            Joined::Turn(turn) => turn,
            Joined::Waiting(_) => panic!("somebody has the turn"),
        }
    }

    fn waiting(queue: &Arc<Queue>, thread: u64) -> Waiting {
        match queue.join(who(thread)) {
            Joined::Waiting(waiting) => waiting,
            Joined::Turn(_) => panic!("nobody has the turn"),
        }
    }

    #[test]
    fn a_turn_that_comes_before_the_waiting_begins_is_no_deadlock() {
        let queue = Arc::<Queue>::default();
        let first = turn(&queue, 101);
        let place = waiting(&queue, 102);
        drop(first);
        assert!(!place.is_behind_itself(), "it has the turn by this very place");
        assert!(Wait::begin(102, &queue).is_some(), "it waits for nobody");
    }

    #[test]
    fn threads_that_wait_for_each_other_are_found() {
        let (a, b) = (Arc::<Queue>::default(), Arc::<Queue>::default());
        let _turns = (turn(&a, 111), turn(&b, 112));
        let (_first, _second) = (waiting(&b, 111), waiting(&a, 112));
        let _wait = Wait::begin(111, &b).unwrap();
        assert!(Wait::begin(112, &a).is_none());
    }

    #[test]
    fn a_thread_behind_itself_is_found() {
        let queue = Arc::<Queue>::default();
        let _turn = turn(&queue, 121);
        assert!(waiting(&queue, 121).is_behind_itself());
    }
}
