//! Rows, on their way from the driver to who asked for them.

use std::ops::ControlFlow;
use std::sync::Arc;

use dockline_core::Value;
use dockline_core::backend::{RowSink, RowValues};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;
use postgres::{Column as Heading, Row, RowIter};

use crate::cancel::Canceller;
use crate::value::{Raw, Reader};
use crate::watch::Watch;

/// What remains of a result that is left early is read where it is not more rows than this.
pub(crate) const WORTH_READING: usize = 1_000;

/// What becomes of the rest of a result that is left early.
pub(crate) enum Leaving {
    /// It is read, whatever that takes.
    Drain,
    /// The connection may be closed in its place, if there is much of it.
    Close,
    /// It is never made.
    Portal(Chunks),
}

/// A result that comes in chunks: a small one first, for who wants little, and then larger ones.
pub(crate) struct Chunks {
    watch: Arc<Watch>,
    canceller: Arc<Canceller>,
    /// How many rows the server has been asked for.
    size: u32,
    /// How many of them have not come.
    left: u32,
}

const FIRST_CHUNK: u32 = 100;
const LARGEST_CHUNK: u32 = 10_000;

impl Chunks {
    /// Of the statement that the driver sends next.
    pub(crate) fn begin(watch: &Arc<Watch>, canceller: &Arc<Canceller>) -> Self {
        watch.fetch_first(FIRST_CHUNK);
        Self { watch: Arc::clone(watch), canceller: Arc::clone(canceller), size: FIRST_CHUNK, left: FIRST_CHUNK }
    }

    /// Another row is wanted. The answer is whether the statement goes on: the server forgets a request to cancel it while it
    /// waits between two chunks.
    fn go_on(&mut self) -> bool {
        if self.left == 0 {
            if self.canceller.was_asked() {
                return false;
            }
            self.size = (self.size * 2).min(LARGEST_CHUNK);
            self.left = self.size;
            self.watch.fetch(self.size);
        }
        self.left -= 1;
        true
    }

    fn leave(&self) {
        self.watch.leave();
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.watch.leave();
    }
}

/// How handing rows on has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poured {
    /// The result has been read to its end.
    Drained,
    /// The connection can only be closed.
    Unread,
    /// The statement was cancelled between two chunks.
    Cancelled,
}

/// Hands the rows on, one at a time.
pub(crate) fn pour(
    mut rows: RowIter<'_>,
    known: Option<&Arc<[String]>>,
    sink: &mut dyn RowSink,
    mut leaving: Leaving,
    reader: Reader,
    types: impl FnOnce() -> Option<Vec<Type>>,
) -> Result<Poured, postgres::Error> {
    let mut told = known.is_some();
    if let Some(columns) = known {
        sink.columns(columns);
    }
    let mut types = Some(types);
    let mut known_types = None;
    let mut stopped = false;
    let mut was_cancelled = false;
    let mut read_on = 0;
    loop {
        if let (false, Leaving::Portal(chunks)) = (stopped, &mut leaving)
            && !chunks.go_on()
        {
            (stopped, was_cancelled) = (true, true);
            chunks.leave();
        }
        let Some(row) = rows.next()? else { break };
        if !told {
            sink.columns(&names(row.columns()));
            told = true;
        }
        if !stopped {
            if let Some(types) = types.take() {
                known_types = types();
            }
            stopped = sink.row(values(&row, reader, known_types.as_deref())?) == ControlFlow::Break(());
            if stopped && sink.was_forked() {
                return Ok(Poured::Drained);
            }
            if let (true, Leaving::Portal(chunks)) = (stopped, &leaving) {
                chunks.leave();
            }
            continue;
        }
        read_on += 1;
        if read_on > WORTH_READING && matches!(leaving, Leaving::Close) {
            return Ok(Poured::Unread);
        }
    }
    if !told {
        sink.columns(&Arc::default());
    }
    Ok(if was_cancelled { Poured::Cancelled } else { Poured::Drained })
}

/// The values of a row. Its columns have these types, if the driver was not told of all.
pub(crate) fn values(row: &Row, reader: Reader, types: Option<&[Type]>) -> Result<Vec<Value>, postgres::Error> {
    let columns = row.columns();
    let mut values = RowValues::with_columns(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let of = types.and_then(|types| types.get(at)).unwrap_or_else(|| column.type_());
        reader.value_into(&mut values, of, row.try_get::<_, Raw<'_>>(at)?.0);
    }
    Ok(values.finish())
}

/// The names of columns.
pub(crate) fn names(columns: &[Heading]) -> Arc<[String]> {
    columns.iter().map(|column| column.name().to_owned()).collect()
}
