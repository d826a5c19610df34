//! The time, read once.

use std::cell::Cell;
use std::time::Instant;

/// The time of a boundary: the clock is read once, and only where something asks.
#[derive(Default)]
pub(crate) struct Now(Cell<Option<Instant>>);

impl Now {
    pub(crate) fn get(&self) -> Instant {
        let now = self.0.get().unwrap_or_else(Instant::now);
        self.0.set(Some(now));
        now
    }
}
