//! One statement for many rows of parameters.

use std::ops::Range;

use dockline_core::backend::ParamRows;
use dockline_core::batch::Batch;
use dockline_core::placeholder::translate;
use dockline_core::{Error, Fact, Result, Value};

use crate::session::MysqlSession;
use crate::value;

/// How many rows go into one INSERT: few sizes, so that the statements are found again in the cache.
const SIZES: [usize; 3] = [64, 8, 1];
/// The protocol counts parameters with 16 bits.
const MOST_PARAMETERS: usize = 60_000;
const MOST_BYTES: usize = 1 << 20;

/// Runs it for each row; an INSERT of one row as one of several. The answer is how many rows were changed in all.
pub(crate) fn execute(session: &mut MysqlSession, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
    let commits_each = session.tracking.autocommit && !session.tracking.in_transaction();
    let syntax = session.syntax();
    let mut many =
        Many { session, sql, batch: Batch::of(sql, &syntax), texts: Default::default(), width: 0, done: 0, changed: 0 };
    let failed = |many: &Many<'_>, error: Error, rows: Range<usize>| {
        let error = match rows.len() {
            0 | 1 => error.with_context(format_args!("row {}", rows.start + 1)),
            _ => error.with_context(format_args!("rows {} to {}", rows.start + 1, rows.end)),
        };
        if many.done > 0 && commits_each { error.with_fact(Fact::MayHaveExecuted) } else { error }
    };

    let mut chunk: Vec<Value> = Vec::new();
    let mut bytes = 0;
    let mut first = true;
    while let Some(row) = rows.next_row() {
        let at = many.done + chunk.len().checked_div(many.width).unwrap_or_default();
        if first {
            many.width = row.len();
            first = false;
        }
        if row.len() != many.width || at == 0 {
            // What came before it has been promised to run.
            if let Err(error) = translate(sql, row.len(), &syntax) {
                many.flush(&mut chunk).map_err(|(error, rows)| failed(&many, error, rows))?;
                return Err(failed(&many, error, at..at + 1));
            }
        }
        let size = row.iter().map(value::size).sum::<usize>();
        if bytes + size > MOST_BYTES {
            many.flush(&mut chunk).map_err(|(error, rows)| failed(&many, error, rows))?;
            bytes = 0;
        }
        if many.width == 0 {
            many.run_once(row).map_err(|error| failed(&many, error, at..at + 1))?;
            continue;
        }
        chunk.extend_from_slice(row);
        bytes += size;
        if chunk.len() >= many.largest() * many.width {
            many.flush(&mut chunk).map_err(|(error, rows)| failed(&many, error, rows))?;
            bytes = 0;
        }
    }
    many.flush(&mut chunk).map_err(|(error, rows)| failed(&many, error, rows))?;
    Ok(many.changed)
}

struct Many<'a> {
    session: &'a mut MysqlSession,
    sql: &'a str,
    batch: Option<Batch<'a>>,
    /// The statement with that many rows, for each size that was needed.
    texts: [Option<String>; SIZES.len()],
    /// The number of parameters of a row.
    width: usize,
    /// How many rows have run.
    done: usize,
    changed: u64,
}

impl Many<'_> {
    /// The most rows that go into one statement.
    fn largest(&self) -> usize {
        let fits = |size: &&usize| **size * self.width <= MOST_PARAMETERS;
        if self.batch.is_some() { SIZES.iter().find(fits).copied().unwrap_or(1) } else { 1 }
    }

    /// Runs the rows that were gathered; an error comes with the rows of the statement that failed.
    fn flush(&mut self, chunk: &mut Vec<Value>) -> Result<(), (Error, Range<usize>)> {
        let values = std::mem::take(chunk);
        let mut left = &values[..];
        while !left.is_empty() {
            let rows = left.len() / self.width;
            let largest = self.largest();
            let at = SIZES.iter().position(|size| *size <= rows && *size <= largest).unwrap_or(SIZES.len() - 1);
            let size = SIZES[at];
            let (now, later) = left.split_at(size * self.width);
            left = later;
            let text = match (&self.batch, size) {
                (Some(batch), 2..) => &**self.texts[at].get_or_insert_with(|| batch.rows(size)),
                _ => self.sql,
            };
            match self.session.run(text, now, None) {
                Ok(received) => self.changed += received.affected,
                Err(error) => return Err((error, self.done..self.done + size)),
            }
            self.done += size;
        }
        Ok(())
    }

    fn run_once(&mut self, row: &[Value]) -> Result<()> {
        self.changed += self.session.run(self.sql, row, None)?.affected;
        self.done += 1;
        Ok(())
    }
}
