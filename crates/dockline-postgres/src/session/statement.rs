//! Statements: prepared once for each connection, and prepared anew where the server has forgotten them.

use std::time::Instant;

use dockline_core::backend::StateKind;
use dockline_core::statement::{Outline, StateChange, TransactionChange};
use dockline_core::{Error, ErrorKind, Result, Value};
use postgres::Client;

use super::PostgresSession;
use super::prepared::Prepared;
use super::transaction::rolled_back;
use crate::error::Doing;
use crate::protocol::Status;

/// Why a statement has not run to its end.
struct Failure {
    error: Error,
    /// What was prepared no longer holds, and the server refused it before it ran.
    is_stale: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_stale: false }
    }
}

impl PostgresSession {
    /// Runs `call` with the statement of this text. One that the server has forgotten, or whose result has another shape
    /// since, is prepared anew.
    pub(super) fn statement<R>(
        &mut self,
        sql: &str,
        params: &[Value],
        mut call: impl FnMut(&mut Self, &Prepared, &[Value]) -> Result<R>,
    ) -> Result<R> {
        let started = self.plan.statement_timeout.map(|limit| (limit, Instant::now()));
        let begins = self.begin_is_due();
        let mut result = self.beginning(|session| session.attempt(sql, params, &mut call));
        // In a transaction that has failed nothing runs any more. One that this statement has begun holds nothing else.
        if matches!(&result, Err(failure) if failure.is_stale && (begins || self.status() == Status::Idle)) {
            self.roll_back_open()?;
            result = self.beginning(|session| session.attempt(sql, params, &mut call));
        }
        result.map_err(|Failure { error, .. }| match started {
            Some((limit, started)) if error.is_cancelled() && started.elapsed() >= limit => {
                error.with_context(format_args!("the statement ran longer than statement_timeout ({limit:?})"))
            }
            _ => error,
        })
    }

    fn attempt<R>(
        &mut self,
        sql: &str,
        params: &[Value],
        call: &mut impl FnMut(&mut Self, &Prepared, &[Value]) -> Result<R>,
    ) -> Result<R, Failure> {
        let result = self.prepare(sql, params);
        let prefixes = self.watch.prefixes();
        let prepared = match result {
            Ok(prepared) => prepared,
            Err(error) => {
                // What is wrong with the statement says more than what may be wrong with the savepoint.
                let _ = self.release_what_is_left(prefixes);
                return Err(error.into());
            }
        };
        let outline = &prepared.outline;
        let failed_before = self.status() == Status::Failed;
        let bound_before = self.watch.bound();
        let result = call(self, &prepared, params);
        let released = self.release_what_is_left(prefixes);
        match result.and_then(|value| released.map(|()| value)) {
            Ok(_) if failed_before && commits(outline) => {
                self.ran(outline);
                Err(rolled_back().into())
            }
            Ok(value) => {
                self.ran(outline);
                Ok(value)
            }
            Err(error) => {
                // It may have come that far.
                outline.state().iter().filter(|change| makes(change)).for_each(|change| self.held.apply(change));
                // What it knows of its types may be of yesterday: the next try finds out anew.
                if matches!(error.kind(), ErrorKind::Data | ErrorKind::Internal | ErrorKind::NotSupported) {
                    drop(self.statements.remove(sql));
                }
                let is_stale = prepared.statement.is_some() && is_stale(&error);
                if is_stale {
                    self.statements.clear();
                }
                // What was bound has begun to run; then it is something inside that says so.
                let may_have_run = self.watch.bound() != bound_before;
                Err(Failure { error, is_stale: is_stale && !may_have_run })
            }
        }
    }

    /// Runs a step of a statement on the driver, by the extended protocol.
    pub(super) fn step<R>(
        &mut self,
        doing: Doing,
        call: impl FnOnce(&mut Client) -> Result<R, postgres::Error>,
    ) -> Result<R> {
        let before = self.begin_step();
        let result = call(self.client()?);
        result.map_err(|error| self.failed(error, doing, before))
    }

    /// A statement has run.
    fn ran(&mut self, outline: &Outline) {
        // Also if another transaction follows at once (AND CHAIN).
        self.committed |= outline.transaction().is_some_and(TransactionChange::commits);
        let is_idle = self.status() == Status::Idle;
        for change in outline.state().iter().filter(|change| is_idle || !is_undone(change)) {
            self.held.apply(change);
        }
        if is_idle {
            self.held.end_transaction();
        }
        if outline.changes_schema() || outline.state().iter().any(ends_statements) {
            self.statements.clear();
        }
    }
}

/// Asks for the end of a transaction in which all stands.
fn commits(outline: &Outline) -> bool {
    matches!(outline.transaction(), Some(TransactionChange::Commit { .. }))
}

fn makes(change: &StateChange) -> bool {
    matches!(change, StateChange::Makes(..) | StateChange::MakesLocal(..))
}

/// Whether a rollback of the transaction brings back what it has ended: then it still counts as held.
fn is_undone(change: &StateChange) -> bool {
    match change {
        StateChange::Ends(kind, _) | StateChange::EndsAll(kind) => {
            !matches!(kind, StateKind::Lock | StateKind::PreparedStatement | StateKind::Cursor)
        }
        _ => false,
    }
}

/// Whether the server forgets statements that were prepared.
fn ends_statements(change: &StateChange) -> bool {
    matches!(change, StateChange::EndsEverything | StateChange::EndsAll(StateKind::PreparedStatement))
}

/// The server no longer knows a statement that was prepared, or a table under it has changed.
fn is_stale(error: &Error) -> bool {
    let routine = || {
        let source = std::error::Error::source(error)?.downcast_ref::<postgres::Error>()?;
        source.as_db_error()?.routine()
    };
    match error.code().as_deref() {
        // By the place in the server: a routine of the program's can raise the same.
        Some("26000") => routine() == Some("FetchPreparedStatement"),
        Some("0A000") => routine() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}
