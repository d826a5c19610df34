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
    /// A moment, by both clocks.
    #[cfg(test)]
    pub(crate) fn at(exact: Instant, coarse: u64) -> Self {
        Self { exact: Cell::new(Some(exact)), coarse: Cell::new(Some(coarse)) }
    }

    pub(crate) fn get(&self) -> Instant {
        if let Some(now) = self.exact.get() {
            return now;
        }
        // What is reckoned from both must not come too late, however long something takes between the two.
        self.coarse();
        let now = Instant::now();
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
