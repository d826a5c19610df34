//! How transactions begin and end, and how the session finds out where one stands.

use dockline_core::backend::TransactionOptions;
use dockline_core::{Error, Fact, Result};
use mysql::prelude::Queryable;

use super::MysqlSession;
use crate::ask::ask;
use crate::error::{Phase, keeps_step};

/// The server begins to tell of the next transaction, also if it takes the last one for open.
const TELL_ANEW: &str = "SET SESSION session_track_transaction_info='OFF', session_track_transaction_info='STATE'";

/// MySQL refuses this inside a transaction (1568). Outside it changes nothing.
const IN_TRANSACTION: &str = "SET @@transaction_isolation = @@session.transaction_isolation";
const REFUSED_IN_TRANSACTION: u16 = 1568;
const NO_SUCH_VARIABLE: u16 = 1193;
/// A KILL QUERY that was meant for another statement may hit one of ours.
const INTERRUPTED: u16 = 1317;

impl MysqlSession {
    pub(super) fn switch_autocommit(&mut self, on: bool) -> Result<()> {
        // As Django's driver, which then sends nothing: a BEGIN that was sent as text stays open.
        if self.tracking.autocommit == on && !self.lent {
            return Ok(());
        }
        self.statement(|session| {
            if let Err(error) = session.send_switch(on) {
                let commits = on && session.tracking.may_have_transaction();
                let error = if commits { session.commit_failed(error) } else { session.failed(error, Phase::Sent) };
                session.ask_for_autocommit();
                return Err(error);
            }
            // The answer has no other news than these.
            session.tracking.autocommit = on;
            if on {
                session.tracking.set_open(false);
            }
            Ok(())
        })
    }

    pub(super) fn begin_block(&mut self, options: TransactionOptions) -> Result<()> {
        self.options = None;
        if options != TransactionOptions::default() {
            let sql = transaction_sql(options);
            self.statement(|session| session.simple(&sql))?;
            self.options = Some(options);
        }
        // Not START TRANSACTION: after a statement that commits by itself, the block would be over.
        let begun = self.switch_autocommit(false);
        if begun.is_err() && !self.broken {
            // The options would wait for whatever transaction comes next; and autocommit may be off by now.
            self.broken = self.options.is_some() || self.conn.query_drop("SET autocommit=1").is_err();
            self.tracking.autocommit = true;
            let _ = self.tracking.read(&self.conn);
        }
        begun
    }

    pub(super) fn end_block(&mut self, commit: bool) -> Result<()> {
        // Switching autocommit on commits, in one statement; unless the program has switched it on already. Only COMMIT and ROLLBACK
        // forget what SET TRANSACTION has set for one transaction.
        let in_one = commit && !self.tracking.autocommit && self.options.is_none();
        if in_one {
            return self.switch_autocommit(true);
        }
        if commit {
            self.commit_open()?;
        } else {
            self.roll_back_open()?;
        }
        self.options = None;
        // What was ended has ended: that this fails is about the connection alone.
        let limit = self.plan.short();
        if self.within(limit, |session| session.switch_autocommit(true)).is_err() {
            self.broken = true;
            self.tracking.set_open(false);
        }
        Ok(())
    }

    pub(super) fn commit_open(&mut self) -> Result<()> {
        self.statement(|session| session.end_transaction("COMMIT"))
    }

    pub(super) fn roll_back_open(&mut self) -> Result<()> {
        let limit = self.plan.short();
        self.statement(|session| session.within(limit, |session| session.end_transaction("ROLLBACK")))
    }

    fn end_transaction(&mut self, sql: &str) -> Result<()> {
        if !self.tracking.may_have_transaction() {
            return Ok(());
        }
        if let Err(error) = self.conn.query_drop(sql) {
            return Err(if sql == "COMMIT" { self.commit_failed(error) } else { self.failed(error, Phase::Sent) });
        }
        self.tracking.set_open(false);
        let _ = self.tracking.read(&self.conn);
        Ok(())
    }

    /// A commit was refused on a connection that lives. If the transaction is still open, nothing was committed. If it is not, it was
    /// rolled back, unless the commit was interrupted: then nobody knows.
    fn commit_failed(&mut self, error: mysql::Error) -> Error {
        let lives = keeps_step(&error);
        let error = self.failed_by(error, Phase::Sent, true);
        if self.broken && lives {
            return error.with_fact(Fact::MayHaveExecuted);
        }
        if self.broken || self.tracking.is_open() {
            return error;
        }
        self.tracking.set_open(false);
        self.rolled_back = true;
        let interrupted = matches!(error.code().as_deref(), Some("1317" | "1969" | "3024"));
        if interrupted { error.with_fact(Fact::MayHaveExecuted) } else { error }
    }

    /// After an error of a statement that may have switched it.
    fn ask_for_autocommit(&mut self) {
        if self.broken {
            return;
        }
        match ask(&mut self.conn, "SELECT @@session.autocommit") {
            Ok(told) => self.tracking.autocommit = told.first().and_then(Option::as_deref) == Some("1"),
            Err(_) => self.broken = true,
        }
    }

    /// Errors carry no news, and some end a transaction. One question at the most is interrupted; a connection of which nobody knows
    /// whether a transaction is open is of no use any more.
    pub(super) fn ask_for_transaction(&mut self) {
        let asked = match self.is_in_transaction() {
            Err(mysql::Error::MySqlError(error)) if error.code == INTERRUPTED => self.is_in_transaction(),
            asked => asked,
        };
        let told = self.tracking.is_open();
        match asked {
            Ok(Some(open)) => {
                self.tracking.set_open(open);
                if told && !open {
                    self.tell_anew();
                }
            }
            Ok(None) => self.tracking.set_unknown(),
            Err(_) => self.broken = true,
        }
    }

    /// MariaDB takes what it has told before as known, and would not tell of the next transaction.
    pub(super) fn tell_anew(&mut self) {
        if self.mariadb && self.tracking.reports() {
            self.broken |= self.conn.query_drop(TELL_ANEW).is_err();
        }
    }

    /// `None` if the server cannot say.
    fn is_in_transaction(&mut self) -> mysql::Result<Option<bool>> {
        if self.mariadb {
            let told = ask(&mut self.conn, "SELECT @@in_transaction")?;
            return Ok(told.first().and_then(Option::as_deref).map(|text| text == "1"));
        }
        let level = self.options.and_then(|options| options.isolation_level);
        if level.is_none() && self.tracking.has_transaction_options() {
            // The question would take back what the program has set for the next transaction.
            return Ok(None);
        }
        let asked = match level {
            // It is that of the block's transaction, which may still have to begin.
            Some(level) => {
                let level = level.to_string().to_ascii_uppercase().replace(' ', "-");
                self.conn.query_drop(format!("SET @@transaction_isolation = '{level}'"))
            }
            None => self.conn.query_drop(IN_TRANSACTION),
        };
        match asked {
            Ok(()) => Ok(Some(false)),
            Err(mysql::Error::MySqlError(error)) if error.code == REFUSED_IN_TRANSACTION => Ok(Some(true)),
            Err(mysql::Error::MySqlError(error)) if error.code == NO_SUCH_VARIABLE => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs a statement of our own that gives no rows.
    pub(super) fn simple(&mut self, sql: &str) -> Result<()> {
        self.conn.query_drop(sql).map_err(|error| self.failed(error, Phase::Sent))?;
        let _ = self.tracking.read(&self.conn);
        Ok(())
    }

    /// What an error of the driver means for the session, and as an error of ours.
    pub(super) fn failed(&mut self, error: mysql::Error, phase: Phase) -> Error {
        self.failed_by(error, phase, false)
    }
}

/// For the next transaction only.
fn transaction_sql(options: TransactionOptions) -> String {
    let level =
        options.isolation_level.map(|level| format!("ISOLATION LEVEL {}", level.to_string().to_ascii_uppercase()));
    let access = options.read_only.map(|only| String::from(if only { "READ ONLY" } else { "READ WRITE" }));
    let words: Vec<String> = level.into_iter().chain(access).collect();
    format!("SET TRANSACTION {}", words.join(", "))
}
