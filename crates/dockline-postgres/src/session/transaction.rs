//! How transactions begin and end, and what is known of them.

use std::borrow::Cow;
use std::time::Duration;

use dockline_core::backend::TransactionOptions;
use dockline_core::statement::Outline;
use dockline_core::{Error, ErrorKind, Fact, Result};

use super::PostgresSession;
use super::follow::Text;
use crate::error::Phase;
use crate::prefix::{self, Prefix};
use crate::protocol::Status;
use crate::runtime;

impl PostgresSession {
    /// Whether a transaction is open, by the word of the server.
    pub(super) fn status(&self) -> Status {
        self.watch.status()
    }

    /// Whether a statement begins a transaction now.
    pub(super) fn begin_is_due(&self) -> bool {
        !self.autocommit && self.status() == Status::Idle
    }

    /// Whether there is something that only this connection can commit, perhaps by the statement that runs.
    pub(super) fn has_work(&self) -> bool {
        !self.autocommit || self.status() != Status::Idle
    }

    /// Begins the transaction that is due, in a round trip of its own.
    pub(super) fn begin_now(&mut self) -> Result<()> {
        if !self.begin_is_due() {
            return Ok(());
        }
        let sql = begin_sql(self.options);
        self.run_without_rows(&sql, Phase::Before, self.plan.read_timeout)
    }

    /// Runs `work`, whose first statement begins the transaction that is due, in the same round trip. It is begun also if all of
    /// `work` was refused before it was sent: as psycopg, which begins before it looks at a statement. `failed` makes the error of a BEGIN.
    pub(super) fn beginning<R, E>(
        &mut self,
        failed: impl FnOnce(Error) -> E,
        work: impl FnOnce(&mut Self) -> Result<R, E>,
    ) -> Result<R, E> {
        if !self.begin_is_due() {
            return work(self);
        }
        let before = self.watch.prefixes();
        let result = work(self);
        if result.is_err() && !self.broken && self.watch.prefixes() == before {
            self.begin_now().map_err(failed)?;
        }
        result
    }

    /// Runs a statement as text, together with the BEGIN that is due.
    pub(super) fn run_simply(&mut self, sql: &str) -> Result<()> {
        let result = self.run_text(sql);
        self.follow(&Outline::of(sql, self.dialect()), false, Text { sql, params: &[] }, result.is_ok());
        result
    }

    fn run_text(&mut self, sql: &str) -> Result<()> {
        let limit = self.plan.read_timeout;
        let begins = self.begin_is_due();
        let text = if begins { Cow::Owned(format!("{}; {sql}", begin_sql(self.options))) } else { Cow::Borrowed(sql) };
        self.run_without_rows(&text, Phase::Sent, limit)
    }

    /// Runs a text that gives no rows, past the driver if it can go there.
    pub(super) fn run_without_rows(&mut self, text: &str, phase: Phase, limit: Option<Duration>) -> Result<()> {
        if self.run_text_directly(text, limit) {
            return Ok(());
        }
        self.call(phase, limit, |client| client.batch_execute(text))
    }

    /// A call begins that sends a statement by the extended protocol, and with it the BEGIN that is due. The answer is how
    /// much was written before.
    pub(super) fn begin_step(&self) -> u64 {
        let limit = self.plan.read_timeout;
        match self.due_prefix() {
            Some(prefix) => self.watch.begin_call_with(limit, prefix),
            None => self.watch.begin_call(limit),
        }
        self.watch.written()
    }

    /// What goes out before the next statement: the BEGIN that is due, or the end of a savepoint of ours.
    pub(super) fn due_prefix(&self) -> Option<Prefix> {
        if self.begin_is_due() {
            Some(prefix::messages(&begin_sql(self.options)))
        } else if self.owes_release && self.status() == Status::InTransaction {
            Some(self.release())
        } else {
            None
        }
    }

    /// The driver gives an error back before the server has said what became of the transaction: it sends the two apart. Asked
    /// only where that can have changed.
    pub(super) fn learn_status(&mut self) {
        if !self.autocommit || self.status() != Status::Idle {
            self.read_behind_error();
        }
    }

    /// Makes the driver read what the server says behind an error, if that has not come yet: where the transaction stands, and which
    /// settings have changed.
    pub(super) fn read_behind_error(&mut self) {
        if !self.watch.seen(|seen| seen.error_waits) {
            return;
        }
        self.begin_call(self.short());
        if let Some(client) = &mut self.client {
            self.broken |= client.simple_query("").is_err();
        }
    }

    /// Commits what is open.
    pub(super) fn commit_open(&mut self) -> Result<()> {
        if self.status() == Status::Idle {
            return Ok(());
        }
        // A transaction that has failed is rolled back by its COMMIT, whatever becomes of the answer.
        let phase = if self.status() == Status::Failed { Phase::Before } else { Phase::Sent };
        let was_rolled_back = self.end_by("COMMIT", phase, self.plan.read_timeout)? == "ROLLBACK";
        if was_rolled_back {
            return Err(rolled_back());
        }
        Ok(())
    }

    /// Rolls back what is open.
    pub(super) fn roll_back_open(&mut self) -> Result<()> {
        if self.status() == Status::Idle {
            return Ok(());
        }
        self.end_by("ROLLBACK", Phase::Sent, self.short()).map(drop)
    }

    /// Runs a statement of our own that ends a transaction, and answers the tag that came back.
    fn end_by(&mut self, sql: &str, phase: Phase, limit: Option<Duration>) -> Result<String> {
        self.watch.seen(|seen| seen.tag.clear());
        let ended = runtime::blocking(|| self.run_without_rows(sql, phase, limit));
        let tag = self.watch.seen(|seen| seen.tag.clone());
        match ended {
            // The server has said what became of the transaction, and then no more.
            Err(error) if error.is_disconnect() && (tag == "COMMIT" || tag == "ROLLBACK") => {
                self.watch.transaction_has_ended();
            }
            Err(error) => {
                if self.broken {
                    // Nobody knows what has become of a COMMIT: then what it would have left counts.
                    self.held.end(sql == "COMMIT" && phase == Phase::Sent);
                } else if self.status() == Status::Idle {
                    self.transaction_ended(false);
                }
                return Err(error);
            }
            Ok(()) => {}
        }
        self.transaction_ended(tag != "ROLLBACK");
        Ok(tag)
    }
}

/// The BEGIN of a transaction with these options.
fn begin_sql(options: TransactionOptions) -> Cow<'static, str> {
    if options == TransactionOptions::default() {
        return Cow::Borrowed("BEGIN");
    }
    let mut sql = String::from("BEGIN");
    if let Some(level) = options.isolation_level {
        sql += &format!(" ISOLATION LEVEL {}", level.to_string().to_ascii_uppercase());
    }
    match options.read_only {
        Some(true) => sql += " READ ONLY",
        Some(false) => sql += " READ WRITE",
        None => {}
    }
    Cow::Owned(sql)
}

/// A COMMIT that the server answered with a ROLLBACK.
pub(super) fn rolled_back() -> Error {
    let message = "the transaction had failed, and COMMIT rolled it back";
    Error::new(ErrorKind::TransactionManagement, message).with_fact(Fact::WorkLost)
}
