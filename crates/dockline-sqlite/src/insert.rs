//! Which table an INSERT is for.

use dockline_core::statement::{Dialect, TokenKind, Tokens};
use rusqlite::Connection;

/// Whether the rows of the table that the statement inserts into have a rowid. A table without one leaves the last one alone, which
/// is then another table's.
pub(crate) fn has_rowid(connection: &Connection, sql: &str) -> rusqlite::Result<bool> {
    let Some(name) = table(sql) else { return Ok(false) };
    const LACKS: &str = "SELECT count(*) FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE AND wr = 1";
    let lacks: i64 = connection.prepare_cached(LACKS)?.query_row([name], |row| row.get(0))?;
    Ok(lacks == 0)
}

/// The name behind INTO, without its schema and quotes.
fn table(sql: &str) -> Option<String> {
    let mut tokens = Tokens::new(sql, Dialect::SQLITE).filter(|token| !token.is_gap());
    tokens.by_ref().find(|token| token.is_word("into"))?;
    let mut name = tokens.next()?;
    if let Some(dot) = tokens.next()
        && dot.kind == TokenKind::Dot
    {
        name = tokens.next()?;
    }
    let bare = match name.text.as_bytes() {
        [b'"' | b'`' | b'[', .., b'"' | b'`' | b']'] => &name.text[1..name.text.len() - 1],
        _ => name.text,
    };
    Some(bare.replace("\"\"", "\"").replace("``", "`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found_behind_into() {
        for (sql, wanted) in [
            ("INSERT INTO job (a) VALUES (1)", Some("job")),
            ("insert or ignore into main.\"a \"\"b\"\"\" values (1)", Some("a \"b\"")),
            ("REPLACE INTO [x] DEFAULT VALUES", Some("x")),
            ("SELECT 1", None),
        ] {
            assert_eq!(table(sql).as_deref(), wanted, "{sql}");
        }
    }

    #[test]
    fn a_table_without_rowid_is_told_from_others() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (k TEXT PRIMARY KEY) WITHOUT ROWID")
            .unwrap();
        assert!(has_rowid(&connection, "INSERT INTO a DEFAULT VALUES").unwrap());
        assert!(!has_rowid(&connection, "INSERT INTO B VALUES ('x')").unwrap());
    }
}
