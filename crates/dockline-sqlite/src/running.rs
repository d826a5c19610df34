//! What runs on a connection: within the limits of a statement, and with a turn where it writes.

use std::mem::forget;
use std::path::Path;
use std::sync::Arc;

use dockline_core::{Error, ErrorKind, Fact, Result};
use rusqlite::{TransactionState, ffi};

use crate::error::map;
use crate::own::Own;
use crate::prepared::{Known, Statement};
use crate::session::SqliteSession;
use crate::texts::{Kind, Text};
use crate::{locked, log};

impl SqliteSession {
    /// Runs `call` as one statement: in a transaction where autocommit is off, and within the time limit. An error
    /// says whether something of it stands.
    pub(crate) fn statement<R>(&self, call: impl FnOnce() -> Result<R>) -> Result<R> {
        let before = self.connection.total_changes();
        self.is_uncounted.set(false);
        self.guarded(|| {
            self.begin_where_manual()?;
            call()
        })
        .map_err(|error| {
            // SQLite counts changes when a statement ends, and takes back what a failed one did, except after OR FAIL.
            // It counts rows alone, and asks whether to go on once more when all is done.
            let is_unknown = self.is_uncounted.get() && error.is_cancelled() && !self.rolled_back.get();
            let nothing_stands = !is_unknown && self.connection.total_changes() == before;
            if nothing_stands { error } else { error.with_fact(Fact::MayHaveExecuted) }
        })
    }

    /// Runs `call` within the limits of a statement, and passes the turn on where its transaction is over then.
    pub(crate) fn guarded<R>(&self, call: impl FnOnce() -> Result<R>) -> Result<R> {
        self.within_limits(|| self.watch.check().and_then(|()| call()))
    }

    fn within_limits<R>(&self, call: impl FnOnce() -> Result<R>) -> Result<R> {
        self.watch.begin();
        self.was_open.set(self.is_open.get());
        self.rolled_back.set(false);
        let settling = SettleWhenUnwound(self);
        let result = call();
        forget(settling);
        let timed_out = self.watch.end();
        self.rolled_back.set(result.is_err() && self.was_open.get() && !self.in_transaction());
        let result = result.map_err(|error| {
            let error = self.explain_lock(error);
            match timed_out {
                Some(limit) if error.is_cancelled() => {
                    error.with_context(format_args!("the statement ran longer than statement_timeout ({limit:?})"))
                }
                _ => error,
            }
        });
        self.settle(result.is_err());
        result
    }

    /// A statement is about to take its first step: whether it may. What writes takes its turn.
    pub(crate) fn admit(&self, text: &Text, statement: &Statement<'_>) -> Result<()> {
        if statement.readonly() || text.kind == Kind::VacuumInto {
            if self.writer.has_turn() {
                self.writer.describe(&text.sql);
            }
            return Ok(());
        }
        if self.reads_only.get() && self.in_transaction() {
            let message =
                "the atomic block is read-only, and the statement writes; run it in a block without read_only";
            return Err(Error::new(ErrorKind::Operational, message)
                .with_code(ffi::SQLITE_READONLY.to_string())
                .with_fact(Fact::ReadOnly));
        }
        self.writer.take_turns(&self.watch, &text.sql)?;
        self.is_uncounted.set(text.kind != Kind::Rows);
        Ok(())
    }

    pub(crate) fn text(&self, sql: &str, parameters: usize) -> Result<Known<'_>> {
        self.connection.text(sql, parameters)
    }

    /// Whether each statement commits by itself.
    pub(crate) fn commits_each(&self) -> bool {
        self.autocommit && !self.in_transaction()
    }

    pub(crate) fn begin_where_manual(&self) -> Result<()> {
        if self.autocommit || self.in_transaction() { Ok(()) } else { self.begin_as(self.begin, &self.begin_text) }
    }

    /// Begins a transaction; `statement` is what those are told who wait for its end.
    pub(crate) fn begin_as(&self, begin: Own, statement: &Arc<str>) -> Result<()> {
        if begin != Own::Begin {
            self.writer.take_turns(&self.watch, statement)?;
        }
        self.run(begin)?;
        self.is_open.set(true);
        self.was_open.set(true);
        if Arc::ptr_eq(statement, &self.begin_text) {
            self.writer.describe_by_next();
        }
        Ok(())
    }

    /// Begins the transaction of a group of rows.
    pub(crate) fn begin_group(&self, statement: &Arc<str>) -> Result<()> {
        self.guarded(|| self.begin_as(Own::BeginImmediate, statement))
    }

    pub(crate) fn commit_open(&self) -> Result<()> {
        if self.in_transaction() { self.guarded(|| self.run(Own::Commit)) } else { Ok(()) }
    }

    pub(crate) fn roll_back_open(&self) -> Result<()> {
        // Also after what was cancelled: what is left of that is to go.
        if self.in_transaction() { self.within_limits(|| self.run(Own::Rollback)) } else { Ok(()) }
    }

    pub(crate) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Runs a statement of our own.
    pub(crate) fn run(&self, own: Own) -> Result<()> {
        self.watch.let_end(|| self.connection.run(own)).map_err(map)
    }

    /// Something has ended: where there is no transaction any more, or none that writes, others may.
    pub(crate) fn settle(&self, failed: bool) {
        let is_over = self.connection.is_autocommit();
        self.is_open.set(!is_over);
        if is_over {
            self.reads_only.set(false);
        }
        if !self.writer.has_turn() {
            return;
        }
        let writes = || self.connection.transaction_state::<&str>(None) == Ok(TransactionState::Write);
        if is_over
            && !failed
            && let (Some(database), Some(file)) = (self.writer.main(), self.writer.file())
        {
            log::tend(&self.connection, database, file, &self.watch);
        }
        if is_over || (failed && !writes()) {
            self.writer.pass_on(&self.watch);
        }
    }

    /// Says of SQLite's "database is locked" who has it, as far as that is known.
    pub(crate) fn explain_lock(&self, error: Error) -> Error {
        let is_sqlites = std::error::Error::source(&error).is_some();
        let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
        if !is_sqlites || code & 0xff != ffi::SQLITE_BUSY {
            return error;
        }
        if self.watch.is_cancelled() {
            return self.watch.check().err().unwrap_or(error);
        }
        let reading = self.connection.transaction_state::<&str>(None) == Ok(TransactionState::Read);
        let file = self.writer.file().unwrap_or(Path::new("the database in memory")).display().to_string();
        locked::by_another(error, &file, reading, self.watch.waiting_limit())
    }
}

/// A panic of a row callback ends the statement, and maybe the transaction.
struct SettleWhenUnwound<'a>(&'a SqliteSession);

impl Drop for SettleWhenUnwound<'_> {
    fn drop(&mut self) {
        self.0.settle(true);
    }
}
