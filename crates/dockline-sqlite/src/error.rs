//! SQLite's errors as kinds and facts.

use std::ffi::c_int;

use dockline_core::{Constraint, ConstraintKind, Error, ErrorKind, Fact};
use rusqlite::ffi;

/// Maps an error of the driver. The kinds are those of Python's `sqlite3` under Django.
pub(crate) fn map(error: rusqlite::Error) -> Error {
    match &error {
        rusqlite::Error::SqliteFailure(code, message) => {
            let message = message.clone().unwrap_or_else(|| code.to_string());
            of_code(code.extended_code, message).with_source(error)
        }
        // Its own error has the whole text of the statement, which may be large, and is the caller's anyway.
        rusqlite::Error::SqlInputError { error: code, msg, sql, offset } => {
            let mapped = of_code(code.extended_code, msg.clone());
            let before = usize::try_from(*offset).ok().and_then(|offset| sql.get(..offset));
            let mapped = match before {
                Some(before) => mapped.with_position(sql, before.chars().count() + 1),
                None => mapped,
            };
            mapped.with_source(rusqlite::Error::SqliteFailure(*code, Some(msg.clone())))
        }
        rusqlite::Error::MultipleStatement => Error::new(
            ErrorKind::Programming,
            "there is more than one statement in the text; run them one by one, or as a batch through native",
        ),
        _ => Error::new(ErrorKind::Interface, error.to_string()).with_source(error),
    }
}

/// An error of `init_sql`, without what it says: that quotes the text, which may set a key.
pub(crate) fn of_init_sql(error: rusqlite::Error) -> Error {
    let mapped = map(error);
    match mapped.code().and_then(|code| code.parse().ok()) {
        Some(code) => of_code(code, format!("init_sql: {}", ffi::code_to_str(code))),
        None => Error::new(mapped.kind(), "init_sql: it cannot be run"),
    }
}

fn of_code(extended: c_int, message: String) -> Error {
    let constraint = constraint(extended, &message);
    let mut error = Error::new(kind(extended), message).with_code(extended.to_string());
    for fact in facts(extended) {
        error = error.with_fact(*fact);
    }
    // SQLite has no code of its own for it.
    if extended == ffi::SQLITE_ERROR && error.message().starts_with("no such savepoint") {
        error = error.with_fact(Fact::SavepointMissing);
    }
    match constraint {
        Some(constraint) => error.with_constraint(constraint),
        None => error,
    }
}

/// SQLite names the column of most, as `t.name`, and the constraint itself of a check.
fn constraint(extended: c_int, message: &str) -> Option<Constraint> {
    let kind = match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            ConstraintKind::Unique
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        ffi::SQLITE_CONSTRAINT_CHECK => ConstraintKind::Check,
        other if other & 0xff == ffi::SQLITE_CONSTRAINT => ConstraintKind::Other,
        _ => return None,
    };
    let name = message.split_once("constraint failed: ").map(|(_, name)| name.to_owned());
    Some(Constraint::new(kind, name))
}

fn kind(extended: c_int) -> ErrorKind {
    match extended & 0xff {
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH => ErrorKind::Integrity,
        ffi::SQLITE_TOOBIG => ErrorKind::Data,
        ffi::SQLITE_INTERNAL | ffi::SQLITE_NOTFOUND => ErrorKind::Internal,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_FORMAT | ffi::SQLITE_AUTH | ffi::SQLITE_NOLFS => {
            ErrorKind::Database
        }
        ffi::SQLITE_MISUSE | ffi::SQLITE_RANGE => ErrorKind::Interface,
        _ => ErrorKind::Operational,
    }
}

fn facts(extended: c_int) -> &'static [Fact] {
    match extended {
        // The file under an open connection was replaced or removed.
        ffi::SQLITE_READONLY_DBMOVED => &[Fact::Disconnect],
        _ => match extended & 0xff {
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => &[Fact::LockTimeout, Fact::Retryable],
            ffi::SQLITE_READONLY => &[Fact::ReadOnly],
            ffi::SQLITE_INTERRUPT => &[Fact::Cancelled],
            ffi::SQLITE_IOERR => &[Fact::Disconnect, Fact::MayHaveExecuted],
            _ => &[],
        },
    }
}
