//! An INSERT of one row, turned into one of several: what makes `execute_many` fast on a server, where a statement is a
//! round trip. It is what mysqlclient's `executemany` does.

use crate::config::statement::{Dialect, Token, TokenKind, Tokens};

mod many;

pub use many::Many;

/// An `INSERT … VALUES (…)` whose placeholders all stand in its one row of values.
///
/// ```
/// use dockline::batch::Batch;
/// use dockline::statement::Dialect;
///
/// let batch = Batch::of("INSERT INTO t (a, b) VALUES (?, lower(?))", Dialect::MYSQL).unwrap();
/// assert_eq!(batch.rows(2), "INSERT INTO t (a, b) VALUES (?, lower(?)), (?, lower(?))");
/// assert_eq!(batch.placeholders(), None, "one of them is not by itself");
/// assert!(Batch::of("UPDATE t SET a = ?", Dialect::MYSQL).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'sql> {
    head: &'sql str,
    row: &'sql str,
    tail: &'sql str,
    /// What stands before VALUES is so long.
    before_values: usize,
    placeholders: Option<usize>,
}

impl<'sql> Batch<'sql> {
    /// Finds the row of values; `None` if the statement is something else.
    pub fn of(sql: &'sql str, dialect: Dialect) -> Option<Self> {
        let mut reader = Reader { tokens: Tokens::new(sql, dialect), depth: 0, marks: 0 };
        if !reader.next()?.is_one_of(&["insert", "replace"]) {
            return None;
        }
        let before_values = loop {
            let token = reader.next()?;
            if token.is_word("values") && reader.depth == 0 {
                break token.start;
            }
        };
        let open = reader.next().filter(|open| open.kind == TokenKind::Open && reader.marks == 0)?;
        let mut is_bare = true;
        let end = loop {
            let token = reader.next()?;
            if reader.depth == 0 {
                break token.end();
            }
            is_bare &= matches!(token.kind, TokenKind::Placeholder | TokenKind::Comma);
        };
        let (head, rest) = sql.split_at(open.start);
        let (row, tail) = rest.split_at(end - open.start);
        let in_row = reader.marks;
        let behind = reader.next();
        while reader.next().is_some() {}
        // A second row, or placeholders behind the first. What is in a comment that runs cannot be taken apart.
        let is_more = behind.is_some_and(|token| token.kind == TokenKind::Comma) || reader.marks != in_row;
        let runs_comment = |token: Token<'_>| token.kind == TokenKind::ExecutableStart;
        if in_row == 0 || is_more || Tokens::new(sql, dialect).any(runs_comment) {
            return None;
        }
        Some(Self { head, row, tail, before_values, placeholders: is_bare.then_some(in_row) })
    }

    /// What stands behind the row: empty, or a clause for rows that are there already.
    pub fn tail(&self) -> &'sql str {
        self.tail
    }

    /// How many placeholders the row has, if each value is one by itself: `None` if one is an expression, a literal or `DEFAULT`.
    pub fn placeholders(&self) -> Option<usize> {
        self.placeholders
    }

    /// The statement with this query in the place of `VALUES` and the row.
    ///
    /// ```
    /// use dockline::batch::Batch;
    /// use dockline::statement::Dialect;
    ///
    /// let batch = Batch::of("INSERT INTO t (a) VALUES (?)", Dialect::POSTGRES).unwrap();
    /// assert_eq!(batch.with_query("SELECT b FROM u"), "INSERT INTO t (a) SELECT b FROM u");
    /// ```
    pub fn with_query(&self, query: &str) -> String {
        [&self.head[..self.before_values], query, self.tail].concat()
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

/// Reads tokens, and counts parentheses and placeholders on the way.
struct Reader<'sql> {
    tokens: Tokens<'sql>,
    depth: usize,
    marks: usize,
}

impl<'sql> Iterator for Reader<'sql> {
    type Item = Token<'sql>;

    fn next(&mut self) -> Option<Token<'sql>> {
        let token = self.tokens.find(|token| !token.is_gap())?;
        match token.kind {
            TokenKind::Open => self.depth += 1,
            TokenKind::Close => self.depth = self.depth.saturating_sub(1),
            TokenKind::Placeholder => self.marks += 1,
            _ => {}
        }
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sql: &str) -> Option<(&str, &str, &str)> {
        Batch::of(sql, Dialect::MYSQL).map(|batch| (batch.head, batch.row, batch.tail))
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
            "INSERT INTO t VALUES (? /*! , 1 */)",
        ] {
            assert_eq!(parts(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_row_of_nothing_but_placeholders() {
        fn of(sql: &str) -> Batch<'_> {
            Batch::of(sql, Dialect::POSTGRES).unwrap_or_else(|| panic!("{sql}"))
        }
        for (sql, count, with_query) in [
            ("INSERT INTO t VALUES (?)", 1, "INSERT INTO t QUERY"),
            ("insert into t(a, b) values( ?,? ) ;", 2, "insert into t(a, b) QUERY ;"),
            (
                "INSERT INTO \"values\" (values) -- VALUES (?)\n OVERRIDING SYSTEM VALUE VALUES /* (1) */ (?, /* 2 */ ?)",
                2,
                "INSERT INTO \"values\" (values) -- VALUES (?)\n OVERRIDING SYSTEM VALUE QUERY",
            ),
        ] {
            assert_eq!(of(sql).placeholders(), Some(count), "{sql}");
            assert_eq!(of(sql).with_query("QUERY"), with_query);
        }
        for values in
            ["?, 1", "?, DEFAULT", "lower(?)", "?::text", "(?)", "-?", "?, now()", "? ?? ?", "ROW(?)", "?, 'a'"]
        {
            let sql = format!("INSERT INTO t VALUES ({values})");
            assert_eq!(of(&sql).placeholders(), None, "{sql}");
        }
    }
}
