//! How a connection is closed, and who is told.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::base::ending::is_ending;
use crate::base::logging::{panic_text, say, thread_name};
use crate::base::teller;
use crate::link::seat::Link;
use crate::slot::events::TransactionOutcome;
use crate::slot::reason::{CloseReason, ConnectionClosed};
use crate::slot::{Desk, Slot};

impl Slot {
    /// Tells of a connection that was taken out of its seat, and closes it.
    pub(crate) fn retire(&self, link: Option<Link>, reason: CloseReason) {
        if let Some(link) = link {
            self.tell_what_was_seen();
            let is_lost = reason == CloseReason::Unusable;
            self.tell_transaction_ended(if is_lost {
                TransactionOutcome::Lost
            } else {
                TransactionOutcome::RolledBack
            });
            self.note_return();
            self.tell_of(|| retire(&self.desk, link, reason));
        }
    }

    /// Takes the connection out and closes it; in the middle of a statement, when that is over.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.notice_fork();
        if self.is_busy() {
            self.occupancy.close_after(reason);
            return;
        }
        // One that is being replaced in a block leaves it its hooks.
        if self.serial().is_some() || !self.transaction.in_atomic_block() {
            self.transaction.hooks.clear();
        }
        if self.serial().is_some() {
            let link = self.seat().lock().take();
            self.transaction.closed(reason);
            self.retire(link, reason);
        }
    }

    /// After shutdown, closes what is in no transaction. Whether the registry is shut down.
    pub(crate) fn close_after_shutdown(&self) -> bool {
        if !self.is_shut_down() {
            return false;
        }
        if let Ok(mut turn) = self.turn() {
            let idles = turn.link().is_some_and(|link| !link.in_transaction());
            let link = if idles { turn.take() } else { None };
            drop(turn);
            if link.is_some() {
                self.transaction.closed(CloseReason::Shutdown);
            }
            self.retire(link, CloseReason::Shutdown);
        }
        true
    }

    /// Closes the connection for good: nothing opens one here again.
    pub(crate) fn end(&self, reason: CloseReason) {
        if let Some(began_at) = self.transaction.began_at() {
            let alias = self.alias();
            say!(
                warn,
                "alias {alias:?}: an atomic block is open on a thread that ends ({reason}); it is rolled back (it began at {began_at})"
            );
        }
        if reason == CloseReason::ThreadExit {
            self.leave_to_who_waits();
        }
        self.ended.set(Some(reason));
        self.close(reason);
        if is_ending() {
            // Those of a block that is still open, and those whose work is gone.
            self.transaction.hooks.clear();
        }
        // They may hold this connection, and so keep the slot alive for ever.
        self.wrappers.clear();
    }

    /// As [`end`](Slot::end), where all that was open is the parent's: in silence, for a logger's locks are the parent's too.
    pub(crate) fn end_in_child(&self, reason: CloseReason) {
        self.ended.set(Some(reason));
        self.wrappers.clear();
    }

    /// Receivers do not panic out of a signal, but loggers may: then it is as if they had not been told.
    pub(super) fn tell_of(&self, send: impl FnOnce()) {
        let outer = self.telling.get();
        self.telling.set(outer + 1);
        let told = catch_unwind(AssertUnwindSafe(send));
        self.telling.set(outer);
        if let Err(panic) = told {
            resume_unwind(panic);
        }
    }
}

/// Closes a connection, and tells of it. Never under a lock.
pub(crate) fn retire(desk: &Arc<dyn Desk>, link: Link, reason: CloseReason) {
    retire_by(desk, link, reason, None);
}

/// Does the same for one of many connections, which all have to be closed by then.
pub(crate) fn retire_by(desk: &Arc<dyn Desk>, link: Link, reason: CloseReason, deadline: Option<Instant>) {
    // It lives on in the parent.
    if link.is_left() {
        return;
    }
    // Whoever took it out was on the way to close it when the process was forked, as in a receiver.
    if link.is_inherited() {
        return link.session.abandon();
    }
    let alias = Arc::clone(&link.config.alias);
    let event = ConnectionClosed {
        alias: Arc::clone(&alias),
        serial: link.serial,
        reason,
        thread: thread_name(),
        age: link.ages.age(Instant::now()),
        statements: link.statements,
        config: Arc::clone(&link.config),
        dialect: link.session.dialect(),
    };
    if let Some(tally) = &link.tally {
        tally.closed[reason as usize].fetch_add(1, Relaxed);
    }
    // A driver that panics here may be on a thread that is ending, where that would end the process.
    let Link { session, departing, permit, .. } = link;
    let closed = catch_unwind(AssertUnwindSafe(|| match deadline {
        Some(deadline) => session.close_by(deadline),
        None => session.close(),
    }));
    // Receivers may wait for the end of the registry.
    drop((departing, permit));
    match closed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            say!(warn, "alias {alias:?}: closing connection {}: {}", event.serial, error.brief());
        }
        Err(panic) => {
            let text = panic_text(&*panic);
            say!(error, "alias {alias:?}: closing connection {}: the driver panicked: {text}", event.serial);
        }
    }
    say!(
        debug,
        "alias {alias:?}: closed connection {} ({reason}) after {:.1?} and {} statements",
        event.serial,
        event.age,
        event.statements
    );
    if !is_ending() {
        desk.closed(&event);
    } else if desk.is_told_of_closing() {
        let desk = Arc::clone(desk);
        teller::tell(move || desk.closed(&event));
    }
}
