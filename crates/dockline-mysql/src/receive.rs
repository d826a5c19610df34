//! What comes back of a statement, on its way to who asked for it.

use std::mem::forget;
use std::sync::Arc;

use dockline_core::backend::{Rest, RowSink, RowValues};
use dockline_net::Wire;
use mysql::prelude::Protocol;
use mysql::{Column, QueryResult, Value};

use crate::statement::Prepared;
use crate::{value, wire as socket};

/// What came back.
pub(crate) struct Received {
    /// Of the last result.
    pub(crate) affected: u64,
    pub(crate) gave_rows: bool,
    pub(crate) rest: Rest,
}

/// So much is read of what nobody wants any more, before the connection is given up for it.
const ROWS_TO_SKIP: usize = 1_000;
const BYTES_TO_SKIP: usize = 1 << 20;

/// Writes a column into its row. What needs no look at the column comes first.
#[inline]
fn write(row: &mut RowValues, value: Value, column: &Column, at_utc: bool) {
    match value {
        Value::NULL => row.null(),
        Value::Int(n) => row.int(n),
        other => row.value(value::column(other, column, at_utc)),
    }
}

/// Reads all results to their end. Where the sink has stopped and there is more than is worth reading, and the connection can
/// be left (`leaves`), it is closed: the driver would go on reading.
pub(crate) fn receive<P: Protocol>(
    mut result: QueryResult<'_, '_, '_, P>,
    prepared: &Prepared,
    mut sink: Option<&mut dyn RowSink>,
    wire: Option<&Wire>,
    leaves: bool,
    at_utc: bool,
) -> mysql::Result<Received> {
    let mut received = Received { affected: 0, gave_rows: false, rest: Rest::Drained };
    let (mut rows, mut bytes) = (0, 0);
    let mut was_forked = false;
    while !was_forked && let Some(mut set) = result.iter() {
        received.affected = set.affected_rows();
        let gives_rows = !set.columns().as_ref().is_empty();
        received.gave_rows |= gives_rows;
        if let (true, Some(sink)) = (gives_rows, &mut sink) {
            sink.columns(&prepared.names(set.columns().as_ref()));
        }
        let counts_rows = prepared.outline.verb().changes_rows();
        let mut columns = None;
        while let Some(row) = set.next() {
            let mut row = row?;
            received.affected += u64::from(counts_rows);
            let Some(taker) = &mut sink else { continue };
            let columns = &**columns.get_or_insert_with(|| row.columns());
            let mut values = RowValues::with_columns(columns.len());
            for (at, column) in columns.iter().enumerate() {
                write(&mut values, row.take(at).unwrap_or(Value::NULL), column, at_utc);
            }
            if taker.row(values.finish()).is_continue() {
                continue;
            }
            if taker.was_forked() {
                // Both read on to their end where they are dropped.
                forget(set);
                was_forked = true;
                break;
            }
            for row in set.by_ref() {
                let row = row?;
                rows += 1;
                bytes += (0..row.len()).filter_map(|at| row.as_ref(at)).map(value::wire_size).sum::<usize>();
                if let Some(wire) =
                    wire.filter(|_| leaves && taker.may_discard() && (rows > ROWS_TO_SKIP || bytes > BYTES_TO_SKIP))
                {
                    wire.shutdown();
                    received.rest = Rest::Unread;
                    return Ok(received);
                }
            }
            sink = None;
        }
    }
    if was_forked {
        forget(result);
        if let Some(wire) = wire {
            socket::leave(wire);
        }
        return Ok(received);
    }
    if let (false, Some(sink)) = (received.gave_rows, sink) {
        sink.columns(&Arc::default());
    }
    Ok(received)
}
