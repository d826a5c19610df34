//! What is known of the texts of statements, found once for each.

use std::sync::Arc;

use dockline_core::placeholder::translate;
use dockline_core::statement::{Dialect, Outline, Verb};
use dockline_core::{Error, ErrorKind, Result};

/// A statement's text.
pub(crate) struct Text {
    /// As the caller wrote it.
    pub(crate) sql: Arc<str>,
    /// As SQLite reads it, where that differs.
    translated: Option<Box<str>>,
    pub(crate) parameters: usize,
    pub(crate) kind: Kind,
}

/// What needs more care than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// INSERT, REPLACE, UPDATE, DELETE: rows of parameters may share a transaction.
    Rows,
    /// It changes which files the connection has.
    Attach,
    /// It sets or asks for SQLite's own time limit of waiting.
    BusyTimeout,
    /// It writes another file, and reads this one.
    VacuumInto,
    /// It begins or ends a transaction or a part of one.
    Transaction,
    Other,
}

impl Text {
    pub(crate) fn read(sql: &str, parameters: usize) -> Result<Self> {
        // SQLite stops reading there, and what follows would not run.
        if sql.as_bytes().contains(&0) {
            return Err(Error::new(ErrorKind::Programming, "the statement has a NUL character"));
        }
        let translated = translate(sql, parameters, Dialect::SQLITE)?;
        let translated = (translated != sql).then(|| translated.into());
        Ok(Self { sql: sql.into(), translated, parameters, kind: Kind::of(sql) })
    }

    /// As SQLite reads it.
    pub(crate) fn for_sqlite(&self) -> &str {
        self.translated.as_deref().unwrap_or(&self.sql)
    }
}

impl Kind {
    fn of(sql: &str) -> Self {
        let verb = Outline::of(sql, Dialect::SQLITE).verb();
        if matches!(verb, Verb::Insert | Verb::Replace | Verb::Update | Verb::Delete) {
            return Self::Rows;
        }
        let mut words = words(sql);
        let first = words.next().unwrap_or_default().to_ascii_lowercase();
        let mut soon = |wanted: &str| words.by_ref().take(2).any(|word| word.eq_ignore_ascii_case(wanted));
        match &*first {
            "attach" | "detach" => Self::Attach,
            "begin" | "commit" | "end" | "rollback" | "savepoint" | "release" => Self::Transaction,
            "pragma" if soon("busy_timeout") => Self::BusyTimeout,
            "vacuum" if soon("into") => Self::VacuumInto,
            _ => Self::Other,
        }
    }
}

/// The words of a statement, without comments before the first.
fn words(sql: &str) -> impl Iterator<Item = &str> {
    let mut rest = sql.trim_start();
    loop {
        let behind = if rest.starts_with("--") {
            rest.split_once('\n').map(|(_, behind)| behind)
        } else if rest.starts_with("/*") {
            rest.split_once("*/").map(|(_, behind)| behind)
        } else {
            break;
        };
        rest = behind.unwrap_or_default().trim_start();
    }
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_care_is_found() {
        for (sql, kind) in [
            ("INSERT INTO t VALUES (?)", Kind::Rows),
            ("-- why\n /* and how */ with a AS (SELECT 1) DELETE FROM t", Kind::Rows),
            ("detach database a", Kind::Attach),
            ("PRAGMA main.busy_timeout = 5", Kind::BusyTimeout),
            ("pragma busy_timeout", Kind::BusyTimeout),
            ("VACUUM main INTO 'busy_timeout'", Kind::VacuumInto),
            ("VACUUM INTO 'x'", Kind::VacuumInto),
            ("VACUUM", Kind::Other),
            ("-- why\nCommit;", Kind::Transaction),
            ("END TRANSACTION", Kind::Transaction),
            ("/* never ended", Kind::Other),
            ("SELECT 'insert'", Kind::Other),
        ] {
            assert_eq!(Kind::of(sql), kind, "{sql}");
        }
    }
}
