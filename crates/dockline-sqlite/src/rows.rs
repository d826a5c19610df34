//! One statement, from its first step to its last.

use std::mem::forget;

use dockline_core::backend::{Rest, RowSink};
use dockline_core::{Error, ErrorKind, Result, Value};

use crate::decimals::Targets;
use crate::prepared::{Conn, Known, Statement};
use crate::value;

/// Prepares a statement, unless it is already, and binds its parameters.
pub(crate) fn prepare<'c>(text: &'c Known<'_>, params: &[Value]) -> Result<Statement<'c>> {
    prepare_for_many(text, params).map(|(statement, _)| statement)
}

/// The same, for a statement that gets others by [`bind`] later.
pub(crate) fn prepare_for_many<'c>(text: &'c Known<'_>, params: &[Value]) -> Result<(Statement<'c>, Targets)> {
    let mut statement = text.prepare()?;
    if statement.parameter_count() != params.len() {
        let message = "the statement has placeholders of SQLite's own, as ?1 or :name; write ? for each parameter";
        return Err(Error::new(ErrorKind::Programming, message));
    }
    let mut targets = Targets::default();
    bind(text, &mut statement, &mut targets, params)?;
    Ok((statement, targets))
}

/// Binds parameters, of which there are as many as the statement has. One that its column would not keep is refused.
pub(crate) fn bind(
    text: &Known<'_>,
    statement: &mut Statement<'_>,
    targets: &mut Targets,
    params: &[Value],
) -> Result<()> {
    if !params.is_empty() && !statement.readonly() {
        targets.check(text.connection(), text.for_sqlite(), params)?;
    }
    value::bind(statement, params)
}

/// Runs a statement to its end, and answers how many rows it changed.
pub(crate) fn run_to_end(connection: &Conn, statement: &mut Statement<'_>) -> Result<u64> {
    let before = connection.total_changes();
    while statement.step()? {}
    // `changes` is that of the last statement that changed something, which need not be this one.
    Ok(if connection.total_changes() == before { 0 } else { connection.changes() })
}

/// Runs a statement, and hands its rows on.
pub(crate) fn stream(mut statement: Statement<'_>, sink: &mut dyn RowSink) -> Result<Rest> {
    let writes = !statement.readonly();
    // The first step comes before the columns: it is what notices that the schema has changed.
    let mut has_row = statement.step()?;
    let names = statement.names();
    sink.columns(names);
    let columns = names.len();
    while has_row {
        if sink.row(statement.row(columns)?).is_break() {
            if sink.was_forked() {
                // Ending the statement would end its transaction, which is the parent's.
                forget(statement);
                return Ok(Rest::Drained);
            }
            break;
        }
        has_row = statement.step()?;
    }
    // A statement that is left early commits when it is reset, and that error would be lost. What it changes it has
    // changed by its first step, so going on to its end costs little; else there is nothing left to read, for
    // an embedded database computes a row when it is asked for it.
    while has_row && writes {
        has_row = statement.step()?;
    }
    Ok(Rest::Drained)
}
