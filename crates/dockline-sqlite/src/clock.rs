//! A clock that is cheap to ask, and coarse.

use std::time::Duration;

/// How long a look at the file is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A moment, to some milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Coarse(Duration);

impl Coarse {
    pub(crate) fn now() -> Self {
        Self(since_start())
    }

    /// Whether it was so long ago that it says nothing any more.
    pub(crate) fn is_past(self) -> bool {
        since_start().saturating_sub(self.0) >= GOOD_FOR
    }
}

#[cfg(target_os = "linux")]
fn since_start() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
fn since_start() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
