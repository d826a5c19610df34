//! The size of the write-ahead log.
//!
//! SQLite copies the log into the file after a commit, and begins it anew when no reader needs it any more. On a busy database there is
//! always a reader that does, and the log grows. So who has the turn empties it when it has grown too large: that waits for the readers
//! there are, for a moment, and those who come meanwhile do not need the log.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::database::Database;
use crate::watch::Watch;

/// From what size on the log is emptied, and to what size SQLite cuts it when it begins it anew.
pub(crate) const LARGE: u64 = 16 << 20;
/// How many transactions end between two looks at its size.
const TRANSACTIONS: u32 = 64;
/// How long writers wait for readers, so that the log can be emptied.
const WAIT: Duration = Duration::from_millis(50);
/// How long it is left alone after that was in vain.
const PAUSE: Duration = Duration::from_secs(2);

/// A transaction has ended, and its turn has not: empties the log where it is large.
pub(crate) fn tend(connection: &Connection, database: &Database, file: &Path, watch: &Arc<Watch>) {
    let ended = database.ended.load(Ordering::Relaxed) + 1;
    let is_looked_at = ended >= TRANSACTIONS;
    database.ended.store(if is_looked_at { 0 } else { ended }, Ordering::Relaxed);
    if is_looked_at {
        look_at(connection, database, file, watch);
    }
}

fn look_at(connection: &Connection, database: &Database, file: &Path, watch: &Arc<Watch>) {
    let mut state = database.log.lock().unwrap_or_else(PoisonError::into_inner);
    let is_stuck = state.stuck.is_some_and(|since| since.elapsed() < PAUSE);
    if is_stuck || size_of_log(file) < LARGE || !checkpoints_by_itself(connection) {
        return;
    }
    // The owner of the turn is the only one who comes by here.
    watch.begin_unlimited();
    watch.meets_others(false);
    watch.wait_at_most(WAIT);
    let emptied = checkpoint(connection, "TRUNCATE").is_some_and(|log| !log.is_busy);
    state.stuck = (!emptied).then(Instant::now);
    if !emptied && !state.was_told {
        state.was_told = true;
        ::log::warn!(
            target: "dockline::connection",
            "sqlite: the write-ahead log of {database} has {} MiB and cannot be emptied, for a reader has needed it for longer than \
             {WAIT:?}; end transactions that read, and results that are read slowly, sooner",
            size_of_log(file) >> 20
        );
    } else if emptied {
        state.was_told = false;
    }
}

/// How many bytes of the log cannot be reused, for a reader needs them; where they are many.
pub(crate) fn held_back(connection: &Connection) -> Option<u64> {
    let log = checkpoint(connection, "PASSIVE")?;
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).ok()?;
    let size = u64::try_from(log.pages.checked_mul(page)?).ok()?;
    (log.copied < log.pages && size >= LARGE).then_some(size)
}

/// What a checkpoint has found.
struct Log {
    is_busy: bool,
    pages: i64,
    /// How many of them are in the file.
    copied: i64,
}

fn checkpoint(connection: &Connection, mode: &str) -> Option<Log> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let read = |row: &rusqlite::Row<'_>| Ok(Log { is_busy: row.get(0)?, pages: row.get(1)?, copied: row.get(2)? });
    connection.query_row(&sql, (), read).ok()
}

/// Whether the program leaves checkpoints to SQLite; one that replicates the log does them itself.
fn checkpoints_by_itself(connection: &Connection) -> bool {
    connection.pragma_query_value(None, "wal_autocheckpoint", |row| row.get(0)).is_ok_and(|pages: i64| pages > 0)
}

fn size_of_log(file: &Path) -> u64 {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(0, |found| found.len())
}
