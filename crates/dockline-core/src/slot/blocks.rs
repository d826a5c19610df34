//! What a slot knows of its atomic blocks and manual transactions.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use crate::base::error::{Error, Fact, Result, misuse};
use crate::config::backend::TransactionOptions;
use crate::slot::hooks::CommitHooks;
use crate::slot::reason::CloseReason;

/// What a slot knows of its transactions. Most of it outlives the physical connection, as in Django, and is set anew by
/// the next one.
#[derive(Default)]
pub(crate) struct Transaction {
    /// The blocks that are open, the outermost first.
    pub(super) blocks: RefCell<Vec<Block>>,
    /// Django's `in_atomic_block`. Off already while the outermost block ends.
    pub(super) in_atomic_block: Cell<bool>,
    /// Django's `needs_rollback`.
    pub(super) needs_rollback: Cell<bool>,
    pub(super) lost: RefCell<Option<Lost>>,
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
}

/// What a block is to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Transaction,
    Savepoint,
    /// It was asked for no savepoint, or could not have one.
    Nothing,
}

/// Why the work of the outermost block is gone.
pub(super) struct Lost {
    reason: String,
    /// The same work may succeed when it is tried again.
    is_retryable: bool,
    /// The server has rolled it back, and the connection is well: a commit would succeed, and say nothing.
    by_server: bool,
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

/// How a block ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Commit,
    /// Django's end by an exception.
    RollBack,
}

impl Transaction {
    #[inline]
    pub(crate) fn in_atomic_block(&self) -> bool {
        self.in_atomic_block.get()
    }

    #[inline]
    pub(crate) fn needs_rollback(&self) -> bool {
        self.needs_rollback.get()
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

    /// Where the innermost block was begun, where that was inside a request or task.
    pub(crate) fn innermost_begun_inside(&self) -> Option<&'static Location<'static>> {
        self.blocks.borrow().last().filter(|block| block.depth > 0).map(|block| block.at)
    }

    pub(crate) fn options(&self) -> TransactionOptions {
        self.options.get()
    }

    /// A new connection begins anew.
    pub(crate) fn reset(&self, autocommit: bool) {
        self.needs_rollback.set(false);
        self.lost.take();
        self.hooks.clear();
        if autocommit {
            self.runs_hooks.set(false);
        }
    }

    /// The connection was closed.
    pub(crate) fn closed(&self, reason: CloseReason) {
        self.hooks.clear();
        if self.in_atomic_block() {
            self.needs_rollback.set(true);
            self.lose(|| format!("its connection was closed ({reason})"));
        }
    }

    /// The work of the block is gone. The first reason is the one that is told.
    pub(crate) fn lose(&self, reason: impl FnOnce() -> String) {
        let lost = || Lost { reason: reason(), is_retryable: false, by_server: false };
        self.lost.borrow_mut().get_or_insert_with(lost);
    }

    /// The same, by an error of a statement.
    pub(crate) fn lose_by(&self, by_server: bool, error: &Error) {
        let is_retryable = error.is_retryable();
        let lost = || Lost { reason: error.message().to_owned(), is_retryable, by_server };
        self.lost.borrow_mut().get_or_insert_with(lost);
        if by_server {
            // What would run now would not be part of it.
            self.needs_rollback.set(true);
        }
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    pub(super) fn was_lost_by_server(&self) -> bool {
        self.lost.borrow().as_ref().is_some_and(|lost| lost.by_server)
    }

    /// The end of a block that would say nothing.
    pub(super) fn not_in_silence(&self, exit: Exit) -> Result<()> {
        match self.lost.take() {
            Some(lost) if exit == Exit::Commit => {
                self.hooks.clear();
                Err(lost.error("and was not committed"))
            }
            _ => Ok(()),
        }
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

    pub(super) fn flag(&self) -> Result<&Cell<bool>> {
        if self.in_atomic_block() {
            Ok(&self.needs_rollback)
        } else {
            Err(misuse("the rollback flag is that of an atomic block, and none is open"))
        }
    }
}

impl Lost {
    pub(super) fn error(&self, and: &str) -> Error {
        let error = misuse(format!("the work of the atomic block is lost, {and}: {}", self.reason));
        let error = if self.is_retryable { error.with_fact(Fact::Retryable) } else { error };
        error.with_fact(Fact::WorkLost)
    }
}

pub(super) fn closed_elsewhere() -> String {
    "its connection was closed".to_owned()
}
