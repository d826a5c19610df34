//! How the server reads the session's texts: its SQL, and the encoding, which is always utf8mb4.

use dockline_core::statement::{Meaning, Outline};
use dockline_core::{Error, ErrorKind, Fact, Result};
use mysql::prelude::Queryable;

use super::MysqlSession;
use crate::error::Phase;
use crate::tracking::News;

impl MysqlSession {
    /// By the session's `sql_mode`, after it has changed.
    pub(super) fn learn_dialect(&mut self) {
        let escapes = match self.tracking.sql_mode() {
            Some(mode) => !mode.no_backslash_escapes,
            None => !self.conn.no_backslash_escape(),
        };
        let quotes = self.tracking.sql_mode().is_some_and(|mode| mode.ansi_quotes);
        self.dialect = self.dialect.with_backslash_escapes(escapes).with_ansi_quotes(quotes);
    }

    /// Values are sent and taken as UTF-8. Another character set would store something else, so it is taken back at once; who asked
    /// for it by name is told.
    pub(super) fn keep_utf8(&mut self, sql: &str, outline: &Outline, news: News) -> Result<()> {
        let asks = outline.is_known() && outline.meaning().contains(Meaning::CharacterSet);
        let is_foreign = if self.tracking.reports() { news.foreign } else { asks };
        if !is_foreign {
            return Ok(());
        }
        self.conn.query_drop(&self.plan.names).map_err(|error| {
            self.broken = true;
            self.failed(error, Phase::Sent)
        })?;
        let _ = self.tracking.read(&self.conn);
        if asks && (self.tracking.reports() || !sql.to_ascii_lowercase().contains("utf8mb4")) {
            let message = "the session speaks utf8mb4 alone, and was set back to it: values would be stored as something else. \
                           Leave the statement out; the server converts for columns of other character sets";
            return Err(Error::new(ErrorKind::NotSupported, message).with_fact(Fact::MayHaveExecuted));
        }
        log::warn!(
            target: "dockline::connection",
            "server {}: a routine changed the character set of the session, which was set back to utf8mb4", self.server.name()
        );
        Ok(())
    }
}
