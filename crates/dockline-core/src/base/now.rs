//! The time, read once.

use std::cell::Cell;
use std::time::Instant;

use crate::base::process::coarse_nanos;

/// The time of a boundary: each clock is read once, and only if something asks.
#[derive(Default)]
pub(crate) struct Now {
    exact: Cell<Option<Instant>>,
    coarse: Cell<Option<u64>>,
}

impl Now {
    pub(crate) fn get(&self) -> Instant {
        let now = self.exact.get().unwrap_or_else(Instant::now);
        self.exact.set(Some(now));
        now
    }

    /// As [`coarse_nanos`].
    #[inline]
    pub(crate) fn coarse(&self) -> u64 {
        let now = self.coarse.get().unwrap_or_else(coarse_nanos);
        self.coarse.set(Some(now));
        now
    }
}
