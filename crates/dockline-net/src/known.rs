//! What connecting has lately shown of a host, so that one that is not there is not asked first by every thread.
//!
//! It changes the order of the hosts alone: each of them is tried before an error is given. Nothing here is a lock, for a process may
//! fork at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a host that was of no use is tried after the others (pgjdbc's `hostRecheckSeconds`).
pub(crate) const RECHECK: Duration = Duration::from_secs(10);

/// What is known of one host. Times count from any moment before the first.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// When it could not be reached.
    lost: Stamp,
    /// When it was of another role than the one that is asked for.
    unfit: Stamp,
}

/// Milliseconds, and one; zero for never.
#[derive(Debug, Default)]
struct Stamp(AtomicU64);

impl Stamp {
    /// Whether the host is due: there is no stamp, or it is old, and this caller is the one that renews it. The others do not wait for
    /// what that one finds out.
    fn is_due(&self, now: Duration) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        if seen == 0 {
            return true;
        }
        let is_old = seen.saturating_add(millis(RECHECK)) <= millis(now).saturating_add(1);
        is_old && self.0.compare_exchange(seen, stamp(now), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Returns whether it was set already.
    fn set(&self, now: Duration) -> bool {
        self.0.swap(stamp(now), Ordering::Relaxed) != 0
    }

    /// Returns whether it was set.
    fn clear(&self) -> bool {
        // Mostly there is nothing to write.
        self.0.load(Ordering::Relaxed) != 0 && self.0.swap(0, Ordering::Relaxed) != 0
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn stamp(now: Duration) -> u64 {
    millis(now).saturating_add(1)
}

impl Known {
    /// Whether it is worth asking before the others. `role_matters` if not every role will do.
    pub(crate) fn comes_first(&self, now: Duration, role_matters: bool) -> bool {
        self.lost.is_due(now) && (!role_matters || self.unfit.is_due(now))
    }

    /// It could not be reached. Returns whether that is new.
    pub(crate) fn lost(&self, now: Duration) -> bool {
        !self.lost.set(now)
    }

    /// It was reached, and is of another role.
    pub(crate) fn unfit(&self, now: Duration) {
        self.unfit.set(now);
    }

    /// It was reached. Returns whether it had been lost.
    pub(crate) fn reached(&self) -> bool {
        self.lost.clear()
    }

    /// It is of the role that was asked for.
    pub(crate) fn fits(&self) {
        self.unfit.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn a_host_that_was_lost_comes_last_for_a_while_and_then_one_caller_asks_it() {
        let host = Known::default();
        assert!(host.comes_first(START, true));
        assert!(host.lost(START), "it is news");
        assert!(!host.comes_first(START, false));
        assert!(!host.comes_first(RECHECK - Duration::from_millis(1), false));
        assert!(host.comes_first(RECHECK, false));
        assert!(!host.comes_first(RECHECK, false), "another caller does not wait for it");
        assert!(!host.lost(RECHECK), "that is no news");
        assert!(!host.comes_first(RECHECK * 2 - Duration::from_millis(1), false));
        assert!(host.comes_first(RECHECK * 2, false));
        assert!(host.reached());
        assert!(!host.reached());
        assert!(host.comes_first(RECHECK * 2, false) && host.comes_first(RECHECK * 2, false));
    }

    #[test]
    fn a_role_that_does_not_fit_counts_if_roles_matter() {
        let host = Known::default();
        host.unfit(START);
        assert!(!host.comes_first(START, true));
        assert!(host.comes_first(START, false));
        host.fits();
        assert!(host.comes_first(START, true));
    }
}
