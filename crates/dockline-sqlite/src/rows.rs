//! One statement, from its first step to its last.

use std::mem::forget;
use std::sync::Arc;

use dockline_core::backend::{Rest, RowSink, RowValues};
use dockline_core::{Error, ErrorKind, Result, Value};
use rusqlite::{CachedStatement, Connection, Statement};

use crate::decimals::Targets;
use crate::error::map;
use crate::texts::Text;
use crate::value;

/// The names of a result's columns, kept, as results mostly have the same ones again.
#[derive(Default)]
pub(crate) struct Columns(Arc<[String]>);

impl Columns {
    fn of(&mut self, statement: &Statement<'_>) -> Result<&Arc<[String]>> {
        let name = |at| statement.column_name(at).map_err(map);
        let last = &mut self.0;
        let same = last.len() == statement.column_count()
            && last.iter().enumerate().all(|(at, last)| name(at).is_ok_and(|name| name == last));
        if !same {
            *last = (0..statement.column_count()).map(|at| name(at).map(str::to_owned)).collect::<Result<_>>()?;
        }
        Ok(last)
    }
}

/// Prepares a statement, or takes it from the cache, and binds its parameters.
pub(crate) fn prepare<'c>(connection: &'c Connection, text: &Text, params: &[Value]) -> Result<CachedStatement<'c>> {
    prepare_for_many(connection, text, params).map(|(statement, _)| statement)
}

/// The same, for a statement that gets others by [`bind`] later.
pub(crate) fn prepare_for_many<'c>(
    connection: &'c Connection,
    text: &Text,
    params: &[Value],
) -> Result<(CachedStatement<'c>, Targets)> {
    let mut statement = connection.prepare_cached(text.for_sqlite()).map_err(map)?;
    if statement.parameter_count() != params.len() {
        let message = "the statement has placeholders of SQLite's own, as ?1 or :name; write ? for each parameter";
        return Err(Error::new(ErrorKind::Programming, message));
    }
    // What gives nothing and changes nothing is rare, and only there can there be nothing at all.
    if statement.column_count() == 0 && statement.readonly() && statement.expanded_sql().is_none() {
        return Err(Error::new(ErrorKind::Programming, "there is no statement in the text"));
    }
    let mut targets = Targets::default();
    bind(connection, text, &mut statement, &mut targets, params)?;
    Ok((statement, targets))
}

/// Binds parameters, of which there are as many as the statement has. One that its column would not keep is refused.
pub(crate) fn bind(
    connection: &Connection,
    text: &Text,
    statement: &mut Statement<'_>,
    targets: &mut Targets,
    params: &[Value],
) -> Result<()> {
    if !statement.readonly() {
        targets.check(connection, text.for_sqlite(), params)?;
    }
    value::bind(statement, params)
}

/// Runs a statement to its end, and answers how many rows it changed.
pub(crate) fn run_to_end(connection: &Connection, statement: &mut Statement<'_>) -> Result<u64> {
    let before = connection.total_changes();
    let mut rows = statement.raw_query();
    while rows.next().map_err(map)?.is_some() {}
    drop(rows);
    // `changes` is that of the last statement that changed something, which need not be this one.
    Ok(if connection.total_changes() == before { 0 } else { connection.changes() })
}

/// Runs a statement, and hands its rows on.
pub(crate) fn stream(
    mut statement: CachedStatement<'_>,
    columns: &mut Columns,
    sink: &mut dyn RowSink,
) -> Result<Rest> {
    let writes = !statement.readonly();
    let mut rows = statement.raw_query();
    // The first step comes before the columns: it is what notices that the schema has changed.
    let mut row = rows.next().map_err(map)?;
    let Some(first) = row else {
        drop(rows);
        sink.columns(columns.of(&statement)?);
        return Ok(Rest::Drained);
    };
    let names = columns.of(first.as_ref())?;
    sink.columns(names);
    let count = names.len();
    while let Some(current) = row {
        let mut values = RowValues::with_columns(count);
        for at in 0..count {
            value::column(&mut values, current.get_ref(at).map_err(map)?);
        }
        if sink.row(values.finish()).is_break() {
            if sink.was_forked() {
                // Ending the statement would end its transaction, which is the parent's.
                forget(rows);
                forget(statement);
                return Ok(Rest::Drained);
            }
            break;
        }
        row = rows.next().map_err(map)?;
    }
    // A statement that is left early commits when it is reset, and that error would be lost. What it changes it has
    // changed by its first step, so going on to its end costs little; else there is nothing left to read, for
    // an embedded database computes a row when it is asked for it.
    while writes && rows.next().map_err(map)?.is_some() {}
    Ok(Rest::Drained)
}
