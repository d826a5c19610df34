//! One host and port, as this process knows it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dockline_core::backend::PerProcess;

use crate::closing;
use crate::deadline::Deadline;
use crate::wire::Wire;

/// What all connections of this process to one host and port share, of whatever alias.
pub struct Server {
    name: String,
    demotions: AtomicU64,
    refusals: Mutex<Refusals>,
    closing: Mutex<Closing>,
    closed: Condvar,
}

#[derive(Default)]
struct Closing {
    count: usize,
    /// When the server let go of one.
    last: Option<Instant>,
    /// Somebody has waited in vain since then: the server is silent, and the next one need not wait as well.
    is_stuck: bool,
}

/// How often a server has been demoted when a connection was opened: see [`Server::demoted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

#[derive(Default)]
struct Refusals {
    /// How many in a row.
    count: u32,
    last: Option<Instant>,
}

/// So many connections may be on their way out before those that come and go wait for them.
const MANY: usize = 8;
/// For how long they wait at the most.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause after the first refusal; it doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Server {
    /// The server of this name, as `db.example:5432` or the path of a socket: always the same one for the same name. It is
    /// kept when nobody has it, for that a server has refused is worth knowing just then.
    pub fn named(name: &str) -> Arc<Self> {
        static SERVERS: PerProcess<Mutex<HashMap<String, Arc<Server>>>> = PerProcess::new();
        let all = SERVERS.get();
        let mut servers = lock(&all.value);
        if let Some(server) = servers.get(name) {
            return Arc::clone(server);
        }
        let server = Arc::new(Self {
            name: name.to_owned(),
            demotions: AtomicU64::new(0),
            refusals: Mutex::default(),
            closing: Mutex::default(),
            closed: Condvar::new(),
        });
        servers.insert(name.to_owned(), Arc::clone(&server));
        server
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stamp for a connection that is opened now.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.demotions.load(Ordering::Relaxed))
    }

    /// Whether no demotion has been seen since a connection got its stamp.
    #[inline]
    pub fn is_current(&self, stamp: Stamp) -> bool {
        self.demotions.load(Ordering::Relaxed) == stamp.0
    }

    /// A connection found that the server takes no writes any more: every one that was opened before has to go. Of those
    /// that find it at once, one counts.
    pub fn demoted(&self, stamp: Stamp) {
        let next = stamp.0.wrapping_add(1);
        let first = self.demotions.compare_exchange(stamp.0, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first {
            log::warn!(
                target: "dockline::connection",
                "server {}: it takes no writes any more; all connections to it are opened anew", self.name
            );
        }
    }

    /// Waits as long as it is good for the server before a connection is opened: for those that are closing, and after
    /// refusals a part of a second, drawn anew by each thread, so that a thousand of them do not come all at once.
    pub fn await_turn(&self, deadline: Deadline) {
        self.wait_for_room(deadline.remaining().unwrap_or_default());
        let pause = self.pause_after_refusals().min(deadline.remaining().unwrap_or_default() / 2);
        if !pause.is_zero() {
            sleep(pause);
        }
    }

    fn pause_after_refusals(&self) -> Duration {
        let refusals = lock(&self.refusals);
        let Some(last) = refusals.last else { return Duration::ZERO };
        let longest = FIRST_PAUSE.saturating_mul(1 << refusals.count.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        // What lies back longer than the longest pause says nothing any more.
        let passed = last.elapsed();
        if passed >= longest {
            return Duration::ZERO;
        }
        longest.mul_f64(fastrand::f64()).saturating_sub(passed)
    }

    /// The server refused a connection, or did not answer.
    pub fn refused(&self) {
        let mut refusals = lock(&self.refusals);
        refusals.count = refusals.count.saturating_add(1);
        refusals.last = Some(Instant::now());
    }

    /// The server took a connection.
    pub fn accepted(&self) {
        let mut refusals = lock(&self.refusals);
        if refusals.count > 0 {
            *refusals = Refusals::default();
        }
    }

    /// Closes a connection without waiting for the server, which counts as open until the server has let go.
    ///
    /// `goodbye` lets the driver say goodbye and drop its connection; it must not wait. If many are closing already, this
    /// waits for some of them, up to a second, and not beyond `until`.
    pub fn let_go(self: &Arc<Self>, wire: Option<&Wire>, until: Option<Instant>, goodbye: impl FnOnce()) {
        let socket = wire.and_then(closing::Socket::of);
        let place = socket.is_some().then(|| self.enter_closing());
        goodbye();
        if let (Some(socket), Some(place)) = (socket, place) {
            closing::watch(socket, place);
        }
        self.wait_for_room(patience(until));
    }

    /// As [`let_go`](Server::let_go), with a `goodbye` that may wait for the server, or that a thread that is ending cannot
    /// run: another thread runs it.
    pub fn let_go_elsewhere(
        self: &Arc<Self>,
        wire: Option<&Wire>,
        until: Option<Instant>,
        goodbye: impl FnOnce() + Send + 'static,
    ) {
        let socket = wire.and_then(closing::Socket::of);
        closing::run(socket, self.enter_closing(), Box::new(goodbye));
        self.wait_for_room(patience(until));
    }

    /// Whether connections of ours are closing, or were a moment ago. A server that has closed a connection may still count it
    /// for some time: one that has none left is worth asking again then.
    pub fn closed_lately(&self) -> bool {
        let closing = lock(&self.closing);
        closing.count > 0 || closing.last.is_some_and(|last| last.elapsed() < crate::SHORT)
    }

    /// A connection was given up before it was one of a session: the server may count it for a moment.
    pub fn gave_up(&self) {
        lock(&self.closing).last = Some(Instant::now());
    }

    fn enter_closing(self: &Arc<Self>) -> Place {
        lock(&self.closing).count += 1;
        Place { server: Arc::clone(self), since: Instant::now() }
    }

    fn wait_for_room(&self, limit: Duration) {
        let closing = lock(&self.closing);
        if closing.count < MANY || closing.is_stuck || limit.is_zero() {
            return;
        }
        let limit = limit.min(PATIENCE);
        let waited = self.closed.wait_timeout_while(closing, limit, |closing| closing.count >= MANY);
        let (mut closing, result) = waited.unwrap_or_else(PoisonError::into_inner);
        closing.is_stuck |= result.timed_out() && limit == PATIENCE;
    }
}

/// How long one that goes waits for others: until then, if somebody has said so.
fn patience(until: Option<Instant>) -> Duration {
    until.map_or(PATIENCE, |until| until.saturating_duration_since(Instant::now()))
}

/// A connection that is closing, while this lives.
pub(crate) struct Place {
    server: Arc<Server>,
    since: Instant,
}

impl Place {
    pub(crate) fn is_overdue(&self) -> bool {
        self.since.elapsed() >= crate::SHORT
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut closing = lock(&self.server.closing);
        closing.count -= 1;
        closing.last = Some(Instant::now());
        closing.is_stuck = false;
        drop(closing);
        self.server.closed.notify_all();
    }
}

/// Nothing here is left half-done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_server() {
        let server = Server::named("a.example:1");
        assert!(Arc::ptr_eq(&server, &Server::named("a.example:1")));
        assert!(!Arc::ptr_eq(&server, &Server::named("a.example:2")));
    }

    #[test]
    fn many_who_see_a_demotion_are_one() {
        let server = Server::named("demoted.example:1");
        let before = server.stamp();
        assert!(server.is_current(before));
        server.demoted(before);
        server.demoted(before);
        assert!(!server.is_current(before));
        let after = server.stamp();
        server.demoted(before);
        assert!(server.is_current(after), "an old connection says nothing new");
    }

    #[test]
    fn a_server_that_lets_go_of_nothing_is_waited_for_once() {
        let server = Server::named("silent.example:1");
        let places: Vec<Place> = (0..MANY).map(|_| server.enter_closing()).collect();
        // One that may not wait does not find out.
        server.let_go(None, Some(Instant::now()), || ());
        assert!(!lock(&server.closing).is_stuck);
        server.let_go(None, None, || ());
        assert!(lock(&server.closing).is_stuck);
        drop(places);
        assert!(!lock(&server.closing).is_stuck);
    }

    #[test]
    fn pauses_grow_with_refusals_and_end_with_the_first_success() {
        let server = Server::named("refusing.example:1");
        assert_eq!(server.pause_after_refusals(), Duration::ZERO);
        for _ in 0..100 {
            server.refused();
        }
        let pauses: Vec<Duration> = (0..200).map(|_| server.pause_after_refusals()).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(pauses.iter().max() > pauses.iter().min(), "each draws its own");
        server.accepted();
        assert_eq!(server.pause_after_refusals(), Duration::ZERO);
    }
}
