//! One statement: what runs while the link of a slot is locked, and what it says of the connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Fact, Result, ending};
use crate::base::now::Now;
use crate::base::value::Value;
use crate::config::backend::{Backend, Outcome, Rest, Session, TransactionState};
use crate::link::seat::{Link, LinkGuard};
use crate::slot::Slot;
use crate::slot::reason::CloseReason;
use crate::slot::shown::shown;
use crate::slot::standing::Cause;
use crate::slot::work::Work;

/// The slot, busy, with its link locked.
pub(crate) struct Turn<'a> {
    slot: &'a Slot,
    // Some, until the turn is dropped: it goes before the slot is free again.
    link: Option<LinkGuard<'a>>,
    /// A statement has begun and not come back: where the turn ends all the same, it panicked.
    unfinished: bool,
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

    #[inline]
    pub(crate) fn is_parked(&self) -> bool {
        self.link.as_ref().is_some_and(LinkGuard::is_parked)
    }

    pub(crate) fn park(&mut self, since: u64) {
        if let Some(guard) = &mut self.link {
            guard.park(since);
        }
    }

    pub(crate) fn unpark(&mut self) {
        if let Some(guard) = &mut self.link {
            guard.unpark();
        }
    }

    pub(crate) fn put(&mut self, link: Link) {
        // What was asked while there was no connection is not asked of this one.
        self.slot.occupancy.forget_close();
        if let Some(guard) = &mut self.link {
            guard.put(link);
        }
    }

    /// Runs it on the link, which there is.
    pub(crate) fn run<R>(self, work: Work<'_>, call: impl FnOnce(&mut dyn Session) -> Result<R>) -> Result<R> {
        self.stream(work, |session| call(session).map(|value| (value, Rest::Drained)))
    }

    /// As [`run`](Turn::run); `call` says how it left the connection.
    fn stream<R>(mut self, work: Work<'_>, call: impl FnOnce(&mut dyn Session) -> Result<(R, Rest)>) -> Result<R> {
        let slot = self.slot;
        self.unfinished = true;
        let Some(link) = self.link.as_mut().and_then(LinkGuard::get) else { return Err(slot.shut_down()) };
        let settings = &link.config.settings;
        let (slow, keeps_time) = (settings.get_slow_statement(), link.ages.are_kept());
        let logged = work.sql().filter(|_| slow.is_some() || slot.log().is_on() || is_query_log_enabled());
        let is_heard = slot.is_heard();
        let started = (is_heard || logged.is_some()).then(Instant::now);
        let before = Before { transaction: link.session.outcome().transaction, block: link.in_block };

        let is_watched = is_heard || settings.get_leak_threshold().is_some();
        if is_watched {
            slot.watch(work.text());
        }
        link.session.forget_cancel();
        if link.permit.is_some()
            && let Some(sql) = work.sql()
        {
            slot.seat().usage().runs(sql);
        }
        slot.seat().set_running(true);
        let result = call(&mut *link.session);
        slot.seat().set_running(false);
        self.unfinished = false;
        slot.trace.note_use();
        slot.flags.count_statement();

        let elapsed = started.map(|started| started.elapsed());
        let ran = logged.zip(elapsed);
        link.statements += 1;
        let now = Now::default();
        if keeps_time {
            link.ages.used(now.get());
        }
        let outcome = link.session.outcome();
        let result = result.and_then(|(value, rest)| slot.refuse_loss(link, rest, before).map(|()| (value, rest)));
        let result = result.map_err(|error| slot.judge(error, link, work, before, outcome));
        slot.note_transaction(link, work, before, outcome, result.is_ok());
        if let Work::SetAutocommit(on) = work {
            slot.seat().vitals.set_changed(on != link.config.settings.get_autocommit());
        }
        slot.seat().vitals.ran(link.statements, link.in_block || outcome.transaction.may_be_open());
        let change =
            elapsed.filter(|_| is_heard).and_then(|elapsed| slot.note_news(link, work, before, &result, elapsed));
        let unread = matches!(result, Ok((_, Rest::Unread))).then_some(CloseReason::Unread);
        if slot.seat().was_forked_inside() {
            // It is the parent's, to judge and to close. What comes next leaves it alone.
            slot.occupancy.forget_close();
            return result.map(|(value, _)| value);
        }
        let closing = slot.occupancy.take_close().or(unread).map(|reason| (self.take(), reason));
        if let Some(link) = self.link().filter(|link| link.permit.is_none()) {
            slot.settle(link, &now);
        }
        drop(self);

        // From here on nothing is locked: loggers, receivers and listeners are the program's code.
        if is_heard {
            slot.tell_what_was_seen();
            change.into_iter().for_each(|change| slot.tell_change(change));
        }
        if is_watched {
            slot.note_hold();
        }
        if let Some((link, reason)) = closing {
            slot.transaction.closed(reason);
            slot.retire(link, reason);
        }
        if work.ends_transaction() {
            // Its hooks come first, and it closes after them. A logger that panics must not come between.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                if let Some((sql, elapsed)) = ran {
                    slot.log_statement(sql, elapsed, result.as_ref().err());
                }
            }));
            return result.map(|(value, _)| value);
        }
        slot.close_after_shutdown();
        if let Some((sql, elapsed)) = ran {
            slot.log_run(sql, work.params(), elapsed, result.as_ref().err());
        }
        result.map(|(value, _)| value)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.unfinished {
            self.slot.seat().set_running(false);
            self.slot.occupancy.forget_close();
            self.slot.flags.note_error();
            if let Some(link) = self.link() {
                let in_transaction = link.in_transaction();
                link.poison("a statement panicked", None, in_transaction);
            }
        }
        let is_parked = self.is_parked();
        self.link = None;
        self.slot.occupancy.end();
        if is_parked {
            self.slot.serve_waiters();
        }
    }
}

/// What was open before a statement.
#[derive(Clone, Copy)]
pub(super) struct Before {
    /// A transaction, by the database's word.
    transaction: TransactionState,
    /// The transaction of an atomic block, by ours.
    block: bool,
}

impl Before {
    pub(super) fn in_transaction(self) -> bool {
        self.block || self.transaction.may_be_open()
    }

    /// What was open can only be rolled back.
    pub(super) fn has_failed(self) -> bool {
        self.transaction == TransactionState::Failed
    }
}

/// Turns.
impl Slot {
    /// Runs something: makes sure that there is a connection that is fit for it, hands the session to `call`, and keeps
    /// the books. No code of the program runs while the link is locked, except what `call` itself calls.
    pub(crate) fn run<R>(
        self: &Rc<Self>,
        work: Work<'_>,
        call: impl FnOnce(&mut dyn Session) -> Result<R>,
    ) -> Result<R> {
        self.ready()?.run(work, call)
    }

    /// As [`run`](Slot::run), for what needs no connection where none is open.
    pub(crate) fn run_if_open(&self, work: Work<'_>, call: impl FnOnce(&mut dyn Session) -> Result<()>) -> Result<()> {
        let mut turn = self.turn()?;
        let Some(link) = turn.link() else {
            // Where one is held, there was something to end.
            return self.holds.refuse_another().map_err(|error| error.with_alias(self.alias_arc()));
        };
        if let Some(poison) = &mut link.poison {
            let error = poison.error();
            let lost_work = std::mem::take(&mut poison.in_transaction);
            // Who ends the transaction has been told that it is gone.
            link.in_block = false;
            drop(turn);
            if lost_work {
                self.transaction.hooks.clear();
            }
            self.flags.note_error();
            let error = error.with_alias(self.alias_arc());
            if let Some(sql) = work.sql() {
                self.log_statement(sql, Duration::ZERO, Some(&error));
            }
            return Err(error);
        }
        turn.run(work, call)
    }

    /// Locks the link. While the turn lives, the slot is busy: whoever comes back to it on this thread gets an error
    /// and no deadlock.
    pub(crate) fn turn(&self) -> Result<Turn<'_>> {
        self.notice_fork();
        self.begin_turn()?;
        Ok(Turn::new(self, self.seat().lock()))
    }

    /// As [`turn`](Slot::turn), for a boundary that mostly finds nothing to do: it does not ask for the process before it waits for
    /// the lock. Who then does something to the connection asks.
    pub(crate) fn boundary_turn(&self) -> Result<Turn<'_>> {
        self.begin_turn()?;
        if let Some(guard) = self.seat().try_lock() {
            return Ok(Turn::new(self, guard));
        }
        self.occupancy.end();
        self.turn()
    }

    /// Whether the thread is ending, or the registry has gone.
    #[inline]
    pub(super) fn has_ended_for_good(&self) -> bool {
        self.ended.get().is_some()
    }

    fn begin_turn(&self) -> Result<()> {
        match self.ended.get() {
            None => {}
            Some(CloseReason::ThreadExit) => return Err(ending(self.alias())),
            Some(_) => return Err(self.shut_down()),
        }
        self.flags.unsettle();
        if !self.occupancy.begin() {
            let message = "the connection is in the middle of a statement: a row callback, an iterator of parameters or \
                           a closure of native cannot use it";
            return Err(Error::new(ErrorKind::Programming, message).with_alias(self.alias_arc()));
        }
        Ok(())
    }
}

/// Statements of the program.
impl Slot {
    /// Runs a statement: through the wrappers, unless a marked block refuses it, on a connection that is fit for it.
    pub(crate) fn statement<R>(
        self: &Rc<Self>,
        sql: &str,
        params: &[Value],
        many: bool,
        call: impl FnOnce(&mut dyn Session, &str, &[Value]) -> Result<R>,
    ) -> Result<R> {
        self.stream(sql, params, many, |session, sql, params| {
            call(session, sql, params).map(|value| (value, Rest::Drained))
        })
    }

    /// As [`statement`](Slot::statement), for a result that may be left before its end.
    pub(crate) fn stream<R>(
        self: &Rc<Self>,
        sql: &str,
        params: &[Value],
        many: bool,
        call: impl FnOnce(&mut dyn Session, &str, &[Value]) -> Result<(R, Rest)>,
    ) -> Result<R> {
        if !self.wrappers.is_empty() {
            return self.stream_wrapped(sql, params, many, call);
        }
        if self.is_heard() {
            return self.tell_statement(sql, || self.stream_bare(sql, params, call));
        }
        self.stream_bare(sql, params, call)
    }

    /// Runs a statement that has no wrappers.
    #[inline]
    fn stream_bare<R>(
        self: &Rc<Self>,
        sql: &str,
        params: &[Value],
        call: impl FnOnce(&mut dyn Session, &str, &[Value]) -> Result<(R, Rest)>,
    ) -> Result<R> {
        if let Some(error) = self.refusal() {
            self.log_statement(sql, Duration::ZERO, Some(&error));
            return Err(error);
        }
        let turn = self.ready().inspect_err(|error| {
            if self.counts_as_failed_statement(error) {
                self.log_statement(sql, Duration::ZERO, Some(error));
            }
        })?;
        turn.stream(Work::Statement(sql, params), |session| call(session, sql, params))
    }

    #[cold]
    fn stream_wrapped<R>(
        self: &Rc<Self>,
        sql: &str,
        params: &[Value],
        many: bool,
        call: impl FnOnce(&mut dyn Session, &str, &[Value]) -> Result<(R, Rest)>,
    ) -> Result<R> {
        // As in Django, wrappers see what has a connection, and what is refused.
        if self.refusal().is_none() {
            match self.ready() {
                Err(error) if !self.counts_as_failed_statement(&error) => return Err(error),
                ready => drop(ready),
            }
        }
        let started = Instant::now();
        let (mut call, mut outcome) = (Some(call), None);
        let result = self.wrappers.call(sql, params, many, &mut |sql, params| {
            self.tell_statement(sql, || {
                if let Some(error) = self.refusal() {
                    return Err(error);
                }
                let turn = self.ready()?;
                if let Some(call) = call.take() {
                    outcome = Some(turn.stream(Work::Wrapped(sql), |session| call(session, sql, params))?);
                }
                Ok(())
            })
        });
        let result = match (result, outcome) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => {
                let message = "a wrapper answered for this statement with what another one gave";
                Err(Error::new(ErrorKind::Interface, message).with_alias(self.alias_arc()))
            }
            (Err(error), Some(_)) => Err(error.with_fact(Fact::MayHaveExecuted).with_alias(self.alias_arc())),
            (Err(error), None) => Err(error.with_alias(self.alias_arc())),
        };
        self.log_run(sql, params, started.elapsed(), result.as_ref().err());
        result
    }

    /// Whether the error is of a connection that was lost or closed before, and counts as one of a statement.
    #[cold]
    pub(crate) fn counts_as_failed_statement(&self, error: &Error) -> bool {
        let was_there = self.serial().is_some() || self.transaction.in_atomic_block();
        error.is_disconnect() && was_there && self.backend(Backend::notices_loss_by_sending)
    }

    /// A session left a result unread, so its connection is closed. That must lose nothing: a session that keeps to its
    /// contract drains the result instead. If something is lost all the same, the caller is told.
    fn refuse_loss(&self, link: &mut Link, rest: Rest, before: Before) -> Result<()> {
        if rest == Rest::Drained {
            return Ok(());
        }
        let state = link.session.state();
        if !before.in_transaction() && !self.holds.any() && state.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the result was left before its end, and the connection was closed with what it held: {}",
            if before.in_transaction() { "a transaction".to_owned() } else { state.to_string() }
        );
        Err(Error::new(ErrorKind::Operational, message).with_fact(Fact::Disconnect).with_fact(Fact::MayHaveExecuted))
    }

    /// What an error of the session says of the connection, and of the transaction that was open before.
    fn judge(&self, mut error: Error, link: &mut Link, work: Work<'_>, before: Before, after: Outcome) -> Error {
        if error.questions_the_connection() {
            self.flags.note_error();
        }
        let in_transaction = before.in_transaction();
        let ended_by_server = in_transaction
            && !error.is_disconnect()
            && after.rolled_back
            && after.transaction == TransactionState::None;
        let gone = ended_by_server || (in_transaction && error.is_disconnect());
        if gone {
            let cause = if ended_by_server { Cause::Database } else { Cause::Connection };
            self.transaction.lose_by(cause, &error);
        }
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

    /// Keeps the books of transactions, after something has run.
    fn note_transaction(&self, link: &mut Link, work: Work<'_>, before: Before, after: Outcome, ran: bool) {
        let in_transaction = after.transaction.may_be_open();
        match work {
            Work::Begin => link.in_block = ran && !link.session.begins_lazily(),
            Work::Commit | Work::Rollback => link.in_block &= !ran && in_transaction,
            _ if self.transaction.in_atomic_block() => {
                // The first statement of a block that begins lazily.
                link.in_block |= in_transaction;
                let may_have_committed = matches!(work, Work::Native) || after.committed;
                if may_have_committed || (before.transaction.may_be_open() && ran && !in_transaction) {
                    self.transaction.committed_inside.set(true);
                }
            }
            _ => {}
        }
        if in_transaction && !before.transaction.may_be_open() {
            self.trace.begun();
        }
    }

    /// Logs a statement of ours, or one that has not run.
    pub(crate) fn log_statement(&self, sql: &str, elapsed: Duration, error: Option<&Error>) {
        self.log_run(sql, &[], elapsed, error);
    }

    /// Logs a statement that has run. Parameters are not logged, for they may be secret, unless the program asks for those of slow
    /// statements.
    fn log_run(&self, sql: &str, params: &[Value], elapsed: Duration, error: Option<&Error>) {
        let slow = self.slow_statement();
        if !self.log().is_on() && slow.is_none() && !is_query_log_enabled() {
            return;
        }
        if self.log().is_on() {
            self.log().record(sql, elapsed);
            self.flags.touch();
        }
        let alias = self.alias();
        if slow.is_some_and(|slow| elapsed >= slow) {
            let asked = self.config.borrow().settings.get_slow_statement_params();
            let params = if asked { shown(params) } else { String::new() };
            log::warn!(target: QUERY_LOG, "alias {alias:?}: slow statement, {elapsed:.1?}: {sql}{params}");
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
