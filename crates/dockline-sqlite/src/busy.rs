//! How a connection waits for a lock: by a function that SQLite calls.
//!
//! Rusqlite has this too, but its versions do not agree on whether the connection has to be borrowed mutably.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::panic::catch_unwind;
use std::ptr::null_mut;

use dockline_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, ffi};

use crate::watch::wait_a_moment;

/// Has a connection wait for locks by the watch of its thread's connection.
pub(crate) fn wait_by_watch(connection: &Connection) -> Result<()> {
    // SAFETY: the handle is that of a connection that is open for as long as it is borrowed here, and is not closed. The function
    // that SQLite keeps is a static one, and takes no data.
    let code = unsafe { ffi::sqlite3_busy_handler(connection.handle(), Some(wait), null_mut()) };
    if code == ffi::SQLITE_OK {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Operational, "SQLite takes no function that waits for locks").with_code(code.to_string()))
}

/// Waits, and answers whether SQLite is to look at the lock again.
extern "C" fn wait(_: *mut c_void, looks: c_int) -> c_int {
    // A panic must not leave a function that C calls.
    c_int::from(catch_unwind(|| wait_a_moment(looks)).unwrap_or(false))
}
