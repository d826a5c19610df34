//! The statements by which transactions begin and end, prepared once for each connection.
//!
//! Rusqlite keeps prepared statements in a cache, which hashes the text, takes the statement out and puts it back, and asks for memory each
//! time: that is half of what beginning and ending an empty transaction costs. A statement of rusqlite's own borrows its connection, so it
//! cannot stand beside it.
//!
//! What holds: each statement here is one of the connection that is handed to every call, or there is none. A
//! [`Conn`](crate::prepared::Conn) has both, and sees to it: before it lends the connection to whoever may put another one in its place, it
//! has these [forgotten](OwnStatements::forget), and they go before their connection does.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::ptr::{NonNull, null_mut};

use rusqlite::{Connection, Error, Result, ffi};

/// A statement of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Begin,
    BeginImmediate,
    BeginExclusive,
    Commit,
    Rollback,
}

impl Own {
    const COUNT: usize = 5;

    fn text(self) -> &'static CStr {
        match self {
            Self::Begin => c"BEGIN",
            Self::BeginImmediate => c"BEGIN IMMEDIATE",
            Self::BeginExclusive => c"BEGIN EXCLUSIVE",
            Self::Commit => c"COMMIT",
            Self::Rollback => c"ROLLBACK",
        }
    }

    /// The text, as logs and errors show it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "BEGIN",
            Self::BeginImmediate => "BEGIN IMMEDIATE",
            Self::BeginExclusive => "BEGIN EXCLUSIVE",
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
        }
    }
}

/// Those of one connection that were needed so far.
#[derive(Default)]
pub(crate) struct OwnStatements([Cell<Option<NonNull<ffi::sqlite3_stmt>>>; Own::COUNT]);

// SAFETY: a statement may be used by any thread that may use its connection, one at a time (`SQLITE_OPEN_NO_MUTEX`); they are in the hands of
// who has the connection, which is `Send` and not `Sync`, as this is.
unsafe impl Send for OwnStatements {}

impl OwnStatements {
    /// Runs a statement.
    pub(crate) fn run(&self, connection: &Connection, own: Own) -> Result<()> {
        let statement = self.prepared(connection, own)?;
        // SAFETY: the statement is of this connection, which is open and borrowed, and it was not finalized.
        let code = unsafe { ffi::sqlite3_step(statement.as_ptr()) };
        let result = if code == ffi::SQLITE_DONE { Ok(()) } else { Err(last_error(connection, code)) };
        // SAFETY: as before. The code is that of the step.
        unsafe { ffi::sqlite3_reset(statement.as_ptr()) };
        result
    }

    #[inline]
    fn prepared(&self, connection: &Connection, own: Own) -> Result<NonNull<ffi::sqlite3_stmt>> {
        match self.0[own as usize].get() {
            Some(statement) => Ok(statement),
            None => self.prepare(connection, own),
        }
    }

    #[cold]
    fn prepare(&self, connection: &Connection, own: Own) -> Result<NonNull<ffi::sqlite3_stmt>> {
        let mut statement = null_mut();
        // SAFETY: the handle is that of a connection that is open for as long as it is borrowed here; the text ends with a zero; what
        // SQLite writes goes to a place that lives.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(connection.handle(), own.text().as_ptr(), -1, &raw mut statement, null_mut())
        };
        let statement = NonNull::new(statement).filter(|_| code == ffi::SQLITE_OK);
        let statement = statement.ok_or_else(|| last_error(connection, code))?;
        self.0[own as usize].set(Some(statement));
        Ok(statement)
    }

    /// Gives the statements up. The next call prepares them anew.
    pub(crate) fn forget(&self) {
        for place in &self.0 {
            if let Some(statement) = place.take() {
                // SAFETY: the connection of the statement is open, for this goes before it, and nobody else has the statement.
                unsafe { ffi::sqlite3_finalize(statement.as_ptr()) };
            }
        }
    }
}

impl Drop for OwnStatements {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The error of the call that has failed last on a connection.
#[cold]
fn last_error(connection: &Connection, code: c_int) -> Error {
    // SAFETY: the handle is that of an open connection; SQLite's message is text that ends with a zero and stays as it is until the next
    // call on the connection, and is copied before.
    let message = unsafe {
        let message = ffi::sqlite3_errmsg(connection.handle());
        (!message.is_null()).then(|| CStr::from_ptr(message).to_string_lossy().into_owned())
    };
    Error::SqliteFailure(ffi::Error::new(code), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn transactions_begin_and_end_and_their_statements_are_prepared_once() {
        let (connection, own) = (memory(), OwnStatements::default());
        connection.execute_batch("CREATE TABLE t (n)").unwrap();
        for begin in [Own::Begin, Own::BeginImmediate, Own::BeginExclusive].repeat(3) {
            own.run(&connection, begin).unwrap();
            assert!(!connection.is_autocommit(), "{begin:?}");
            connection.execute("INSERT INTO t VALUES (1)", ()).unwrap();
            own.run(&connection, if begin == Own::Begin { Own::Rollback } else { Own::Commit }).unwrap();
            assert!(connection.is_autocommit(), "{begin:?}");
        }
        let rows: i64 = connection.query_row("SELECT count(*) FROM t", (), |row| row.get(0)).unwrap();
        assert_eq!(rows, 6);
        drop(own);
        connection.close().expect("no statement is left");
    }

    #[test]
    fn an_error_is_sqlites_own_and_the_statement_can_be_run_again() {
        let (connection, own) = (memory(), OwnStatements::default());
        for _ in 0..2 {
            let error = own.run(&connection, Own::Commit).unwrap_err();
            assert_eq!(error.to_string(), "cannot commit - no transaction is active");
            own.run(&connection, Own::BeginImmediate).unwrap();
            own.run(&connection, Own::Commit).unwrap();
        }
    }

    #[test]
    fn after_they_were_forgotten_they_are_those_of_the_connection_that_is_there() {
        let (mut connection, own) = (memory(), OwnStatements::default());
        own.run(&connection, Own::Begin).unwrap();
        own.forget();
        let first = std::mem::replace(&mut connection, memory());
        own.run(&connection, Own::Begin).unwrap();
        assert!(!connection.is_autocommit() && !first.is_autocommit());
        own.run(&connection, Own::Commit).unwrap();
        assert!(connection.is_autocommit() && !first.is_autocommit());
        first.close().expect("no statement is left");
        drop(own);
    }

    #[test]
    fn they_are_well_after_the_schema_was_changed() {
        let (connection, own) = (memory(), OwnStatements::default());
        for n in 0..3 {
            own.run(&connection, Own::BeginImmediate).unwrap();
            connection.execute_batch(&format!("CREATE TABLE t{n} (n)")).unwrap();
            own.run(&connection, if n == 1 { Own::Rollback } else { Own::Commit }).unwrap();
        }
    }
}
