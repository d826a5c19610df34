//! What begins and ends atomic blocks and manual transactions.
//!
//! Where a transaction stands, and what follows from that, is the state machine in `standing`. This file does what it says:
//! Django's `Atomic.__enter__` and `__exit__` (`django/db/transaction.py`), and the methods of `BaseDatabaseWrapper` that
//! they call.

use std::rc::Rc;
use std::time::Duration;

use crate::base::async_tasks::Runner;
use crate::base::error::{Error, ErrorKind, Fact, Result, misuse};
use crate::base::logging::say;
use crate::config::backend::TransactionOptions;
use crate::config::settings::Liveness;
use crate::link::seat::Poison;
use crate::slot::Slot;
use crate::slot::blocks::{Block, Entry, Transaction};
use crate::slot::connect::Opening;
use crate::slot::reason::CloseReason;
use crate::slot::savepoint_sql::SavepointSql;
use crate::slot::standing::{Cause, Event, Exit, Level, Loss, Next};
use crate::slot::work::Work;

/// Blocks.
impl Slot {
    /// Enters a block, and answers its number.
    pub(crate) fn enter(self: &Rc<Self>, entry: Entry) -> Result<u64> {
        self.try_enter(entry).map_err(|error| error.with_alias(self.alias_arc()))
    }

    fn try_enter(self: &Rc<Self>, entry: Entry) -> Result<u64> {
        self.refuse_other_task()?;
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
        transaction.on(Event::Enters);
        if outermost {
            transaction.committed_inside.set(false);
        }
        let number = transaction.next_number();
        let level = transaction.level(autocommit, entry.savepoint);
        match level {
            Level::Transaction => {
                self.begin(entry.options)?;
                transaction.options.set(entry.options);
            }
            // If it cannot be made, the block is not entered. (Django stays inside one that was never entered.)
            Level::Savepoint => self.run_savepoint(&SavepointSql::create(number))?,
            Level::Joined => {}
        }
        if outermost && !autocommit {
            // No statement may have begun the transaction yet; but it is one, and ends with its connection.
            self.set_in_block(true)?;
        }
        transaction.on(Event::Entered);
        let block = Block {
            number,
            level,
            first_hook: transaction.hooks.next_number(),
            depth: self.depth(),
            at: entry.at,
            is_test: entry.is_test,
            runner: Runner::current(),
        };
        transaction.blocks.borrow_mut().push(block);
        self.flags.touch();
        Ok(number)
    }

    fn set_in_block(&self, in_block: bool) -> Result<()> {
        if let Some(link) = self.turn()?.link() {
            link.in_block = in_block;
            self.seat().vitals.set_in_transaction(link.in_transaction());
        }
        Ok(())
    }

    fn begin(self: &Rc<Self>, options: TransactionOptions) -> Result<()> {
        let turn = self.ready().inspect_err(|error| self.log_unsent(Work::Begin, error))?;
        turn.run(Work::Begin, |session| session.begin(options))?;
        self.flags.set_autocommit(false);
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
                    let reason = "a block was ended in the middle of a statement";
                    transaction.on(Event::Lose(Loss::new(Cause::Connection, reason)));
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
            say!(warn, "alias {:?}: at the end of an atomic block: {}", self.alias(), error.brief());
        }
    }

    /// Ends the innermost block (Django's `Atomic.__exit__`).
    fn leave(self: &Rc<Self>, exit: Exit) -> Result<()> {
        let transaction = &self.transaction;
        let _leaving = transaction.leaving();
        let Some(block) = transaction.blocks.borrow_mut().pop() else { return Ok(()) };
        if block.level == Level::Transaction {
            return self.leave_transaction(exit);
        }
        if !transaction.blocks.borrow().is_empty() {
            return self.leave_inner(&block, exit);
        }
        // The outermost one, with autocommit off.
        let outside = Outside { slot: self, exit, next: Next::Nothing };
        let result = self.leave_inner(&block, exit);
        let gone = match outside.leave() {
            Next::Tell(loss) => Err(not_committed(&loss)),
            _ => Ok(()),
        };
        result.and(gone)
    }

    fn leave_inner(self: &Rc<Self>, block: &Block, exit: Exit) -> Result<()> {
        let transaction = &self.transaction;
        let connected = self.serial().is_some();
        let next = transaction.on(Event::LeavesInner { exit, level: block.level, connected });
        // A wrapper that panics leaves the savepoint as it is.
        let marks = MarkUnlessDone::new(transaction);
        match next {
            Next::Release => {
                let released = self.run_savepoint(&SavepointSql::release(block.number));
                if released.is_err() {
                    self.undo(block);
                }
                marks.done();
                released
            }
            Next::Undo => {
                self.undo(block);
                marks.done();
                Ok(())
            }
            Next::UndoAndTell(loss) => {
                self.undo(block);
                marks.done();
                Err(not_committed(&loss))
            }
            _ => {
                marks.done();
                Ok(())
            }
        }
    }

    /// Rolls back to the savepoint of a block. The savepoint is not needed any more, and released.
    fn undo(self: &Rc<Self>, block: &Block) {
        let rolled_back = self.run_savepoint(&SavepointSql::roll_back(block.number));
        let undone = rolled_back.and_then(|()| {
            self.transaction.hooks.forget_from(block.first_hook);
            self.run_savepoint(&SavepointSql::release(block.number))
        });
        let Err(error) = undone else { return };
        // A savepoint is missing if the program ended the transaction by a text, or rolled back to an earlier savepoint:
        // then the block around is marked, as in Django. Else nobody asked for what is lost.
        let was_asked_for = error.is_savepoint_missing() || error.is_disconnect();
        self.transaction.on(if was_asked_for {
            Event::NotUndone
        } else {
            Event::Unrestored(Loss::by(Cause::Savepoint, &error))
        });
    }

    fn leave_transaction(self: &Rc<Self>, exit: Exit) -> Result<()> {
        let transaction = &self.transaction;
        let was_lost = transaction.is_lost();
        let connected = self.serial().is_some();
        let next = transaction.on(Event::LeavesTransaction { exit, connected });
        if !connected {
            return match next {
                Next::Tell(loss) => Err(not_committed(&loss)),
                _ => Ok(()),
            };
        }
        let committed_inside = transaction.committed_inside.take();
        let mut result = if next == Next::Commit { self.end_transaction(Exit::Commit) } else { Ok(()) };
        let ended = next == Next::Commit && result.as_ref().map_or_else(was_rolled_back, |()| true);
        if ended {
            self.has_ended();
            transaction.runs_hooks.set(true);
        }
        if result.is_err() || next != Next::Commit {
            transaction.hooks.clear();
        }
        if !ended {
            result = result.and(self.roll_back_transaction(exit, next));
        }
        transaction.on(Event::Ended);
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

    /// Rolls back the transaction of a block that cannot be committed, or was not to be. `next`: what the state machine
    /// said.
    fn roll_back_transaction(self: &Rc<Self>, exit: Exit, next: Next) -> Result<()> {
        let rolled_back = self.end_transaction(Exit::RollBack);
        let loss = match (next, &rolled_back) {
            (Next::RollBackAndTell(loss), _) => Some(loss),
            (_, Err(error)) if exit == Exit::Commit => Some(Loss::by(Cause::Connection, error)),
            _ => None,
        };
        let told = loss.map_or(Ok(()), |loss| Err(not_committed(&loss)));
        let Err(error) = rolled_back else {
            self.has_ended();
            return told;
        };
        if self.has_lost_state(&error) {
            return told;
        }
        self.close(CloseReason::Unusable);
        // Django connects at once; else the next statement does.
        if self.liveness() == Liveness::Off { told.and(self.reconnect_as_django()) } else { told }
    }

    /// Whether state of the session went with the connection, besides the transaction that could not be rolled back. Then the next
    /// statement says so, as it does outside of blocks: a new connection would be another one for who goes on.
    fn has_lost_state(&self, error: &Error) -> bool {
        if self.liveness() == Liveness::Off {
            return false;
        }
        let Ok(mut turn) = self.turn() else { return false };
        let Some(link) = turn.link() else { return false };
        link.poison(error.message().to_owned(), error.code(), false);
        let has = link.poison.as_ref().is_some_and(Poison::lost_something);
        if has {
            self.flags.set_autocommit(true);
        }
        has
    }

    /// The transaction of the outermost block was ended by the database's word.
    fn has_ended(&self) {
        self.flags.set_autocommit(true);
        self.flags.forget_errors();
    }

    /// Where it connects is in switching autocommit on.
    fn reconnect_as_django(self: &Rc<Self>) -> Result<()> {
        self.connect(Opening::Fresh, None)?;
        if self.flags.autocommit() { Ok(()) } else { self.set_autocommit(true) }
    }

    /// Ends the transaction of an outermost block, and switches autocommit on.
    fn end_transaction(&self, exit: Exit) -> Result<()> {
        let commits = exit == Exit::Commit;
        let work = if commits { Work::Commit } else { Work::Rollback };
        self.run_if_open(work, |session| session.end(commits))
    }

    fn run_hooks(&self) -> Result<()> {
        let transaction = &self.transaction;
        if transaction.runs_hooks.get() && self.flags.autocommit() {
            transaction.hooks.run(self.alias())?;
            transaction.runs_hooks.set(false);
        }
        Ok(())
    }

    /// Why no statement runs: the block, or the manual transaction after one, can only be rolled back.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let error = self.transaction.refusal(self.serial().is_some())?;
        Some(error.with_alias(self.alias_arc()))
    }
}

fn not_committed(loss: &Loss) -> Error {
    loss.error("and was not committed")
}

/// Marks the block around for rollback if a wrapper panics before what was to be done was done.
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
            transaction.on(Event::NotUndone);
        }
    }
}

/// The outermost block that is no transaction of its own is left when this is dropped, also by the panic of a wrapper.
struct Outside<'a> {
    slot: &'a Slot,
    exit: Exit,
    next: Next,
}

impl Outside<'_> {
    fn leave(mut self) -> Next {
        self.do_leave();
        std::mem::replace(&mut self.next, Next::Nothing)
    }

    fn do_leave(&mut self) {
        let transaction = &self.slot.transaction;
        if !transaction.in_atomic_block() {
            return;
        }
        self.next = transaction.on(Event::LeftManual { exit: self.exit });
        if self.slot.set_in_block(false).is_err() {
            transaction.has_left.set(true);
        }
    }
}

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        self.do_leave();
    }
}

/// Manual transactions.
impl Slot {
    /// Whether autocommit is on. It opens a connection where none is.
    pub(crate) fn autocommit(self: &Rc<Self>) -> Result<bool> {
        self.ensure_connection()?;
        Ok(self.flags.autocommit())
    }

    pub(crate) fn set_autocommit(self: &Rc<Self>, on: bool) -> Result<()> {
        self.outside_of_blocks("set_autocommit")?;
        let work = Work::SetAutocommit(on);
        match self.ready() {
            Ok(turn) => turn.run(work, |session| session.set_autocommit(on))?,
            Err(error) => {
                self.log_unsent(work, &error);
                let sends_nothing = on == self.flags.autocommit() && self.counts_as_failed_statement(&error);
                if !sends_nothing {
                    return Err(error);
                }
            }
        }
        self.flags.set_autocommit(on);
        let ran = self.run_hooks();
        self.close_after_shutdown();
        ran
    }

    pub(crate) fn commit(&self) -> Result<()> {
        self.outside_of_blocks("commit")?;
        self.refuse_other_task()?;
        let result = self.run_if_open(Work::Commit, |session| session.commit());
        match result {
            // As Django with its driver, whose commit says nothing here.
            Err(error) if was_rolled_back(&error) => {
                self.transaction.hooks.clear();
                say!(warn, "alias {:?}: the commit was a rollback: {}", self.alias(), error.brief());
            }
            result => result?,
        }
        self.flags.forget_errors();
        self.transaction.runs_hooks.set(true);
        self.close_after_shutdown();
        Ok(())
    }

    pub(crate) fn rollback(&self) -> Result<()> {
        self.outside_of_blocks("rollback")?;
        self.run_if_open(Work::Rollback, |session| session.rollback())?;
        self.flags.forget_errors();
        self.transaction.on(Event::RolledBack);
        self.close_after_shutdown();
        Ok(())
    }

    /// Logs what was not sent, for the connection was lost before.
    fn log_unsent(&self, work: Work<'_>, error: &Error) {
        if let (Some(sql), true) = (work.sql(), self.serial().is_some()) {
            self.log_statement(sql, Duration::ZERO, Some(error));
        }
    }

    fn outside_of_blocks(&self, call: &str) -> Result<()> {
        self.transaction.refuse_in_block(call).map_err(|error| error.with_alias(self.alias_arc()))
    }

    /// Django's `get_rollback`.
    pub(crate) fn is_marked(&self) -> Result<bool> {
        self.transaction.refuse_outside_of_blocks().map_err(|error| error.with_alias(self.alias_arc()))?;
        Ok(self.transaction.needs_rollback())
    }

    /// Django's `set_rollback`.
    pub(crate) fn mark(&self, marked: bool) -> Result<()> {
        self.refuse_other_task()?;
        self.transaction.mark(marked).map_err(|error| error.with_alias(self.alias_arc()))
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
