//! One statement for many rows of parameters.

use dockline_core::backend::ParamRows;
use dockline_core::batch::{Batch, Many};
use dockline_core::statement::Dialect;
use dockline_core::{Result, Value};

use crate::value;

/// More make a statement no faster.
const MOST_ROWS: usize = 1_024;
/// Servers take packets of at least so many bytes.
const MOST_BYTES: usize = 1 << 20;

/// Runs `run` for each row; an INSERT of one row as one of several. Returns how many rows were changed in all.
pub(crate) fn execute(
    sql: &str,
    dialect: Dialect,
    commits_each: bool,
    rows: &mut dyn ParamRows,
    run: &mut dyn FnMut(&str, &[Value]) -> Result<u64>,
) -> Result<u64> {
    let batch = Batch::of(sql, dialect);
    let (most_rows, most_bytes, size) = (MOST_ROWS, MOST_BYTES, value::size);
    Many { sql, dialect, batch, commits_each, before: 0, most_rows, most_bytes, size }.run(rows, run)
}
