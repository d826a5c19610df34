//! How old a connection is, and how long it has been unused.
//!
//! It reads no clock and draws no random number (but for [`Birth::now`]): moments and the fraction for the jitter are handed in.

use std::time::{Duration, Instant};

use crate::base::now::Now;
use crate::base::process::coarse_nanos;
use crate::config::settings::{Liveness, Settings};

/// The moments of a connection, and the limits that its settings gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    opened_at: Instant,
    /// Django's `close_at`: when it is too old, on the monotonic clock.
    close_at: Option<Instant>,
    /// Before this moment of the coarse clock it is not: see [`coarse_nanos`].
    young_until: u64,
    /// Kept up only if somebody asks for it: see [`are_kept`](Ages::are_kept).
    last_used: Instant,
    max_idle: Option<Duration>,
    /// The pause after which only a round trip can tell whether the server is there.
    asks_after: Option<Duration>,
}

/// By so much the coarse clock may lag at the most.
const COARSE_LAGS: Duration = Duration::from_millis(20);

/// What chance and the clock say when a connection is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    /// When opening began.
    pub(crate) began: Instant,
    /// When it was over.
    pub(crate) now: Instant,
    /// The same, on the coarse clock.
    pub(crate) coarse: u64,
    /// Which part of the jitter its age is cut by, from 0 to 1.
    pub(crate) fraction: f64,
}

impl Birth {
    /// Reads the clocks, and draws.
    pub(crate) fn now(began: Instant) -> Self {
        Self { began, now: Instant::now(), coarse: coarse_nanos(), fraction: fastrand::f64() }
    }

    /// A moment of the coarse clock that surely comes before another one of the exact clock.
    fn young_until(&self, close_at: Instant) -> u64 {
        after(self.coarse, close_at.saturating_duration_since(self.now))
    }
}

impl Ages {
    /// `can_probe` says whether the connection's socket can be looked at, so that nothing needs to be asked.
    pub(crate) fn new(settings: &Settings, can_probe: bool, birth: Birth) -> Self {
        let close_at = settings.get_conn_max_age().and_then(|age| {
            let jitter = birth.fraction * f64::from(settings.get_max_age_jitter()) / 100.0;
            let cut = Duration::try_from_secs_f64(age.as_secs_f64() * jitter).unwrap_or_default();
            // An age beyond what the clock can tell is never reached.
            birth.began.checked_add(age.saturating_sub(cut))
        });
        let asks = settings.get_liveness() != Liveness::Off && !can_probe;
        Self {
            opened_at: birth.began,
            close_at,
            young_until: close_at.map_or(u64::MAX, |close_at| birth.young_until(close_at)),
            last_used: birth.now,
            max_idle: settings.get_conn_max_idle(),
            asks_after: asks.then(|| settings.get_liveness_after()),
        }
    }

    /// Whether uses have to be noted: reading the clock costs as much as the rest of the bookkeeping.
    #[inline]
    pub(crate) fn are_kept(&self) -> bool {
        self.asks_after.is_some() || self.max_idle.is_some()
    }

    /// Whether time alone can make it due.
    pub(crate) fn can_expire(&self) -> bool {
        self.close_at.is_some() || self.max_idle.is_some()
    }

    pub(crate) fn has_idle_limit(&self) -> bool {
        self.max_idle.is_some()
    }

    /// Returns until when time alone cannot make it due, on the coarse clock; after that, or with 0, the exact one has to be asked.
    #[inline]
    pub(crate) fn calm_until(&self, now: &Now) -> u64 {
        let Some(limit) = self.max_idle else { return self.young_until };
        let left = limit.saturating_sub(self.pause(now.get()));
        self.young_until.min(after(now.coarse(), left))
    }

    /// Whether time cannot have made it due yet, told without the exact clock.
    #[inline]
    pub(crate) fn is_young(&self, now: &Now) -> bool {
        !self.has_idle_limit() && now.coarse() < self.young_until
    }

    /// It was used.
    pub(crate) fn used(&mut self, now: Instant) {
        self.last_used = now;
    }

    /// Whether it is older than `conn_max_age`, cut by its part of the jitter.
    pub(crate) fn is_too_old(&self, now: Instant) -> bool {
        self.close_at.is_some_and(|close_at| now >= close_at)
    }

    /// Whether it has been unused for `conn_max_idle`.
    pub(crate) fn is_idle_too_long(&self, now: Instant) -> bool {
        self.max_idle.is_some_and(|limit| self.pause(now) >= limit)
    }

    /// Whether it has been unused for so long that the server has to be asked whether it is there: `liveness_after`, if its socket cannot
    /// be looked at. The clock is read only then.
    pub(crate) fn has_to_ask(&self, now: impl FnOnce() -> Instant) -> bool {
        self.asks_after.is_some_and(|after| self.pause(now()) >= after)
    }

    /// When opening began.
    pub(crate) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// How long ago it was opened.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened_at)
    }

    fn pause(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_used)
    }
}

/// The moment of the coarse clock that is so much later, or a little before that: it may lag.
fn after(coarse: u64, left: Duration) -> u64 {
    let left = left.saturating_sub(COARSE_LAGS).as_nanos();
    coarse.saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANOSECOND: Duration = Duration::from_nanos(1);

    /// Opening began at `began`, and took a second.
    fn ages(settings: &Settings, can_probe: bool, fraction: f64) -> (Instant, Ages) {
        let began = Instant::now();
        let now = began + Duration::from_secs(1);
        (began, Ages::new(settings, can_probe, Birth { began, now, coarse: 1_000, fraction }))
    }

    #[test]
    fn too_old_begins_at_conn_max_age_minus_jitter() {
        let settings = Settings::new().conn_max_age(Some(Duration::from_secs(600))).max_age_jitter(10);
        for (fraction, seconds) in [(0.0, 600), (0.5, 570), (1.0, 540)] {
            let (began, ages) = ages(&settings, true, fraction);
            let limit = began + Duration::from_secs(seconds);
            assert!(!ages.is_too_old(limit - NANOSECOND), "fraction {fraction}");
            assert!(ages.is_too_old(limit), "fraction {fraction}");
        }
    }

    #[test]
    fn an_age_of_zero_is_too_old_at_once_and_none_never() {
        let (began, zero) = ages(&Settings::new().conn_max_age(Some(Duration::ZERO)), true, 1.0);
        assert!(zero.is_too_old(began));
        let far = Duration::from_secs(100 * 365 * 86_400);
        for age in [None, Some(Duration::MAX)] {
            let (began, never) = ages(&Settings::new().conn_max_age(age).max_age_jitter(0), true, 0.5);
            assert!(!never.is_too_old(began + far), "{age:?}");
            assert!(!never.can_expire(), "{age:?}");
        }
    }

    #[test]
    fn idle_too_long_begins_at_conn_max_idle_after_the_last_use() {
        let settings = Settings::new().conn_max_idle(Some(Duration::from_secs(30)));
        let (began, mut ages) = ages(&settings, true, 0.0);
        assert!(ages.are_kept() && ages.has_idle_limit());
        // What was opened was in use until it was open.
        let limit = began + Duration::from_secs(31);
        assert!(!ages.is_idle_too_long(limit - NANOSECOND) && ages.is_idle_too_long(limit));
        ages.used(limit);
        let next = limit + Duration::from_secs(30);
        assert!(!ages.is_idle_too_long(next - NANOSECOND) && ages.is_idle_too_long(next));
    }

    #[test]
    fn the_server_is_asked_from_liveness_after_on_if_the_socket_is_out_of_reach() {
        let settings = Settings::new().liveness_after(Duration::from_millis(250));
        let (began, mut asking) = ages(&settings, false, 0.0);
        assert!(asking.are_kept());
        asking.used(began);
        let limit = began + Duration::from_millis(250);
        assert!(!asking.has_to_ask(|| limit - NANOSECOND) && asking.has_to_ask(|| limit));
        for (settings, can_probe) in [(settings.clone(), true), (settings.liveness(Liveness::Off), false)] {
            let (_, silent) = ages(&settings, can_probe, 0.0);
            assert!(!silent.has_to_ask(|| unreachable!("the clock is not read")) && !silent.are_kept());
        }
    }

    #[test]
    fn it_is_calm_until_shortly_before_it_is_too_old() {
        let calm = |settings: &Settings| {
            let (began, ages) = ages(settings, true, 0.0);
            ages.calm_until(&Now::at(began + Duration::from_secs(3), 3_000))
        };
        let aged = |age| Settings::new().conn_max_age(Some(age));
        // Opening took a second, and what the clock may lag is not counted on.
        assert_eq!(calm(&aged(Duration::from_secs(11))), 1_000 + 9_980_000_000);
        for short in [Duration::ZERO, Duration::from_secs(1), Duration::from_millis(1_020)] {
            assert_eq!(calm(&aged(short)), 1_000, "{short:?}: it has begun already");
        }
        assert_eq!(calm(&Settings::new().conn_max_age(None)), u64::MAX);
        // Unused for two seconds of the thirty.
        let idle = |age| Settings::new().conn_max_age(age).conn_max_idle(Some(Duration::from_secs(30)));
        assert_eq!(calm(&idle(None)), 3_000 + 27_980_000_000);
        assert_eq!(calm(&idle(Some(Duration::from_secs(11)))), 1_000 + 9_980_000_000);
        let short = Settings::new().conn_max_age(None).conn_max_idle(Some(Duration::from_secs(2)));
        assert_eq!(calm(&short), 3_000, "it has begun already");
    }

    #[test]
    fn what_is_young_needs_no_exact_clock_and_what_may_be_idle_does() {
        let began = Instant::now();
        let (_, aged) = ages(&Settings::new().conn_max_age(Some(Duration::from_secs(11))), true, 0.0);
        let ends = aged.calm_until(&Now::at(began, 0));
        assert!(aged.is_young(&Now::at(began, ends - 1)) && !aged.is_young(&Now::at(began, ends)));
        let (_, idle) = ages(&Settings::new().conn_max_idle(Some(Duration::from_secs(11))), true, 0.0);
        assert!(!idle.is_young(&Now::at(began, 0)));
    }

    #[test]
    fn a_moment_before_the_opening_is_no_age() {
        let (began, ages) = ages(&Settings::new(), true, 0.0);
        assert_eq!(ages.age(began.checked_sub(NANOSECOND).unwrap_or(began)), Duration::ZERO);
        assert_eq!(ages.age(began + NANOSECOND), NANOSECOND);
    }
}
