//! A statement that was prepared for one connection.

use std::sync::Arc;

use dockline_core::statement::Outline;
use postgres::Statement;
use postgres::types::Type;

/// A statement, ready to run.
pub(super) struct Prepared {
    pub(super) text: String,
    /// `None` where poolers forbid it.
    pub(super) statement: Option<Statement>,
    /// The types that the server was told; it has found out the others.
    pub(super) told: Vec<Type>,
    pub(super) columns: Arc<[String]>,
    pub(super) outline: Outline,
    /// It leaves nothing that has to be followed.
    pub(super) is_plain: bool,
}
