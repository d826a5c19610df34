//! The pieces that a statement's text is made of.

use std::ops::Range;

/// One piece of a text. All tokens together are the whole text, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'sql> {
    /// What it is.
    pub kind: TokenKind,
    /// The piece, as it stands in the text.
    pub text: &'sql str,
    /// The byte at which it starts.
    pub start: usize,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// White space.
    Space,
    /// A comment that does not run. A hint, `/*+ … */`, is one.
    Comment,
    /// The start of a comment whose text runs, with its version: `/*!50000`.
    ExecutableStart,
    /// The end of it: `*/`.
    ExecutableEnd,
    /// A keyword, or a name without quotes.
    Word,
    /// A name in quotes, with them.
    QuotedName,
    /// A text in quotes, with them and with the letter before them: `'…'`, `E'…'`, `X'…'`, `$$…$$`.
    Text,
    /// A number.
    Number,
    /// A variable of MySQL: `@name` or `@@name`.
    Variable,
    /// `?`, which stands for a parameter.
    Placeholder,
    /// `??`, which stands for a question mark.
    QuestionMark,
    /// A placeholder of the server's own: `$1`, and on SQLite `?1`, `:name`, `@name` and `$name`.
    OwnPlaceholder,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `.`
    Dot,
    /// `:`
    Colon,
    /// `:=`
    Assign,
    /// `::`
    Cast,
    /// Any other character, alone.
    Symbol,
}

impl Token<'_> {
    /// Returns where it stands in the text, in bytes.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end()
    }

    /// Returns the byte behind it.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Returns whether it says nothing to the server: white space, a comment, or the edge of one that runs.
    pub fn is_gap(&self) -> bool {
        use TokenKind::{Comment, ExecutableEnd, ExecutableStart, Space};
        matches!(self.kind, Space | Comment | ExecutableStart | ExecutableEnd)
    }

    /// Returns whether it is this word, without quotes and in any case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Returns whether it is one of these words, without quotes and in any case.
    pub fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    pub(crate) fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::QuotedName)
    }
}
