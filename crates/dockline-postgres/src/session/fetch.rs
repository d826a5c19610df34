//! Running a prepared statement, and what becomes of its rows.

use std::sync::Arc;
use std::time::Duration;

use dockline_core::backend::{Expect, Rest, RowSink, Session as _};
use dockline_core::statement::Outline;
use dockline_core::{Error, ErrorKind, Fact, Result, Value};
use dockline_net::SHORT;
use postgres::Statement;
use postgres::types::Type;

use super::PostgresSession;
use super::prepared::Prepared;
use crate::error::{self, Doing};
use crate::param::{Param, with_params, with_typed};
use crate::rows::{names, pour, values};

/// How long reading the rest of a result may take.
const RESTING: Duration = Duration::from_millis(200);

impl PostgresSession {
    pub(super) fn execute_prepared(&mut self, prepared: &Prepared, params: &[Value]) -> Result<u64> {
        let count = match &prepared.statement {
            Some(statement) => {
                with_params(params, |params| self.step(Doing::Running, |client| client.execute(statement, params)))
            }
            None => with_typed(params, |params| {
                self.step(Doing::Running, |client| client.execute_typed(&prepared.text, params))
            }),
        }?;
        Ok(if self.changed_rows(&prepared.outline) { count } else { 0 })
    }

    /// The driver counts rows that were only read, too.
    fn changed_rows(&self, outline: &Outline) -> bool {
        outline.verb().changes_rows()
            && self.watch.as_ref().is_none_or(|watch| watch.seen(|seen| !seen.tag.starts_with("SELECT")))
    }

    pub(super) fn query_prepared(
        &mut self,
        prepared: &Prepared,
        params: &[Value],
        sink: &mut dyn RowSink,
    ) -> Result<Rest> {
        match (sink.expects(), &prepared.statement) {
            (Expect::Stream, _) => self.stream(prepared, params, sink),
            (Expect::One, Some(statement)) => self.fetch_one(prepared, statement, params, sink),
            _ => self.fetch(prepared, params, sink),
        }
    }

    /// One row, or none: without the list that more would need.
    fn fetch_one(
        &mut self,
        prepared: &Prepared,
        statement: &Statement,
        params: &[Value],
        sink: &mut dyn RowSink,
    ) -> Result<Rest> {
        let before = self.begin_step();
        let client = self.client()?;
        let row = match with_params(params, |params| client.query_opt(statement, params)) {
            Ok(row) => row,
            Err(error) if error::is_more_than_one_row(&error) => {
                self.come_to_rest();
                let message = "the statement gave more than one row, and one is expected";
                return Err(Error::new(ErrorKind::Data, message).with_fact(Fact::MayHaveExecuted));
            }
            Err(error) => return Err(self.failed(error, Doing::Running, before)),
        };
        sink.columns(&prepared.columns);
        if let Some(row) = row {
            let values = values(&row).map_err(|error| self.failed(error, Doing::Running, 0))?;
            let _ = sink.row(values);
        }
        Ok(Rest::Drained)
    }

    /// All rows at once: that is one turn of the driver, and not one for each row.
    fn fetch(&mut self, prepared: &Prepared, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let rows = match &prepared.statement {
            Some(statement) => {
                with_params(params, |params| self.step(Doing::Running, |client| client.query(statement, params)))
            }
            None => with_typed(params, |params| {
                self.step(Doing::Running, |client| client.query_typed(&prepared.text, params))
            }),
        }?;
        let columns = match (&prepared.statement, rows.first()) {
            (None, Some(row)) => names(row.columns()),
            _ => Arc::clone(&prepared.columns),
        };
        sink.columns(&columns);
        for row in &rows {
            let values = values(row).map_err(|error| self.failed(error, Doing::Running, 0))?;
            if sink.row(values).is_break() {
                break;
            }
        }
        Ok(Rest::Drained)
    }

    /// The rest of a result that was left is read, where that is soon done; else the connection can only be closed. Inside a
    /// transaction it cannot be given up.
    fn come_to_rest(&mut self) {
        let (limit, gives_up) = if self.has_work() { (SHORT, false) } else { (RESTING, true) };
        let rests = match self.client() {
            Ok(client) => client.is_valid(limit).is_ok(),
            Err(_) => true,
        };
        self.broken |= !rests && gives_up;
    }

    fn stream(&mut self, prepared: &Prepared, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let before = self.begin_step();
        let drains =
            self.has_work() || !prepared.outline.reads_only() || !sink.may_discard() || !self.state().is_empty();
        let client = self.client()?;
        let params = params.iter().map(Param);
        let rows = match &prepared.statement {
            Some(statement) => client.query_raw(statement, params),
            None => client.query_typed_raw(&prepared.text, params.map(|param| (param, Type::UNKNOWN))),
        };
        let result = rows.and_then(|rows| {
            let known = prepared.statement.is_some().then_some(&prepared.columns);
            pour(rows, known, sink, drains)
        });
        match result {
            Ok(rest) => {
                self.broken = self.broken || rest == Rest::Unread;
                Ok(rest)
            }
            Err(error) => {
                let error = self.failed(error, Doing::Running, before);
                // A row that cannot be read leaves those behind it.
                if !self.broken && error.kind() == ErrorKind::NotSupported {
                    self.come_to_rest();
                }
                Err(error)
            }
        }
    }
}
