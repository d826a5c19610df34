//! One host and port, as this process knows it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dockline_core::backend::PerProcess;

use crate::closing;
use crate::deadline::Deadline;
use crate::room::{PATIENCE, Room};
use crate::wire::Wire;

/// What all connections of this process to one host and port share, of whatever alias.
pub struct Server {
    name: String,
    demotions: AtomicU64,
    refusals: Mutex<Refusals>,
    room: Arc<Room>,
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

/// The pause after the first refusal; it doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Refusals {
    fn add(&mut self, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
    }

    /// How long to wait before the server is asked again: `fraction`, from 0 to 1, of the longest pause after so many, less what has
    /// passed.
    fn pause(&self, now: Instant, fraction: f64) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        let longest = FIRST_PAUSE.saturating_mul(1 << self.count.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        // What lies back longer than the longest pause says nothing any more.
        let passed = now.saturating_duration_since(last);
        if passed >= longest { Duration::ZERO } else { longest.mul_f64(fraction).saturating_sub(passed) }
    }
}

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
            room: Arc::default(),
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
        self.room.wait(deadline.remaining().unwrap_or_default());
        let pause = lock(&self.refusals)
            .pause(Instant::now(), fastrand::f64())
            .min(deadline.remaining().unwrap_or_default() / 2);
        if !pause.is_zero() {
            sleep(pause);
        }
    }

    /// The server refused a connection, or did not answer.
    pub fn refused(&self) {
        lock(&self.refusals).add(Instant::now());
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
        let place = socket.is_some().then(|| self.room.enter(Instant::now()));
        goodbye();
        if let (Some(socket), Some(place)) = (socket, place) {
            closing::watch(socket, place);
        }
        self.room.wait(patience(until));
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
        closing::run(socket, self.room.enter(Instant::now()), Box::new(goodbye));
        self.room.wait(patience(until));
    }

    /// Whether connections of ours are closing, or were a moment ago. A server that has closed a connection may still count it
    /// for some time: one that has none left is worth asking again then.
    pub fn closed_lately(&self) -> bool {
        self.room.closed_lately(Instant::now())
    }

    /// A connection was given up before it was one of a session: the server may count it for a moment.
    pub fn gave_up(&self) {
        self.room.gave_up(Instant::now());
    }
}

/// How long one that goes waits for others: until then, if somebody has said so.
fn patience(until: Option<Instant>) -> Duration {
    until.map_or(PATIENCE, |until| until.saturating_duration_since(Instant::now()))
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
    fn pauses_grow_with_refusals_up_to_the_longest() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        assert_eq!(refusals.pause(now, 1.0), Duration::ZERO);
        for longest in [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4] {
            refusals.add(now);
            assert_eq!(refusals.pause(now, 1.0), longest);
            assert_eq!(refusals.pause(now, 0.5), longest / 2);
            assert_eq!(refusals.pause(now, 0.0), Duration::ZERO);
        }
        for _ in 0..100 {
            refusals.add(now);
        }
        assert_eq!(refusals.pause(now, 1.0), LONGEST_PAUSE);
    }

    #[test]
    fn a_pause_is_over_when_it_has_passed() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        refusals.add(now);
        let nanosecond = Duration::from_nanos(1);
        assert_eq!(refusals.pause(now + FIRST_PAUSE - nanosecond, 1.0), nanosecond);
        assert_eq!(refusals.pause(now + FIRST_PAUSE, 1.0), Duration::ZERO);
    }

    #[test]
    fn the_first_success_ends_the_pauses() {
        let server = Server::named("refusing.example:1");
        server.refused();
        assert!(lock(&server.refusals).last.is_some());
        server.accepted();
        assert!(lock(&server.refusals).last.is_none());
    }
}
