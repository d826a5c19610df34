//! Whether a round comes when it should.

use std::time::{Duration, Instant, SystemTime};

/// So much later than planned is no more than a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// The moment of the last round, on the clock that stands still while a machine is suspended, and on the one that can be set.
pub(super) struct Clock {
    steady: Instant,
    wall: SystemTime,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// Ends a round that was to take that long. Returns how late it is, if that is much, by whichever clock.
    pub(super) fn lap(&mut self, planned: Duration) -> Option<Duration> {
        self.lap_at(planned, Instant::now(), SystemTime::now())
    }

    fn lap_at(&mut self, planned: Duration, steady: Instant, wall: SystemTime) -> Option<Duration> {
        let by_steady = steady.saturating_duration_since(self.steady);
        // One that was set back says nothing of how long it took.
        let by_wall = wall.duration_since(self.wall).unwrap_or_default();
        (self.steady, self.wall) = (steady, wall);
        let late = by_steady.max(by_wall).saturating_sub(planned);
        (late > SLACK).then_some(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_jump_of_either_clock_is_seen_once() {
        let mut clock = Clock::new();
        let (steady, wall) = (clock.steady, clock.wall);
        assert_eq!(clock.lap_at(SECOND, steady + SECOND * 2, wall + SECOND * 2), None, "a busy machine");
        let (steady, wall) = (clock.steady, clock.wall);
        let late = clock.lap_at(SECOND, steady + SECOND, wall + SECOND * 3601);
        assert_eq!(late, Some(SECOND * 3600), "the machine was suspended");
        let (steady, wall) = (clock.steady, clock.wall);
        assert_eq!(clock.lap_at(SECOND, steady + SECOND, wall + SECOND), None, "and goes on");
        let (steady, wall) = (clock.steady, clock.wall);
        assert_eq!(clock.lap_at(SECOND, steady + SECOND, wall - SECOND * 3600), None, "the clock was set back");
        let (steady, wall) = (clock.steady, clock.wall);
        assert_eq!(clock.lap_at(SECOND, steady + SECOND * 61, wall + SECOND), Some(SECOND * 60), "a starved thread");
    }
}
