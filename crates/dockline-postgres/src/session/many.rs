//! One statement for many rows of parameters.
//!
//! A row of nothing but placeholders goes out with others as arrays, one for each column: the server parses and plans a short statement,
//! and the same one for every number of rows. All other rows of an INSERT go out as several rows of VALUES.

use std::convert::identity;

use dockline_core::backend::ParamRows;
use dockline_core::batch::{Batch, Many};
use dockline_core::{Result, Value};

use super::PostgresSession;
use super::arrays::Arrays;
use crate::param::size;

/// In one VALUES. More make it no faster.
const MOST_ROWS: usize = 64;
/// In arrays. More make them no faster.
const MOST_IN_ARRAYS: usize = 1_024;
/// The server takes more, but until a statement goes out its rows are in memory.
const MOST_BYTES: usize = 1 << 20;
/// For the same reason: an empty text has no bytes.
const MOST_VALUES: usize = 1 << 16;

impl PostgresSession {
    /// Runs it for each row; an INSERT of one row as one of several. The answer is how many rows were changed in all.
    pub(super) fn run_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        self.heed_reports()?;
        let dialect = self.dialect();
        // What stands behind the row can mean another thing for several: a row can be updated once in a statement.
        let batch = Batch::of(sql, dialect).filter(|batch| batch.tail().trim_matches([' ', '\n', ';']).is_empty());
        let commits_each = !self.has_work();
        let (most_rows, most_bytes) = (MOST_ROWS, MOST_BYTES);
        let many = Many { sql, dialect, batch, commits_each, before: 0, most_rows, most_bytes, size };
        let width = batch.and_then(|batch| batch.placeholders()).filter(|_| self.takes_arrays());
        self.beginning(identity, |session| match width {
            Some(width) => Gathering::of(session, many, width).run(rows),
            None => session.run_values(many, rows),
        })
    }

    fn run_values(&mut self, many: Many<'_>, rows: &mut dyn ParamRows) -> Result<u64> {
        many.run(rows, &mut |sql, params| self.statement(sql, params, Self::execute_prepared))
    }
}

/// Rows on their way into arrays.
struct Gathering<'a> {
    session: &'a mut PostgresSession,
    many: Many<'a>,
    /// How many values a row has.
    width: usize,
    columns: Columns,
    /// One row behind the other.
    rows: Vec<Value>,
    bytes: usize,
    /// How many rows have run.
    done: usize,
    changed: u64,
    /// There are no more: nobody is asked again.
    ended: bool,
}

/// What the columns are.
enum Columns {
    /// The server was not asked: there was no second row.
    Unasked,
    Arrays(Arrays),
    /// There is no array for one of them.
    Others,
}

impl<'a> Gathering<'a> {
    fn of(session: &'a mut PostgresSession, many: Many<'a>, width: usize) -> Self {
        let columns = Columns::Unasked;
        Self { session, many, width, columns, rows: Vec::new(), bytes: 0, done: 0, changed: 0, ended: false }
    }

    fn run(mut self, rows: &mut dyn ParamRows) -> Result<u64> {
        let most = MOST_IN_ARRAYS.min(MOST_VALUES / self.width).max(1) * self.width;
        while !self.ended
            && let Some(row) = rows.next_row()
        {
            if row.len() != self.width || !self.takes(row)? {
                let row = row.to_vec();
                self.leave_to_values(&row, rows)?;
                continue;
            }
            let size = row.iter().map(size).sum::<usize>();
            if self.bytes + size > MOST_BYTES {
                self.flush()?;
            }
            self.rows.extend_from_slice(row);
            self.bytes += size;
            if self.rows.len() >= most {
                self.flush()?;
            }
        }
        self.flush()?;
        Ok(self.changed)
    }

    /// Whether a row can go out with those that were gathered.
    fn takes(&mut self, row: &[Value]) -> Result<bool> {
        if self.rows.is_empty() && matches!(self.columns, Columns::Unasked) {
            return Ok(true);
        }
        if let (Columns::Unasked, Some(batch)) = (&self.columns, &self.many.batch) {
            let asked = self.session.arrays_for(self.many.sql, batch, &self.rows);
            let arrays = asked.map_err(|error| self.many.failed(error, 0..1))?;
            self.columns = arrays.map_or(Columns::Others, Columns::Arrays);
            return Ok(self.holds(&self.rows) && self.holds(row));
        }
        Ok(self.holds(row))
    }

    fn holds(&self, row: &[Value]) -> bool {
        matches!(&self.columns, Columns::Arrays(arrays) if arrays.hold(row))
    }

    /// Runs this row by VALUES, and those behind it that fill the statement: all of them, if there are no arrays.
    fn leave_to_values(&mut self, row: &[Value], rows: &mut dyn ParamRows) -> Result<()> {
        // One that was gathered alone goes along.
        let goes_along = self.rows.len() == self.width && row.len() == self.width;
        let mut first = if goes_along { std::mem::take(&mut self.rows) } else { Vec::new() };
        self.flush()?;
        first.extend_from_slice(row);
        let count = 1 + usize::from(goes_along);
        let left = if matches!(self.columns, Columns::Others) { usize::MAX } else { MOST_ROWS - count };
        self.run_values(Ahead { rest: Some(rows), left, ..Ahead::of(&first, count) })
    }

    fn run_values(&mut self, mut rows: Ahead<'_>) -> Result<()> {
        let many = Many { before: self.done, ..self.many };
        self.changed += self.session.run_values(many, &mut rows)?;
        self.done += rows.given;
        self.ended |= rows.ended;
        Ok(())
    }

    /// Runs the rows that were gathered.
    fn flush(&mut self) -> Result<()> {
        let mut rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if !self.run_arrays(&rows)? && !rows.is_empty() {
            self.run_values(Ahead::of(&rows, rows.len() / self.width))?;
        }
        // The next ones have their room.
        rows.clear();
        self.rows = rows;
        Ok(())
    }

    /// Whether they went out as arrays.
    fn run_arrays(&mut self, rows: &[Value]) -> Result<bool> {
        let count = rows.len() / self.width;
        let Columns::Arrays(arrays) = &self.columns else { return Ok(false) };
        if count < 2 {
            return Ok(false);
        }
        let ran = self.session.run_arrays(self.many.sql, arrays, rows);
        let Some(changed) = ran.map_err(|error| self.many.failed(error, self.done..self.done + count))? else {
            // VALUES has what is wrong with them, or there is nothing wrong.
            self.columns = Columns::Others;
            return Ok(false);
        };
        self.changed += changed;
        self.done += count;
        Ok(true)
    }
}

/// Rows that were read, and so many of those behind them.
struct Ahead<'a> {
    read: &'a [Value],
    /// So many of them are left.
    count: usize,
    rest: Option<&'a mut dyn ParamRows>,
    /// So many of those behind them.
    left: usize,
    given: usize,
    /// There are no more.
    ended: bool,
}

impl<'a> Ahead<'a> {
    fn of(read: &'a [Value], count: usize) -> Self {
        Self { read, count, rest: None, left: 0, given: 0, ended: false }
    }
}

impl ParamRows for Ahead<'_> {
    fn next_row(&mut self) -> Option<&[Value]> {
        let row = if let Some(width) = self.read.len().checked_div(self.count) {
            let (row, behind) = self.read.split_at(width);
            self.count -= 1;
            self.read = behind;
            row
        } else {
            self.left = self.left.checked_sub(1).filter(|_| !self.ended)?;
            let row = self.rest.as_mut()?.next_row();
            self.ended = row.is_none();
            row?
        };
        self.given += 1;
        Some(row)
    }
}
