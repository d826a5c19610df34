//! Statements: prepared once for each connection, and prepared anew where the server has forgotten them.

use std::time::Instant;

use dockline_core::statement::TransactionChange;
use dockline_core::{Error, ErrorKind, Fact, Result, Value};
use postgres::Client;
use postgres::types::Type;

use super::PostgresSession;
use super::follow::Text;
use super::guess::key;
use super::prepared::Prepared;
use super::transaction::rolled_back;
use crate::error::{Phase, placed};
use crate::protocol::Status;

/// Why a statement has not run to its end.
struct Failure {
    error: Error,
    /// What was prepared no longer holds, and the server refused it before it ran.
    is_stale: bool,
}

/// It would be the same if it was prepared anew. (No `From`: the compiler would name this type to programs whose closures have no type of
/// error.)
fn fresh(error: Error) -> Failure {
    Failure { error, is_stale: false }
}

/// What a statement's parameters are.
#[derive(Clone, Copy)]
pub(super) enum How<'a> {
    /// Values, one for each placeholder.
    Values,
    /// Arrays of these types, one for each placeholder. The text is one of ours.
    Arrays(&'a [Type]),
}

impl PostgresSession {
    /// Runs `call` with the statement of this text. One that the server has forgotten, or whose result has another shape
    /// since, is prepared anew.
    pub(super) fn statement<R>(
        &mut self,
        sql: &str,
        params: &[Value],
        call: impl FnMut(&mut Self, &Prepared, &[Value]) -> Result<R>,
    ) -> Result<R> {
        self.statement_as(How::Values, sql, params, call)
    }

    pub(super) fn statement_as<R>(
        &mut self,
        how: How<'_>,
        sql: &str,
        params: &[Value],
        mut call: impl FnMut(&mut Self, &Prepared, &[Value]) -> Result<R>,
    ) -> Result<R> {
        let started = self.plan.statement_timeout.map(|limit| (limit, Instant::now()));
        let begins = self.begin_is_due();
        let mut result = self.beginning(fresh, |session| session.attempt(how, sql, params, &mut call));
        // In a transaction that has failed nothing runs any more. One that this statement has begun holds nothing else.
        if matches!(&result, Err(failure) if failure.is_stale && (begins || self.status() == Status::Idle)) {
            self.roll_back_open()?;
            result = self.beginning(fresh, |session| session.attempt(how, sql, params, &mut call));
        }
        let placed = |error| match how {
            How::Values => placed(error, sql, self.dialect()),
            // Nobody has written that text.
            How::Arrays(_) => error,
        };
        let result = result.map_err(|Failure { error, is_stale }| Failure { error: placed(error), is_stale });
        let is_stale = |failure: &Failure| failure.is_stale && succeeds_anew(&failure.error);
        if result.as_ref().is_err_and(is_stale) {
            // The transaction holds other work: whoever has it can do it again.
            return result.map_err(|Failure { error, .. }| error.with_fact(Fact::Retryable));
        }
        let result = result.map_err(|failure| Failure { error: self.explained(failure.error), ..failure });
        result.map_err(|Failure { error, .. }| match started {
            Some((limit, started)) if error.is_cancelled() && started.elapsed() >= limit => {
                error.with_context(format_args!("the statement ran longer than statement_timeout ({limit:?})"))
            }
            _ => error,
        })
    }

    /// Nothing tells the server types if no statement is prepared.
    fn explained(&self, error: Error) -> Error {
        match error.code().as_deref() {
            Some("42P18" | "42P08") if !self.plan.prepares && error.hint().is_none() => error.with_hint(
                "with prepared_statements = false the server is told no types: write that of the parameter, as in CAST(? AS integer)",
            ),
            _ => error,
        }
    }

    fn attempt<R>(
        &mut self,
        how: How<'_>,
        sql: &str,
        params: &[Value],
        call: &mut impl FnMut(&mut Self, &Prepared, &[Value]) -> Result<R>,
    ) -> Result<R, Failure> {
        let result = match how {
            How::Values => self.prepare(sql, params),
            How::Arrays(types) => self.prepare_arrays(sql, types, params),
        };
        let prefixes = self.watch.prefixes();
        let (prepared, is_kept) = match result {
            Ok(prepared) => prepared,
            Err(error) => {
                // What is wrong with the statement says more than what may be wrong with the savepoint.
                let _ = self.release_what_is_left(prefixes);
                return Err(fresh(error));
            }
        };
        let failed_before = self.status() == Status::Failed;
        let bound_before = self.watch.bound();
        let commits_by_itself = !self.has_work();
        let lookups = if prepared.is_plain { Vec::new() } else { self.lookups_that_end(&prepared.outline) };
        let result = call(self, &prepared, params);
        if result.is_ok() {
            self.restore_lookups(&lookups);
        }
        let released = self.release_what_is_left(prefixes);
        let result = result.and_then(|value| released.map(|()| value));
        let outline = &prepared.outline;
        if !self.broken {
            self.follow(outline, prepared.is_plain, Text { sql, params }, result.is_ok());
        }
        let commits = matches!(outline.transaction(), Some(TransactionChange::Commit { .. }));
        match result {
            Ok(value) => {
                // Also where another transaction follows at once (AND CHAIN).
                self.committed |= outline.transaction().is_some_and(TransactionChange::commits);
                if failed_before && commits { Err(fresh(rolled_back())) } else { Ok(value) }
            }
            Err(error) => {
                if self.broken && commits {
                    self.held.end(true);
                }
                // What it knows of its types may be of yesterday: the next try finds out anew.
                if matches!(error.kind(), ErrorKind::Data | ErrorKind::Internal | ErrorKind::NotSupported) {
                    self.texts.remove(sql);
                }
                // What was bound has begun to run; then it is something inside that says so.
                let may_have_run = self.watch.bound() != bound_before;
                let is_stale = is_kept && !may_have_run && !self.broken && may_be_stale(&error);
                // A procedure can commit on its way.
                let half_way = may_have_run && commits_by_itself && outline.may_stop_half_way();
                let error = if half_way { error.with_fact(Fact::MayHaveExecuted) } else { error };
                if is_stale {
                    self.forget(sql, &prepared, &error);
                }
                Err(Failure { error, is_stale })
            }
        }
    }

    /// The server refused a statement that was prepared before: what it was prepared for has changed.
    fn forget(&mut self, sql: &str, prepared: &Prepared, error: &Error) {
        self.texts.remove(sql);
        self.texts.remove(&key(sql, &prepared.told));
        match error.code().as_deref() {
            // The pooler has given us another session, or somebody has let go of all statements.
            Some("26000") => self.texts.clear(),
            Some("XX000" | "42704") => {
                self.texts.clear();
                if let Some(client) = &self.client {
                    client.clear_type_cache();
                }
            }
            _ => {}
        }
    }

    /// Runs a step of a statement on the driver, by the extended protocol.
    pub(super) fn step<R>(
        &mut self,
        phase: Phase,
        call: impl FnOnce(&mut Client) -> Result<R, postgres::Error>,
    ) -> Result<R> {
        let before = self.begin_step();
        let result = call(self.client()?);
        result.map_err(|error| self.failed(error, phase, before))
    }
}

/// Whether this can be the refusal of a statement that was prepared before: the server no longer knows it, a table or a type
/// under it has changed, its result has another shape, or a value does not fit the type that a parameter had. It says so before
/// it runs anything.
pub(super) fn may_be_stale(error: &Error) -> bool {
    let classes = ["22", "26", "42", "0A", "XX"];
    error.code().is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

/// Whether the same text succeeds when it is prepared anew: if not the name is wrong, but what was known of it.
fn succeeds_anew(error: &Error) -> bool {
    let codes = ["26000", "0A000", "XX000", "42804", "42883", "42846", "42P18", "42704", "42725"];
    error.code().is_some_and(|code| codes.contains(&&*code))
}
