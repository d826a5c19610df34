//! Room among the connections to one server that are on their way out.
//!
//! A server counts a connection until it has let go of it. So those that are closing are counted here too, and those that come and go
//! wait when there are many.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many connections may be on their way out before those that come and go wait for them.
const MANY: usize = 8;
/// For how long they wait at the most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections are closing.
#[derive(Default)]
pub(crate) struct Room {
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

impl Room {
    /// Counts a connection as closing, from now until the place is dropped.
    pub(crate) fn enter(self: &Arc<Self>, now: Instant) -> Place {
        self.lock().count += 1;
        Place { room: Arc::clone(self), since: now }
    }

    /// Whether a connection is closing, or the server let go of one less than [`SHORT`](crate::SHORT) ago.
    pub(crate) fn closed_lately(&self, now: Instant) -> bool {
        let closing = self.lock();
        closing.count > 0 || closing.last.is_some_and(|last| now.saturating_duration_since(last) < crate::SHORT)
    }

    /// Notes that a connection was given up.
    pub(crate) fn gave_up(&self, now: Instant) {
        self.lock().last = Some(now);
    }

    /// Waits while many are closing, up to the limit.
    pub(crate) fn wait(&self, limit: Duration) {
        let closing = self.lock();
        if closing.count < MANY || closing.is_stuck || limit.is_zero() {
            return;
        }
        let limit = limit.min(PATIENCE);
        let waited = self.closed.wait_timeout_while(closing, limit, |closing| closing.count >= MANY);
        let (mut closing, result) = waited.unwrap_or_else(PoisonError::into_inner);
        closing.is_stuck |= result.timed_out() && limit == PATIENCE;
    }

    /// Nothing here is left half-done by a panic.
    fn lock(&self) -> MutexGuard<'_, Closing> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is closing, while this lives.
pub(crate) struct Place {
    room: Arc<Room>,
    since: Instant,
}

impl Place {
    /// Whether it has been closing for [`SHORT`](crate::SHORT).
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= crate::SHORT
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut closing = self.room.lock();
        closing.count -= 1;
        closing.last = Some(Instant::now());
        closing.is_stuck = false;
        drop(closing);
        self.room.closed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANOSECOND: Duration = Duration::from_nanos(1);

    #[test]
    fn a_server_that_lets_go_of_nothing_is_waited_for_once() {
        let room = Arc::new(Room::default());
        let places: Vec<Place> = (0..MANY).map(|_| room.enter(Instant::now())).collect();
        // One that may not wait does not find out.
        room.wait(Duration::ZERO);
        assert!(!room.lock().is_stuck);
        room.wait(PATIENCE);
        assert!(room.lock().is_stuck);
        drop(places);
        assert!(!room.lock().is_stuck);
    }

    #[test]
    fn a_connection_is_closing_until_its_place_is_dropped_and_lately_for_a_while_after() {
        let (room, now) = (Arc::new(Room::default()), Instant::now());
        assert!(!room.closed_lately(now));
        let place = room.enter(now);
        assert!(room.closed_lately(now + crate::SHORT * 2));
        assert!(!place.is_overdue(now + crate::SHORT - NANOSECOND) && place.is_overdue(now + crate::SHORT));
        drop(place);
        room.gave_up(now);
        assert!(room.closed_lately(now + crate::SHORT - NANOSECOND) && !room.closed_lately(now + crate::SHORT));
    }
}
