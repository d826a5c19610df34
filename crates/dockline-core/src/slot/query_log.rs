//! The query log of a connection (Django's `connection.queries`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

/// A statement of the log. Parameters are not kept: they may be secret.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// db.force_query_log(true);
/// db.query("SELECT 1", ())?;
/// let slowest = db.queries().into_iter().max_by_key(|query| query.duration).expect("a statement");
/// assert_eq!(slowest.sql, "SELECT 1");
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedQuery {
    /// The statement, as the program gave it.
    pub sql: String,
    /// How long it took.
    pub duration: Duration,
}

/// Django's `queries_limit`.
const LIMIT: usize = 9_000;

#[derive(Default)]
pub(crate) struct QueryLog {
    forced: Cell<bool>,
    /// How many captures run: while there is one, the log is on and not emptied.
    captures: Cell<u32>,
    entries: RefCell<VecDeque<LoggedQuery>>,
    /// How many there have been in all.
    recorded: Cell<usize>,
}

impl QueryLog {
    pub(crate) fn is_on(&self) -> bool {
        self.forced.get() || self.captures.get() > 0
    }

    pub(crate) fn force(&self, on: bool) {
        self.forced.set(on);
    }

    /// The oldest entry goes where the log is full.
    pub(crate) fn record(&self, sql: &str, duration: Duration) {
        self.recorded.set(self.recorded.get().wrapping_add(1));
        let mut entries = self.entries.borrow_mut();
        if entries.len() == LIMIT {
            entries.pop_front();
        }
        entries.push_back(LoggedQuery { sql: sql.to_owned(), duration });
    }

    pub(crate) fn entries(&self) -> Vec<LoggedQuery> {
        let entries: Vec<LoggedQuery> = self.entries.borrow().iter().cloned().collect();
        // Outside the borrow: the logger may run a statement that is logged here.
        if entries.len() == LIMIT {
            log::warn!(
                target: "dockline::query",
                "the query log is full: only the last {LIMIT} statements are kept; reset_queries empties it"
            );
        }
        entries
    }

    /// Begins to capture, and answers how many entries there have been.
    pub(crate) fn begin_capture(&self) -> usize {
        self.captures.set(self.captures.get() + 1);
        self.recorded.get()
    }

    /// Ends a capture that began after so many.
    pub(crate) fn end_capture(&self, from: usize) -> Vec<LoggedQuery> {
        self.captures.set(self.captures.get() - 1);
        let entries = self.entries.borrow();
        let captured = self.recorded.get().wrapping_sub(from).min(entries.len());
        entries.iter().skip(entries.len() - captured).cloned().collect()
    }

    pub(crate) fn reset(&self) {
        if self.captures.get() > 0 {
            return;
        }
        self.entries.borrow_mut().clear();
    }

    /// Whether there is nothing to empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_keeps_the_newest() {
        let log = QueryLog::default();
        for n in 0..=LIMIT {
            log.record(&n.to_string(), Duration::ZERO);
        }
        let entries = log.entries();
        assert_eq!((entries.len(), entries[0].sql.as_str()), (LIMIT, "1"));
        log.reset();
        assert!(log.entries().is_empty());
    }
}
