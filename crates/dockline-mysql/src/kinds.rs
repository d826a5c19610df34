//! The kinds of parameters that a statement was prepared for.
//!
//! From 8.0.22 on, MySQL fixes the type of a parameter when a prepared statement runs for the first time, and turns what comes
//! later into that: `SELECT ?` with 5, and then with "x", answers 0; a column gets -1 of the largest unsigned number that comes after a time of day. A
//! statement runs again only with parameters of the kinds that it has run with, or with NULL, and is prepared anew for others. What it took NULL
//! for may have got its type from a parameter beside it, unless that is its column's.

use std::sync::atomic::{AtomicU8, Ordering};

use dockline_core::Value;
use dockline_core::statement::{Dialect, Outline, TokenKind, Tokens, Verb};

/// One for each parameter.
#[derive(Debug)]
pub(crate) struct Kinds {
    // Read and written by the session's thread alone. They are atomic for a session that goes to another thread.
    each: Box<[AtomicU8]>,
    /// Each parameter is the whole value of a column.
    of_columns: bool,
}

/// A type of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Null,
    Signed,
    Unsigned,
    Float,
    Double,
    Bytes,
    #[cfg(feature = "chrono")]
    Date,
    Time,
}

impl Kinds {
    pub(crate) fn of(params: &[Value], of_columns: bool) -> Self {
        Self { each: params.iter().map(|value| AtomicU8::new(Kind::of(value) as u8)).collect(), of_columns }
    }

    /// Whether these parameters, of which there are as many, need no other types. They are about to be given to the statement if so.
    pub(crate) fn take(&self, params: &[Value]) -> bool {
        self.each.iter().zip(params).all(|(kind, value)| {
            let (had, has) = (kind.load(Ordering::Relaxed), Kind::of(value) as u8);
            if has == Kind::Null as u8 || had == has {
                return true;
            }
            let is_first = had == Kind::Null as u8 && self.of_columns;
            if is_first {
                kind.store(has, Ordering::Relaxed);
            }
            is_first
        })
    }

    /// Whether each parameter is the whole value of a column, which gives it its type: `INSERT … VALUES (?, ?)`. Rows often have
    /// NULL here and there, and need not be prepared anew for it.
    pub(crate) fn are_of_columns(sql: &str, outline: &Outline, dialect: Dialect) -> bool {
        if !matches!(outline.verb(), Verb::Insert | Verb::Replace) {
            return false;
        }
        let mut tokens = Tokens::new(sql, dialect).filter(|token| !token.is_gap()).peekable();
        let (mut depth, mut in_values, mut before) = (0_usize, false, TokenKind::Symbol);
        while let Some(token) = tokens.next() {
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth = depth.saturating_sub(1),
                TokenKind::Word if depth == 0 && token.is_one_of(&["values", "value"]) => in_values = true,
                TokenKind::Word if depth == 0 => in_values = false,
                TokenKind::Placeholder => {
                    let begins = matches!(before, TokenKind::Open | TokenKind::Comma);
                    let next = tokens.peek().map(|next| next.kind);
                    let ends = matches!(next, Some(TokenKind::Close | TokenKind::Comma));
                    if !(in_values && depth == 1 && begins && ends) {
                        return false;
                    }
                }
                _ => {}
            }
            before = token.kind;
        }
        true
    }
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) | Value::Int(_) => Self::Signed,
            Value::UInt(_) => Self::Unsigned,
            Value::Float(_) => Self::Float,
            Value::Double(_) => Self::Double,
            #[cfg(feature = "chrono")]
            Value::DateTime(_) | Value::DateTimeUtc(_) | Value::DateTimeTz(_) => Self::Date,
            #[cfg(feature = "chrono")]
            Value::Time(_) => Self::Time,
            Value::Interval(_) => Self::Time,
            _ => Self::Bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_taken_for_every_kind_and_no_kind_for_another() {
        let kinds = Kinds::of(&[Value::Int(5), Value::Null, Value::Text("x".into())], false);
        let text = || Value::Text("y".into());
        assert!(kinds.take(&[Value::Int(6), Value::Null, text()]));
        assert!(kinds.take(&[Value::Null, Value::Null, Value::Bytes(vec![1])]));
        for others in [
            [text(), Value::Null, text()],
            [Value::UInt(5), Value::Null, text()],
            [Value::Double(5.0), Value::Null, text()],
            [Value::Int(5), Value::Int(5), text()],
            [Value::Int(5), Value::Null, Value::Bool(true)],
        ] {
            assert!(!kinds.take(&others), "{others:?}");
        }
    }

    #[test]
    fn a_column_gives_null_its_type_and_what_comes_first_keeps_it() {
        let kinds = Kinds::of(&[Value::Null, Value::UInt(1)], true);
        assert!(kinds.take(&[Value::Null, Value::Null]));
        assert!(kinds.take(&[Value::Int(1), Value::UInt(2)]));
        assert!(kinds.take(&[Value::Null, Value::UInt(2)]));
        assert!(!kinds.take(&[Value::Double(1.0), Value::Null]));
        assert!(!kinds.take(&[Value::Int(1), Value::Int(2)]));
    }

    #[test]
    fn values_of_columns_have_the_types_of_columns() {
        let dialect = Dialect::MYSQL.with_version(90_704);
        let are = |sql: &str| Kinds::are_of_columns(sql, &Outline::of(sql, dialect), dialect);
        for sql in [
            "INSERT INTO t VALUES (?, ?)",
            "/* app */ insert into t (a, b) values (?, 1), (/* b */ ?, f(2))",
            "REPLACE INTO t VALUE (?)",
            "INSERT INTO t VALUES (1)",
        ] {
            assert!(are(sql), "{sql}");
        }
        for sql in [
            "INSERT INTO t VALUES (? + 1)",
            "INSERT INTO t VALUES (COALESCE(?, ?))",
            "INSERT INTO t VALUES (-?)",
            "INSERT INTO t SELECT ?, ?",
            "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = ?",
            "INSERT INTO t SET a = ?",
            "UPDATE t SET a = ?",
            "SELECT ?",
        ] {
            assert!(!are(sql), "{sql}");
        }
    }
}
