//! One statement for many rows of parameters.

use std::convert::identity;

use dockline_core::backend::ParamRows;
use dockline_core::batch::{Batch, Many};
use dockline_core::{Result, Value};

use super::PostgresSession;

const MOST_ROWS: usize = 64;
/// The server takes more, but until a statement goes out its rows are in memory.
const MOST_BYTES: usize = 1 << 20;

impl PostgresSession {
    /// Runs it for each row; an INSERT of one row as one of several. The answer is how many rows were changed in all.
    pub(super) fn run_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        self.heed_reports()?;
        let dialect = self.dialect();
        // What stands behind the row can mean another thing for several: a row can be updated once in a statement.
        let batch = Batch::of(sql, dialect).filter(|batch| batch.tail().trim_matches([' ', '\n', ';']).is_empty());
        let commits_each = !self.has_work();
        let many = Many { sql, dialect, batch, commits_each, most_rows: MOST_ROWS, most_bytes: MOST_BYTES, size };
        self.beginning(identity, |session| {
            many.run(rows, &mut |sql, params| session.statement(sql, params, Self::execute_prepared))
        })
    }
}

/// How many bytes a parameter takes, about.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 16,
    }
}
