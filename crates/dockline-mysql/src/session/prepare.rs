//! The statements that a session keeps.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dockline_core::placeholder::translate;
use dockline_core::statement::{Outline, Statements, Verb};
use dockline_core::{Error, ErrorKind, Result, Value};
use mysql::prelude::Queryable;

use super::MysqlSession;
use crate::colon::has_colon_name;
use crate::error::{Phase, too_large};
use crate::kinds::Kinds;
use crate::statement::{Form, Prepared, Template};

/// The server holds as many prepared statements as it may (max_prepared_stmt_count), of all its clients together.
const TOO_MANY_STATEMENTS: u16 = 1461;
const CANNOT_BE_PREPARED: u16 = 1295;

impl MysqlSession {
    /// The statement from the cache, or prepared; and whether it is kept.
    pub(super) fn prepared(&mut self, sql: &str, params: &[Value]) -> Result<(Arc<Prepared>, bool)> {
        let key = key(self.tracking.other_database(), sql);
        if let Some(found) = self.cache.get(&key) {
            if found.parameters() != params.len() {
                translate(sql, params.len(), self.dialect)?;
            } else if found.takes(params) {
                return Ok((found, true));
            }
            self.cache.remove(&key);
            self.close_statement(&found);
        }
        let outline = Outline::of(sql, self.dialect);
        let (form, keeps) = self.form(sql, params.len(), &outline)?;
        let is_typed = matches!(form, Form::Binary(_)) && !self.mariadb;
        let kinds = is_typed.then(|| Kinds::of(params, Kinds::are_of_columns(sql, &outline, self.dialect)));
        let prepared = Arc::new(Prepared::new(form, outline, kinds));
        if !keeps {
            return Ok((prepared, false));
        }
        let mut kept = true;
        for gone in self.cache.put(&key, Arc::clone(&prepared)) {
            if Arc::ptr_eq(&gone, &prepared) {
                kept = false;
            } else {
                self.close_statement(&gone);
            }
        }
        Ok((prepared, kept))
    }

    /// The second half of the answer is whether it is worth keeping.
    fn form(&mut self, sql: &str, parameters: usize, outline: &Outline) -> Result<(Form, bool)> {
        let refuse = |kind, message: &'static str| Err(Error::new(kind, message));
        if sql.as_bytes().contains(&0) {
            return refuse(ErrorKind::Programming, "the statement has a NUL character");
        }
        if outline.statements() == Statements::None {
            return refuse(ErrorKind::Programming, "there is no statement in the text");
        }
        if outline.asks_for_file() {
            let message = "LOAD DATA LOCAL goes by native, with the driver's set_local_infile_handler";
            return refuse(ErrorKind::NotSupported, message);
        }
        if sql.len() >= self.max_packet {
            let (size, limit) = (sql.len(), self.max_packet);
            return Err(too_large(format_args!(
                "the statement has {size} bytes, and the server takes {limit}; it was not sent"
            )));
        }
        let dialect = self.dialect;
        let text = translate(sql, parameters, dialect)?;
        let template = || Template::new(sql, parameters, outline, dialect).map(Form::Text);
        // MySQL gives parameters that go out in a result of their own, which the driver does not read to its end.
        let calls = !self.mariadb && parameters > 0 && outline.verb() == Verb::Call;
        // The protocol counts the parameters of a prepared statement with 16 bits.
        let too_many = parameters > usize::from(u16::MAX);
        if !self.plan.settings.get_prepared_statements() || calls || too_many || has_colon_name(sql) {
            return Ok((template()?, true));
        }
        match self.conn.prep(&*text) {
            Ok(statement) if usize::from(statement.num_params()) == parameters => Ok((Form::Binary(statement), true)),
            Ok(statement) => {
                let found = statement.num_params();
                self.broken |= self.conn.close(statement).is_err();
                let message = format!(
                    "the server found {found} placeholders in the statement, and {parameters} parameters were given"
                );
                Err(Error::new(ErrorKind::Programming, message))
            }
            // It cannot be prepared, and has not run.
            Err(mysql::Error::MySqlError(error)) if error.code == CANNOT_BE_PREPARED => Ok((template()?, true)),
            Err(mysql::Error::MySqlError(error)) if error.code == TOO_MANY_STATEMENTS => {
                self.make_room();
                Ok((template()?, false))
            }
            Err(error) => Err(self.failed(error, Phase::Before)),
        }
    }

    /// Lets go of half of what this connection keeps at the server, for others as well.
    fn make_room(&mut self) {
        let kept = self.cache.len() / 2;
        if !self.plan.said_full.swap(true, Ordering::Relaxed) {
            log::warn!(
                target: "dockline::connection",
                "server {}: it holds as many prepared statements as it may (1461); statements run as text until there is room. \
                 Raise the server's max_prepared_stmt_count, or lower statement_cache",
                self.server.name()
            );
        }
        for gone in self.cache.shrink(kept) {
            self.close_statement(&gone);
        }
    }

    /// Forgets what was prepared, also at the server.
    pub(super) fn forget_statements(&mut self) {
        for gone in self.cache.shrink(0) {
            self.close_statement(&gone);
        }
    }

    /// The server does not answer to it.
    pub(super) fn close_statement(&mut self, prepared: &Prepared) {
        if let (Form::Binary(statement), false) = (&prepared.form, self.broken) {
            self.broken = self.conn.close(statement.clone()).is_err();
        }
    }
}

/// A text means what it means in the current database. No text has a NUL character.
fn key<'sql>(other_database: Option<&str>, sql: &'sql str) -> Cow<'sql, str> {
    match other_database {
        None => Cow::Borrowed(sql),
        Some(database) => Cow::Owned(format!("{database}\0{sql}")),
    }
}
