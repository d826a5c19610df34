//! An INSERT of one row, turned into one of several: what makes `execute_many` fast on a server, where a statement is a
//! round trip. It is what mysqlclient's `executemany` does.

use crate::config::placeholder::{Scanner, Syntax, is_name_byte};

mod many;

pub use many::Many;

/// An `INSERT … VALUES (…)` whose placeholders all stand in its one row of values.
///
/// ```
/// use dockline_core::batch::Batch;
/// use dockline_core::placeholder::Syntax;
///
/// let mysql = Syntax { backslash_escapes: true, hash_comments: true, ..Syntax::default() };
/// let batch = Batch::of("INSERT INTO t (a, b) VALUES (?, lower(?))", &mysql).unwrap();
/// assert_eq!(batch.rows(2), "INSERT INTO t (a, b) VALUES (?, lower(?)), (?, lower(?))");
/// assert!(Batch::of("UPDATE t SET a = ?", &mysql).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'sql> {
    head: &'sql str,
    row: &'sql str,
    tail: &'sql str,
}

impl<'sql> Batch<'sql> {
    /// Finds the row of values; `None` where the statement is something else.
    pub fn of(sql: &'sql str, syntax: &Syntax) -> Option<Self> {
        let mut words = Words { sql, scanner: Scanner::new(sql, syntax), depth: 0, marks: 0, pending: None };
        let first = words.next_word()?;
        if !["insert", "replace"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return None;
        }
        while !words.next_word()?.eq_ignore_ascii_case("values") {}
        if words.marks > 0 {
            return None;
        }
        let start = words.open()?;
        let end = words.close()?;
        if words.marks == 0 {
            return None;
        }
        let (head, rest) = sql.split_at(start);
        let (row, tail) = rest.split_at(end - start);
        let in_row = words.marks;
        // A second row, or placeholders behind the first.
        if words.next_bare_byte() == Some(b',') || words.count_the_rest() != in_row {
            return None;
        }
        Some(Self { head, row, tail })
    }

    /// What stands behind the row: empty, or a clause for rows that are there already.
    pub fn tail(&self) -> &'sql str {
        self.tail
    }

    /// The statement with that many rows.
    pub fn rows(&self, count: usize) -> String {
        let mut text = String::with_capacity(self.head.len() + self.tail.len() + (self.row.len() + 2) * count);
        text.push_str(self.head);
        for n in 0..count {
            if n > 0 {
                text.push_str(", ");
            }
            text.push_str(self.row);
        }
        text.push_str(self.tail);
        text
    }
}

/// Reads what is neither quoted nor a comment, and counts parentheses and placeholders on the way.
struct Words<'sql, 'syntax> {
    sql: &'sql str,
    scanner: Scanner<'syntax>,
    depth: u32,
    marks: u32,
    pending: Option<(usize, u8)>,
}

impl<'sql> Words<'sql, '_> {
    fn next(&mut self) -> Option<(usize, u8)> {
        let next = self.pending.take().or_else(|| self.scanner.next_bare())?;
        match next.1 {
            b'(' => self.depth += 1,
            b')' => self.depth = self.depth.checked_sub(1)?,
            b'?' => match self.scanner.next_bare() {
                // Two are one that is meant.
                Some((at, b'?')) if at == next.0 + 1 => {}
                other => {
                    self.marks += 1;
                    self.pending = other;
                }
            },
            _ => {}
        }
        Some(next)
    }

    /// The next word outside parentheses.
    fn next_word(&mut self) -> Option<&'sql str> {
        loop {
            let (start, byte) = self.next()?;
            if self.depth > 0 || !is_name_byte(byte) {
                continue;
            }
            let mut end = start + 1;
            loop {
                match self.scanner.next_bare() {
                    Some((at, byte)) if at == end && is_name_byte(byte) => end += 1,
                    other => {
                        self.pending = other;
                        return self.sql.get(start..end);
                    }
                }
            }
        }
    }

    /// Where the parenthesis stands that comes next.
    fn open(&mut self) -> Option<usize> {
        loop {
            match self.next()? {
                (at, b'(') => return Some(at),
                (_, byte) if byte.is_ascii_whitespace() => {}
                _ => return None,
            }
        }
    }

    /// Goes on to behind the parenthesis that closes it.
    fn close(&mut self) -> Option<usize> {
        loop {
            let (at, _) = self.next()?;
            if self.depth == 0 {
                return Some(at + 1);
            }
        }
    }

    fn next_bare_byte(&mut self) -> Option<u8> {
        loop {
            let (_, byte) = self.next()?;
            if !byte.is_ascii_whitespace() {
                return Some(byte);
            }
        }
    }

    fn count_the_rest(&mut self) -> u32 {
        while self.next().is_some() {}
        self.marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sql: &str) -> Option<(&str, &str, &str)> {
        let mysql = Syntax { backslash_escapes: true, hash_comments: true, ..Syntax::default() };
        Batch::of(sql, &mysql).map(|batch| (batch.head, batch.row, batch.tail))
    }

    #[test]
    fn the_row_is_found() {
        for (sql, row, tail) in [
            ("INSERT INTO t VALUES (?)", "(?)", ""),
            ("INSERT INTO t VALUES (a ?? ?)", "(a ?? ?)", ""),
            (
                "insert into t(a) values(?, (SELECT max(b) FROM u WHERE c = ?));",
                "(?, (SELECT max(b) FROM u WHERE c = ?))",
                ";",
            ),
            ("REPLACE t (`values`) VALUES /* (?) */ (')', ?)", "(')', ?)", ""),
            (
                "INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES(a)",
                "(?)",
                " ON DUPLICATE KEY UPDATE a = VALUES(a)",
            ),
            ("-- VALUES (?)\nINSERT INTO t (\"values\") VALUES (?)", "(?)", ""),
        ] {
            let (head, found, behind) = parts(sql).unwrap_or_else(|| panic!("{sql}"));
            assert_eq!((found, behind), (row, tail), "{sql}");
            assert_eq!(format!("{head}{found}{behind}"), sql);
        }
    }

    #[test]
    fn other_statements_stay_as_they_are() {
        for sql in [
            "",
            "INSERT",
            "UPDATE t SET a = ?",
            "INSERT INTO t SELECT ?",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (a ?? b)",
            "INSERT INTO t VALUES (?), (?)",
            "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = ?",
            "INSERT INTO t VALUES (?",
            "INSERT INTO t VALUES ?",
            "INSERT INTO t (a) SELECT a FROM u WHERE b = ?",
            "SELECT 'INSERT INTO t VALUES (?)', ?",
        ] {
            assert_eq!(parts(sql), None, "{sql}");
        }
    }
}
