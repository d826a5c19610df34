//! Where the transaction of one thread and alias stands: a pure state machine.
//!
//! [`Standing`] is the state, [`Event`] what happens, [`Next`] what the slot has to do about it. There is no I/O here, no
//! clock and no connection. The rules are Django's (`Atomic.__enter__` and `__exit__` in `django/db/transaction.py`), with
//! one thing added: work that is gone without its block having asked for that is never gone in silence.
//!
//! `standing/table.txt` has every transition, and `docs/architecture.md` the diagram. A test compares both with this code.

#[cfg(test)]
mod tests;

use crate::base::error::{Error, Fact, misuse};

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// No atomic block is open. A manual transaction may be.
    #[default]
    Outside,
    /// No atomic block is open, and what there is can only be rolled back: a block left it so with autocommit off, or its
    /// connection was closed. A new connection begins anew.
    MarkedOutside,
    /// A block is open, and its work stands so far.
    InBlock,
    /// A block is open, and its transaction is to be rolled back.
    Marked,
    /// A block is open, and its work is gone.
    Lost(Box<Loss>),
    /// The outermost block is being committed or rolled back.
    Ending,
}

/// Why the work of a block is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) cause: Cause,
    /// Django's `needs_rollback`. Without it, statements find out by themselves that the connection is gone.
    pub(super) marked: bool,
    pub(super) reason: String,
    /// The same work may succeed when it is tried again.
    pub(super) retryable: bool,
}

/// What took the work of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The connection was lost or closed.
    Connection,
    /// The database rolled the transaction back, and the connection is well: a commit would succeed, and say nothing.
    Database,
    /// An inner block could not be rolled back to its savepoint. Its work cannot be told from that of the block around it,
    /// which goes with it.
    Savepoint,
}

/// What a block is to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// A transaction.
    Transaction,
    /// A savepoint.
    Savepoint,
    /// Part of the block around it: it was asked for no savepoint, or could not have one.
    Joined,
}

/// How a block ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Its work is to stand.
    Commit,
    /// Its work is to be undone: Django's end by an exception.
    RollBack,
}

/// What happens to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A block is about to be entered.
    Enters,
    /// The block was entered: its transaction was begun, or its savepoint made, if it has one.
    Entered,
    /// The program marks the block for rollback.
    Mark,
    /// The program takes the mark away.
    Unmark,
    /// A block other than that of a whole transaction is about to end.
    LeavesInner { exit: Exit, level: Level, connected: bool },
    /// An inner block was not rolled back to its savepoint, because the program had ended the transaction by a text.
    NotUndone,
    /// An inner block was not rolled back to its savepoint, although the transaction was open.
    Unrestored(Box<Loss>),
    /// The outermost block ended that was no transaction of its own, because autocommit is off.
    LeftManual { exit: Exit },
    /// The block of a whole transaction is about to end.
    LeavesTransaction { exit: Exit, connected: bool },
    /// That block has ended.
    Ended,
    /// The work of the transaction is gone by a failure.
    Lose(Box<Loss>),
    /// The connection was closed.
    Closed(Box<Loss>),
    /// The process was forked; the transaction is the parent's.
    Forked(Box<Loss>),
    /// A new connection was opened.
    Connected,
    /// A manual transaction was rolled back.
    RolledBack,
}

/// What the slot has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// Release the savepoint of the block.
    Release,
    /// Roll back to the savepoint of the block, and release it.
    Undo,
    /// The same, and answer that the block's work is lost.
    UndoAndTell(Box<Loss>),
    /// Commit. If the work was lost before, the commit fails and says so.
    Commit,
    /// Roll back.
    RollBack,
    /// Roll back, and answer that the work is lost.
    RollBackAndTell(Box<Loss>),
    /// Answer that the work is lost.
    Tell(Box<Loss>),
    /// Drop the hooks that wait for the commit: their work is gone.
    DropHooks,
    /// The same, but drop them later, because the program's code must not run now.
    DisownHooks,
}

impl Standing {
    /// Django's `in_atomic_block`. It is off already while the outermost block ends.
    #[inline]
    pub(super) fn in_atomic_block(&self) -> bool {
        matches!(self, Self::InBlock | Self::Marked | Self::Lost(_))
    }

    /// Django's `needs_rollback`.
    #[inline]
    pub(super) fn needs_rollback(&self) -> bool {
        match self {
            Self::Marked | Self::MarkedOutside => true,
            Self::Lost(loss) => loss.marked,
            Self::Outside | Self::InBlock | Self::Ending => false,
        }
    }

    /// What a block that is entered now is to the database.
    pub(super) fn level(&self, autocommit: bool, savepoint: bool) -> Level {
        if autocommit && !self.in_atomic_block() {
            Level::Transaction
        } else if savepoint && !self.needs_rollback() {
            Level::Savepoint
        } else {
            Level::Joined
        }
    }

    /// Why no statement runs; `None` if one may. `connected`: a connection is open. Without one, outside of a block, a new
    /// connection makes all well.
    pub(super) fn refusal(&self, connected: bool) -> Option<Error> {
        let until = if self.in_atomic_block() { "the end of the atomic block" } else { "rollback or close" };
        match self {
            Self::Lost(loss) if loss.marked || loss.cause != Cause::Connection => {
                Some(loss.error(&format!("and no statement runs until {until}")))
            }
            Self::Marked => Some(marked(until)),
            Self::MarkedOutside if connected => Some(marked(until)),
            _ => None,
        }
    }

    /// Takes an event: moves to the next state, and answers what to do.
    pub(super) fn on(&mut self, event: Event) -> Next {
        let (next_state, next) = std::mem::take(self).after(event);
        *self = next_state;
        next
    }

    fn after(self, event: Event) -> (Self, Next) {
        match event {
            Event::Enters if self.in_atomic_block() => (self, Next::Nothing),
            Event::Enters => (Self::Outside, Next::Nothing),
            Event::Entered if self.in_atomic_block() => (self, Next::Nothing),
            Event::Entered => (Self::InBlock, Next::Nothing),
            Event::Mark => (self.marked(true), Next::Nothing),
            Event::Unmark => (self.marked(false), Next::Nothing),
            Event::LeavesInner { exit, level, connected } => self.leaves_inner(exit, level, connected),
            Event::NotUndone => (self.marked(true), Next::Nothing),
            Event::Unrestored(loss) => (self.lose(loss.marked(true)), Next::Nothing),
            Event::LeftManual { exit } => self.left_manual(exit),
            Event::LeavesTransaction { exit, connected } => self.leaves_transaction(exit, connected),
            Event::Ended if self == Self::Ending => (Self::Outside, Next::Nothing),
            Event::Ended => (self, Next::Nothing),
            // What the database rolled back is gone for what follows, too.
            Event::Lose(loss) if self.in_atomic_block() => {
                let marked = loss.cause == Cause::Database;
                (self.lose(loss.marked(marked)), Next::Nothing)
            }
            Event::Closed(loss) => (self.lose(loss.marked(true)), Next::DropHooks),
            Event::Forked(loss) => (self.lose(loss.marked(false)), Next::DisownHooks),
            // Of blocks in a manual transaction, or of the one that is ending.
            Event::Lose(_) => (self, Next::DisownHooks),
            Event::Connected if self == Self::Ending => (self, Next::DropHooks),
            // None is opened inside a block, but in place of one on which nothing was done: that changes nothing.
            Event::Connected if self.in_atomic_block() => (self, Next::Nothing),
            Event::Connected => (Self::Outside, Next::DropHooks),
            Event::RolledBack if self == Self::MarkedOutside => (Self::Outside, Next::DropHooks),
            Event::RolledBack => (self, Next::DropHooks),
        }
    }

    /// A block inside another ends, or the outermost one with autocommit off.
    fn leaves_inner(self, exit: Exit, level: Level, connected: bool) -> (Self, Next) {
        if !connected {
            // The outermost block says what became of it.
            return (self.lose(Loss::closed()), Next::Nothing);
        }
        match (self, exit, level) {
            (Self::Lost(loss), Exit::Commit, Level::Savepoint) if loss.cause == Cause::Savepoint => {
                (Self::InBlock, Next::UndoAndTell(loss))
            }
            (state, Exit::Commit, Level::Joined) => (state, Next::Nothing),
            (state, Exit::Commit, _) if !state.needs_rollback() => (state, Next::Release),
            (Self::Lost(loss), _, Level::Savepoint) if loss.cause == Cause::Savepoint => (Self::InBlock, Next::Undo),
            (state, _, Level::Joined) => (state.marked(true), Next::Nothing),
            (state, ..) => (state.marked(false), Next::Undo),
        }
    }

    fn left_manual(self, exit: Exit) -> (Self, Next) {
        let outside = if self.needs_rollback() { Self::MarkedOutside } else { Self::Outside };
        match (self, exit) {
            (Self::Lost(loss), Exit::Commit) => (outside, Next::Tell(loss)),
            _ => (outside, Next::Nothing),
        }
    }

    fn leaves_transaction(self, exit: Exit, connected: bool) -> (Self, Next) {
        if !connected {
            // As Django, the mark stays until the next connection.
            let outside = if self.needs_rollback() { Self::MarkedOutside } else { Self::Outside };
            return match (self, exit) {
                (_, Exit::RollBack) => (outside, Next::DropHooks),
                (Self::Lost(loss), Exit::Commit) => (outside, Next::Tell(loss)),
                (_, Exit::Commit) => (outside, Next::Tell(Loss::closed())),
            };
        }
        let next = match (self, exit) {
            (Self::Lost(loss), Exit::Commit) if loss.marked || loss.cause != Cause::Connection => {
                Next::RollBackAndTell(loss)
            }
            (Self::Marked, _) | (_, Exit::RollBack) => Next::RollBack,
            (_, Exit::Commit) => Next::Commit,
        };
        (Self::Ending, next)
    }

    /// Django's `needs_rollback`, set or not. Outside of blocks there is nothing to mark.
    fn marked(self, marked: bool) -> Self {
        match self {
            Self::InBlock | Self::Marked => {
                if marked {
                    Self::Marked
                } else {
                    Self::InBlock
                }
            }
            Self::Lost(loss) => Self::Lost(loss.marked(marked)),
            other => other,
        }
    }

    /// The work of the block is gone. The first reason is the one that is told.
    fn lose(self, loss: Box<Loss>) -> Self {
        match self {
            Self::InBlock => Self::Lost(loss),
            Self::Marked => Self::Lost(loss.marked(true)),
            Self::Lost(first) => {
                let marked = first.marked || loss.marked;
                Self::Lost(first.marked(marked))
            }
            other => other,
        }
    }
}

impl Loss {
    /// It is on the heap because it is rare: what stands well is small, and each block moves it a few times.
    pub(super) fn new(cause: Cause, reason: impl Into<String>) -> Box<Self> {
        Box::new(Self { cause, marked: false, reason: reason.into(), retryable: false })
    }

    fn marked(mut self: Box<Self>, marked: bool) -> Box<Self> {
        self.marked = marked;
        self
    }

    /// The work is gone by an error of a statement.
    pub(super) fn by(cause: Cause, error: &Error) -> Box<Self> {
        let mut loss = Self::new(cause, error.message());
        loss.retryable = error.is_retryable();
        loss
    }

    fn closed() -> Box<Self> {
        Self::new(Cause::Connection, "its connection was closed")
    }

    /// The error that says so. `and`: what follows from it.
    pub(super) fn error(&self, and: &str) -> Error {
        let error = misuse(format!("the work of the atomic block is lost, {and}: {}", self.reason));
        let error = if self.retryable { error.with_fact(Fact::Retryable) } else { error };
        error.with_fact(Fact::WorkLost)
    }
}

fn marked(until: &str) -> Error {
    misuse(format!(
        "the transaction is marked for rollback, as after an error that left a block; no statement runs until {until}"
    ))
}
