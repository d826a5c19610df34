//! How long a thread has had a connection without a break, and what it does with it: for leak detection.
//!
//! It is kept only for an alias that has a `leak_threshold`, and while somebody listens to events. The owner locks it for a moment at a
//! statement; nobody else keeps it locked for longer than a glance.

use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So much of a statement is kept, in bytes.
const LONGEST: usize = 200;

/// The hold of a seat's connection: from the first statement of a request, a task, a block, a hold or a transaction to its end.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    held: Option<Held>,
    /// The beginning of the last statement.
    statement: String,
}

/// A hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) since: Instant,
    /// Where in the program it began.
    pub(crate) place: &'static Location<'static>,
    pub(crate) is_reported: bool,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner runs a statement.
    pub(crate) fn runs(&self, sql: &str) {
        let mut watched = self.lock();
        watched.statement.clear();
        let end = (0..=sql.len().min(LONGEST)).rev().find(|end| sql.is_char_boundary(*end)).unwrap_or(0);
        watched.statement.push_str(&sql[..end]);
        if end < sql.len() {
            watched.statement.push('…');
        }
    }

    /// The owner holds the connection from now on, if it did not before. The clock is read only then.
    pub(crate) fn begin(&self, place: &'static Location<'static>) {
        let mut watched = self.lock();
        watched.held.get_or_insert_with(|| Held { since: Instant::now(), place, is_reported: false });
    }

    /// The owner holds it no more. Returns what there was.
    pub(crate) fn end(&self) -> Option<Held> {
        self.lock().held.take()
    }

    /// Returns the hold, and the beginning of the last statement, on one line.
    pub(crate) fn look(&self) -> (Option<Held>, Option<String>) {
        let watched = self.lock();
        let statement = watched.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        (watched.held, Some(statement).filter(|statement| !statement.is_empty()))
    }

    /// Returns how long the hold has lasted if that is longer than `threshold`, once a hold.
    pub(crate) fn report(&self, now: Instant, threshold: Duration) -> Option<(Duration, &'static Location<'static>)> {
        let mut watched = self.lock();
        let held = watched.held.as_mut().filter(|held| !held.is_reported)?;
        let elapsed = now.saturating_duration_since(held.since);
        held.is_reported = elapsed > threshold;
        held.is_reported.then_some((elapsed, held.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_reported_once_and_begins_once() {
        let watch = Watch::default();
        assert!(watch.end().is_none());
        let place = Location::caller();
        watch.begin(place);
        watch.begin(Location::caller());
        let (held, _) = watch.look();
        let since = held.unwrap().since;
        let threshold = Duration::from_secs(60);
        assert_eq!(watch.report(since + threshold, threshold), None);
        let later = threshold + Duration::from_secs(1);
        assert_eq!(watch.report(since + later, threshold), Some((later, place)));
        assert_eq!(watch.report(since + later * 2, threshold), None, "once");
        assert!(watch.end().unwrap().is_reported);
        watch.begin(place);
        assert!(!watch.end().unwrap().is_reported, "another hold");
    }

    #[test]
    fn the_beginning_of_a_statement_is_kept_on_one_line() {
        let watch = Watch::default();
        assert_eq!(watch.look().1, None);
        watch.runs("SELECT 1\n  FROM t");
        assert_eq!(watch.look().1.unwrap(), "SELECT 1 FROM t");
        watch.runs(&format!("a{}", "é".repeat(LONGEST)));
        assert_eq!(watch.look().1.unwrap(), format!("a{}…", "é".repeat(99)));
    }
}
