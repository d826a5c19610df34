//! A statement that was prepared for one connection.

use std::sync::Arc;

use dockline_core::statement::Outline;
use postgres::Statement;

/// A statement, ready to run.
pub(super) struct Prepared {
    pub(super) text: String,
    /// `None` where poolers forbid it.
    pub(super) statement: Option<Statement>,
    pub(super) columns: Arc<[String]>,
    pub(super) outline: Outline,
}
