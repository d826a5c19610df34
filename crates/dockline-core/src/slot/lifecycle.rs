//! When a connection is checked, replaced and closed.
//!
//! Two moments. Before a statement, [`Slot::ready`] makes sure that there is a connection that is fit for it. At a
//! boundary (`close_old_connections`, the ends of requests and tasks), [`Slot::close_if_unusable_or_obsolete`] closes
//! what is due; it is Django's method of that name.

use std::rc::Rc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::logging::say;
use crate::base::now::Now;
use crate::config::backend::{Backend, Health, SessionState};
use crate::config::settings::Liveness;
use crate::link::seat::Link;
use crate::slot::Slot;
use crate::slot::connect::Opening;
use crate::slot::events::{Seen, TransactionOutcome};
use crate::slot::reason::{CloseReason, LeftOpen};
use crate::slot::standing::Cause;
use crate::slot::turn::Turn;

/// Receivers of `connection_created` and `connection_closed` may close and open what they are told of; not for ever.
const ATTEMPTS: usize = 6;

impl Slot {
    /// A turn on a connection that is open, and fit for a statement as far as can be told.
    pub(crate) fn ready(self: &Rc<Self>) -> Result<Turn<'_>> {
        self.refuse_other_task_in_block()?;
        let mut opened = false;
        let mut opening = Opening::Fresh;
        let mut kept = None;
        for attempt in 0..ATTEMPTS {
            let mut turn = self.turn()?;
            if !self.take_back(&mut turn, attempt > 0) {
                continue;
            }
            let Some(link) = turn.link() else {
                drop(turn);
                let in_block = self.transaction.in_atomic_block();
                if in_block && opening != Opening::ReplacementInBlock {
                    return Err(if self.is_shut_down() { self.shut_down() } else { self.closed_in_block() });
                }
                self.connect(opening, kept.take()).inspect_err(|_| self.transaction.closed(CloseReason::Unusable))?;
                opened = true;
                continue;
            };
            // Where it was opened a moment ago, there is nothing to check.
            if opened && link.poison.is_none() {
                return Ok(turn);
            }
            let Some(reason) = self.examine(link, &Now::default())? else { return Ok(turn) };
            // What replaces it is to behave alike.
            opening = if self.transaction.in_atomic_block() {
                Opening::ReplacementInBlock
            } else {
                Opening::Replacement { autocommit: self.flags.autocommit() }
            };
            let mut link = turn.take();
            drop(turn);
            // What replaces it counts in its place.
            kept = link.as_mut().and_then(|link| link.permit.take());
            self.retire(link, reason);
        }
        Err(self.reopened_for_ever())
    }

    /// Why the connection has to be replaced before a statement; `None` where it is fit.
    fn examine(&self, link: &mut Link, now: &Now) -> Result<Option<CloseReason>> {
        if self.transaction.has_left.take() {
            link.in_block = false;
        }
        let held = self.holds.any();
        if let Some(poison) = &link.poison {
            let replaces = link.config.settings.get_liveness() != Liveness::Off;
            return if replaces && !held && !poison.lost_something() {
                Ok(Some(CloseReason::Unusable))
            } else {
                self.flags.note_error();
                Err(poison.error().with_alias(self.alias_arc()))
            };
        }
        // Inside a transaction nothing is replaced, and so nothing needs to be asked.
        if link.in_transaction() {
            self.refuse_other_task_in_transaction()?;
            return Ok(None);
        }
        // Connecting then says that nothing is opened any more.
        if self.is_shut_down() {
            return Ok(Some(CloseReason::Shutdown));
        }
        if let Some(error) = self.looks_dead(link, now) {
            // Without a transaction, only state can be lost with it. Django's health check does not ask for that.
            let is_missed = link.config.settings.get_liveness() != Liveness::Off && !link.session.state().is_empty();
            if held || is_missed {
                link.poison(error.message().to_owned(), error.code(), false);
                return self.examine(link, now);
            }
            say!(debug, "alias {:?}: connection {} is gone, and replaced: {error}", self.alias(), link.serial);
            return Ok(Some(CloseReason::Unusable));
        }
        if link.ages.has_idle_limit()
            && !held
            && link.ages.is_idle_too_long(now.get())
            && link.session.state().is_empty()
        {
            return Ok(Some(CloseReason::MaxIdle));
        }
        Ok(None)
    }

    /// What the socket says, without a round trip; or the server, where the socket cannot say it, and once a request where
    /// the settings ask for that. `None`: nothing speaks against the connection.
    fn looks_dead(&self, link: &mut Link, now: &Now) -> Option<Error> {
        let (seen, error) = self.look(link, now);
        match seen {
            None => {}
            Some(Seen::Alive) => self.seat().vitals.saw_alive(),
            Some(Seen::Answered) => self.seat().vitals.saw_answer(),
            Some(Seen::Gone) => self.seat().vitals.saw_gone(),
        }
        if let Some(seen) = seen.filter(|_| self.is_heard()) {
            self.news.saw(link.serial, seen);
        }
        error
    }

    fn look(&self, link: &mut Link, now: &Now) -> (Option<Seen>, Option<Error>) {
        let settings = &link.config.settings;
        let asks_once = settings.get_conn_health_checks() && self.flags.take_health_check();
        let mut asks = asks_once;
        let mut seen = None;
        if settings.get_liveness() != Liveness::Off {
            match link.session.probe() {
                Health::Alive => seen = Some(Seen::Alive),
                Health::Ask => asks = true,
                Health::Gone(error) => return (Some(Seen::Gone), Some(error)),
            }
            asks = asks || link.ages.has_to_ask(|| now.get());
        }
        if !asks {
            return (seen, None);
        }
        if link.is_usable() {
            return (Some(Seen::Answered), None);
        }
        (Some(Seen::Gone), Some(Error::new(ErrorKind::Operational, "the server does not answer")))
    }

    /// Closes the connection where it is due: its alias has other settings, autocommit was changed and not restored, an
    /// error has occurred and it does not answer, or it is too old or unused for too long (Django's
    /// `close_if_unusable_or_obsolete`). One that is in the middle of a statement is left alone; and inside a request or
    /// task, one whose end the code around would not notice.
    pub(crate) fn close_if_unusable_or_obsolete(&self, now: &Now, inside: bool) {
        if self.flags.is_calm(now) || self.is_busy() || self.serial().is_none() {
            return;
        }
        // Then the server may be asked. Else the look changes nothing, also where the connection is a parent's.
        if self.flags.errors_occurred() {
            self.notice_fork();
        }
        let Ok(mut turn) = self.boundary_turn() else { return };
        let Some(link) = turn.link() else { return };
        let Some(reason) = self.due(link, now) else {
            if link.permit.is_none() {
                self.settle(link, now);
            } else if !inside {
                self.park(turn, now);
            }
            return;
        };
        if self.was_forked() {
            drop(turn);
            return self.notice_fork();
        }
        if inside && self.would_be_missed(link) {
            return;
        }
        let in_transaction = link.in_transaction();
        let link = turn.take();
        drop(turn);
        let began_at = self.transaction.began_at().unwrap_or(self.trace.began_at());
        self.transaction.closed(reason);
        if in_transaction {
            let alias = self.alias();
            say!(
                warn,
                "alias {alias:?}: a transaction is open on a connection that is closed ({reason}); it is rolled back \
                 (it began at {began_at})"
            );
        }
        self.retire(link, reason);
    }

    /// Whether the next boundary need not look at the connection, by the owner's own word: nothing but its age can make it due, until
    /// something is done with it. What is said of it here is what [`due`](Slot::due) asks.
    #[inline]
    pub(super) fn settle(&self, link: &Link, now: &Now) {
        let settings = &link.config.settings;
        let is_settled = link.poison.is_none()
            && !self.holds.any()
            && !self.flags.errors_occurred()
            && self.flags.autocommit() == settings.get_autocommit()
            && !(settings.get_conn_health_checks() && self.flags.was_health_checked())
            && self.outdated(&link.config).is_none();
        if is_settled {
            self.flags.settle(link.ages.calm_until(now));
        }
    }

    /// Whether something other than time makes the connection due, whatever has been noted of it.
    #[cfg(test)]
    pub(crate) fn is_due_though_calm(&self) -> bool {
        let Some(mut guard) = self.seat().try_lock() else { return true };
        let Some(link) = guard.get() else { return false };
        let settings = &link.config.settings;
        link.poison.is_some()
            || self.flags.errors_occurred()
            || self.flags.autocommit() != settings.get_autocommit()
            || (settings.get_conn_health_checks() && self.flags.was_health_checked())
            || self.outdated(&link.config).is_some()
    }

    /// Whether the next boundary has something to look at here, other than the age of a connection that it will not reach.
    pub(crate) fn is_for_next_boundary(&self, now: &Now) -> bool {
        self.trace.is_used() || self.is_unsettled(now)
    }

    /// Whether a boundary has something to do here besides noting that something has run.
    #[inline]
    fn is_unsettled(&self, now: &Now) -> bool {
        // One that is being opened has none yet.
        self.is_busy()
            || (self.serial().is_some() && !self.flags.is_calm(now))
            || self.is_taken()
            || self.may_have_left_blocks()
            || self.transaction.in_atomic_block()
            || !self.log().is_empty()
            || self.is_removed()
    }

    /// The end of the outermost request or task, if it finds nothing to do here. If it does, that is left to the other steps of the end,
    /// and the answer is false.
    #[inline]
    pub(crate) fn ends_at_once(&self, now: &Now) -> bool {
        let ends = !self.seat().vitals.is_in_transaction() && !self.is_unsettled(now);
        if ends {
            self.take_used(true);
        }
        ends
    }

    /// Until when a connection that is open here cannot be due at a boundary.
    pub(crate) fn calm_until(&self) -> Option<u64> {
        self.serial().map(|_| self.flags.calm_until())
    }

    /// Whether a new connection in its place would be another one for who uses it.
    fn would_be_missed(&self, link: &mut Link) -> bool {
        match &link.poison {
            Some(poison) => poison.lost_something(),
            None => {
                link.in_transaction()
                    || self.flags.autocommit() != link.config.settings.get_autocommit()
                    || !link.session.state().is_empty()
            }
        }
    }

    fn due(&self, link: &mut Link, now: &Now) -> Option<CloseReason> {
        let settings = &link.config.settings;
        let held = self.holds.any();
        self.flags.renew_health_check();
        if !held {
            if let Some(reason) = self.outdated(&link.config) {
                return Some(reason);
            }
            if self.flags.autocommit() != settings.get_autocommit() {
                return Some(CloseReason::Autocommit);
            }
        }
        // Django asks only after an error, which each poison but that of `is_usable` comes with.
        if link.poison.is_some() && settings.get_liveness() != Liveness::Off {
            return Some(CloseReason::Unusable);
        }
        if self.flags.errors_occurred() {
            if self.answers(link) {
                self.flags.forget_errors();
                self.flags.take_health_check();
            } else if !held || link.poison.is_some() {
                return Some(CloseReason::Unusable);
            }
            // Else it is a failed transaction on a connection that is well, and held.
        }
        if !held && link.permit.as_ref().is_some_and(|permit| permit.cap().is_above()) {
            return Some(CloseReason::MadeRoom);
        }
        if held || !link.ages.can_expire() || link.ages.is_young(now) {
            return None;
        }
        CloseReason::by_age(&link.ages, now.get())
    }

    #[inline]
    fn may_have_left_blocks(&self) -> bool {
        self.transaction.innermost_begun_inside().is_some() || self.news.is_watched()
    }

    /// Returns whether something has run here since the last end of a request or task, or was asked last. `counts`: it was the work of a
    /// request or task.
    #[inline]
    fn take_used(&self, counts: bool) -> bool {
        let was_used = self.trace.take_used();
        if was_used && self.trace.is_reused(self.serial()) && counts {
            self.seat().vitals.reused();
        }
        was_used
    }

    /// Rolls back what a request or task left open: an atomic block that it began, or a BEGIN that was sent as text. The next
    /// request must not run inside it. A block that was begun before, as that of a test, is left alone. Where autocommit
    /// is off, Django keeps the transaction or closes the connection, and so does the boundary here. `is_told`: what has run since is
    /// the work of who was told of the end.
    pub(crate) fn roll_back_left_open(self: &Rc<Self>, left_open: LeftOpen, is_told: bool) {
        self.note_return();
        while let Some(began_at) = self.transaction.innermost_begun_inside() {
            let alias = self.alias();
            say!(
                warn,
                "alias {alias:?}: an atomic block was left open at the end of a request or task; it is rolled back \
                 (it began at {began_at})"
            );
            self.leave_and_log();
        }
        // A block that is still there is around the request or task.
        let by_hand = left_open == LeftOpen::All && !self.transaction.in_atomic_block();
        let is_looked_at = self.flags.autocommit() || by_hand;
        let was_used = self.take_used(!is_told);
        // The owner has kept that up after each statement, so the connection need not be asked.
        let has_left = was_used && self.seat().vitals.is_in_transaction();
        if !has_left || self.is_busy() || self.serial().is_none() || !is_looked_at {
            return;
        }
        let Ok(mut turn) = self.turn() else { return };
        let Some(link) =
            turn.link().filter(|link| link.poison.is_none() && link.session.outcome().transaction.may_be_open())
        else {
            return;
        };
        // What was cancelled was a statement before.
        link.session.forget_cancel();
        let result = link.session.rollback();
        if let Err(error) = &result {
            link.poison(error.message().to_owned(), error.code(), false);
        }
        drop(turn);
        self.seat().vitals.set_in_transaction(false);
        self.tell_transaction_ended(TransactionOutcome::RolledBack);
        self.transaction.hooks.clear();
        let alias = self.alias();
        say!(
            warn,
            "alias {alias:?}: a transaction was left open at the end of a request or task; it is rolled back (it began at {})",
            self.trace.began_at()
        );
        if let Err(error) = result {
            say!(warn, "alias {alias:?}: rolling back: {}", error.brief());
        }
    }

    /// Whether there is a connection that answers (Django's `is_usable`). In the middle of a statement it is in use,
    /// and not asked.
    pub(crate) fn is_usable(&self) -> bool {
        if self.is_busy() {
            return true;
        }
        match self.turn() {
            Ok(mut turn) => match turn.link() {
                Some(link) => self.answers(link),
                None => self.backend(Backend::is_always_usable),
            },
            Err(_) => false,
        }
    }

    /// What the session holds that a new connection would lack. In the middle of a statement nobody can say.
    pub(crate) fn held_state(&self) -> SessionState {
        if self.is_busy() || self.serial().is_none() {
            return SessionState::default();
        }
        let held = self.turn().ok().and_then(|mut turn| turn.link().map(|link| link.session.state()));
        held.unwrap_or_default()
    }

    fn answers(&self, link: &mut Link) -> bool {
        if link.is_usable() {
            return true;
        }
        // Where it is not just a transaction that has failed, that is known from now on.
        if let Health::Gone(error) = link.session.probe() {
            let in_transaction = link.in_transaction();
            if in_transaction && self.transaction.in_atomic_block() {
                self.transaction.lose_by(Cause::Connection, &error);
            }
            link.poison(error.message().to_owned(), error.code(), in_transaction);
        }
        false
    }
}
