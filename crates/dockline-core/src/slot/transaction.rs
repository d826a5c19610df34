//! What begins and ends atomic blocks and manual transactions.
//!
//! It is Django's state machine (`Atomic.__enter__` and `__exit__` in `django/db/transaction.py`, and the methods of
//! `BaseDatabaseWrapper` that they call), with one thing added: a block whose work is gone does not end without an
//! error.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::base::error::{Error, ErrorKind, Fact, Result, misuse};
use crate::base::logging::say;
use crate::config::backend::TransactionOptions;
use crate::config::settings::Liveness;
use crate::slot::Slot;
use crate::slot::blocks::{Block, Entry, Exit, Level, Transaction, closed_elsewhere};
use crate::slot::connect::Opening;
use crate::slot::reason::CloseReason;
use crate::slot::savepoint_sql::SavepointSql;
use crate::slot::turn::Work;

/// Blocks.
impl Slot {
    /// Enters a block, and answers its number.
    pub(crate) fn enter(self: &Rc<Self>, entry: Entry) -> Result<u64> {
        self.try_enter(entry).map_err(|error| error.with_alias(self.alias_arc()))
    }

    fn try_enter(self: &Rc<Self>, entry: Entry) -> Result<u64> {
        let transaction = &self.transaction;
        let around = transaction.blocks.borrow().last().map(|block| (block.is_test, block.at));
        if let Some((false, at)) = around.filter(|_| entry.durable) {
            let message = format!("a durable atomic block cannot stand inside another one, which began at {at}");
            return Err(misuse(message).with_fact(Fact::NestedDurable));
        }
        // Asked first: opening a connection runs receivers, which may have blocks of their own.
        let autocommit = !transaction.in_atomic_block() && self.autocommit()?;
        let outermost = !transaction.in_atomic_block();
        // Inside a test's, a block is taken for the outermost one as far as that goes.
        let is_whole = (outermost && autocommit) || matches!(around, Some((true, _)));
        if !is_whole && entry.options != TransactionOptions::default() {
            return Err(misuse(
                "isolation_level and read_only are those of a whole transaction: only the outermost block can have \
                 them, with autocommit on",
            ));
        }
        if outermost {
            transaction.needs_rollback.set(false);
            transaction.lost.take();
            transaction.committed_inside.set(false);
        }
        let number = transaction.next_number();
        let level = if outermost && autocommit {
            self.begin(entry.options)?;
            transaction.options.set(entry.options);
            Level::Transaction
        } else if entry.savepoint && !transaction.needs_rollback() {
            // Where Django would stay inside a block that was never entered, this leaves none.
            self.run_savepoint(&SavepointSql::create(number))?;
            Level::Savepoint
        } else {
            Level::Nothing
        };
        if outermost && !autocommit {
            // No statement may have begun the transaction yet; but it is one, and ends with its connection.
            self.set_in_block(true)?;
        }
        transaction.in_atomic_block.set(true);
        let block = Block {
            number,
            level,
            first_hook: transaction.hooks.next_number(),
            depth: self.depth(),
            at: entry.at,
            is_test: entry.is_test,
        };
        transaction.blocks.borrow_mut().push(block);
        Ok(number)
    }

    fn set_in_block(&self, in_block: bool) -> Result<()> {
        if let Some(link) = self.turn()?.link() {
            link.in_block = in_block;
        }
        Ok(())
    }

    fn begin(self: &Rc<Self>, options: TransactionOptions) -> Result<()> {
        let turn = self.ready().inspect_err(|error| self.tell_where_there(Work::Begin, error))?;
        turn.run(Work::Begin, |session| session.begin(options))?;
        self.flags.autocommit.set(false);
        Ok(())
    }

    /// Ends the block of that number, and with it those inside it that have not been ended.
    pub(crate) fn exit(self: &Rc<Self>, number: u64, exit: Exit) -> Result<()> {
        self.try_exit(number, exit).map_err(|error| error.with_alias(self.alias_arc()))
    }

    fn try_exit(self: &Rc<Self>, number: u64, exit: Exit) -> Result<()> {
        let transaction = &self.transaction;
        let inside = { transaction.blocks.borrow().iter().rev().position(|block| block.number == number) };
        match (inside, exit) {
            (Some(0), _) => {
                if self.is_busy() {
                    // It can neither be committed nor rolled back alone.
                    transaction.lose(|| "a block was ended in the middle of a statement".to_owned());
                }
                self.leave(exit)
            }
            // It was rolled back with what is around it: who asks for that has what he asks for.
            (None, Exit::RollBack) => Ok(()),
            (None, Exit::Commit) => Err(misuse(
                "the atomic block was rolled back before: by the end of a block around it, or of its request or task",
            )
            .with_fact(Fact::WorkLost)),
            (Some(inside), _) => {
                for _ in 0..inside {
                    self.leave_and_log();
                }
                self.leave(Exit::RollBack)?;
                let message = format!("the atomic block was ended before {inside} inside it; all are rolled back");
                match exit {
                    Exit::Commit => Err(misuse(message).with_fact(Fact::WorkLost)),
                    Exit::RollBack => {
                        say!(warn, "alias {:?}: {message}", self.alias());
                        Ok(())
                    }
                }
            }
        }
    }

    /// Rolls the innermost block back, where nobody takes an error.
    pub(crate) fn leave_and_log(self: &Rc<Self>) {
        if let Err(error) = self.leave(Exit::RollBack) {
            say!(warn, "alias {:?}: at the end of an atomic block: {error}", self.alias());
        }
    }

    /// Ends the innermost block (Django's `Atomic.__exit__`).
    fn leave(self: &Rc<Self>, exit: Exit) -> Result<()> {
        let transaction = &self.transaction;
        let Some(block) = transaction.blocks.borrow_mut().pop() else { return Ok(()) };
        if block.level == Level::Transaction {
            return self.leave_transaction(exit);
        }
        if !transaction.blocks.borrow().is_empty() {
            return self.leave_inner(&block, exit);
        }
        // The outermost one, with autocommit off.
        let outside = Outside(self);
        let result = self.leave_inner(&block, exit);
        drop(outside);
        let gone = transaction.not_in_silence(exit);
        result.and(gone)
    }

    fn leave_inner(self: &Rc<Self>, block: &Block, exit: Exit) -> Result<()> {
        let transaction = &self.transaction;
        if self.serial().is_none() {
            // The outermost block says what became of it.
            transaction.lose(closed_elsewhere);
            return Ok(());
        }
        if exit == Exit::Commit && !transaction.needs_rollback() {
            if block.level == Level::Nothing {
                return Ok(());
            }
            let marks = MarkUnlessDone::new(transaction);
            let released = self.run_savepoint(&SavepointSql::release(block.number));
            if released.is_ok() || self.undo(block).is_ok() {
                marks.done();
            }
            return released;
        }
        transaction.needs_rollback.set(false);
        let marks = MarkUnlessDone::new(transaction);
        if block.level == Level::Savepoint && self.undo(block).is_ok() {
            marks.done();
        }
        Ok(())
    }

    /// Rolls back to the savepoint of a block. It is not needed any more, and released.
    fn undo(self: &Rc<Self>, block: &Block) -> Result<()> {
        self.run_savepoint(&SavepointSql::roll_back(block.number))?;
        self.transaction.hooks.forget_from(block.first_hook);
        self.run_savepoint(&SavepointSql::release(block.number))
    }

    fn leave_transaction(self: &Rc<Self>, exit: Exit) -> Result<()> {
        let transaction = &self.transaction;
        transaction.in_atomic_block.set(false);
        if self.serial().is_none() {
            // As Django, the mark and the flag of autocommit stay as they are until the next connection.
            transaction.hooks.clear();
            transaction.lose(closed_elsewhere);
            return transaction.not_in_silence(exit);
        }
        let committed_inside = transaction.committed_inside.take();
        let was_lost = transaction.lost.borrow().is_some();
        let commits = exit == Exit::Commit && !transaction.needs_rollback() && !transaction.was_lost_by_server();
        transaction.needs_rollback.set(false);
        let mut result = if commits { self.end_transaction(Exit::Commit) } else { Ok(()) };
        let ended = commits && result.as_ref().map_or_else(was_rolled_back, |()| true);
        if ended {
            self.flags.autocommit.set(true);
            self.flags.errors_occurred.set(false);
            transaction.runs_hooks.set(true);
        }
        if result.is_err() || !commits {
            transaction.hooks.clear();
        }
        if !ended {
            match self.end_transaction(Exit::RollBack) {
                Ok(()) => {
                    self.flags.autocommit.set(true);
                    self.flags.errors_occurred.set(false);
                    result = result.and(transaction.not_in_silence(exit));
                }
                Err(error) => {
                    transaction.lose_by(false, &error);
                    result = result.and(transaction.not_in_silence(exit));
                    self.close(CloseReason::Unusable);
                    // Django connects at once; else the next statement does.
                    if self.liveness() == Liveness::Off {
                        result = result.and(self.reconnect_as_django());
                    }
                }
            }
        }
        // A receiver of reconnecting may have had blocks of its own.
        transaction.last_committed_inside.set(committed_inside);
        let result = match result {
            Ok(()) => self.run_hooks(),
            Err(error) if was_lost => Err(error.with_fact(Fact::WorkLost)),
            Err(error) => Err(error),
        };
        self.close_after_shutdown();
        result
    }

    /// Where it connects is in switching autocommit on.
    fn reconnect_as_django(self: &Rc<Self>) -> Result<()> {
        self.connect(Opening::Fresh)?;
        if self.flags.autocommit.get() { Ok(()) } else { self.set_autocommit(true) }
    }

    /// Ends the transaction of an outermost block, and switches autocommit on.
    fn end_transaction(&self, exit: Exit) -> Result<()> {
        let commits = exit == Exit::Commit;
        let work = if commits { Work::Commit } else { Work::Rollback };
        self.run_if_open(work, |session| session.end(commits))
    }

    fn run_hooks(&self) -> Result<()> {
        let transaction = &self.transaction;
        if transaction.runs_hooks.get() && self.flags.autocommit.get() {
            transaction.hooks.run(self.alias())?;
            transaction.runs_hooks.set(false);
        }
        Ok(())
    }

    /// Why no statement runs, where the block, or the manual transaction after one, can only be rolled back.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let transaction = &self.transaction;
        // Elsewhere a new connection makes all well.
        let stays = transaction.in_atomic_block() || self.serial().is_some();
        let refuses = transaction.needs_rollback() || transaction.was_lost_by_server();
        if !refuses || !stays {
            return None;
        }
        let until = if transaction.in_atomic_block() { "the end of the atomic block" } else { "rollback or close" };
        let error = match &*transaction.lost.borrow() {
            Some(lost) => lost.error(&format!("and no statement runs until {until}")),
            None => misuse(format!(
                "the transaction is marked for rollback, as after an error that left a block; no statement runs until {until}"
            )),
        };
        Some(error.with_alias(self.alias_arc()))
    }
}

/// Marks the block around for rollback, unless what was to be done was done; also where a wrapper panics.
struct MarkUnlessDone<'a>(Option<&'a Transaction>);

impl<'a> MarkUnlessDone<'a> {
    fn new(transaction: &'a Transaction) -> Self {
        Self(Some(transaction))
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for MarkUnlessDone<'_> {
    fn drop(&mut self) {
        if let Some(transaction) = self.0 {
            transaction.needs_rollback.set(true);
        }
    }
}

/// When this is dropped, no block is open any more; also by the panic of a wrapper.
struct Outside<'a>(&'a Slot);

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        self.0.transaction.in_atomic_block.set(false);
        if self.0.set_in_block(false).is_err() {
            self.0.transaction.has_left.set(true);
        }
    }
}

/// Manual transactions.
impl Slot {
    /// Whether autocommit is on. It opens a connection where none is.
    pub(crate) fn autocommit(self: &Rc<Self>) -> Result<bool> {
        self.ensure_connection()?;
        Ok(self.flags.autocommit.get())
    }

    pub(crate) fn set_autocommit(self: &Rc<Self>, on: bool) -> Result<()> {
        self.outside_of_blocks("set_autocommit")?;
        let work = Work::SetAutocommit(on);
        match self.ready() {
            Ok(turn) => turn.run(work, |session| session.set_autocommit(on))?,
            Err(error) => {
                self.tell_where_there(work, &error);
                let sends_nothing = on == self.flags.autocommit.get() && self.counts(&error);
                if !sends_nothing {
                    return Err(error);
                }
            }
        }
        self.flags.autocommit.set(on);
        let ran = self.run_hooks();
        self.close_after_shutdown();
        ran
    }

    pub(crate) fn commit(&self) -> Result<()> {
        self.outside_of_blocks("commit")?;
        let result = self.run_if_open(Work::Commit, |session| session.commit());
        match result {
            // As Django with its driver, whose commit says nothing here.
            Err(error) if was_rolled_back(&error) => {
                self.transaction.hooks.clear();
                say!(warn, "{error}");
            }
            result => result?,
        }
        self.flags.errors_occurred.set(false);
        self.transaction.runs_hooks.set(true);
        self.close_after_shutdown();
        Ok(())
    }

    pub(crate) fn rollback(&self) -> Result<()> {
        self.outside_of_blocks("rollback")?;
        self.run_if_open(Work::Rollback, |session| session.rollback())?;
        self.flags.errors_occurred.set(false);
        self.transaction.needs_rollback.set(false);
        self.transaction.lost.take();
        self.transaction.hooks.clear();
        self.close_after_shutdown();
        Ok(())
    }

    /// Logs what was not sent, for the connection was lost before.
    fn tell_where_there(&self, work: Work<'_>, error: &Error) {
        if let (Some(sql), true) = (work.sql(), self.serial().is_some()) {
            self.tell(sql, Duration::ZERO, Some(error));
        }
    }

    fn outside_of_blocks(&self, call: &str) -> Result<()> {
        self.transaction.refuse_in_block(call).map_err(|error| error.with_alias(self.alias_arc()))
    }

    pub(crate) fn rollback_flag(&self) -> Result<&Cell<bool>> {
        self.transaction.flag().map_err(|error| error.with_alias(self.alias_arc()))
    }

    /// Runs a savepoint's statement, through wrappers and query log.
    pub(crate) fn run_savepoint(self: &Rc<Self>, sql: &SavepointSql) -> Result<()> {
        self.statement(sql.as_str(), &[], false, |session, sql, _| session.run_own(sql))
    }
}

/// Whether the server answered a commit with a rollback.
fn was_rolled_back(error: &Error) -> bool {
    error.kind() == ErrorKind::TransactionManagement && error.is_work_lost()
}
