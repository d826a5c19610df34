//! How many connections to files this process has, and what it inherited where it was forked.
//!
//! SQLite keeps the locks of a file for the whole process, of all connections to it. In a child it takes those of the parent's for its
//! own, until the last inherited connection to the file is closed: then the parent can write while the child reads, and remove the
//! write-ahead log under it. So what was inherited is closed before a file is opened, and where that cannot be done, for it was in
//! the middle of something, none is opened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dockline_core::backend::{OfProcess, PerProcess};
use dockline_core::{Error, ErrorKind, Result};
use rusqlite::config::DbConfig;

use crate::prepared::Conn;

/// A connection to a file is open in this process, or one that was forked from it, while this lives.
pub(crate) struct Opened(Arc<OfProcess<Files>>);

#[derive(Default)]
struct Files {
    open: AtomicUsize,
    /// What was inherited, and is in no transaction. It is closed when it has to be: closing waits for locks within SQLite, which a
    /// thread of the parent may have held.
    inherited: Mutex<Vec<(Conn, Option<Opened>)>>,
}

static FILES: PerProcess<Files> = PerProcess::new();

impl Opened {
    /// Counts one that is about to be opened.
    ///
    /// # Errors
    ///
    /// Where this process was forked in the middle of something.
    pub(crate) fn count() -> Result<Self> {
        let mine = FILES.get();
        let mut inherited = mine.value.inherited.lock().unwrap_or_else(PoisonError::into_inner);
        for (connection, opened) in inherited.drain(..) {
            // As the last one it would remove the log, for which it takes locks.
            let is_quiet = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).is_ok();
            if is_quiet && connection.close().is_ok() {
                drop(opened);
            } else {
                std::mem::forget(opened);
            }
        }
        drop(inherited);
        if mine.ancestors().any(|files| files.open.load(Ordering::Acquire) > 0) {
            let message = "the process was forked in the middle of a transaction or statement on an SQLite file, and SQLite would take the \
                           locks of its parent for those of this process; fork while none runs, or start another program";
            return Err(Error::new(ErrorKind::Interface, message));
        }
        mine.value.open.fetch_add(1, Ordering::AcqRel);
        Ok(Self(mine))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.value.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Keeps what was inherited until a file is opened, or else for ever.
pub(crate) fn keep(connection: Conn, opened: Option<Opened>) {
    let mine = FILES.get();
    mine.value.inherited.lock().unwrap_or_else(PoisonError::into_inner).push((connection, opened));
}
