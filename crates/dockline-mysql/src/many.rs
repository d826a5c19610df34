//! One statement for many rows of parameters.

use dockline_core::Result;
use dockline_core::backend::ParamRows;
use dockline_core::batch::{Batch, Many};

use crate::session::MysqlSession;
use crate::value;

/// Servers take packets of at least so many bytes.
const MOST_BYTES: usize = 1 << 20;

/// Runs it for each row; an INSERT of one row as one of several. The answer is how many rows were changed in all.
pub(crate) fn execute(session: &mut MysqlSession, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
    let syntax = session.syntax();
    let many = Many {
        sql,
        syntax: &syntax,
        batch: Batch::of(sql, &syntax),
        commits_each: session.tracking.autocommit && !session.tracking.in_transaction(),
        most_bytes: MOST_BYTES,
        size: value::size,
    };
    many.run(rows, &mut |sql, params| session.run(sql, params, None).map(|received| received.affected))
}
