//! From tokens to an outline. It goes over a text three times at most: to find where a statement ends, and to read it.

mod bounds;
mod cursor;
mod expressions;
mod functions;
mod head;
mod objects;
mod session;
mod settings;
mod transactions;

use cursor::Cursor;

use super::dialect::Dialect;
use super::meaning::Meanings;
use super::outline::{Facts, Outline, Statements};
use super::token::TokenKind;
use super::transaction::TransactionChange;

impl Outline {
    /// Reads a text, in one go over it. Keep the outline with the prepared statement.
    pub fn of(sql: &str, dialect: Dialect) -> Self {
        outline(sql, dialect)
    }
}

/// Where the next statement from this byte on begins, and where it ends: at its semicolon, or at the end of the text.
pub(super) fn end_of_statement(sql: &str, at: usize, dialect: Dialect) -> Option<(usize, usize)> {
    let mut cursor = Cursor::new(&sql[at..], dialect);
    while cursor.eat_kind(TokenKind::Semicolon) {}
    let start = cursor.peek()?.start;
    bounds::skip_statement(&mut cursor);
    let end = cursor.peek().map_or(sql.len() - at, |semicolon| semicolon.start);
    Some((at + start, at + end))
}

fn outline(sql: &str, dialect: Dialect) -> Outline {
    let mut cursor = Cursor::new(sql, dialect);
    let mut found: Option<Outline> = None;
    // PostgreSQL leaves out statements that are empty; others see one before a semicolon.
    let mut is_later = false;
    while cursor.peek().is_some() {
        if cursor.eat_kind(TokenKind::Semicolon) {
            is_later |= !dialect.is_postgres();
            continue;
        }
        let start = cursor;
        bounds::skip_statement(&mut cursor);
        let end = cursor.peek().map_or(sql.len(), |semicolon| semicolon.start);
        let one = head::statement(start.up_to(end));
        found = Some(match found {
            Some(others) => both(others, one),
            None if is_later => Outline { statements: Statements::Several, ..one },
            None => one,
        });
    }
    let mut outline = found.unwrap_or_else(Outline::nothing);
    if cursor.is_unsure() {
        let asks_for_file = outline.facts.asks_for_file;
        outline.facts = Facts { asks_for_file, ..Facts::UNKNOWN };
        outline.meaning = Meanings::all();
        outline.transaction = Some(TransactionChange::Unknown);
    }
    outline
}

fn both(first: Outline, second: Outline) -> Outline {
    let mut meaning = first.meaning;
    meaning.extend(second.meaning);
    let mut state = first.state;
    state.extend(second.state);
    let has_change = first.transaction.is_some() || second.transaction.is_some();
    Outline {
        verb: first.verb,
        statements: Statements::Several,
        explained: first.explained,
        facts: first.facts.and(second.facts),
        meaning,
        transaction: has_change.then_some(TransactionChange::Unknown),
        state,
    }
}
