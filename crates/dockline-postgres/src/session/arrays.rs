//! An INSERT of many rows whose columns are parameters of their own: arrays, which the server takes apart again.
//!
//! What the server makes of a value must not depend on the way that it goes. So the types are those that the server has found for the row
//! of placeholders, and a value is the same in an array as by itself. The function's name is qualified, and types have no names, but the
//! numbers of those that are built in: nothing that a search path leads to is met on the way.

use std::sync::Arc;

use dockline_core::batch::Batch;
use dockline_core::placeholder::translate;
use dockline_core::statement::Outline;
use dockline_core::{Error, Result, Value};
use postgres::types::{ToSql, Type};

use super::PostgresSession;
use super::direct::{Direct, Taker};
use super::follow::is_plain;
use super::guess::key;
use super::prepared::Prepared;
use super::statement::{How, may_be_stale};
use crate::array::{Column, array_of, can_hold, columns};
use crate::error::Phase;
use crate::info;
use crate::protocol::Status;

/// The columns of an INSERT, as arrays.
pub(super) struct Arrays {
    text: String,
    elements: Vec<Type>,
    types: Vec<Type>,
}

impl Arrays {
    /// `None` if there is no array for one of them, or the server was told of it what the first row is and another may not be.
    fn of(batch: &Batch<'_>, prepared: &Prepared) -> Option<Self> {
        let statement = prepared.statement.as_ref().filter(|_| prepared.told.is_empty())?;
        let elements = statement.params().to_vec();
        let types = elements.iter().map(array_of).collect::<Option<Vec<Type>>>()?;
        Some(Self { text: batch.with_query(&query(types.len())), elements, types })
    }

    /// Whether a row can stand in them.
    pub(super) fn hold(&self, row: &[Value]) -> bool {
        self.elements.iter().zip(row).all(|(element, value)| can_hold(element, value))
    }
}

/// Takes that many arrays apart, side by side: they are of one length, and rows stay in their order.
fn query(arrays: usize) -> String {
    format!("SELECT {}", vec!["pg_catalog.unnest(?)"; arrays].join(", "))
}

impl PostgresSession {
    /// Whether the server is one that is known to take them. Others speak the protocol, too, and have functions and rules of their own.
    pub(super) fn takes_arrays(&self) -> bool {
        self.plan.prepares && self.watch.seen(|seen| info::is_postgresql(&seen.parameters))
    }

    /// The arrays for rows of this statement, by the types that the server has found for the first one. It does not run.
    pub(super) fn arrays_for(&mut self, sql: &str, batch: &Batch<'_>, row: &[Value]) -> Result<Option<Arrays>> {
        self.statement(sql, row, |_, prepared, _| Ok(Arrays::of(batch, prepared)))
    }

    /// Inserts these rows, which stand one behind the other. `None`: the server has refused them before anything ran, and the transaction
    /// goes on.
    pub(super) fn run_arrays(&mut self, sql: &str, arrays: &Arrays, rows: &[Value]) -> Result<Option<u64>> {
        let (bound, begins) = (self.watch.bound(), self.begin_is_due());
        let how = How::Arrays(&arrays.types);
        let result = self.statement_as(how, &arrays.text, rows, |session, prepared, rows| {
            session.execute_arrays(prepared, rows, arrays.types.len())
        });
        let Err(error) = result else { return result.map(Some) };
        if self.broken || !self.was_refusal(&error, bound) {
            return Err(error);
        }
        // What it knows of the types may be of yesterday.
        self.texts.remove(sql);
        self.texts.remove(&key(&arrays.text, &arrays.types));
        if begins {
            // The transaction that it has begun holds nothing else.
            self.roll_back_open()?;
        }
        if self.status() == Status::Failed { Err(error) } else { Ok(None) }
    }

    /// Whether the statement was refused as such, and has changed nothing: it was not bound, which it was so often before, or it calls a
    /// function that this user may not call.
    fn was_refusal(&self, error: &Error, bound: u64) -> bool {
        let code = error.code();
        let is_before = self.watch.bound() == bound && (code.is_none() || may_be_stale(error));
        !error.is_cancelled() && (is_before || code.as_deref() == Some("42501"))
    }

    /// Prepares such a statement. If the server refuses it, the transaction goes on.
    pub(super) fn prepare_arrays(
        &mut self,
        sql: &str,
        types: &[Type],
        rows: &[Value],
    ) -> Result<(Arc<Prepared>, bool)> {
        self.heed_reports()?;
        let key = key(sql, types);
        if let Some(prepared) = self.texts.get(&key) {
            return Ok((prepared, true));
        }
        let outline = Outline::of(sql, self.dialect());
        let is_plain = is_plain(&outline, sql);
        let text = translate(sql, types.len(), self.dialect())?.into_owned();
        let begins = self.begin_is_due();
        let statement = match self.try_to_prepare(&text, types, rows) {
            Ok(statement) => statement,
            Err(error) => {
                if !self.broken && may_be_stale(&error) {
                    self.undo(begins)?;
                }
                return Err(error);
            }
        };
        let (told, columns, statement) = (types.to_vec(), Arc::default(), Some(statement));
        Ok((self.keep(&key, Prepared { text, statement, told, columns, outline, is_plain })?, false))
    }

    /// Where a savepoint was set for preparing it, that stays for the first time that it runs, too: a server that has no function for
    /// arrays, or lets this user not call it, says so only then.
    fn execute_arrays(&mut self, prepared: &Prepared, rows: &[Value], width: usize) -> Result<u64> {
        let bound = self.watch.bound();
        let is_guarded = std::mem::take(&mut self.owes_release);
        let result = self.send_arrays(prepared, rows, width);
        self.owes_release = is_guarded;
        let is_refusal = result.as_ref().is_err_and(|error| self.was_refusal(error, bound));
        if is_guarded && is_refusal && !self.broken {
            self.undo(false)?;
        }
        result
    }

    fn send_arrays(&mut self, prepared: &Prepared, rows: &[Value], width: usize) -> Result<u64> {
        let arrays = columns(rows, width);
        if let Direct::Done(count) = self.run_directly_with(prepared, rows, arrays.clone(), &mut Taker::Count) {
            return Ok(self.changed_rows(prepared, count));
        }
        let arrays: Vec<Column<'_>> = arrays.collect();
        let params: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        let count = self.step(Phase::Sent, |client| match prepared.statement.as_deref() {
            Some(statement) => client.execute(statement, &params),
            None => client.execute(&prepared.text, &params),
        })?;
        Ok(self.changed_rows(prepared, count))
    }
}

#[cfg(test)]
mod tests {
    use dockline_core::statement::Dialect;

    use super::*;

    #[test]
    fn the_statement_leaves_nothing_that_has_to_be_followed() {
        let sql = "INSERT INTO t (a, b) VALUES (?, ?)";
        let batch = Batch::of(sql, Dialect::POSTGRES).unwrap();
        let text = batch.with_query(&query(2));
        assert_eq!(text, "INSERT INTO t (a, b) SELECT pg_catalog.unnest(?), pg_catalog.unnest(?)");
        for sql in [sql, &text] {
            let outline = Outline::of(sql, Dialect::POSTGRES);
            assert!(is_plain(&outline, sql) && outline.verb().changes_rows() && outline.writes(), "{sql}");
        }
    }
}
