//! One statement: what runs while the link of a slot is locked, and what it says of the connection.

use std::time::{Duration, Instant};

use crate::backend::{Rest, Session};
use crate::error::{Error, Fact, Result};
use crate::seat::{Link, LinkGuard};
use crate::signals::CloseReason;
use crate::slot::Slot;

/// The slot, busy, with its link locked.
pub(crate) struct Turn<'a> {
    slot: &'a Slot,
    // Some, until the turn is dropped: it goes before the slot is free again.
    link: Option<LinkGuard<'a>>,
    /// A statement has begun and not come back: where the turn ends all the same, it panicked.
    unfinished: bool,
}

/// What a turn runs.
#[derive(Clone, Copy)]
pub(crate) enum Work<'sql> {
    Statement(&'sql str),
    Native,
    SetAutocommit(bool),
    Commit,
    Rollback,
}

impl<'sql> Work<'sql> {
    /// What the logs call it. Django does not log that autocommit is switched on.
    fn sql(self) -> Option<&'sql str> {
        match self {
            Self::Statement(sql) => Some(sql),
            Self::SetAutocommit(false) => Some("BEGIN"),
            Self::Commit => Some("COMMIT"),
            Self::Rollback => Some("ROLLBACK"),
            Self::SetAutocommit(true) | Self::Native => None,
        }
    }

    fn commits(self) -> bool {
        matches!(self, Self::Commit | Self::SetAutocommit(true))
    }

    fn ends_transaction(self) -> bool {
        self.commits() || matches!(self, Self::Rollback)
    }
}

impl<'a> Turn<'a> {
    /// The slot has been marked busy.
    pub(crate) fn new(slot: &'a Slot, link: LinkGuard<'a>) -> Self {
        Self { slot, link: Some(link), unfinished: false }
    }

    pub(crate) fn link(&mut self) -> Option<&mut Link> {
        self.link.as_mut()?.get()
    }

    pub(crate) fn take(&mut self) -> Option<Link> {
        self.link.as_mut()?.take()
    }

    pub(crate) fn put(&mut self, link: Link) {
        // What was asked while there was no connection is not asked of this one.
        self.slot.close_when_free.set(None);
        if let Some(guard) = &mut self.link {
            guard.put(link);
        }
    }

    /// Runs it on the link, which there is.
    pub(crate) fn run<R>(self, work: Work<'_>, call: impl FnOnce(&mut dyn Session) -> Result<R>) -> Result<R> {
        self.stream(work, |session| call(session).map(|value| (value, Rest::Ready)))
    }

    /// As [`run`](Turn::run); `call` says how it left the connection.
    pub(crate) fn stream<R>(
        mut self,
        work: Work<'_>,
        call: impl FnOnce(&mut dyn Session) -> Result<(R, Rest)>,
    ) -> Result<R> {
        let slot = self.slot;
        self.unfinished = true;
        let Some(link) = self.link.as_mut().and_then(LinkGuard::get) else { return Err(slot.shut_down()) };
        let settings = &link.config.settings;
        let (slow, keeps_time) = (settings.get_slow_statement(), link.keeps_time());
        let told = work.sql().filter(|_| slow.is_some() || slot.log().is_on() || is_query_log_enabled());
        let started = told.map(|sql| (sql, Instant::now()));
        let in_transaction = link.session.in_transaction();

        link.session.forget_cancel();
        slot.seat().set_running(true);
        let result = call(&mut *link.session);
        slot.seat().set_running(false);
        self.unfinished = false;
        slot.used.set(true);

        let ran = started.map(|(sql, started)| (sql, started.elapsed()));
        link.statements += 1;
        if keeps_time {
            link.last_used = Instant::now();
        }
        let result = result.map_err(|error| slot.judge(error, link, work, in_transaction));
        let unread = matches!(result, Ok((_, Rest::Spent))).then_some(CloseReason::Unread);
        let closing = slot.close_when_free.take().or(unread).map(|reason| (self.take(), reason));
        drop(self);

        // From here on nothing is locked: loggers and receivers are the program's code.
        if let Some((link, reason)) = closing {
            slot.retire(link, reason);
        }
        slot.close_after_shutdown();
        if let Some((sql, elapsed)) = ran {
            slot.tell(sql, elapsed, slow, result.as_ref().err());
        }
        result.map(|(value, _)| value)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.unfinished {
            self.slot.seat().set_running(false);
            self.slot.close_when_free.set(None);
            if let Some(link) = self.link() {
                let in_transaction = link.session.in_transaction();
                link.poison("a statement panicked", None, in_transaction);
            }
        }
        self.link = None;
        self.slot.busy.set(false);
    }
}

impl Slot {
    /// What an error of the session says of the connection, and of the transaction that was open before.
    fn judge(&self, mut error: Error, link: &mut Link, work: Work<'_>, in_transaction: bool) -> Error {
        if error.questions_the_connection() {
            self.flags.errors_occurred.set(true);
        }
        let gone = in_transaction && (error.is_disconnect() || !link.session.in_transaction());
        if gone && work.commits() && error.may_have_executed() {
            error = error.with_fact(Fact::CommitUnknown);
        } else if gone && !matches!(work, Work::Rollback) {
            error = error.with_fact(Fact::WorkLost);
        }
        if error.is_disconnect() {
            link.poison(error.message().to_owned(), error.code(), in_transaction && !work.ends_transaction());
        }
        error.with_alias(self.alias_arc())
    }

    /// Logs a statement that has run. Parameters are not logged: they may be secret.
    fn tell(&self, sql: &str, elapsed: Duration, slow: Option<Duration>, error: Option<&Error>) {
        if self.log().is_on() {
            self.log().record(sql, elapsed);
        }
        let alias = self.alias();
        if slow.is_some_and(|slow| elapsed >= slow) {
            log::warn!(target: QUERY_LOG, "alias {alias:?}: slow statement, {elapsed:.1?}: {sql}");
        } else if let Some(error) = error {
            // Its message may quote a parameter.
            let (kind, code) = (error.kind(), error.code().unwrap_or_default());
            log::debug!(target: QUERY_LOG, "alias {alias:?}: failed after {elapsed:.1?} ({kind:?} {code}): {sql}");
        } else {
            log::debug!(target: QUERY_LOG, "alias {alias:?}: {elapsed:.1?}: {sql}");
        }
    }
}

const QUERY_LOG: &str = "dockline::query";

fn is_query_log_enabled() -> bool {
    log::log_enabled!(target: QUERY_LOG, log::Level::Debug)
}
