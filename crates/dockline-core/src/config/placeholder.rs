//! `?` placeholders, the same for every backend.
//!
//! A backend calls [`translate`] with the syntax of its server. Text in quotes, comments and dollar quotes is left
//! alone, `??` becomes a literal question mark, and the number of placeholders is checked against that of the
//! parameters.

use std::borrow::Cow;

use crate::base::error::{Error, ErrorKind, Result};

/// How a server reads a statement, as far as finding placeholders needs it.
///
/// `'text'`, `"name"`, `` `name` ``, `-- comment` and `/* comment */` are the same for all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Syntax {
    /// The server's placeholders are `$1`, `$2`, …; else they are `?`.
    pub numbered: bool,
    /// A backslash escapes the next character in every quoted text (MySQL).
    pub backslash_escapes: bool,
    /// A backslash escapes the next character in `E'…'` (PostgreSQL).
    pub escape_strings: bool,
    /// `$tag$ … $tag$` quotes text (PostgreSQL).
    pub dollar_quotes: bool,
    /// Comments nest (PostgreSQL).
    pub nested_comments: bool,
    /// `# …` is a comment, and `--` only with white space behind it (MySQL).
    pub hash_comments: bool,
    /// `[name]` is a quoted name (SQLite).
    pub bracket_names: bool,
}

/// Rewrites the placeholders of a statement for a server.
///
/// Nothing is copied where nothing changes.
///
/// ```
/// use dockline_core::placeholder::{translate, Syntax};
///
/// let numbered = Syntax { numbered: true, ..Syntax::default() };
/// assert_eq!(translate("SELECT '?', a ?? b WHERE c = ? -- ?", 1, &numbered)?, "SELECT '?', a ? b WHERE c = $1 -- ?");
/// # Ok::<_, dockline_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Programming`](ErrorKind::Programming) where the statement has more or fewer placeholders than `parameters`.
pub fn translate<'sql>(sql: &'sql str, parameters: usize, syntax: &Syntax) -> Result<Cow<'sql, str>> {
    // Most statements without parameters have no question mark at all, and need no reading.
    if parameters == 0 && !sql.as_bytes().contains(&b'?') {
        return Ok(Cow::Borrowed(sql));
    }
    let mut scanner = Scanner::new(sql, syntax);
    let mut rewritten: Option<String> = None;
    let mut copied = 0;
    let mut found = 0;
    while let Some(mark) = scanner.next_mark() {
        let (start, replacement) = match mark {
            Mark::Literal(start) => (start, Some(Cow::Borrowed("?"))),
            Mark::Placeholder(_) if scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) => {
                let message = "a placeholder has a number; write ? alone, once for each parameter";
                return Err(Error::new(ErrorKind::Programming, message));
            }
            Mark::Placeholder(start) => {
                found += 1;
                (start, syntax.numbered.then(|| scanner.numbered(start, found).into()))
            }
        };
        if let Some(replacement) = replacement {
            let text = rewritten.get_or_insert_with(|| String::with_capacity(sql.len() + 16));
            text.push_str(&sql[copied..start]);
            text.push_str(&replacement);
            copied = scanner.at;
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

fn mismatch(found: usize, given: usize) -> Error {
    let placeholders = if found == 1 { "placeholder" } else { "placeholders" };
    let parameters = if given == 1 { "parameter was" } else { "parameters were" };
    let message = format!(
        "the statement has {found} {placeholders} and {given} {parameters} given \
         (? in quotes and comments does not count, ?? is a literal question mark)"
    );
    Error::new(ErrorKind::Programming, message)
}

/// A question mark outside quotes and comments, by where it starts.
enum Mark {
    Placeholder(usize),
    /// Two of them, which stand for one.
    Literal(usize),
}

/// Walks over a statement, past what is quoted. It works on bytes: everything that it looks for is ASCII, and no byte of a
/// longer UTF-8 sequence is.
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    syntax: &'a Syntax,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a statement.
    pub fn new(sql: &'a str, syntax: &'a Syntax) -> Self {
        Self { bytes: sql.as_bytes(), at: 0, syntax }
    }

    /// Goes on to behind the next question mark that is not quoted.
    fn next_mark(&mut self) -> Option<Mark> {
        while let Some((start, byte)) = self.next_bare() {
            if byte != b'?' {
                continue;
            }
            if self.peek() == Some(b'?') {
                self.at += 1;
                return Some(Mark::Literal(start));
            }
            return Some(Mark::Placeholder(start));
        }
        None
    }

    /// The next byte that is neither quoted nor in a comment, and where it stands; goes on to behind it.
    pub fn next_bare(&mut self) -> Option<(usize, u8)> {
        while let Some(&byte) = self.bytes.get(self.at) {
            let start = self.at;
            self.at += 1;
            match byte {
                b'\'' => {
                    let escapes = self.syntax.backslash_escapes || self.is_escape_string(start);
                    self.skip_quoted(b'\'', escapes);
                }
                b'"' => self.skip_quoted(b'"', self.syntax.backslash_escapes),
                b'`' => self.skip_quoted(b'`', false),
                b'[' if self.syntax.bracket_names => self.skip_past(b"]"),
                b'#' if self.syntax.hash_comments => self.skip_past(b"\n"),
                b'-' if self.starts_line_comment() => self.skip_past(b"\n"),
                b'/' if self.peek() == Some(b'*') => self.skip_block_comment(),
                b'$' if self.syntax.dollar_quotes && self.skip_dollar_quoted(start) => {}
                _ => return Some((start, byte)),
            }
        }
        None
    }

    /// `$n`, with space where it would run into its neighbours: `LIKE?` is a statement, `LIKE$1` a name.
    fn numbered(&self, start: usize, number: usize) -> String {
        let before = if self.continues_name(start) { " " } else { "" };
        let after = if self.peek().is_some_and(is_name_byte) { " " } else { "" };
        format!("{before}${number}{after}")
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Behind the quote that opens: goes to behind the one that closes. A doubled quote closes and opens again at
    /// once, so it needs no care.
    fn skip_quoted(&mut self, quote: u8, backslash_escapes: bool) {
        while let Some(byte) = self.peek() {
            self.at += 1;
            if byte == quote {
                return;
            }
            if byte == b'\\' && backslash_escapes {
                self.at += 1;
            }
        }
    }

    fn skip_past(&mut self, end: &[u8]) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.windows(end.len()).position(|window| window == end).map_or(rest.len(), |n| n + end.len());
        self.at += length;
    }

    /// `E'…'`, where the E is not the end of a longer name.
    fn is_escape_string(&self, quote: usize) -> bool {
        self.syntax.escape_strings
            && quote > 0
            && matches!(self.bytes[quote - 1], b'e' | b'E')
            && !self.continues_name(quote - 1)
    }

    /// Whether what starts at this index is joined to a name before it.
    fn continues_name(&self, start: usize) -> bool {
        start > 0 && is_name_byte(self.bytes[start - 1])
    }

    fn starts_line_comment(&self) -> bool {
        let comment_needs_space = self.syntax.hash_comments;
        self.peek() == Some(b'-')
            && (!comment_needs_space || self.bytes.get(self.at + 1).is_none_or(u8::is_ascii_whitespace))
    }

    /// Behind the `/`, before the `*`.
    fn skip_block_comment(&mut self) {
        self.at += 1;
        let mut depth = 1;
        while depth > 0 {
            match (self.peek(), self.bytes.get(self.at + 1)) {
                (None, _) => return,
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                }
                (Some(b'/'), Some(b'*')) if self.syntax.nested_comments => {
                    depth += 1;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Behind a `$`: skips to behind the closing tag, where this is the start of an opening one. `$1` and `a$b` are not.
    fn skip_dollar_quoted(&mut self, start: usize) -> bool {
        if self.continues_name(start) {
            return false;
        }
        let name = self.bytes[self.at..].iter().take_while(|b| is_name_byte(**b) && **b != b'$').count();
        let end = self.at + name;
        let starts_with_digit = self.peek().is_some_and(|b| b.is_ascii_digit());
        if starts_with_digit || self.bytes.get(end) != Some(&b'$') {
            return false;
        }
        self.at = end + 1;
        let tag = &self.bytes[start..self.at];
        self.skip_past(tag);
        true
    }
}

pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SQLITE: Syntax = Syntax {
        numbered: false,
        backslash_escapes: false,
        escape_strings: false,
        dollar_quotes: false,
        nested_comments: false,
        hash_comments: false,
        bracket_names: true,
    };
    const POSTGRES: Syntax = Syntax {
        numbered: true,
        escape_strings: true,
        dollar_quotes: true,
        nested_comments: true,
        bracket_names: false,
        ..SQLITE
    };
    const MYSQL: Syntax = Syntax { backslash_escapes: true, hash_comments: true, bracket_names: false, ..SQLITE };

    /// The number of placeholders that a syntax sees.
    fn count(sql: &str, syntax: &Syntax) -> usize {
        (0..10).find(|n| translate(sql, *n, syntax).is_ok()).unwrap()
    }

    #[test]
    fn quoted_question_marks_are_left_alone() {
        for sql in ["'?'", "\"?\"", "`?`", "-- ?\n", "/* ? */", "'it''s ?'", "'?", "/* ?", "-- ?"] {
            for syntax in [SQLITE, POSTGRES, MYSQL] {
                assert_eq!(count(sql, &syntax), 0, "{sql}");
                assert_eq!(count(&format!("? {sql}"), &syntax), 1, "? {sql}");
            }
        }
        assert_eq!(count("'a' ? 'b' ? \"c\" ?", &POSTGRES), 3);
    }

    #[test]
    fn each_server_quotes_in_its_own_way() {
        assert_eq!((count("[?]", &SQLITE), count("a[?]", &POSTGRES)), (0, 1));
        assert_eq!((count("$x$ ? $x$", &POSTGRES), count("$x$ ? $x$", &SQLITE)), (0, 1));
        assert_eq!((count("$$ ? ' $$ ?", &POSTGRES), count("a$$ ? b$$", &POSTGRES)), (1, 1));
        assert_eq!((count("$1 ? $1", &POSTGRES), count("$x$ $y$ ? $x$", &POSTGRES)), (1, 0));
        assert_eq!((count(r"'\' ?", &SQLITE), count(r"'\' ?", &MYSQL)), (1, 0));
        assert_eq!((count(r"E'\' ?", &POSTGRES), count(r"'\' ?", &POSTGRES)), (0, 1));
        assert_eq!(count(r"some'\' ?", &POSTGRES), 1, "the e belongs to a name");
        assert_eq!((count("# ?", &MYSQL), count("1 # ?", &POSTGRES)), (0, 1));
        assert_eq!((count("1--? ", &MYSQL), count("1--? ", &POSTGRES)), (1, 0));
        assert_eq!((count("/* /* */ ? */", &POSTGRES), count("/* /* */ ? */", &MYSQL)), (0, 1));
    }

    #[test]
    fn placeholders_are_numbered_where_the_server_wants_it() {
        assert_eq!(translate("a = ? AND b = ?", 2, &POSTGRES).unwrap(), "a = $1 AND b = $2");
        assert!(matches!(translate("a = ? AND b = ?", 2, &SQLITE).unwrap(), Cow::Borrowed(_)));
        assert_eq!(translate("a LIKE?AND b=?", 2, &POSTGRES).unwrap(), "a LIKE $1 AND b=$2");
    }

    #[test]
    fn a_placeholder_with_a_number_is_refused() {
        for syntax in [SQLITE, POSTGRES, MYSQL] {
            let error = translate("SELECT ?1", 1, &syntax).unwrap_err();
            assert!(error.message().contains("write ? alone"), "{error}");
        }
    }

    #[test]
    fn two_question_marks_are_a_literal_one() {
        assert_eq!(translate("a ?? b = ?", 1, &POSTGRES).unwrap(), "a ? b = $1");
        assert_eq!(translate("a ??| b", 0, &POSTGRES).unwrap(), "a ?| b");
        assert_eq!(translate("'??'", 0, &SQLITE).unwrap(), "'??'");
    }

    #[test]
    fn a_wrong_number_of_parameters_is_an_error() {
        let error = translate("SELECT ? -- ?", 2, &SQLITE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Programming);
        assert!(error.message().starts_with("the statement has 1 placeholder and 2 parameters were given"), "{error}");
        let error = translate("SELECT ?, ?", 1, &SQLITE).unwrap_err();
        assert!(error.message().starts_with("the statement has 2 placeholders and 1 parameter was given"), "{error}");
        assert!(!error.may_have_executed());
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(sql in r#"[?'"`$eE/*#a\\\[\]é \n-]{0,40}"#) {
            for syntax in [SQLITE, POSTGRES, MYSQL] {
                let found = (0..=sql.len()).filter(|n| translate(&sql, *n, &syntax).is_ok()).count();
                prop_assert_eq!(found, 1);
            }
        }
    }
}
