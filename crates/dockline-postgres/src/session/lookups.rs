//! The statements by which the driver looks types up.
//!
//! It prepares them when it first meets a type that is not built in, and has them for as long as it lives. If the program lets go of all
//! prepared statements (`DEALLOCATE ALL`, `DISCARD ALL`), the driver does not learn that, and no such type could be looked up any more. So they
//! are prepared anew, under the names that the driver knows.

use dockline_core::backend::StateKind;
use dockline_core::statement::{Outline, StateChange};
use postgres::SimpleQueryMessage;

use super::PostgresSession;
use crate::error::Phase;
use crate::protocol::Status;

/// The driver names its statements so, and those that look types up have the number of a type as their only parameter.
const QUESTION: &str = "SELECT name, statement FROM pg_catalog.pg_prepared_statements \
                        WHERE name ~ '^s[0-9]+$' AND parameter_types::pg_catalog.text = '{oid}'";

impl PostgresSession {
    /// The texts that prepare them anew, if a statement of this kind is to end them. Asked before it runs.
    pub(super) fn lookups_that_end(&mut self, outline: &Outline) -> Vec<String> {
        let ends = |change: &StateChange| {
            matches!(change, StateChange::EndsAll(StateKind::PreparedStatement) | StateChange::EndsEverything)
        };
        if !self.plan.prepares || self.status() == Status::Failed || !outline.state().iter().any(ends) {
            return Vec::new();
        }
        let limit = self.plan.read_timeout;
        let messages = self.call(Phase::Before, limit, |client| client.simple_query(QUESTION)).unwrap_or_default();
        let anew = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(prepare(row.get(0)?, row.get(1)?)),
            _ => None,
        });
        anew.collect()
    }

    /// Prepares them anew, when it has run. If that fails, a type that nobody has met before cannot be looked up, which is an error then.
    pub(super) fn restore_lookups(&mut self, lookups: &[String]) {
        for sql in lookups {
            // Each by itself: the server keeps all of what it was sent for the text of a statement.
            let _ = self.run_without_rows(sql, Phase::Before, self.plan.read_timeout);
        }
    }
}

/// The statement that prepares this text under this name.
fn prepare(name: &str, text: &str) -> String {
    let beginning = format!("PREPARE {name} AS ");
    // What was prepared anew before begins so.
    if text.starts_with(&beginning) { text.to_owned() } else { beginning + text }
}
