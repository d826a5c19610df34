//! How a statement of the caller's runs.

use dockline_core::backend::{Rest, RowSink};
use dockline_core::{Error, ErrorKind, Fact, Result, Value};
use mysql::Params;
use mysql::prelude::Queryable;

use super::{MysqlSession, file};
use crate::error::{Phase, too_large};
use crate::receive::{Received, receive};
use crate::statement::{Form, Prepared};
use crate::told::told;
use crate::tracking::changes_meaning;
use crate::uuids::explain;
use crate::value;

/// The server's, or the driver's, answer to a statement that was sent.
struct Failed {
    error: mysql::Error,
    /// The server has run nothing of it, and would run it if it was prepared anew.
    stale: bool,
}

impl MysqlSession {
    /// Runs a statement, and hands what it gives to the sink, if there is one.
    pub(super) fn run(&mut self, sql: &str, params: &[Value], mut sink: Option<&mut dyn RowSink>) -> Result<Received> {
        let mut healed = false;
        loop {
            let (prepared, kept) = self.prepared(sql, params)?;
            self.refuse_lost_answer(&prepared)?;
            if prepared.outline.may_commit() {
                self.tracking.set_committed();
            }
            let sink = sink.as_mut().map(|sink| &mut **sink as &mut dyn RowSink);
            let result = self.send(sql, &prepared, params, sink);
            if !kept {
                self.close_statement(&prepared);
            }
            match result? {
                Ok(received) => {
                    self.ran.note(&prepared.outline);
                    self.answered(sql, &prepared, &received)?;
                    return Ok(received);
                }
                Err(Failed { stale: true, .. }) if !healed => {
                    self.forget_statements();
                    healed = true;
                }
                Err(Failed { error, .. }) => {
                    self.ran.note(&prepared.outline);
                    let error = self.refused(error, &prepared);
                    return Err(explain(error, params, self.plan.uuids));
                }
            }
        }
    }

    /// What asks for the answer to the statement before has none on a new connection, and would get that of nothing.
    fn refuse_lost_answer(&self, prepared: &Prepared) -> Result<()> {
        if !self.ran.lacks(&prepared.outline) {
            return Ok(());
        }
        let message = "the statement asks for the outcome of another before it, such as LAST_INSERT_ID() or ROW_COUNT(), \
                       and this connection has run none: the one that did was closed or lost. Run both in one atomic block, \
                       or hold the connection";
        Err(Error::new(ErrorKind::Operational, message))
    }

    /// Sends a statement, and hands on what comes back. The outer error is of what was not sent.
    fn send(
        &mut self,
        sql: &str,
        prepared: &Prepared,
        params: &[Value],
        sink: Option<&mut dyn RowSink>,
    ) -> Result<Result<Received, Failed>> {
        let leaves =
            prepared.outline.reads_only() && !self.tracking.may_have_transaction() && self.tracking.state().is_empty();
        let wire = self.wire.as_ref();
        let at_utc = self.tracking.at_utc;
        if !at_utc {
            value::refuse_instants(params)?;
        }
        let later = |error| Failed { error, stale: false };
        Ok(match &prepared.form {
            Form::Binary(statement) => {
                let told = told(statement, self.mariadb, self.conn.server_version());
                let values = value::params(params, self.plan.uuids, told)?;
                fits(sql.len() + params.iter().map(value::size).sum::<usize>(), self.max_packet)?;
                match self.conn.exec_iter(statement, Params::Positional(values)) {
                    Ok(result) => receive(result, prepared, sink, wire, leaves, at_utc).map_err(later),
                    Err(error) => {
                        let stale = prepared.is_stale(&error);
                        Err(Failed { error, stale })
                    }
                }
            }
            Form::Text(template) => {
                let text = template.fill(params, self.plan.uuids)?;
                fits(text.len(), self.max_packet)?;
                let result = self.conn.query_iter(text).map_err(later);
                result.and_then(|result| receive(result, prepared, sink, wire, leaves, at_utc).map_err(later))
            }
        })
    }

    /// The server has refused the statement, or it failed on the way.
    fn refused(&mut self, error: mysql::Error, prepared: &Prepared) -> Error {
        // A routine may have begun or ended a transaction before it failed.
        // A text that the server cannot read is none that it has begun to run.
        let is_read = |code: u16| prepared.outline.is_known() || code != 1064;
        let half_way = prepared.outline.may_stop_half_way()
            && !matches!(&error, mysql::Error::MySqlError(error) if !is_read(error.code));
        let error = self.failed_by(error, Phase::Sent, half_way);
        if half_way { error.with_fact(Fact::MayHaveExecuted) } else { error }
    }

    fn answered(&mut self, sql: &str, prepared: &Prepared, received: &Received) -> Result<()> {
        if received.rest == Rest::Unread {
            self.broken = true;
            return Ok(());
        }
        let news = self.tracking.read(&self.conn);
        if prepared.is_plain && self.tracking.follow_plain(news, received.gave_rows) {
            return file::none_was_sent(&self.asked_for_file);
        }
        self.tracking.follow(&prepared.outline, news, received.gave_rows);
        if news.meaning || changes_meaning(&prepared.outline, self.tracking.reports()) {
            self.forget_statements();
            self.learn_dialect();
        }
        self.keep_utf8(sql, &prepared.outline, news)?;
        file::none_was_sent(&self.asked_for_file)
    }
}

fn fits(size: usize, limit: usize) -> Result<()> {
    if size < limit {
        return Ok(());
    }
    Err(too_large(format_args!("the statement has about {size} bytes, and the server takes {limit}; it was not sent")))
}
