//! A clock that is cheap to ask, and coarse.

use std::time::Duration;

use dockline_process::coarse_nanos;

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

fn since_start() -> Duration {
    Duration::from_nanos(coarse_nanos())
}
