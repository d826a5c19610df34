//! What the listeners of events are told of a slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::ending::is_ending;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::teller;
use crate::config::statement::{Outline, TransactionChange, XaStep};
use crate::link::seat::Link;
use crate::slot::Slot;
use crate::slot::events::{Event, Events, Failure, Source, TransactionOutcome};
use crate::slot::news::Ran;
use crate::slot::turn::Before;
use crate::slot::work::Work;

/// What a turn has found, to be told when nothing is locked any more.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Begun,
    Ended(TransactionOutcome),
}

/// How a transaction ended that was ended by a text, or by what a closure did with the driver's object.
fn ended_by(work: Work<'_>, link: &Link, had_failed: bool, ran: bool) -> TransactionOutcome {
    use TransactionChange::{Rollback, Xa};
    let outcome = link.session.outcome();
    if outcome.rolled_back {
        return TransactionOutcome::Lost;
    }
    let text = match work {
        Work::Statement(sql, _) | Work::Wrapped(sql) => sql,
        _ if outcome.committed => return TransactionOutcome::Committed,
        _ => return TransactionOutcome::Unknown,
    };
    let outline = Outline::of(text, link.session.dialect());
    match outline.transaction() {
        _ if had_failed || !ran => TransactionOutcome::RolledBack,
        Some(Rollback { .. } | Xa(XaStep::Rollback)) => TransactionOutcome::RolledBack,
        Some(TransactionChange::Prepare | TransactionChange::Unknown | Xa(XaStep::Prepare)) => {
            TransactionOutcome::Unknown
        }
        // A commit, or a statement that commits by itself.
        _ => TransactionOutcome::Committed,
    }
}

/// What an error says of a transaction that it ended.
fn lost(error: &Error) -> Option<TransactionOutcome> {
    if error.is_commit_unknown() {
        Some(TransactionOutcome::Unknown)
    } else if !error.is_work_lost() {
        None
    } else if error.kind() == ErrorKind::TransactionManagement {
        // The server answered the commit so.
        Some(TransactionOutcome::RolledBack)
    } else {
        Some(TransactionOutcome::Lost)
    }
}

impl Slot {
    /// Notes what has run, under the lock; returns what has become of the transaction.
    pub(super) fn note_news<R>(
        &self,
        link: &Link,
        work: Work<'_>,
        before: Before,
        result: &Result<R>,
        elapsed: Duration,
    ) -> Option<Change> {
        self.news.dialect.set(Some(link.session.dialect()));
        self.news.ran.set(Some(Ran { serial: link.serial, elapsed }));
        let is_told = self.news.transaction.get().is_some();
        let error = result.as_ref().err();
        if let Some(outcome) = error.and_then(lost).filter(|_| is_told) {
            return Some(Change::Ended(outcome));
        }
        let is_open = link.in_transaction();
        match work {
            Work::Begin => (!is_told && error.is_none()).then_some(Change::Begun),
            _ if !is_told => is_open.then_some(Change::Begun),
            Work::Rollback if error.is_none() || !is_open => Some(Change::Ended(TransactionOutcome::RolledBack)),
            Work::Commit | Work::SetAutocommit(true) if error.is_none() => {
                Some(Change::Ended(TransactionOutcome::Committed))
            }
            // Of one that begins with its first statement, nothing may be open yet.
            _ if before.in_transaction() && !is_open => {
                Some(Change::Ended(ended_by(work, link, before.has_failed(), error.is_none())))
            }
            _ => None,
        }
    }

    /// Whether somebody listens.
    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.hot.events.are_heard()
    }

    /// Has an event of this slot told, if somebody listens: `tell` makes it, and tells it. Nothing of the slot may be locked.
    #[inline]
    pub(crate) fn tell(&self, tell: impl FnOnce(&Events, Source<'_>)) {
        if self.is_heard() {
            self.tell_of_serial(self.serial(), tell);
        }
    }

    #[cold]
    pub(super) fn tell_of_serial(&self, serial: Option<u64>, tell: impl FnOnce(&Events, Source<'_>)) {
        if self.is_heard() && !is_ending() {
            let config = self.current_config();
            tell(&self.hot.events, Source::new(&config, serial, self.news.dialect.get()));
        }
    }

    /// Tells what was seen of the connection before a statement.
    pub(super) fn tell_what_was_seen(&self) {
        if let Some((serial, seen)) = self.news.seen.take() {
            self.tell_of_serial(Some(serial), |events, source| events.tell(&Event::Probed { source, seen }));
        }
    }

    /// Tells what has become of the transaction.
    #[cold]
    pub(super) fn tell_change(&self, change: Change) {
        match change {
            Change::Begun => {
                let Some(serial) = self.news.ran.get().map(|ran| ran.serial) else { return };
                self.news.transaction.set(Some((serial, Instant::now())));
                self.tell_of_serial(Some(serial), |events, source| events.tell(&Event::TransactionBegun { source }));
            }
            Change::Ended(outcome) => self.tell_transaction_ended(outcome),
        }
    }

    /// Tells that the transaction has ended, if its beginning was told: also on a thread that is ending.
    pub(super) fn tell_transaction_ended(&self, outcome: TransactionOutcome) {
        let Some((serial, began)) = self.news.transaction.take() else { return };
        let elapsed = began.elapsed();
        let (hot, config, dialect) = (Arc::clone(&self.hot), self.current_config(), self.news.dialect.get());
        let tell = move || {
            let source = Source::new(&config, Some(serial), dialect);
            hot.events.tell(&Event::TransactionEnded { source, outcome, elapsed });
        };
        if is_ending() { teller::tell(tell) } else { tell() }
    }

    /// Runs a statement, and tells of its beginning and its end if somebody listens.
    pub(super) fn tell_statement<R>(&self, sql: &str, run: impl FnOnce() -> Result<R>) -> Result<R> {
        if !self.is_heard() {
            return run();
        }
        let running = Running::begin(self, sql);
        let result = run();
        running.end(result.as_ref().err());
        result
    }
}

/// A statement of which the beginning was told. Its end is told when this is dropped, also by a panic.
struct Running<'a> {
    slot: &'a Slot,
    sql: &'a str,
    is_done: bool,
}

impl<'a> Running<'a> {
    fn begin(slot: &'a Slot, sql: &'a str) -> Self {
        slot.news.ran.set(None);
        slot.news.rows.set(None);
        slot.tell(|events, source| events.tell(&Event::StatementBegun { source, sql }));
        Self { slot, sql, is_done: false }
    }

    fn end(mut self, error: Option<&Error>) {
        self.is_done = true;
        self.tell(error);
    }

    fn tell(&self, error: Option<&Error>) {
        let (slot, sql) = (self.slot, self.sql);
        slot.tell_what_was_seen();
        // What the child has of it is the parent's.
        if slot.was_forked() || slot.seat().was_forked_inside() {
            return slot.news.forget();
        }
        let ran = slot.news.ran.take();
        let rows = slot.news.rows.take().filter(|_| error.is_none());
        let serial = ran.map(|ran| ran.serial).or(slot.serial());
        let elapsed = ran.map(|ran| ran.elapsed).unwrap_or_default();
        slot.tell_of_serial(serial, |events, source| {
            events.tell(&Event::StatementDone { source, sql, rows, elapsed, failure: error.map(Failure::new) });
        });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.tell(Some(&Error::new(ErrorKind::Interface, "the statement panicked")));
        }
    }
}
