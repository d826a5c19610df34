//! Rows, on their way from the driver to who asked for them.

use std::ops::ControlFlow;
use std::sync::Arc;

use dockline_core::Value;
use dockline_core::backend::{Rest, RowSink};
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Column as Heading, Row, RowIter};

use crate::value::Column;

/// What remains of a result that is left early is read where it is not more rows than this.
const WORTH_READING: usize = 1_000;

/// Hands the rows on, one at a time. Where it `drains`, what is left early is read to its end.
pub(crate) fn pour(
    mut rows: RowIter<'_>,
    known: Option<&Arc<[String]>>,
    sink: &mut dyn RowSink,
    drains: bool,
) -> Result<Rest, postgres::Error> {
    let mut told = known.is_some();
    if let Some(columns) = known {
        sink.columns(columns);
    }
    let mut stopped = false;
    let mut read_on = 0;
    while let Some(row) = rows.next()? {
        if !told {
            sink.columns(&names(row.columns()));
            told = true;
        }
        if !stopped {
            stopped = sink.row(values(&row)?) == ControlFlow::Break(());
            if stopped && sink.was_forked() {
                return Ok(Rest::Drained);
            }
            continue;
        }
        read_on += 1;
        // Inside a transaction the connection cannot be given up.
        if read_on > WORTH_READING && !drains {
            return Ok(Rest::Unread);
        }
    }
    if !told {
        sink.columns(&Arc::default());
    }
    Ok(Rest::Drained)
}

/// The values of a row.
pub(crate) fn values(row: &Row) -> Result<Vec<Value>, postgres::Error> {
    (0..row.len()).map(|at| row.try_get::<_, Column>(at).map(|column| column.0)).collect()
}

/// The names of columns.
pub(crate) fn names(columns: &[Heading]) -> Arc<[String]> {
    columns.iter().map(|column| column.name().to_owned()).collect()
}
