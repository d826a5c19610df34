//! What a statement's text is called, and how it reads without its values.

use dockline_core::events::{Failure, Source};
#[cfg(feature = "tracing")]
use dockline_core::statement::TokenKind;
use dockline_core::statement::{Dialect, Outline, Token, Tokens, Verb};

/// Whose SQL a text is: the session's, or what the settings let expect.
fn dialect(source: &Source<'_>) -> Dialect {
    source.dialect().unwrap_or(match source.system() {
        "postgresql" => Dialect::POSTGRES,
        "mysql" => Dialect::MYSQL,
        "mariadb" => Dialect::MARIADB,
        _ => Dialect::SQLITE,
    })
}

/// `db.operation.name`: the verb, in capitals; `None` if it is not known.
pub(crate) fn operation(source: &Source<'_>, sql: &str) -> Option<String> {
    match Outline::of(sql, dialect(source)).verb() {
        Verb::Unknown => None,
        Verb::LoadData => Some("LOAD DATA".to_owned()),
        // BEGIN, SAVEPOINT and their like.
        Verb::Transaction => words(source, sql).next().map(|token| token.text.to_ascii_uppercase()),
        verb => Some(format!("{verb:?}").to_ascii_uppercase()),
    }
}

fn words<'a>(source: &Source<'_>, sql: &'a str) -> impl Iterator<Item = Token<'a>> + use<'a> {
    Tokens::new(sql, dialect(source)).filter(|token| !token.is_gap())
}

/// `error.type`: the database's code, or else the kind of the error.
pub(crate) fn error_type(failure: &Failure<'_>) -> String {
    failure.code().unwrap_or_else(|| format!("{:?}", failure.kind()))
}

/// `db.query.text`: the text with a question mark in place of each value that is written into it. A `?` that stands for a parameter is
/// left as it is.
#[cfg(feature = "tracing")]
pub(crate) fn without_values(source: &Source<'_>, sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    for token in Tokens::new(sql, dialect(source)) {
        match token.kind {
            TokenKind::Text | TokenKind::Number => text.push('?'),
            // It may say anything.
            TokenKind::Comment => text.push(' '),
            _ => text.push_str(token.text),
        }
    }
    text
}

/// `db.query.summary`: the verb and the tables, as far as the text names them behind FROM, JOIN, INTO, UPDATE and TABLE.
#[cfg(feature = "tracing")]
pub(crate) fn summary(operation: &str, source: &Source<'_>, sql: &str) -> String {
    const BEFORE_A_TABLE: [&str; 5] = ["from", "join", "into", "update", "table"];
    /// The conventions ask for a text that is short.
    const LONGEST: usize = 255;
    let mut summary = operation.to_owned();
    let mut tokens = words(source, sql).peekable();
    while let Some(token) = tokens.next() {
        if !token.is_one_of(&BEFORE_A_TABLE) {
            continue;
        }
        // DROP TABLE IF EXISTS, INSERT INTO ONLY and so on.
        while tokens.peek().is_some_and(|token| token.is_one_of(&["if", "not", "exists", "only"])) {
            tokens.next();
        }
        let mut name = String::new();
        while let Some(part) = tokens.next_if(|token| match token.kind {
            TokenKind::Word | TokenKind::QuotedName => name.is_empty() || name.ends_with('.'),
            TokenKind::Dot => !name.is_empty(),
            _ => false,
        }) {
            name.push_str(part.text);
        }
        if !name.is_empty() && summary.len() + name.len() < LONGEST {
            summary.push(' ');
            summary.push_str(&name);
        }
    }
    summary
}
