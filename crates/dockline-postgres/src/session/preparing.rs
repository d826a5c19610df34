//! From the text of a statement to one that is ready to run.

use std::sync::Arc;

use dockline_core::placeholder::translate;
use dockline_core::statement::{Outline, Statements};
use dockline_core::{Error, ErrorKind, Result, Value};
use postgres::types::Type;
use postgres::{SimpleQueryMessage, Statement};

use super::PostgresSession;
use super::encoding::refuse_other_encoding;
use super::follow::is_plain;
use super::guess::{key, long_arrays, wider};
use super::prepared::Prepared;
use crate::error::Phase;
use crate::rows::names;
use crate::value::{Money, Reader};

/// The protocol counts parameters with 16 bits.
const MOST_PARAMETERS: usize = 65_535;

impl PostgresSession {
    /// The statement of this text: from the cache, or prepared now. With it, whether the text was in the cache.
    pub(super) fn prepare(&mut self, sql: &str, params: &[Value]) -> Result<(Arc<Prepared>, bool)> {
        self.heed_reports()?;
        let found = self.texts.get(sql);
        if let Some(prepared) = found {
            let wanted = prepared.statement.as_ref().map_or(params.len(), |statement| statement.params().len());
            // The translation says what is wrong.
            if wanted != params.len() {
                translate(sql, params.len(), self.dialect())?;
            }
            if prepared.takes(params) {
                return Ok((prepared, true));
            }
            return Ok((self.prepare_wider(sql, &prepared, params)?, true));
        }
        let outline = self.accepted(sql, params)?;
        let is_plain = is_plain(&outline, sql);
        let text = translate(sql, params.len(), self.dialect())?.into_owned();
        if !self.plan.prepares || (params.is_empty() && !is_worth_preparing(&outline)) {
            let (told, columns) = (long_arrays(params), Arc::default());
            return Ok((Arc::new(Prepared { text, statement: None, told, columns, outline, is_plain }), false));
        }
        let (statement, told) = self.prepare_on_server(&text, params)?;
        if statement.params().len() != params.len() {
            let message = "the statement has placeholders of PostgreSQL's own, as $1; write ? for each parameter";
            return Err(Error::new(ErrorKind::Programming, message));
        }
        let (statement, columns) = (Some(statement), Arc::default());
        let prepared = self.keep(sql, Prepared { text, columns, told, outline, is_plain, statement })?;
        Ok((if prepared.takes(params) { prepared } else { self.prepare_wider(sql, &prepared, params)? }, false))
    }

    /// The statement for values that do not fit the types that it has: prepared with those of the values.
    fn prepare_wider(&mut self, sql: &str, narrow: &Prepared, params: &[Value]) -> Result<Arc<Prepared>> {
        let types = narrow.statement.as_deref().map(Statement::params).unwrap_or_default();
        let told: Vec<Type> = wider(&narrow.told, types, params, narrow.room());
        let key = key(sql, &told);
        if let Some(prepared) = self.texts.get(&key) {
            return Ok(prepared);
        }
        let statement = Some(self.try_to_prepare(&narrow.text, &told, params)?);
        let (text, outline) = (narrow.text.clone(), narrow.outline.clone());
        let is_plain = narrow.is_plain;
        self.keep(&key, Prepared { text, columns: Arc::default(), told, outline, is_plain, statement })
    }

    pub(super) fn keep(&mut self, key: &str, mut prepared: Prepared) -> Result<Arc<Prepared>> {
        self.look_at_columns(&prepared)?;
        prepared.columns = prepared.statement.as_ref().map(|statement| names(statement.columns())).unwrap_or_default();
        let prepared = Arc::new(prepared);
        self.texts.put(key, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Refuses what would change something and could not be read after that.
    fn look_at_columns(&mut self, prepared: &Prepared) -> Result<()> {
        let columns = prepared.statement.as_deref().map(Statement::columns).unwrap_or_default();
        if self.reader.money.is_none() && columns.iter().any(|column| Reader::is_of_money(column.type_())) {
            self.ask_about_money()?;
        }
        if !prepared.outline.writes() {
            return Ok(());
        }
        columns.iter().try_for_each(|column| self.reader.accepts(column.name(), column.type_()))
    }

    pub(super) fn ask_about_money(&mut self) -> Result<()> {
        let limit = self.plan.read_timeout;
        let messages = self.call(Phase::Before, limit, |client| client.simple_query(Money::QUESTION))?;
        let sample = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        self.reader.money = sample.map(Money::of);
        Ok(())
    }

    /// What the text of a statement says; an error if it cannot run.
    fn accepted(&self, sql: &str, params: &[Value]) -> Result<Outline> {
        if sql.as_bytes().contains(&0) {
            return Err(Error::new(ErrorKind::Programming, "the statement has a NUL character"));
        }
        let outline = Outline::of(sql, self.dialect());
        if outline.statements() == Statements::None {
            return Err(Error::new(ErrorKind::Programming, "there is no statement in the text"));
        }
        if params.len() > MOST_PARAMETERS {
            let params = params.len();
            let message = format!("the statement has {params} parameters, and PostgreSQL takes {MOST_PARAMETERS}");
            return Err(Error::new(ErrorKind::Programming, message));
        }
        if outline.asks_for_file() {
            let message = "COPY from and to the client goes by native, as copy_in and copy_out of the driver";
            return Err(Error::new(ErrorKind::NotSupported, message));
        }
        refuse_other_encoding(&outline, sql, params)?;
        Ok(outline)
    }
}

/// Whether a statement runs faster when it is prepared: what is no query is not planned, and costs a round trip less.
fn is_worth_preparing(outline: &Outline) -> bool {
    outline.gives_rows() || outline.verb().changes_rows() || !outline.is_known()
}
