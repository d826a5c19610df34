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
/// use dockline_core::placeholder::translate;
/// use dockline_core::statement::Dialect;
///
/// let sql = translate("SELECT '?', a ?? b WHERE c = ? -- ?", 1, Dialect::POSTGRES)?;
/// assert_eq!(sql, "SELECT '?', a ? b WHERE c = $1 -- ?");
/// # Ok::<_, dockline_core::Error>(())
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
        return Err(mismatch(found, parameters));
    }
    Ok(match rewritten {
        Some(mut text) => {
            text.push_str(&sql[copied..]);
            Cow::Owned(text)
        }
        None => Cow::Borrowed(sql),
    })
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

fn mismatch(found: usize, given: usize) -> Error {
    let placeholders = if found == 1 { "placeholder" } else { "placeholders" };
    let parameters = if given == 1 { "parameter was" } else { "parameters were" };
    let message = format!(
        "the statement has {found} {placeholders} and {given} {parameters} given \
         (? in quotes and comments does not count, ?? is a literal question mark)"
    );
    Error::new(ErrorKind::Programming, message)
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
