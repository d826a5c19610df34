//! How the connections of one alias are made: its settings, read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dockline_core::TransactionMode;

pub(crate) struct Plan {
    pub(crate) place: Place,
    pub(crate) mode: &'static str,
    pub(crate) busy_timeout: Duration,
    pub(crate) foreign_keys: bool,
    pub(crate) journal_mode: &'static str,
    pub(crate) synchronous: Option<&'static str>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) statement_cache: usize,
    pub(crate) autocommit: bool,
    pub(crate) transaction_mode: TransactionMode,
    /// After how long a thread that has the turn is named in a warning.
    pub(crate) slow_writer: Option<Duration>,
    pub(crate) init_sql: Option<String>,
}

pub(crate) enum Place {
    File(PathBuf),
    /// The URI of a database in SQLite's memdb VFS: connections that open the same name share it, without the locks of
    /// shared-cache mode.
    Memory(String),
}

impl Place {
    pub(crate) fn memory() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::Memory(format!("file:/dockline-{}-{number}?vfs=memdb", std::process::id()))
    }

    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Memory(_) => None,
        }
    }
}
