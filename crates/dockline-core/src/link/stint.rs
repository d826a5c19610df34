//! How long a thread may go on with a connection at the cap.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::base::moment::stamp;

/// For so long, in nanoseconds, a thread that was given a connection may go on with it, request after request, although others wait:
/// if each turn were one request, each request would cost a switch to another thread.
const LENGTH: u64 = 500_000;
/// A thread that does nothing for so long, in nanoseconds, between two requests of its stint lets others have the connection.
const BREAK: u64 = 200_000;

/// When the stint of a connection's owner ends. Whoever puts the connection there writes it.
#[derive(Default)]
pub(crate) struct Stint {
    ends: AtomicU64,
}

impl Stint {
    /// The owner has been given the connection.
    pub(crate) fn begin(&self) {
        self.ends.store(stamp(Instant::now()).saturating_add(LENGTH), Ordering::Relaxed);
    }

    /// The owner needs the connection no more.
    pub(crate) fn end(&self) {
        self.ends.store(0, Ordering::Relaxed);
    }

    /// Whether the owner may go on although others wait. `now`: a stamp.
    pub(crate) fn is_on(&self, now: u64) -> bool {
        now < self.ends.load(Ordering::Relaxed)
    }

    /// Returns until when the connection is kept for an owner who has parked it then, both as stamps.
    pub(crate) fn kept_until(&self, parked_since: u64) -> u64 {
        self.ends.load(Ordering::Relaxed).min(parked_since.saturating_add(BREAK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parked_is_kept_for_a_short_break_and_no_longer_than_the_stint() {
        let stint = Stint::default();
        assert!(!stint.is_on(1), "nobody has been given anything");
        assert_eq!(stint.kept_until(7), 0);
        stint.begin();
        let now = stamp(Instant::now());
        let ends = stint.ends.load(Ordering::Relaxed);
        assert!(ends <= now + LENGTH && !stint.is_on(ends) && stint.is_on(ends - 1));
        assert_eq!(stint.kept_until(ends - LENGTH), ends - LENGTH + BREAK);
        assert_eq!(stint.kept_until(ends - 1), ends);
        stint.end();
        assert_eq!((stint.is_on(now), stint.kept_until(now)), (false, 0));
    }
}
