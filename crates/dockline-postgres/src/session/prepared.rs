//! A statement that was prepared for one connection.

use std::sync::Arc;

use dockline_core::Value;
use dockline_core::statement::Outline;
use postgres::Statement;
use postgres::types::Type;

use super::guess::fit;

/// A statement, ready to run.
pub(super) struct Prepared {
    pub(super) text: String,
    /// `None` where poolers forbid it.
    pub(super) statement: Option<Statement>,
    /// The types that the server was told; it has found out the others.
    pub(super) told: Vec<Type>,
    pub(super) columns: Arc<[String]>,
    pub(super) outline: Outline,
}

impl Prepared {
    /// Whether these values can be sent to it: there are as many as it wants, and each fits the type that it has there.
    pub(super) fn takes(&self, params: &[Value]) -> bool {
        self.statement.as_ref().is_none_or(|statement| fit(&self.told, statement.params(), params))
    }
}
