//! `?` placeholders, the same for every backend.
//!
//! A backend calls [`translate`] with the dialect of its session. Text in quotes, comments and dollar quotes is left
//! alone, `??` becomes a literal question mark, and the number of placeholders is checked against that of the
//! parameters.

use std::borrow::Cow;

use crate::base::error::{Error, ErrorKind, Result};
use crate::config::statement::{Dialect, Token, TokenKind, Tokens, is_name_byte};

/// Rewrites the placeholders of a statement for a server.
///
/// Nothing is copied where nothing changes.
///
/// ```
/// use dockline::placeholder::translate;
/// use dockline::statement::Dialect;
///
/// let sql = translate("SELECT '?', a ?? b WHERE c = ? -- ?", 1, Dialect::POSTGRES)?;
/// assert_eq!(sql, "SELECT '?', a ? b WHERE c = $1 -- ?");
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// # Errors
///
/// [`Programming`](ErrorKind::Programming) if the statement has more or fewer placeholders than `parameters`.
pub fn translate(sql: &str, parameters: usize, dialect: Dialect) -> Result<Cow<'_, str>> {
    // Most statements without parameters have no question mark at all, and need no reading.
    if parameters == 0 && !sql.as_bytes().contains(&b'?') {
        return Ok(Cow::Borrowed(sql));
    }
    let mut rewritten: Option<String> = None;
    let mut copied = 0;
    let mut found = 0;
    for token in Tokens::new(sql, dialect) {
        let replacement = match token.kind {
            TokenKind::QuestionMark => Some(Cow::Borrowed("?")),
            TokenKind::OwnPlaceholder if token.text.starts_with('?') => return Err(has_number()),
            TokenKind::Placeholder if byte(sql, token.end()).is_some_and(|byte| byte.is_ascii_digit()) => {
                return Err(has_number());
            }
            TokenKind::Placeholder => {
                found += 1;
                dialect.is_postgres().then(|| numbered(sql, token, found).into())
            }
            _ => None,
        };
        if let Some(replacement) = replacement {
            let text = rewritten.get_or_insert_with(|| String::with_capacity(sql.len() + 16));
            text.push_str(&sql[copied..token.start]);
            text.push_str(&replacement);
            copied = token.end();
        }
    }
    if found != parameters {
        return Err(mismatch(found, parameters, foreign(sql, dialect)));
    }
    Ok(match rewritten {
        Some(mut text) => {
            text.push_str(&sql[copied..]);
            Cow::Owned(text)
        }
        None => Cow::Borrowed(sql),
    })
}

/// Finds in the caller's statement what a server has found at `position` of its translation, both in characters, counted from 1.
///
/// ```
/// use dockline::placeholder::original_position;
/// use dockline::statement::Dialect;
///
/// // The server was sent "SELECT $1 + $2 FRM t", and complains about FRM.
/// assert_eq!(original_position("SELECT ? + ? FRM t", 16, Dialect::POSTGRES), 14);
/// ```
pub fn original_position(sql: &str, position: usize, dialect: Dialect) -> usize {
    let length = |text: &str| text.chars().count();
    // How many characters stand before the place that has been reached: here, and there.
    let (mut here, mut there, mut copied, mut found) = (0, 0, 0, 0);
    for token in Tokens::new(sql, dialect) {
        let replaced_by = match token.kind {
            TokenKind::QuestionMark => 1,
            TokenKind::Placeholder if dialect.is_postgres() => {
                found += 1;
                length(&numbered(sql, token, found))
            }
            _ => continue,
        };
        let between = length(&sql[copied..token.start]);
        if position <= there + between {
            break;
        }
        (here, there) = (here + between, there + between);
        if position <= there + replaced_by {
            return here + 1;
        }
        (here, there) = (here + length(token.text), there + replaced_by);
        copied = token.end();
    }
    here + position - there
}

fn byte(sql: &str, at: usize) -> Option<u8> {
    sql.as_bytes().get(at).copied()
}

/// `$n`, with space where it would run into its neighbours: `LIKE?` is a statement, `LIKE$1` a name.
fn numbered(sql: &str, mark: Token<'_>, number: usize) -> String {
    let before = mark.start.checked_sub(1).and_then(|at| byte(sql, at));
    let space = |neighbour: Option<u8>| if neighbour.is_some_and(is_name_byte) { " " } else { "" };
    format!("{}${number}{}", space(before), space(byte(sql, mark.end())))
}

fn has_number() -> Error {
    Error::new(ErrorKind::Programming, "a placeholder has a number; write ? alone, once for each parameter")
}

fn mismatch(found: usize, given: usize, foreign: Option<&str>) -> Error {
    let placeholders = if found == 1 { "placeholder" } else { "placeholders" };
    let parameters = if given == 1 { "parameter was" } else { "parameters were" };
    let advice = match foreign.filter(|_| found < given) {
        Some(name) if name.starts_with(':') => {
            format!("write ? instead of {name} and its like, or give the parameters names with named!")
        }
        Some(other) => format!("write ? instead of {other} and its like, once for each parameter"),
        None => "? in quotes and comments does not count, ?? is a literal question mark".to_owned(),
    };
    let message = format!("the statement has {found} {placeholders} and {given} {parameters} given ({advice})");
    Error::new(ErrorKind::Programming, message)
}

/// The first placeholder as other libraries write them: `$1`, `:id`, `%s`, `%(id)s`, `@p1`.
fn foreign(sql: &str, dialect: Dialect) -> Option<&str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_numbered = |name: &str| name.strip_prefix(['p', 'P']).is_some_and(is_number);
    let tokens: Vec<Token<'_>> = Tokens::new(sql, dialect).collect();
    tokens.iter().enumerate().find_map(|(at, token)| {
        let next = tokens.get(at + 1);
        let with_next = |next: &Token<'_>| &sql[token.start..next.end()];
        match (token.kind, token.text) {
            (TokenKind::OwnPlaceholder, text) => Some(text),
            (TokenKind::Variable, text) => text.strip_prefix('@').is_some_and(is_numbered).then_some(text),
            (TokenKind::Colon, _) => next.filter(|next| next.kind == TokenKind::Word).map(with_next),
            (TokenKind::Symbol, "@") => next.filter(|next| is_numbered(next.text)).map(with_next),
            (TokenKind::Symbol, "%") => match next?.text {
                "s" | "d" => next.map(with_next),
                "(" => tokens.get(at + 4).filter(|last| last.text == "s").map(with_next),
                _ => None,
            },
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SQLITE: Dialect = Dialect::SQLITE;
    const POSTGRES: Dialect = Dialect::POSTGRES;
    const MYSQL: Dialect = Dialect::MYSQL;

    /// The number of placeholders that a dialect sees.
    fn count(sql: &str, dialect: Dialect) -> usize {
        (0..10).find(|n| translate(sql, *n, dialect).is_ok()).unwrap()
    }

    #[test]
    fn a_position_of_the_translation_is_found_in_the_original() {
        for sql in ["SELECT 'ä?', ? + ? ?? b FRM t", "SELECT * FROM t WHERE a=?AND b = FRM", "FRM", "? FRM"] {
            let translated = translate(sql, count(sql, POSTGRES), POSTGRES).unwrap();
            let position = |text: &str| text[..text.find("FRM").unwrap()].chars().count() + 1;
            assert_eq!(original_position(sql, position(&translated), POSTGRES), position(sql), "{translated}");
        }
    }

    #[test]
    fn quoted_question_marks_are_left_alone() {
        for sql in ["'?'", "\"?\"", "-- ?\n", "/* ? */", "'it''s ?'", "'?", "/* ?", "-- ?"] {
            for dialect in [SQLITE, POSTGRES, MYSQL] {
                assert_eq!(count(sql, dialect), 0, "{sql}");
                assert_eq!(count(&format!("? {sql}"), dialect), 1, "? {sql}");
            }
        }
        assert_eq!(count("'a' ? 'b' ? \"c\" ?", POSTGRES), 3);
    }

    #[test]
    fn each_server_quotes_in_its_own_way() {
        assert_eq!((count("`?`", SQLITE), count("`?`", MYSQL), count("1 ` ?", POSTGRES)), (0, 0, 1));
        assert_eq!((count("/*! ? */", MYSQL), count("/*! ? */", POSTGRES)), (1, 0));
        assert_eq!((count("[?]", SQLITE), count("a[?]", POSTGRES)), (0, 1));
        assert_eq!((count("$x$ ? $x$", POSTGRES), count("$x$ ? $x$", SQLITE)), (0, 1));
        assert_eq!((count("$$ ? ' $$ ?", POSTGRES), count("a$$ ? b$$", POSTGRES)), (1, 1));
        assert_eq!((count("$1 ? $1", POSTGRES), count("$x$ $y$ ? $x$", POSTGRES)), (1, 0));
        assert_eq!((count(r"'\' ?", SQLITE), count(r"'\' ?", MYSQL)), (1, 0));
        assert_eq!((count(r"E'\' ?", POSTGRES), count(r"'\' ?", POSTGRES)), (0, 1));
        assert_eq!(count(r"some'\' ?", POSTGRES), 1, "the e belongs to a name");
        assert_eq!((count("# ?", MYSQL), count("1 # ?", POSTGRES)), (0, 1));
        assert_eq!((count("1--? ", MYSQL), count("1--? ", POSTGRES)), (1, 0));
        assert_eq!((count("/* /* */ ? */", POSTGRES), count("/* /* */ ? */", MYSQL)), (0, 1));
    }

    #[test]
    fn placeholders_are_numbered_where_the_server_wants_it() {
        assert_eq!(translate("a = ? AND b = ?", 2, POSTGRES).unwrap(), "a = $1 AND b = $2");
        assert!(matches!(translate("a = ? AND b = ?", 2, SQLITE).unwrap(), Cow::Borrowed(_)));
        assert_eq!(translate("a LIKE?AND b=?", 2, POSTGRES).unwrap(), "a LIKE $1 AND b=$2");
    }

    #[test]
    fn a_placeholder_with_a_number_is_refused() {
        for dialect in [SQLITE, POSTGRES, MYSQL] {
            let error = translate("SELECT ?1", 1, dialect).unwrap_err();
            assert!(error.message().contains("write ? alone"), "{error}");
        }
    }

    #[test]
    fn two_question_marks_are_a_literal_one() {
        assert_eq!(translate("a ?? b = ?", 1, POSTGRES).unwrap(), "a ? b = $1");
        assert_eq!(translate("a ??| b", 0, POSTGRES).unwrap(), "a ?| b");
        assert_eq!(translate("'??'", 0, SQLITE).unwrap(), "'??'");
    }

    #[test]
    fn a_wrong_number_of_parameters_is_an_error() {
        let error = translate("SELECT ? -- ?", 2, SQLITE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Programming);
        assert!(error.message().starts_with("the statement has 1 placeholder and 2 parameters were given"), "{error}");
        let error = translate("SELECT ?, ?", 1, SQLITE).unwrap_err();
        assert!(error.message().starts_with("the statement has 2 placeholders and 1 parameter was given"), "{error}");
        assert!(!error.may_have_executed());
    }

    #[test]
    fn placeholders_of_other_libraries_are_named() {
        for (sql, dialect, name) in [
            ("SELECT $1", POSTGRES, "$1"),
            ("SELECT :id", POSTGRES, ":id"),
            ("SELECT a::text, %s", POSTGRES, "%s"),
            ("SELECT %(id)s", MYSQL, "%(id)s"),
            ("SELECT @p1", MYSQL, "@p1"),
            ("SELECT @p1", POSTGRES, "@p1"),
            ("SELECT ':a', :id", MYSQL, ":id"),
            ("SELECT @p1", SQLITE, "@p1"),
            ("SELECT :id", SQLITE, ":id"),
        ] {
            let error = translate(sql, 1, dialect).unwrap_err();
            assert!(error.message().contains(&format!("write ? instead of {name}")), "{sql}: {error}");
        }
        for (sql, dialect) in [("SELECT 5 % 3", POSTGRES), ("SELECT @a, '$1', '%s'", MYSQL), ("SELECT 1", SQLITE)] {
            assert!(!translate(sql, 1, dialect).unwrap_err().message().contains("instead of"), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(sql in r#"[?'"`$eE/*#a\\\[\]é \n-]{0,40}"#) {
            for dialect in [SQLITE, POSTGRES, MYSQL] {
                let found = (0..=sql.len()).filter(|n| translate(&sql, *n, dialect).is_ok()).count();
                prop_assert_eq!(found, 1);
            }
        }
    }
}
