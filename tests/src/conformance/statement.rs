//! Statements: from Django's placeholders to Dockline's.

use std::borrow::Cow;

use dockline::statement::{Dialect, TokenKind, Tokens};
use dockline::{Connection, Value};
use serde_json::Value as Json;

use super::engine::Engine;
use super::failure::Failure;
use super::scenario::Statement;
use super::values;

/// A statement as Dockline takes it.
#[derive(Debug, PartialEq)]
pub(super) struct Prepared<'a> {
    pub(super) sql: Cow<'a, str>,
    pub(super) params: Vec<Value>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(statement: &'a Statement, engine: Engine) -> Result<Self, String> {
        let sql = statement.sql.text(engine)?;
        match &statement.params {
            None => Ok(Self::without_params(sql, engine)),
            Some(params) => Ok(Self {
                sql: translated(sql, engine, true),
                params: params.iter().map(values::parameter).collect::<Result<_, _>>()?,
            }),
        }
    }

    pub(super) fn without_params(sql: &'a str, engine: Engine) -> Self {
        Self { sql: translated(sql, engine, false), params: Vec::new() }
    }

    /// Runs it, and reads the first column of the first row; null is also no row.
    pub(super) fn first_column(&self, db: &Connection) -> Result<Json, Failure> {
        let rows = db.query(&self.sql, &self.params)?;
        let first: Option<Value> = rows.first().map(|row| row.get(0)).transpose()?;
        Ok(first.as_ref().map_or(Json::Null, values::json))
    }
}

/// Where parameters are given, `%s` stands for each, and `%%` for a percent sign. A question mark is one in either case,
/// which Dockline takes two to say, save in quotes and comments.
fn translated(sql: &str, engine: Engine, has_params: bool) -> Cow<'_, str> {
    if !sql.contains('?') && !has_params {
        return Cow::Borrowed(sql);
    }
    let is_mark = |kind| matches!(kind, TokenKind::Placeholder | TokenKind::QuestionMark);
    let tokens = Tokens::new(sql, dialect(engine)).filter(|token| is_mark(token.kind));
    let mut marks = tokens.flat_map(|token| token.range()).peekable();
    let mut text = String::with_capacity(sql.len() + 8);
    let mut rest = sql.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        if marks.next_if_eq(&at).is_some() {
            text.push_str("??");
        } else if character == '%' && has_params {
            match rest.next_if(|(_, next)| matches!(next, 's' | '%')) {
                Some((_, 's')) => text.push('?'),
                _ => text.push('%'),
            }
        } else {
            text.push(character);
        }
    }
    Cow::Owned(text)
}

fn dialect(engine: Engine) -> Dialect {
    match engine {
        Engine::Mysql => Dialect::MYSQL,
        Engine::Postgres => Dialect::POSTGRES,
        Engine::Sqlite => Dialect::SQLITE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_djangos_where_there_are_parameters() {
        let with = |sql| translated(sql, Engine::Postgres, true);
        assert_eq!(with("SELECT %s, 'é%%', 7 %% %s"), "SELECT ?, 'é%', 7 % ?");
        assert_eq!(with("SELECT 5 % 2"), "SELECT 5 % 2");
        assert_eq!(with("SELECT a ? '?' AND b = %s"), "SELECT a ?? '?' AND b = ?");
    }

    #[test]
    fn without_parameters_the_server_gets_the_text_as_it_is() {
        let without = |sql| translated(sql, Engine::Postgres, false);
        assert_eq!(without("SELECT '%s', 7 %% 2"), "SELECT '%s', 7 %% 2");
        assert_eq!(without("SELECT a ? 'b?' -- ?"), "SELECT a ?? 'b?' -- ?");
    }

    #[test]
    fn what_is_quoted_is_the_engines_business() {
        let sql = r"SELECT 'it\'?', [a?], `b?`";
        assert_eq!(translated(sql, Engine::Mysql, false), r"SELECT 'it\'?', [a??], `b?`");
        assert_eq!(translated(sql, Engine::Sqlite, false), r"SELECT 'it\'??', [a?], `b?`");
    }
}
