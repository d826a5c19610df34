//! The columns of a statement whose types the driver may not look up: asked for before it runs, or behind it.

use std::collections::HashMap;
use std::sync::Arc;

use dockline_core::{Error, ErrorKind, Fact, Result};
use postgres::SimpleQueryMessage;
use postgres::types::Type;

use super::PostgresSession;
use super::catalog::{Entry, entry, nameless, question};
use super::prepared::Prepared;
use crate::error::Phase;
use crate::prefix;
use crate::types::Described;
use crate::value::Reader;

impl PostgresSession {
    /// Asks the server for the columns of a statement before it runs: nothing that writes is to run if its answer cannot be read, and
    /// nothing can be asked in the middle of a result.
    pub(super) fn describe(&mut self, prepared: &Prepared, streams: bool) -> Result<()> {
        let outline = &prepared.outline;
        let matters = outline.gives_rows() && (streams || !outline.reads_only());
        if !self.watch.hides_types() || !matters || self.catalog.was_described(&prepared.text) {
            return Ok(());
        }
        let told: Vec<u32> = prepared.told.iter().map(Type::oid).collect();
        self.watch.begin_call_with(self.plan.read_timeout, prefix::describing(&prepared.text, &told));
        let before = self.watch.written();
        // The driver has to send something for the question to go out with.
        let asked = self.client()?.execute_typed("", &[]);
        asked.map_err(|error| self.failed(error, Phase::Before, before))?;
        let columns = self.watch.columns();
        let types = self.types_of(&columns)?;
        if outline.writes() {
            for (column, of) in columns.iter().zip(&types) {
                self.reader.accepts(&column.name, of)?;
            }
        }
        self.catalog.describes(&prepared.text);
        Ok(())
    }

    /// The types of the columns that the server described last, if the driver does not know them all. The statement has run.
    pub(super) fn hidden_types(&mut self, prepared: &Prepared) -> Result<Option<Vec<Type>>> {
        if prepared.statement.is_some() || !self.watch.hides_types() {
            return Ok(None);
        }
        let columns = self.watch.columns();
        let types = self.types_of(&columns);
        let has_run =
            |error: Error| if prepared.outline.reads_only() { error } else { error.with_fact(Fact::MayHaveExecuted) };
        types.map(Some).map_err(has_run)
    }

    /// The same as far as they are known by now, for a result that is still coming.
    pub(super) fn known_types(&self, prepared: &Prepared) -> impl FnOnce() -> Option<Vec<Type>> + use<> {
        let hides = prepared.statement.is_none() && self.watch.hides_types();
        let known = hides.then(|| (Arc::clone(&self.watch), self.catalog.types()));
        move || {
            let (watch, known) = known?;
            let of = |column: &Described| {
                let number = column.of;
                Type::from_oid(number).or_else(|| known.get(&number).cloned()).unwrap_or_else(|| nameless(number))
            };
            Some(watch.columns().iter().map(of).collect())
        }
    }

    fn types_of(&mut self, columns: &[Described]) -> Result<Vec<Type>> {
        let wanted: Vec<u32> = columns.iter().map(|column| column.of).collect();
        self.learn(&wanted)?;
        let types: Vec<Type> =
            wanted.iter().map(|number| self.catalog.get(*number).unwrap_or_else(|| nameless(*number))).collect();
        if self.reader.money.is_none() && types.iter().any(Reader::is_of_money) {
            self.ask_about_money()?;
        }
        Ok(types)
    }

    /// Looks up those of these types that are not known.
    fn learn(&mut self, wanted: &[u32]) -> Result<()> {
        let mut entries: HashMap<u32, Entry> = HashMap::new();
        let mut missing = self.catalog.missing(wanted);
        while !missing.is_empty() {
            entries.extend(self.ask_for_types(&missing)?);
            missing = self.catalog.held_by(&entries, &missing);
        }
        self.catalog.learn(&entries);
        Ok(())
    }

    fn ask_for_types(&mut self, numbers: &[u32]) -> Result<HashMap<u32, Entry>> {
        let sql = question(numbers);
        let limit = self.plan.read_timeout;
        let messages = self.call(Phase::Before, limit, |client| client.simple_query(&sql))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let entries: Option<HashMap<u32, Entry>> = rows.map(entry).collect();
        entries.ok_or_else(|| Error::new(ErrorKind::Internal, "what the server says of its types cannot be read"))
    }
}
