//! Moments that fit into an atomic.

use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

use crate::base::process::coarse_nanos;

static ORIGIN: OnceBox<Origin> = OnceBox::new();

/// When this process first asked, on both clocks.
struct Origin {
    exact: Instant,
    coarse: u64,
}

fn origin(now: impl FnOnce() -> Instant) -> &'static Origin {
    // Stamps of the two differ by some milliseconds at the most.
    ORIGIN.get_or_init(|| Box::new(Origin { exact: now(), coarse: coarse_nanos() }))
}

/// Returns a moment as nanoseconds since this process first asked, counted from 1: 0 is free for "never".
#[inline]
pub(crate) fn stamp(now: Instant) -> u64 {
    let since = now.saturating_duration_since(origin(|| now).exact);
    since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(since.subsec_nanos())).saturating_add(1)
}

/// Returns this moment as a stamp, by the coarse clock.
#[inline]
pub(crate) fn coarse_stamp() -> u64 {
    stamp_of_coarse(coarse_nanos())
}

/// Returns the stamp of a moment of the coarse clock.
#[inline]
pub(crate) fn stamp_of_coarse(coarse: u64) -> u64 {
    coarse.saturating_sub(origin(Instant::now).coarse).saturating_add(1)
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
