//! The async tasks of one thread share its connection, but no transaction.
//!
//! Task A holds a transaction over an `.await`, and task B runs a statement on the same thread: it would be committed or undone with A's
//! work. So B's statement is refused before it is sent. Who ends a block may be anybody: the guard that ends it is theirs.

use std::cell::Cell;
use std::panic::Location;

use crate::base::async_tasks::{Runner, advice, are_watched};
use crate::base::error::{Error, Result, misuse};
use crate::slot::Slot;
use crate::slot::blocks::Transaction;

impl Slot {
    /// Refuses what changes a transaction, if another task began it.
    pub(crate) fn refuse_other_task(&self) -> Result<()> {
        self.refuse_other_task_in_block()?;
        if !are_watched() || self.is_busy() {
            return Ok(());
        }
        let in_transaction = self.turn()?.link().is_some_and(|link| link.poison.is_none() && link.in_transaction());
        if in_transaction { self.refuse_other_task_in_transaction() } else { Ok(()) }
    }

    /// As [`refuse_other_task`](Slot::refuse_other_task), if a block is open.
    #[inline]
    pub(crate) fn refuse_other_task_in_block(&self) -> Result<()> {
        if are_watched() && self.transaction.in_atomic_block() { self.refuse_unless_ours() } else { Ok(()) }
    }

    /// As [`refuse_other_task`](Slot::refuse_other_task), if a transaction is open by the database's word.
    #[inline]
    pub(crate) fn refuse_other_task_in_transaction(&self) -> Result<()> {
        if are_watched() { self.refuse_unless_ours() } else { Ok(()) }
    }

    #[cold]
    fn refuse_unless_ours(&self) -> Result<()> {
        if self.transaction.is_leaving.get() {
            return Ok(());
        }
        let (holder, at) = match self.transaction.holder() {
            Some(holder) => holder,
            // A test's.
            None if self.transaction.in_atomic_block() => return Ok(()),
            // Each statement begins one there, a look-up too: what a task that has ended left open, the next one goes on with.
            None if !self.config.borrow().settings.get_autocommit() => return Ok(()),
            None => (self.trace.runner(), self.trace.began_at()),
        };
        let current = Runner::current();
        if holder.is_other_than(current) {
            Err(refusal(current, holder, at).with_alias(self.alias_arc()))
        } else {
            Ok(())
        }
    }
}

fn refusal(current: Runner, holder: Runner, at: &Location<'_>) -> Error {
    let whose = match holder {
        Runner::Task(_) => "another async task of this thread",
        _ => "code of this thread that is outside of this async task",
    };
    let current = if current == Runner::NoTask { ", which is in no task itself" } else { "" };
    misuse(format!(
        "the transaction that is open on this connection is that of {whose}, which began it at {at} and holds it over an \
         .await; this call{current} would be committed or rolled back with it, and was not sent: {}",
        advice()
    ))
}

/// A block is being left, for as long as this lives.
pub(super) struct Leaving<'a> {
    flag: &'a Cell<bool>,
    before: bool,
}

impl Transaction {
    pub(super) fn leaving(&self) -> Leaving<'_> {
        Leaving { flag: &self.is_leaving, before: self.is_leaving.replace(true) }
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}
