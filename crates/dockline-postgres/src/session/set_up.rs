//! What is told to a session before the program has it: its settings, and the program's own `init_sql`.

use std::sync::Arc;
use std::time::Duration;

use dockline_core::{Error, Fact, Result};
use dockline_net::Deadline;
use postgres::SimpleQueryMessage;

use super::PostgresSession;
use crate::error::Phase;

impl PostgresSession {
    /// Makes the session what the settings say. `reset`: what resets it before.
    pub(super) fn tell_settings(&mut self, reset: &str, deadline: Deadline) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let mut sql = format!("{reset}{}", plan.set_up);
        // As Django, which has it so on every database. A server that says that it is there already is not told.
        let is_there = || reset.is_empty() && self.parameter("TimeZone").is_some_and(|zone| is_utc(&zone));
        if plan.at_utc && !is_there() {
            sql.push_str("SET TIME ZONE 'UTC';");
        }
        let asks_for_process = self.process.is_none();
        if asks_for_process {
            sql.push_str("SELECT pg_backend_pid()");
        }
        if !sql.is_empty() {
            // What is left of the time for connecting, however often something comes. Statements of the program's own, as init_sql,
            // have the program's limit.
            self.watch.begin_whole_call(deadline.remaining().unwrap_or(Duration::from_millis(1)));
            let before = self.watch.written();
            let answer = self.client()?.simple_query(&sql);
            let messages = answer.map_err(|error| self.failed(error, Phase::Before, before))?;
            for message in messages {
                if let SimpleQueryMessage::Row(row) = message
                    && asks_for_process
                {
                    self.process = row.get(0).and_then(|text| text.parse().ok());
                }
            }
        }
        let Some(init_sql) = &plan.init_sql else { return Ok(()) };
        self.call(Phase::Before, plan.read_timeout, |client| client.batch_execute(init_sql)).map_err(|error| {
            // What the server says quotes the text, which may set a key.
            let kept = Error::new(error.kind(), "init_sql: it cannot be run");
            let kept = if error.is_disconnect() { kept.with_fact(Fact::Disconnect) } else { kept };
            match error.code() {
                Some(code) => kept.with_code(code),
                None => kept,
            }
        })
    }
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "Etc/UTC", "GMT"].iter().any(|utc| zone.eq_ignore_ascii_case(utc))
}
