//! What has become of the session while the driver's own object was lent.

use dockline_core::Result;
use mysql::prelude::Queryable;

use super::MysqlSession;
use crate::ask::ask;
use crate::error::{Phase, gone};
use crate::tracking::{TRACKED, is_utc};

/// What has changed is seen in these. After the driver's `reset` nothing is tracked.
const NOW: &str = "SELECT @@session.session_track_transaction_info, DATABASE(), @@session.sql_mode, @@session.autocommit, \
                   CONCAT_WS(',', @@session.character_set_client, @@session.character_set_connection, \
                   COALESCE(@@session.character_set_results, 'NULL')), \
                   IF(@@time_zone = 'SYSTEM', @@system_time_zone, @@time_zone)";

const UTF8: &str = "utf8mb4,utf8mb4,utf8mb4";

impl MysqlSession {
    pub(super) fn catch_up(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.lent) {
            return Ok(());
        }
        if self.wire.as_ref().is_some_and(|wire| !wire.is_same()) {
            // It has not been set up, and may be a connection to anywhere.
            self.broken = true;
            return Err(gone("a closure of native has put another connection into the place of this one"));
        }
        self.ran.note_all();
        // Nobody has read the news of the server meanwhile, so this is how it was when the object was lent.
        let was_in_transaction = self.tracking.may_have_transaction();
        let news = self.tracking.read(&self.conn);
        if news.state() {
            self.tracking.holds_unknown();
        }
        let mut now = ask(&mut self.conn, NOW).map_err(|error| self.failed(error, Phase::Before))?.into_iter();
        let mut next = || now.next().flatten().unwrap_or_default();
        let (tracked, database, sql_mode, autocommit, charsets) = (next(), next(), next(), next(), next());
        self.tracking.at_utc = is_utc(&next());
        let was_reset = self.tracking.reports() && tracked != "STATE";
        if was_reset && was_in_transaction {
            // Nobody has asked for that, and what follows would be committed by itself.
            self.broken = true;
            self.tracking.set_open(true);
            return Err(gone("a closure of native has reset the session, and the transaction was rolled back"));
        }
        if was_reset {
            // The server has forgotten every statement with the rest.
            self.cache.clear();
            self.conn.query_drop(format!("SET {TRACKED}")).map_err(|error| self.failed(error, Phase::Before))?;
        }
        self.tracking.set_database(&database);
        self.tracking.autocommit = autocommit == "1";
        if self.tracking.set_sql_mode(&sql_mode) || charsets != UTF8 || news.meaning {
            self.forget_statements();
        }
        self.learn_dialect();
        if charsets != UTF8 {
            self.conn.query_drop(&self.plan.names).map_err(|error| self.failed(error, Phase::Before))?;
        }
        self.ask_for_transaction();
        Ok(())
    }
}
