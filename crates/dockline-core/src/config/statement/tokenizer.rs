//! The one tokenizer. It works on bytes: all that it looks for is ASCII, and no byte of a longer UTF-8 sequence is.

use super::dialect::Dialect;
use super::token::{Token, TokenKind};

/// Reads the tokens of a text, each once. A quote or comment that nothing closes goes on to the end of the text.
///
/// ```
/// use dockline::statement::{Dialect, TokenKind, Tokens};
///
/// let placeholders = Tokens::new("SELECT ?, '?' -- ?", Dialect::SQLITE);
/// assert_eq!(placeholders.filter(|token| token.kind == TokenKind::Placeholder).count(), 1);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'sql> {
    sql: &'sql str,
    at: usize,
    dialect: Dialect,
    /// In a comment whose text runs.
    in_executable: bool,
    /// The last token ends a name or a text: what follows an `@` is a host.
    after_name: bool,
    unsure: bool,
}

impl<'sql> Tokens<'sql> {
    /// Starts at the beginning of a text.
    pub fn new(sql: &'sql str, dialect: Dialect) -> Self {
        Self { sql, at: 0, dialect, in_executable: false, after_name: false, unsure: false }
    }

    /// Returns whether a comment was read of which nobody knows whether its text runs.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// The same tokens, up to this byte.
    pub(crate) fn up_to(mut self, end: usize) -> Self {
        self.sql = &self.sql[..end];
        self
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.sql.as_bytes().get(at).copied()
    }

    fn starts_with(&self, at: usize, text: &str) -> bool {
        self.sql.as_bytes()[at..].starts_with(text.as_bytes())
    }

    /// The first byte from here on that is not so.
    fn while_bytes(&self, at: usize, is_so: impl Fn(u8) -> bool) -> usize {
        let rest = &self.sql.as_bytes()[at..];
        at + rest.iter().position(|byte| !is_so(*byte)).unwrap_or(rest.len())
    }

    /// What a token that starts here is, and where it ends.
    fn measure(&mut self, at: usize, first: u8) -> (TokenKind, usize) {
        let dialect = self.dialect;
        let second = self.byte(at + 1);
        match first {
            _ if self.is_space(at) > 0 => (TokenKind::Space, self.space(at)),
            b'-' if self.starts_line_comment(at) => (TokenKind::Comment, self.line(at)),
            b'#' if dialect.is_mysql_or_mariadb() => (TokenKind::Comment, self.line(at)),
            b'/' if second == Some(b'*') => self.block_comment(at),
            b'*' if self.in_executable && second == Some(b'/') => {
                self.in_executable = false;
                (TokenKind::ExecutableEnd, at + 2)
            }
            b'\'' => (TokenKind::Text, self.quoted(at, b'\'', dialect.backslash_escapes)),
            b'"' if dialect.ansi_quotes => (TokenKind::QuotedName, self.quoted(at, b'"', false)),
            b'"' => (TokenKind::Text, self.quoted(at, b'"', dialect.backslash_escapes)),
            b'`' if !dialect.is_postgres() => (TokenKind::QuotedName, self.quoted(at, b'`', false)),
            b'[' if dialect.is_sqlite() => (TokenKind::QuotedName, self.past(at, "]")),
            b'0'..=b'9' => self.number(at),
            b'.' if second.is_some_and(|byte| byte.is_ascii_digit()) && !self.after_name => self.number(at),
            b'?' => self.question_mark(at),
            b'$' if !dialect.is_sqlite() => self.dollar(at),
            b'@' | b':' | b'$' | b'#' if dialect.is_sqlite() && second.is_some_and(is_name_byte) => {
                (TokenKind::OwnPlaceholder, self.while_bytes(at + 1, is_name_byte))
            }
            b'@' if dialect.is_mysql_or_mariadb() => self.variable(at),
            b':' if second == Some(b'=') => (TokenKind::Assign, at + 2),
            b':' if second == Some(b':') => (TokenKind::Cast, at + 2),
            b'(' => (TokenKind::Open, at + 1),
            b')' => (TokenKind::Close, at + 1),
            b',' => (TokenKind::Comma, at + 1),
            b';' => (TokenKind::Semicolon, at + 1),
            b'.' => (TokenKind::Dot, at + 1),
            b':' => (TokenKind::Colon, at + 1),
            _ if is_name_byte(first) => self.word(at),
            _ => (TokenKind::Symbol, at + 1),
        }
    }

    /// How many bytes of white space start here, of one character.
    fn is_space(&self, at: usize) -> usize {
        match self.byte(at) {
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0c) => 1,
            Some(0x0b) if !self.dialect.is_sqlite() => 1,
            // A byte order mark.
            Some(0xef) if self.dialect.is_sqlite() && self.starts_with(at, "\u{feff}") => 3,
            _ => 0,
        }
    }

    fn space(&self, mut at: usize) -> usize {
        loop {
            match self.is_space(at) {
                0 => return at,
                length => at += length,
            }
        }
    }

    fn starts_line_comment(&self, at: usize) -> bool {
        // MySQL subtracts a negative number in 1--1.
        let ends_dashes = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
        self.starts_with(at, "--") && (!self.dialect.is_mysql_or_mariadb() || self.byte(at + 2).is_none_or(ends_dashes))
    }

    /// To the end of the line. On PostgreSQL a carriage return ends one, too.
    fn line(&self, at: usize) -> usize {
        let on_return = self.dialect.is_postgres();
        self.while_bytes(at, |byte| byte != b'\n' && !(on_return && byte == b'\r'))
    }

    fn block_comment(&mut self, at: usize) -> (TokenKind, usize) {
        let only_mariadb = self.starts_with(at, "/*M!");
        if !only_mariadb && !self.starts_with(at, "/*!") || !self.dialect.is_mysql_or_mariadb() {
            return (TokenKind::Comment, self.past_comment(at, self.dialect.is_postgres()));
        }
        let behind = at + if only_mariadb { 4 } else { 3 };
        // Five digits or six; fewer belong to the text.
        let digits = self.while_bytes(behind, |byte| byte.is_ascii_digit()) - behind;
        let digits = if digits < 5 { 0 } else { digits.min(6) };
        let version = self.sql[behind..behind + digits].parse().ok();
        match self.dialect.runs_comment(version, only_mariadb) {
            Some(false) => (TokenKind::Comment, self.past_comment(at, true)),
            runs => {
                self.unsure |= runs.is_none();
                self.in_executable = true;
                (TokenKind::ExecutableStart, behind + digits)
            }
        }
    }

    fn past_comment(&self, at: usize, nests: bool) -> usize {
        let mut depth = 1_usize;
        let mut at = at + 2;
        while depth > 0 {
            match (self.byte(at), self.byte(at + 1)) {
                (None, _) => return self.sql.len(),
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                }
                (Some(b'/'), Some(b'*')) if nests => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        at
    }

    /// To behind the quote that closes what opens here. A doubled quote stands for one.
    fn quoted(&self, open: usize, quote: u8, escapes: bool) -> usize {
        let mut at = open + 1;
        while let Some(byte) = self.byte(at) {
            at += 1;
            if byte == b'\\' && escapes {
                at += 1;
            } else if byte == quote {
                if self.byte(at) != Some(quote) {
                    return at;
                }
                at += 1;
            }
        }
        self.sql.len()
    }

    /// `E'…'` goes on in the next quotes, if a line ends between the two.
    fn escape_string(&self, open: usize) -> usize {
        let mut end = self.quoted(open, b'\'', true);
        while let Some(next) = self.continued(end) {
            end = self.quoted(next, b'\'', true);
        }
        end
    }

    /// Where the quotes open again that go on with what ended here.
    fn continued(&self, end: usize) -> Option<usize> {
        let (mut at, mut has_line) = (end, false);
        loop {
            match self.byte(at)? {
                b'\n' | b'\r' => has_line = true,
                byte if byte.is_ascii_whitespace() || byte == 0x0b => {}
                b'-' if self.starts_with(at, "--") => {
                    at = self.line(at);
                    continue;
                }
                b'\'' if has_line => return Some(at),
                _ => return None,
            }
            at += 1;
        }
    }

    fn past(&self, at: usize, end: &str) -> usize {
        self.sql[at..].find(end).map_or(self.sql.len(), |found| at + found + end.len())
    }

    fn dollar(&self, at: usize) -> (TokenKind, usize) {
        if let Some(end) = self.dollar_quoted(at) {
            return (TokenKind::Text, end);
        }
        match self.byte(at + 1) {
            _ if !self.dialect.is_postgres() => self.word(at),
            Some(b'0'..=b'9') => (TokenKind::OwnPlaceholder, self.while_bytes(at + 1, |byte| byte.is_ascii_digit())),
            _ => (TokenKind::Symbol, at + 1),
        }
    }

    /// Where the text ends whose opening tag starts here. `$1` and `$` are no tags.
    fn dollar_quoted(&self, at: usize) -> Option<usize> {
        if !self.dialect.has_dollar_quotes() || self.byte(at + 1)?.is_ascii_digit() {
            return None;
        }
        let tag = self.while_bytes(at + 1, |byte| is_name_byte(byte) && byte != b'$');
        if self.byte(tag) != Some(b'$') {
            return None;
        }
        Some(self.past(tag + 1, &self.sql[at..=tag]))
    }

    fn number(&self, at: usize) -> (TokenKind, usize) {
        let digits = |at| self.while_bytes(at, |byte| byte.is_ascii_digit() || byte == b'_');
        if self.byte(at) == Some(b'0') && self.byte(at + 1).is_some_and(|byte| b"xXbBoO".contains(&byte)) {
            return (TokenKind::Number, self.while_bytes(at, |byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        }
        let mut end = digits(at);
        // MySQL's names may start with digits.
        let is_name = self.dialect.is_mysql_or_mariadb() && self.byte(end).is_some_and(is_name_byte);
        if is_name && !matches!(self.byte(end), Some(b'e' | b'E')) {
            return (TokenKind::Word, self.while_bytes(at, is_name_byte));
        }
        if self.byte(end) == Some(b'.') {
            end = digits(end + 1);
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
            if self.byte(end + 1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                end = digits(end + 1 + sign);
            }
        }
        (TokenKind::Number, end)
    }

    fn question_mark(&self, at: usize) -> (TokenKind, usize) {
        match self.byte(at + 1) {
            Some(b'?') => (TokenKind::QuestionMark, at + 2),
            Some(b'0'..=b'9') if self.dialect.is_sqlite() => {
                (TokenKind::OwnPlaceholder, self.while_bytes(at + 1, |byte| byte.is_ascii_digit()))
            }
            _ => (TokenKind::Placeholder, at + 1),
        }
    }

    /// `@name`, `@'name'`, `@@name`; behind a user's name an `@` stands before a host.
    fn variable(&self, at: usize) -> (TokenKind, usize) {
        if self.after_name {
            return (TokenKind::Symbol, at + 1);
        }
        let name = if self.byte(at + 1) == Some(b'@') { at + 2 } else { at + 1 };
        let end = match self.byte(name) {
            Some(quote @ (b'\'' | b'"')) => self.quoted(name, quote, self.dialect.backslash_escapes),
            Some(b'`') => self.quoted(name, b'`', false),
            _ => self.while_bytes(name, |byte| is_name_byte(byte) || byte == b'.'),
        };
        (TokenKind::Variable, end)
    }

    fn word(&self, at: usize) -> (TokenKind, usize) {
        let end = self.while_bytes(at, is_name_byte);
        let text = &self.sql[at..end];
        let quote = self.byte(end);
        let is = |letters: &[&str]| letters.iter().any(|letter| text.eq_ignore_ascii_case(letter));
        if self.dialect.is_postgres() {
            if quote == Some(b'\'') && is(&["e"]) {
                return (TokenKind::Text, self.escape_string(end));
            }
            if is(&["u"]) && quote == Some(b'&') {
                match self.byte(end + 1) {
                    Some(b'\'') => return (TokenKind::Text, self.quoted(end + 1, b'\'', false)),
                    Some(b'"') => return (TokenKind::QuotedName, self.quoted(end + 1, b'"', false)),
                    _ => {}
                }
            }
        }
        if quote == Some(b'\'') && is(&["x", "b", "n"]) {
            let escapes = self.dialect.backslash_escapes && (is(&["n"]) || !self.dialect.is_postgres());
            return (TokenKind::Text, self.quoted(end, b'\'', escapes));
        }
        (TokenKind::Word, end)
    }
}

impl<'sql> Iterator for Tokens<'sql> {
    type Item = Token<'sql>;

    fn next(&mut self) -> Option<Token<'sql>> {
        let start = self.at;
        let first = self.byte(start)?;
        let (kind, end) = self.measure(start, first);
        // A backslash at the very end escapes nothing.
        let end = end.clamp(start + 1, self.sql.len());
        self.at = end;
        self.after_name = matches!(kind, TokenKind::Word | TokenKind::QuotedName | TokenKind::Text);
        Some(Token { kind, text: &self.sql[start..end], start })
    }
}

/// Whether a byte can be part of a name without quotes.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}
