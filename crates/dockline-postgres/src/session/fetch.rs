//! Running a prepared statement, and what becomes of its rows.

use std::sync::Arc;
use std::time::Duration;

use dockline_core::backend::{Expect, Rest, RowSink, Session as _};
use dockline_core::{Error, ErrorKind, Fact, Result, Value};
use postgres::Statement;
use postgres::types::Type;

use super::PostgresSession;
use super::direct::{Direct, Each, Taker};
use super::prepared::Prepared;
use crate::error::{self, Phase};
use crate::param::{numbered, with_params, with_typed};
use crate::rows::{Chunks, Leaving, Poured, names, pour, values};

/// How long reading the rest of a result may take.
const RESTING: Duration = Duration::from_millis(200);

impl PostgresSession {
    pub(super) fn execute_prepared(&mut self, prepared: &Prepared, params: &[Value]) -> Result<u64> {
        if let Direct::Done(count) = self.run_directly(prepared, params, &mut Taker::Count) {
            return Ok(self.changed_rows(prepared, count));
        }
        self.execute_by_driver(prepared, params)
    }

    fn execute_by_driver(&mut self, prepared: &Prepared, params: &[Value]) -> Result<u64> {
        let count = match prepared.statement.as_deref() {
            Some(statement) => {
                with_params(params, |params| self.step(Phase::Sent, |client| client.execute(statement, params)))
            }
            None => with_typed(params, &prepared.told, |params| {
                self.step(Phase::Sent, |client| client.execute_typed(&prepared.text, params))
            }),
        }?;
        Ok(self.changed_rows(prepared, count))
    }

    /// How many rows were changed. The driver counts those that were only read, too.
    pub(super) fn changed_rows(&self, prepared: &Prepared, count: u64) -> u64 {
        let changes = prepared.outline.verb().changes_rows() && self.watch.seen(|seen| !seen.tag.starts_with("SELECT"));
        if changes { count } else { 0 }
    }

    pub(super) fn query_prepared(
        &mut self,
        prepared: &Prepared,
        params: &[Value],
        sink: &mut dyn RowSink,
    ) -> Result<Rest> {
        if prepared.statement.is_none() {
            self.describe(prepared, sink.expects() == Expect::Stream)?;
        }
        match (sink.expects(), prepared.statement.as_deref()) {
            (Expect::Stream, _) if self.comes_in_chunks(prepared) => self.stream(prepared, params, sink),
            (Expect::One, Some(statement)) => self.fetch_one(prepared, statement, params, sink),
            (expect, _) => {
                let mut taker = Taker::Each(Each::of(prepared, &mut *sink));
                match self.run_directly(prepared, params, &mut taker) {
                    Direct::Done(_) => Ok(Rest::Drained),
                    Direct::Unread => Ok(Rest::Unread),
                    // The rows that are left are nobody's.
                    Direct::Driver if matches!(&taker, Taker::Each(each) if each.has_stopped()) => {
                        self.execute_by_driver(prepared, params).map(|_| Rest::Drained)
                    }
                    Direct::Driver if expect == Expect::Stream => self.stream(prepared, params, sink),
                    Direct::Driver => self.fetch(prepared, params, sink),
                }
            }
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
        let mut taker = Taker::One(None);
        if let (Direct::Done(_), Taker::One(row)) = (self.run_directly(prepared, params, &mut taker), taker) {
            sink.columns(&prepared.columns);
            if let Some(values) = row {
                let _ = sink.row(values);
            }
            return Ok(Rest::Drained);
        }
        let before = self.begin_step();
        let chunks = self.chunks(prepared);
        let client = self.client()?;
        let row = match with_params(params, |params| client.query_opt(statement, params)) {
            Ok(row) => row,
            Err(error) if error::is_more_than_one_row(&error) => {
                // Only here is it asked what would be lost: mostly there is one row.
                let may_close = chunks.is_none() && prepared.outline.reads_only() && self.may_close(sink);
                self.come_to_rest(may_close);
                let message = "the statement gave more than one row, and one is expected";
                return Err(Error::new(ErrorKind::Data, message).with_fact(Fact::MayHaveExecuted));
            }
            Err(error) => return Err(self.failed(error, Phase::Sent, before)),
        };
        sink.columns(&prepared.columns);
        if let Some(row) = row {
            let values = values(&row, self.reader, None).map_err(|error| self.failed(error, Phase::Sent, 0))?;
            let _ = sink.row(values);
        }
        Ok(Rest::Drained)
    }

    /// All rows at once: that is one turn of the driver, and not one for each row.
    fn fetch(&mut self, prepared: &Prepared, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let rows = match prepared.statement.as_deref() {
            Some(statement) => {
                with_params(params, |params| self.step(Phase::Sent, |client| client.query(statement, params)))
            }
            None => with_typed(params, &prepared.told, |params| {
                self.step(Phase::Sent, |client| client.query_typed(&prepared.text, params))
            }),
        }?;
        let columns = match (prepared.statement.as_deref(), rows.first()) {
            (None, Some(row)) => names(row.columns()),
            _ => Arc::clone(&prepared.columns),
        };
        sink.columns(&columns);
        let types = if rows.is_empty() { None } else { self.hidden_types(prepared)? };
        for row in &rows {
            let values =
                values(row, self.reader, types.as_deref()).map_err(|error| self.failed(error, Phase::Sent, 0))?;
            if sink.row(values).is_break() {
                break;
            }
        }
        Ok(Rest::Drained)
    }

    /// What becomes of the rest of a result that is left before its end.
    fn leaving(&mut self, prepared: &Prepared, sink: &dyn RowSink) -> Leaving {
        match self.chunks(prepared) {
            Some(chunks) => Leaving::Portal(chunks),
            None if prepared.outline.reads_only() && self.may_close(sink) => Leaving::Close,
            None => Leaving::Drain,
        }
    }

    /// The chunks that the result of this statement comes in: there is work that must not be lost, and a rest that need not be read.
    fn chunks(&self, prepared: &Prepared) -> Option<Chunks> {
        self.comes_in_chunks(prepared).then(|| Chunks::begin(&self.watch, &self.canceller))
    }

    pub(super) fn comes_in_chunks(&self, prepared: &Prepared) -> bool {
        prepared.outline.reads_only() && self.has_work()
    }

    /// Whether nothing would be lost with the connection.
    pub(super) fn may_close(&mut self, sink: &dyn RowSink) -> bool {
        sink.may_discard() && self.state().is_empty()
    }

    /// The rest of a result that was left is read. The connection is given up for it only if nothing is lost with it.
    fn come_to_rest(&mut self, may_close: bool) {
        if may_close {
            let rests = self.client().map_or(true, |client| client.is_valid(RESTING).is_ok());
            self.broken |= !rests;
            return;
        }
        let limit = self.plan.read_timeout;
        let _ = self.call(Phase::Sent, limit, |client| client.simple_query(""));
    }

    fn stream(&mut self, prepared: &Prepared, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let before = self.begin_step();
        let leaving = self.leaving(prepared, sink);
        let reader = self.reader;
        let types = self.known_types(prepared);
        let client = self.client()?;
        let params = numbered(params);
        let rows = match prepared.statement.as_deref() {
            Some(statement) => client.query_raw(statement, params),
            None => {
                let of = |at: usize| prepared.told.get(at).cloned().unwrap_or(Type::UNKNOWN);
                client.query_typed_raw(
                    &prepared.text,
                    params.map(|param| (of(param.0), param)).map(|(of, param)| (param, of)),
                )
            }
        };
        let result = rows.and_then(|rows| {
            let known = prepared.statement.is_some().then_some(&prepared.columns);
            pour(rows, known, sink, leaving, reader, types)
        });
        match result {
            Ok(Poured::Drained) => Ok(Rest::Drained),
            Ok(Poured::Unread) => {
                self.broken = true;
                Ok(Rest::Unread)
            }
            Ok(Poured::Cancelled) => {
                let message = "the statement was cancelled between two parts of its result";
                Err(Error::new(ErrorKind::Operational, message).with_code("57014").with_fact(Fact::Cancelled))
            }
            Err(error) => Err(self.failed(error, Phase::Sent, before)),
        }
    }
}
