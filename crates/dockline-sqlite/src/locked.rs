//! What the errors of waiting for others say: who has the database, since when, and what to do.

use std::time::Duration;

use dockline_core::{Error, ErrorKind, Fact};
use rusqlite::ffi;

use crate::queue::Holder;

/// How much of a statement's text is shown.
const SHOWN: usize = 120;

/// The time to wait is over, and a thread of this process has the turn.
pub(crate) fn timed_out(database: &str, holder: Option<&Holder>, limit: (&str, Duration)) -> Error {
    let (setting, time) = limit;
    let waited = if time.is_zero() { format!("{setting} is 0") } else { format!("waited {time:.1?}, {setting}") };
    let message = match holder {
        Some(holder) => format!(
            "database is locked: {} ({waited}); keep transactions short, or raise {setting}",
            described(database, holder)
        ),
        None => format!("database is locked: many threads write to {database}, one after the other ({waited})"),
    };
    busy(message).with_fact(Fact::LockTimeout)
}

/// The thread waits for itself.
pub(crate) fn own_turn(database: &str, holder: &Holder) -> Error {
    let message = format!(
        "database is locked by this very thread: {}, on another connection; end that transaction first, or use its alias for both",
        described(database, holder)
    );
    Error::new(ErrorKind::Operational, message).with_code(ffi::SQLITE_BUSY.to_string())
}

/// Threads wait for each other.
pub(crate) fn deadlock(database: &str, holder: Option<&Holder>) -> Error {
    let who = holder.map_or_else(|| "another thread has it".to_owned(), |holder| described(database, holder));
    busy(format!(
        "database is locked by a thread that waits for this one (a deadlock): {who}, and wants to write to a database that this thread \
         writes to; write to the databases in the same order everywhere, or run it again"
    ))
    .with_fact(Fact::Retryable)
}

/// A thread has had the turn for long: what a warning says.
pub(crate) fn overdue(database: &str, holder: &Holder) -> String {
    format!(
        "sqlite: {}, and others wait to write; a transaction that stays open, or a thread that waits in one, stops all writers",
        described(database, holder)
    )
}

/// SQLite says that the file is locked. `reading`: the transaction has read before.
pub(crate) fn by_another(error: Error, database: &str, reading: bool, limit: (&str, Duration)) -> Error {
    let code = error.code().unwrap_or_default();
    let (setting, time) = limit;
    let message = if code == ffi::SQLITE_BUSY_SNAPSHOT.to_string() {
        "the transaction began by reading, and others have written since, so that it cannot write any more (SQLITE_BUSY_SNAPSHOT); run \
         it again from its beginning, and begin it as a writer: transaction_mode=immediate, or BEGIN IMMEDIATE"
            .to_owned()
    } else if reading {
        format!(
            "database is locked: the transaction began by reading, and another process writes to {database}; run it again from its \
             beginning, and begin it as a writer, which waits: transaction_mode=immediate, or BEGIN IMMEDIATE"
        )
    } else if time.is_zero() {
        format!("database is locked: another connection has {database} ({setting} is 0)")
    } else {
        format!(
            "database is locked: another process, or a reader where there is no write-ahead log, has {database} (waited {time:.1?}, \
             {setting})"
        )
    };
    let is_late = code == ffi::SQLITE_BUSY_SNAPSHOT.to_string();
    let mut explained = Error::new(error.kind(), message).with_code(code).with_fact(Fact::Retryable);
    if !is_late {
        explained = explained.with_fact(Fact::LockTimeout);
    }
    explained.with_source(error)
}

fn busy(message: String) -> Error {
    Error::new(ErrorKind::Operational, message).with_code(ffi::SQLITE_BUSY.to_string()).with_fact(Fact::Retryable)
}

fn described(database: &str, holder: &Holder) -> String {
    let had = holder.has_had_it_for();
    format!(
        "thread {:?} has been writing to {database} for {had:.1?}, since {:?}",
        holder.who.name,
        shown(&holder.who.statement)
    )
}

/// The beginning of a statement, in one line, without the texts that are quoted in it.
fn shown(sql: &str) -> String {
    let mut shown = String::new();
    let mut quoted = false;
    let mut space = false;
    for c in sql.trim().chars() {
        if c == '\'' {
            if !quoted {
                shown.push_str("'…'");
            }
            quoted = !quoted;
        } else if !quoted {
            match c.is_whitespace() {
                true if space => continue,
                true => shown.push(' '),
                false => shown.push(c),
            }
            space = c.is_whitespace();
        }
        if shown.len() >= SHOWN {
            shown.push('…');
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_without_its_texts_and_not_whole() {
        assert_eq!(shown(" UPDATE t\n   SET a = 'it''s secret', b = 1 "), "UPDATE t SET a = '…''…', b = 1");
        let long = shown(&format!("SELECT {}", "abc, ".repeat(100)));
        assert!(long.ends_with('…') && long.chars().count() <= SHOWN + 1, "{long}");
    }
}
