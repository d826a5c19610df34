//! What a slot knows of its atomic blocks and manual transactions.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use crate::base::async_tasks::Runner;
use crate::base::error::{Error, Result, misuse};
use crate::config::backend::TransactionOptions;
use crate::slot::hooks::CommitHooks;
use crate::slot::reason::CloseReason;
use crate::slot::standing::{Cause, Event, Level, Loss, Next, Standing};

/// What a slot knows of its transactions. Most of it outlives the physical connection, as in Django, and is set anew by
/// the next one.
#[derive(Default)]
pub(crate) struct Transaction {
    /// The blocks that are open, the outermost first.
    pub(super) blocks: RefCell<Vec<Block>>,
    standing: RefCell<Standing>,
    /// Something was committed inside the outermost block already.
    pub(crate) committed_inside: Cell<bool>,
    /// That of the outermost block that has ended last.
    pub(crate) last_committed_inside: Cell<bool>,
    /// A link that was in use is still taken for one in a block.
    pub(crate) has_left: Cell<bool>,
    /// What the outermost block asked for.
    pub(super) options: Cell<TransactionOptions>,
    pub(crate) hooks: CommitHooks,
    /// Something was committed since autocommit was last switched on (Django's
    /// `run_commit_hooks_on_set_autocommit_on`).
    pub(super) runs_hooks: Cell<bool>,
    /// Blocks and savepoints are counted for as long as the slot lives, so that no two are taken for each other.
    last_number: Cell<u64>,
    /// A block is being left: what that takes is its own, whoever leaves it.
    pub(super) is_leaving: Cell<bool>,
}

/// One atomic block.
pub(super) struct Block {
    pub(super) number: u64,
    pub(super) level: Level,
    /// Hooks from this number on were registered inside it.
    pub(super) first_hook: u64,
    /// In how many requests and tasks it was begun.
    pub(super) depth: u32,
    pub(super) at: &'static Location<'static>,
    pub(super) is_test: bool,
    /// Who began it.
    pub(super) runner: Runner,
}

/// How a block is entered: see [`Atomic`](crate::Atomic).
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) savepoint: bool,
    pub(crate) durable: bool,
    pub(crate) options: TransactionOptions,
    /// Durable blocks may stand inside it.
    pub(crate) is_test: bool,
    pub(crate) at: &'static Location<'static>,
}

impl Transaction {
    /// Django's `in_atomic_block`. It is off already while the outermost block ends.
    #[inline]
    pub(crate) fn in_atomic_block(&self) -> bool {
        self.standing.borrow().in_atomic_block()
    }

    /// Django's `needs_rollback`.
    #[inline]
    pub(crate) fn needs_rollback(&self) -> bool {
        self.standing.borrow().needs_rollback()
    }

    /// Whether the work of the block is known to be gone.
    pub(super) fn is_lost(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Lost(_))
    }

    /// What a block that is entered now is to the database.
    pub(super) fn level(&self, autocommit: bool, savepoint: bool) -> Level {
        self.standing.borrow().level(autocommit, savepoint)
    }

    /// Why no statement runs; `None` if one may.
    #[inline]
    pub(super) fn refusal(&self, connected: bool) -> Option<Error> {
        self.standing.borrow().refusal(connected)
    }

    /// Takes an event. What has to be done about hooks is done; the rest is the caller's.
    pub(super) fn on(&self, event: Event) -> Next {
        let next = self.standing.borrow_mut().on(event);
        match next {
            Next::DropHooks | Next::Tell(_) => self.hooks.clear(),
            Next::DisownHooks => self.hooks.disown(),
            _ => {}
        }
        next
    }

    /// Where the outermost block was begun.
    pub(crate) fn began_at(&self) -> Option<&'static Location<'static>> {
        self.blocks.borrow().first().map(|block| block.at)
    }

    /// Whether the outermost block was begun outside of requests and tasks.
    pub(crate) fn began_outside(&self) -> bool {
        self.blocks.borrow().first().is_some_and(|block| block.depth == 0)
    }

    /// Where the outermost block was begun that is no test's.
    pub(crate) fn outside_tests_began_at(&self) -> Option<&'static Location<'static>> {
        self.blocks.borrow().iter().find(|block| !block.is_test).map(|block| block.at)
    }

    /// Who began the innermost block that is no test's, and where. A test's is for all that runs inside it.
    pub(super) fn holder(&self) -> Option<(Runner, &'static Location<'static>)> {
        let blocks = self.blocks.borrow();
        blocks.iter().rev().find(|block| !block.is_test).map(|block| (block.runner, block.at))
    }

    /// Where the innermost block was begun, where that was inside a request or task.
    pub(crate) fn innermost_begun_inside(&self) -> Option<&'static Location<'static>> {
        self.blocks.borrow().last().filter(|block| block.depth > 0).map(|block| block.at)
    }

    pub(crate) fn options(&self) -> TransactionOptions {
        self.options.get()
    }

    /// A new connection begins anew.
    pub(crate) fn connected(&self, autocommit: bool) {
        self.on(Event::Connected);
        if autocommit {
            self.runs_hooks.set(false);
        }
    }

    /// The connection was closed.
    pub(crate) fn closed(&self, reason: CloseReason) {
        self.on(Event::Closed(Loss::new(Cause::Connection, format!("its connection was closed ({reason})"))));
    }

    /// The process was forked: the transaction is the parent's.
    pub(crate) fn forked(&self, reason: String) {
        self.on(Event::Forked(Loss::new(Cause::Connection, reason)));
    }

    /// The work of the transaction is gone by the failure of a statement.
    pub(super) fn lose_by(&self, cause: Cause, error: &Error) {
        self.on(Event::Lose(Loss::by(cause, error)));
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    pub(super) fn refuse_in_block(&self, call: &str) -> Result<()> {
        if !self.in_atomic_block() {
            return Ok(());
        }
        let began_at = self.began_at().map(|at| format!(", which began at {at}")).unwrap_or_default();
        Err(misuse(format!(
            "{call} is forbidden inside an atomic block{began_at}: the end of the block commits or rolls back"
        )))
    }

    /// Marks the block for rollback, or takes the mark away.
    pub(super) fn mark(&self, marked: bool) -> Result<()> {
        self.refuse_outside_of_blocks()?;
        self.on(if marked { Event::Mark } else { Event::Unmark });
        Ok(())
    }

    pub(super) fn refuse_outside_of_blocks(&self) -> Result<()> {
        if self.in_atomic_block() {
            Ok(())
        } else {
            Err(misuse("the rollback flag is that of an atomic block, and none is open"))
        }
    }
}
