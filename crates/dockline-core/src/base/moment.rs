//! Moments that fit into an atomic.

use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

static ORIGIN: OnceBox<Instant> = OnceBox::new();

/// Returns a moment as nanoseconds since this process first asked, counted from 1: 0 is free for "never".
#[inline]
pub(crate) fn stamp(now: Instant) -> u64 {
    let origin = ORIGIN.get_or_init(|| Box::new(now));
    let since = now.saturating_duration_since(*origin);
    since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(since.subsec_nanos())).saturating_add(1)
}

/// Returns how long ago a stamp was; `None` for 0.
pub(crate) fn elapsed(at: u64, now: Instant) -> Option<Duration> {
    (at != 0).then(|| Duration::from_nanos(stamp(now).saturating_sub(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_a_moment_again() {
        let now = Instant::now();
        let at = stamp(now);
        assert!(at > 0);
        assert_eq!(elapsed(at, now + Duration::from_millis(1_500)), Some(Duration::from_millis(1_500)));
        assert_eq!(elapsed(0, now), None);
        // The clock of another thread may have been read a moment before.
        assert_eq!(elapsed(at + 5, now), Some(Duration::ZERO));
    }
}
