//! Walks over the tokens that say something.

use crate::config::statement::dialect::Dialect;
use crate::config::statement::token::{Token, TokenKind};
use crate::config::statement::tokenizer::Tokens;

/// Stands before a token. A copy is a place to come back to.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'sql> {
    tokens: Tokens<'sql>,
    next: Option<Token<'sql>>,
    pub(super) dialect: Dialect,
}

impl<'sql> Cursor<'sql> {
    pub(super) fn new(sql: &'sql str, dialect: Dialect) -> Self {
        let mut cursor = Self { tokens: Tokens::new(sql, dialect), next: None, dialect };
        cursor.bump();
        cursor
    }

    /// The same place in a text that ends at this byte.
    pub(super) fn up_to(self, end: usize) -> Self {
        Self { tokens: self.tokens.up_to(end), next: self.next.filter(|next| next.start < end), ..self }
    }

    pub(super) fn is_unsure(&self) -> bool {
        self.tokens.is_unsure()
    }

    pub(super) fn peek(&self) -> Option<Token<'sql>> {
        self.next
    }

    /// The token behind the next one.
    pub(super) fn second(&self) -> Option<Token<'sql>> {
        let mut copy = *self;
        copy.bump();
        copy.next
    }

    pub(super) fn bump(&mut self) -> Option<Token<'sql>> {
        std::mem::replace(&mut self.next, self.tokens.find(|token| !token.is_gap()))
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.next.is_some_and(|next| next.is_word(word))
    }

    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        self.next.is_some_and(|next| next.is_one_of(words))
    }

    pub(super) fn is_kind(&self, kind: TokenKind) -> bool {
        self.next.is_some_and(|next| next.kind == kind)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.next.is_some_and(|next| next.kind == TokenKind::Symbol && next.text == symbol)
    }

    /// Whether nothing is left, or only what ends a statement.
    pub(super) fn is_at_end(&self) -> bool {
        self.next.is_none_or(|next| next.kind == TokenKind::Semicolon)
    }

    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.bump();
        }
        found
    }

    /// Goes past these words, if all of them follow.
    pub(super) fn eat_all(&mut self, words: &[&str]) -> bool {
        let before = *self;
        let found = words.iter().all(|word| self.eat(word));
        if !found {
            *self = before;
        }
        found
    }

    pub(super) fn eat_one_of(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.eat(word))
    }

    pub(super) fn eat_kind(&mut self, kind: TokenKind) -> bool {
        let found = self.is_kind(kind);
        if found {
            self.bump();
        }
        found
    }

    pub(super) fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.bump();
        }
        found
    }

    /// From before a parenthesis to behind the one that closes it.
    pub(super) fn skip_parenthesis(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.bump() {
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Past the next token, and past a parenthesis as a whole.
    pub(super) fn skip_one(&mut self) {
        if self.is_kind(TokenKind::Open) {
            self.skip_parenthesis();
        } else {
            self.bump();
        }
    }

    /// Goes on to before this word, outside parentheses.
    pub(super) fn skip_to(&mut self, word: &str) -> bool {
        self.skip_to_one_of(&[word])
    }

    /// Goes on to before one of these words, outside parentheses.
    pub(super) fn skip_to_one_of(&mut self, words: &[&str]) -> bool {
        while self.next.is_some() {
            if self.is_one_of(words) {
                return true;
            }
            self.skip_one();
        }
        false
    }

    /// `IF EXISTS` and `IF NOT EXISTS`
    pub(super) fn skip_if_exists(&mut self) {
        if self.eat("if") {
            self.eat("not");
            self.eat("exists");
        }
    }

    /// A name with its schema, and the last part of it as the server takes it.
    pub(super) fn path(&mut self) -> Option<Path> {
        let mut schema = None;
        loop {
            let name = self.name()?;
            if !self.eat_kind(TokenKind::Dot) {
                return Some(Path { schema, name });
            }
            schema = Some(name);
        }
    }

    /// A name as the server takes it.
    pub(super) fn name(&mut self) -> Option<Box<str>> {
        let token = self.next?;
        let name = match token.kind {
            TokenKind::Word => token.text.to_lowercase().into(),
            TokenKind::QuotedName => self.unquoted_name(token.text),
            TokenKind::Text => unquoted(token.text),
            TokenKind::Number => token.text.into(),
            _ => return None,
        };
        self.bump();
        Some(name)
    }

    fn unquoted_name(&self, text: &str) -> Box<str> {
        let name = unquoted(text);
        if self.dialect.is_postgres() { name } else { name.to_lowercase().into() }
    }
}

pub(super) struct Path {
    pub(super) schema: Option<Box<str>>,
    pub(super) name: Box<str>,
}

/// What stands in quotes. Escapes stay as they are: it is a name to compare, and to show.
pub(super) fn unquoted(text: &str) -> Box<str> {
    let Some(inner) = text.find(['\'', '"', '`', '[', '$']).map(|open| &text[open..]) else { return text.into() };
    let quote = inner.chars().next().unwrap_or_default();
    if quote == '$' {
        return inner.split('$').nth(2).unwrap_or_default().into();
    }
    let close = if quote == '[' { ']' } else { quote };
    let inner = &inner[1..];
    let inner = inner.strip_suffix(close).unwrap_or(inner);
    let doubled: String = [close, close].iter().collect();
    inner.replace(&doubled, &close.to_string()).into()
}
