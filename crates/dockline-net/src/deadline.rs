//! One time limit for all that connecting takes.

use std::io;
use std::time::{Duration, Instant};

/// When connecting has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    limit: Duration,
    at: Option<Instant>,
    setting: &'static str,
    is_under_cap: bool,
}

impl Deadline {
    /// That long from now.
    pub fn after(limit: Duration) -> Self {
        // One beyond what the clock can tell is never reached.
        Self { limit, at: Instant::now().checked_add(limit), setting: "connect_timeout", is_under_cap: false }
    }

    /// This one, or that moment if it comes first: that of `acquire_timeout`, for who connects under a cap on connections.
    #[must_use]
    pub fn under_cap(self, at: Instant) -> Self {
        if self.at.is_some_and(|own| own <= at) {
            return Self { is_under_cap: true, ..self };
        }
        let left = at.saturating_duration_since(Instant::now());
        // In a message, more than milliseconds say nothing.
        Self {
            limit: Duration::from_millis(left.as_micros().div_ceil(1000).try_into().unwrap_or(u64::MAX)),
            at: Some(at),
            setting: "acquire_timeout",
            is_under_cap: true,
        }
    }

    /// Whether the core waits for a place if the server has none.
    pub(crate) fn is_under_cap(&self) -> bool {
        self.is_under_cap
    }

    /// The name of the setting that it comes from, for error messages.
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// The limit, for error messages.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The moment; `None` if it is beyond what the clock can tell.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// What is left, if anything is.
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.at.map_or(self.limit, |at| at.saturating_duration_since(Instant::now()));
        // Sockets count in milliseconds or finer, and take zero for no limit at all.
        (left >= Duration::from_millis(1)).then_some(left)
    }

    /// What is left, or the error that nothing is.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn left(&self) -> io::Result<Duration> {
        self.remaining().ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// The share of what is left for one of so many attempts, so that a silent address does not use up the time of those
    /// behind it. A last attempt has all of it.
    pub fn share(&self, attempts: usize) -> Option<Duration> {
        let left = self.remaining()?;
        let parts = u32::try_from(attempts.max(1)).unwrap_or(u32::MAX);
        Some((left / parts).max(Duration::from_millis(1)))
    }

    /// The deadline of one that may take that long, and not longer than this one.
    #[must_use]
    pub fn sooner(&self, limit: Duration) -> Self {
        let sooner = Self { setting: self.setting, is_under_cap: self.is_under_cap, ..Self::after(limit) };
        match (self.at, sooner.at) {
            (Some(at), Some(other)) if at < other => *self,
            (Some(_), None) => *self,
            _ => sooner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_share_the_time() {
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(deadline.share(2).unwrap() <= Duration::from_secs(5));
        assert!(deadline.share(1).unwrap() > Duration::from_secs(5));
        assert!(deadline.share(0).is_some());
        assert!(Deadline::after(Duration::ZERO).remaining().is_none());
        assert_eq!(Deadline::after(Duration::ZERO).left().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(Deadline::after(Duration::MAX).remaining().is_some());
    }

    #[test]
    fn a_part_ends_with_the_whole() {
        let deadline = Deadline::after(Duration::from_secs(10));
        assert_eq!(deadline.sooner(Duration::from_secs(60)).at(), deadline.at());
        assert!(deadline.sooner(Duration::from_secs(1)).at() < deadline.at());
        assert!(Deadline::after(Duration::MAX).sooner(Duration::from_secs(1)).at().is_some());
        assert_eq!(deadline.sooner(Duration::MAX).at(), deadline.at());
    }
}
