//! Statements: prepared once for each connection, and prepared anew where the server has forgotten them.

use std::sync::Arc;
use std::time::Instant;

use dockline_core::placeholder::translate;
use dockline_core::{Error, ErrorKind, Result, Value};
use postgres::Client;

use super::PostgresSession;
use super::prepared::Prepared;
use super::transaction::rolled_back;
use crate::effect::{Effect, Transaction};
use crate::error::Doing;
use crate::protocol::Status;
use crate::rows::names;
use crate::syntax::SYNTAX;

/// The protocol counts parameters with 16 bits.
const MOST_PARAMETERS: usize = 65_535;

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
        let prepared = self.prepare(sql, params.len())?;
        let effect = prepared.effect;
        let failed_before = self.status() == Status::Failed;
        let bound_before = self.bound();
        match call(self, &prepared, params) {
            Ok(_) if failed_before && effect.commits => {
                self.ran(effect);
                Err(rolled_back().into())
            }
            Ok(value) => {
                self.ran(effect);
                Ok(value)
            }
            Err(error) => {
                self.keeps_state |= effect.keeps_state;
                // What it knows of its types may be of yesterday: the next try finds out anew.
                if matches!(error.kind(), ErrorKind::Data | ErrorKind::Internal | ErrorKind::NotSupported) {
                    drop(self.statements.remove(sql));
                }
                if effect.transaction == Some(Transaction::Ends) {
                    self.ask_where_nobody_watches();
                }
                let is_stale = prepared.statement.is_some() && is_stale(&error);
                if is_stale {
                    self.statements.clear();
                }
                // What was bound has begun to run; then it is something inside that says so.
                let may_have_run = self.bound() != bound_before || (self.watch.is_none() && effect.runs_code);
                Err(Failure { error, is_stale: is_stale && !may_have_run })
            }
        }
    }

    /// The statement of this text: from the cache, or prepared now.
    fn prepare(&mut self, sql: &str, params: usize) -> Result<Arc<Prepared>> {
        let found = self.statements.get(sql);
        if let Some(prepared) = found {
            let wanted = prepared.statement.as_ref().map_or(params, |statement| statement.params().len());
            // The translation says what is wrong.
            if wanted != params {
                translate(sql, params, &SYNTAX)?;
            }
            return Ok(prepared);
        }
        if sql.as_bytes().contains(&0) {
            return Err(Error::new(ErrorKind::Programming, "the statement has a NUL character"));
        }
        let effect = Effect::of(sql);
        if !effect.is_any {
            return Err(Error::new(ErrorKind::Programming, "there is no statement in the text"));
        }
        if params > MOST_PARAMETERS {
            let message = format!("the statement has {params} parameters, and PostgreSQL takes {MOST_PARAMETERS}");
            return Err(Error::new(ErrorKind::Programming, message));
        }
        if effect.copies {
            let message = "COPY from and to the client goes by native, as copy_in and copy_out of the driver";
            return Err(Error::new(ErrorKind::NotSupported, message));
        }
        let text = translate(sql, params, &SYNTAX)?.into_owned();
        if !self.plan.prepares {
            return Ok(Arc::new(Prepared { text, statement: None, columns: Arc::default(), effect }));
        }
        let statement = self.step(Doing::Asking, |client| client.prepare(&text))?;
        if statement.params().len() != params {
            let message = "the statement has placeholders of PostgreSQL's own, as $1; write ? for each parameter";
            return Err(Error::new(ErrorKind::Programming, message));
        }
        let columns = names(statement.columns());
        let prepared = Arc::new(Prepared { text, statement: Some(statement), columns, effect });
        drop(self.statements.put(sql, Arc::clone(&prepared)));
        Ok(prepared)
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

    fn bound(&self) -> u64 {
        self.watch.as_ref().map_or(0, |watch| watch.bound())
    }

    /// A statement has run.
    fn ran(&mut self, effect: Effect) {
        // Also where another transaction follows at once (AND CHAIN).
        self.committed |= effect.commits;
        match effect.transaction {
            Some(Transaction::Begins) => self.guess = Status::InTransaction,
            Some(Transaction::Ends) => self.guess = Status::Idle,
            None => {}
        }
        if effect.keeps_state {
            self.keeps_state = true;
        }
        if effect.changes_schema {
            self.statements.clear();
        }
        if effect.discards {
            self.keeps_state = false;
            self.statements.clear();
        }
    }
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
