//! What is set for the whole of SQLite, before it starts.

#![allow(unsafe_code)]

use std::sync::Once;

use rusqlite::ffi;

/// Switches off SQLite's memory statistics, once in a process: they are a mutex that every allocation of every connection takes, so that
/// two threads read no faster than one. Without them `sqlite3_memory_used` answers 0, and SQLite's heap limits do nothing.
///
/// Where SQLite has been used before, it stays as it is: a program that wants the statistics calls `sqlite3_initialize` first.
pub(crate) fn configure() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: this option takes one int. SQLite refuses the call (SQLITE_MISUSE) once it is initialised. It asks that no other
        // thread be inside SQLite meanwhile: Dockline has opened nothing yet, for `Once` lets nobody pass before this is over. A
        // program that starts SQLite by itself, on another thread at this very moment, could at the worst see either value of one
        // aligned int, which is read once, when SQLite starts.
        let answer = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0) };
        if answer != ffi::SQLITE_OK {
            ::log::debug!(
                target: "dockline::connection",
                "sqlite: it was in use before Dockline, and keeps its memory statistics, which slow down threads that read"
            );
        }
    });
}
