//! The physical connections of a scenario: their names, and how many of them the server lists.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{ThreadId, current, sleep};
use std::time::{Duration, Instant};

use dockline::{Connection, Connections};

use super::administration::Administrator;
use super::failure::Failure;
use super::trace::Seen;

/// How long the server gets to let go of what the client closed.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// What is known of the physical connections of a scenario, on all of its threads.
pub(super) struct Physicals {
    /// None where there is no server.
    administrator: Option<Mutex<Administrator>>,
    /// What the server calls the connections that each thread held when it last told.
    held: Mutex<HashMap<ThreadId, BTreeSet<u64>>>,
    /// The serials of those that were seen, in that order.
    seen: Mutex<Vec<u64>>,
}

impl Physicals {
    pub(super) fn new(administrator: Option<Administrator>) -> Self {
        Self { administrator: administrator.map(Mutex::new), held: Mutex::default(), seen: Mutex::default() }
    }

    /// What there is, once a step has ended on this thread.
    pub(super) fn observe(&self, connections: &Connections, alias: &str) -> Result<Seen, String> {
        self.tell(connections);
        let serial = looked_up(connections, alias).and_then(|db| db.serial());
        Ok(Seen { conn: serial.map(|serial| self.name(serial)), open: self.count_listed()? })
    }

    /// Tells what this thread holds.
    pub(super) fn tell(&self, connections: &Connections) {
        let of_alias = |alias: &String| connections.get(alias).ok()?.server_connection_id();
        let ids = connections.initialized().iter().filter_map(of_alias).collect();
        lock(&self.held).insert(current().id(), ids);
    }

    /// Once a thread has ended, it holds nothing.
    pub(super) fn forget(&self, thread: ThreadId) {
        lock(&self.held).remove(&thread);
    }

    /// How many the server lists, once it has let go of those that no thread holds any more. None where there is no
    /// server.
    pub(super) fn count_listed(&self) -> Result<Option<usize>, String> {
        let Some(administrator) = &self.administrator else { return Ok(None) };
        let held: BTreeSet<u64> = lock(&self.held).values().flatten().copied().collect();
        let started = Instant::now();
        loop {
            let listed = lock(administrator).listed()?;
            if listed.is_subset(&held) || started.elapsed() > SETTLE_LIMIT {
                return Ok(Some(listed.len()));
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Ends this thread's connection on the server.
    pub(super) fn kill(&self, connections: &Connections, alias: &str) -> Result<(), Failure> {
        let id = looked_up(connections, alias).and_then(|db| db.server_connection_id());
        let (Some(administrator), Some(id)) = (&self.administrator, id) else { return Err(Failure::MISSING) };
        lock(administrator).kill_and_wait(id).map_err(Failure::broken)
    }

    fn name(&self, serial: u64) -> String {
        let mut seen = lock(&self.seen);
        let known = seen.iter().position(|known| *known == serial);
        let number = known.unwrap_or_else(|| {
            seen.push(serial);
            seen.len() - 1
        });
        format!("c{}", number + 1)
    }
}

/// A connection that a step has looked up already: to look it up here would show in the trace.
fn looked_up(connections: &Connections, alias: &str) -> Option<Connection> {
    let is_there = connections.initialized().iter().any(|known| known == alias);
    is_there.then(|| connections.get(alias).ok()).flatten()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
