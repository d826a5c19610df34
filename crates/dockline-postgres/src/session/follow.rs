//! What a statement leaves behind: what the session holds after it, and what other texts mean.

use std::borrow::Cow;
use std::sync::Arc;

use dockline_core::Value;
use dockline_core::backend::StateKind;
use dockline_core::statement::{Meaning, Outline, StateChange, TransactionChange, Verb};

use super::PostgresSession;
use super::context::Context;
use crate::protocol::Status;

/// Whether a statement leaves nothing that has to be followed.
pub(super) fn is_plain(outline: &Outline, sql: &str) -> bool {
    outline.state().is_empty()
        && outline.meaning().is_empty()
        && outline.transaction().is_none()
        && !outline.changes_schema()
        && !runs_anything(outline)
        && !Text { sql, params: &[] }.is_unlock()
}

/// Whether it runs code whose text is not known: routines, blocks, prepared statements. A function in a SELECT is none of them:
/// what it does to the session is the business of who calls it.
fn runs_anything(outline: &Outline) -> bool {
    outline.may_stop_half_way() || !outline.is_known()
}

impl PostgresSession {
    /// A statement has run, or failed.
    pub(super) fn follow(&mut self, outline: &Outline, is_plain: bool, text: Text<'_>, ran: bool) {
        let is_open = self.status() != Status::Idle;
        if is_plain && is_open == self.held.in_transaction() {
            return;
        }
        let was_open = self.held.in_transaction();
        self.held.begin();
        if !is_plain {
            self.follow_state(outline, &text, ran);
            self.follow_meaning(outline, &text, ran);
            if self.follow_transaction(outline, ran, is_open) {
                return;
            }
        }
        if !is_open {
            self.transaction_ended(ran && !(was_open && self.was_rolled_back()));
        }
    }

    fn follow_state(&mut self, outline: &Outline, text: &Text<'_>, ran: bool) {
        for change in outline.state() {
            if ran { self.held.apply(change, &text.key()) } else { self.held.failed(change, &text.key()) }
        }
        if ran && text.is_unlock() {
            self.held.unlock(&text.key());
        }
        if runs_anything(outline) {
            self.held.hold_unknown();
        }
    }

    fn follow_meaning(&mut self, outline: &Outline, text: &Text<'_>, ran: bool) {
        if runs_anything(outline) || (ran && outline.changes_schema()) {
            self.texts.names_changed(true);
        }
        let ends_statements = |change: &StateChange| *change == StateChange::EndsAll(StateKind::PreparedStatement);
        if ran && outline.state().iter().any(ends_statements) {
            // Those of the driver, too.
            self.texts.clear();
        }
        if !ran || outline.meaning().is_empty() {
            return;
        }
        if outline.state().contains(&StateChange::EndsEverything) {
            self.texts.clear();
        } else {
            let by = if text.says_all(outline) { text.all() } else { self.contexts.unique() };
            let is_local = outline.state().iter().all(|change| matches!(change, StateChange::MakesLocal(..)));
            for meaning in outline.meaning().iter() {
                self.held.context_mut().set(meaning, &by, is_local);
            }
        }
        if outline.meaning().iter().any(|meaning| !Context::keeps(meaning)) {
            self.texts.names_changed(true);
            if outline.meaning().contains(Meaning::Types)
                && let Some(client) = &self.client
            {
                client.clear_type_cache();
            }
        }
        self.enter_context();
    }

    /// The answer is whether the transaction has ended by it.
    fn follow_transaction(&mut self, outline: &Outline, ran: bool, is_open: bool) -> bool {
        match outline.transaction() {
            Some(TransactionChange::Savepoint(name)) if ran => self.held.savepoint(name),
            Some(TransactionChange::Release(name)) if ran => self.held.release(name),
            Some(TransactionChange::RollbackTo(name)) if ran => {
                self.held.roll_back_to(name);
                self.texts.rolled_back_in_part();
                self.enter_context();
            }
            Some(
                TransactionChange::Commit { .. } | TransactionChange::Rollback { .. } | TransactionChange::Prepare,
            ) if ran || !is_open => {
                self.transaction_ended(ran && !self.was_rolled_back());
                if is_open {
                    self.held.begin();
                }
                return true;
            }
            _ => {}
        }
        false
    }

    /// The transaction is over.
    pub(super) fn transaction_ended(&mut self, committed: bool) {
        self.held.end(committed);
        self.texts.transaction_ended();
        self.enter_context();
    }

    /// Something has happened of which nobody knows what it was.
    pub(super) fn anything_happened(&mut self) {
        if self.status() == Status::Idle {
            self.held.end(true);
        } else {
            self.held.begin();
        }
        self.texts.names_changed(self.held.in_transaction());
        self.enter_context();
    }

    fn enter_context(&mut self) {
        let number = self.contexts.number(self.held.context());
        self.texts.enter(number);
    }

    /// By what the server called the statement that ran last.
    fn was_rolled_back(&self) -> bool {
        self.watch.seen(|seen| seen.tag == "ROLLBACK")
    }
}

/// The text of a statement, and its parameters.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) sql: &'a str,
    pub(super) params: &'a [Value],
}

impl Text<'_> {
    /// Whether what it sets depends on nothing but the text and its parameters.
    fn says_all(&self, outline: &Outline) -> bool {
        matches!(outline.verb(), Verb::Set | Verb::Reset)
            || (self.sql.bytes().filter(|byte| *byte == b'(').count() == 1
                && !self.sql.to_ascii_lowercase().split_ascii_whitespace().any(|word| word == "from"))
    }

    fn all(&self) -> Arc<str> {
        if self.params.is_empty() { self.sql.into() } else { format!("{}\0{:?}", self.sql, self.params).into() }
    }

    /// The key of an advisory lock that is given by parameters.
    fn key(&self) -> Cow<'static, str> {
        let number = |value: &Value| match value {
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        };
        let numbers: Option<Vec<String>> = self.params.iter().map(number).collect();
        match numbers {
            Some(numbers) if matches!(numbers.len(), 1 | 2) => {
                let shared = if self.sql.to_ascii_lowercase().contains("_shared") { " (shared)" } else { "" };
                Cow::Owned(format!("{}{shared}", numbers.join(", ")))
            }
            _ => Cow::Borrowed(""),
        }
    }

    /// Whether it lets go of an advisory lock whose key is a parameter, and does nothing else.
    fn is_unlock(&self) -> bool {
        if self.sql.len() > 100 {
            return false;
        }
        let mut text: String = self.sql.split_ascii_whitespace().collect::<String>().to_ascii_lowercase();
        for cast in ["::bigint", "::int8", "::integer", "::int4", "::int", ";"] {
            text = text.replace(cast, "");
        }
        let Some(text) = text.strip_prefix("selectpg_advisory_unlock") else { return false };
        matches!(text.strip_prefix("_shared").unwrap_or(text), "(?)" | "(?,?)")
    }
}

#[cfg(test)]
mod tests {
    use dockline_core::statement::Dialect;

    use super::*;

    #[test]
    fn locks_by_parameters_have_their_numbers_for_a_name() {
        let params = [Value::Int(7), Value::Int(-2)];
        let text = |sql| Text { sql, params: &params };
        assert_eq!(text("SELECT pg_advisory_lock(?, ?)").key(), "7, -2");
        assert_eq!(text("SELECT pg_advisory_lock_shared(?, ?)").key(), "7, -2 (shared)");
        assert_eq!(Text { sql: "SELECT pg_advisory_lock(?)", params: &[Value::Null] }.key(), "");
        assert!(text(" select PG_ADVISORY_UNLOCK( ?::int, ? );").is_unlock());
        assert!(!text("SELECT pg_advisory_unlock(?) FROM t").is_unlock());
    }

    #[test]
    fn a_value_that_the_text_does_not_say_is_not_the_same_twice() {
        let says_all = |sql| Text { sql, params: &[] }.says_all(&Outline::of(sql, Dialect::POSTGRES));
        assert!(says_all("SET LOCAL search_path = a, b"));
        assert!(says_all("SELECT set_config('search_path', 'a', true)"));
        assert!(!says_all("SELECT set_config('search_path', path, true) FROM tenant"));
        assert!(!says_all("SELECT set_config('search_path', current_setting('a.b'), true)"));
    }
}
