//! Prepared statements, each for the meaning that its text has.

use std::sync::Arc;

use dockline_net::StatementCache;

use super::prepared::Prepared;

/// The statements of a session by their texts. A text that was prepared in another context is another statement, for the
/// names in it may be those of other tables. What no context tells forgets all of them.
pub(super) struct Texts {
    statements: StatementCache<Arc<Prepared>>,
    context: u64,
    /// Names mean something else since the transaction began, and perhaps not any more when it has ended.
    changed_inside: bool,
}

impl Texts {
    pub(super) fn new(capacity: u32) -> Self {
        Self { statements: StatementCache::new(capacity), context: 0, changed_inside: false }
    }

    pub(super) fn get(&mut self, sql: &str) -> Option<Arc<Prepared>> {
        match self.context {
            0 => self.statements.get(sql),
            context => self.statements.get(&key(context, sql)),
        }
    }

    pub(super) fn put(&mut self, sql: &str, prepared: Arc<Prepared>) {
        let gone = match self.context {
            0 => self.statements.put(sql, prepared),
            context => self.statements.put(&key(context, sql), prepared),
        };
        drop(gone);
    }

    pub(super) fn remove(&mut self, sql: &str) {
        drop(match self.context {
            0 => self.statements.remove(sql),
            context => self.statements.remove(&key(context, sql)),
        });
    }

    pub(super) fn clear(&mut self) {
        self.statements.clear();
    }

    /// Texts run in the context of this number from now on.
    pub(super) fn enter(&mut self, context: u64) {
        self.context = context;
    }

    /// Names may mean something else: that of a table was given to another one.
    pub(super) fn names_changed(&mut self, in_transaction: bool) {
        self.clear();
        self.changed_inside |= in_transaction;
    }

    /// A part of the transaction was rolled back.
    pub(super) fn rolled_back_in_part(&mut self) {
        if self.changed_inside {
            self.clear();
        }
    }

    /// The transaction has ended. What was made in it may be gone also where it was committed, as temporary tables are.
    pub(super) fn transaction_ended(&mut self) {
        if std::mem::take(&mut self.changed_inside) {
            self.clear();
        }
    }
}

/// No text has a NUL.
fn key(context: u64, sql: &str) -> String {
    format!("{context}\0{sql}")
}
