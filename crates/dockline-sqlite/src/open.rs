//! Opening a file, and saying clearly why one cannot be opened.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dockline_core::backend::is_out_of_descriptors;
use dockline_core::{Error, ErrorKind, Fact, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::map;
use crate::identity::Identity;
use crate::plan::{Place, Plan};
use crate::{file_system, log};

/// A connection that was opened.
pub(crate) struct Open {
    pub(crate) connection: Connection,
    /// The whole path of its file, and which file it is.
    pub(crate) file: Option<(PathBuf, Identity)>,
}

/// Opens a connection, and sets what every connection of the alias has.
pub(crate) fn open(plan: &Plan) -> Result<Open> {
    let (connection, file) = match &plan.place {
        Place::File(path) => {
            let (connection, identity) = open_file(plan, path)?;
            let whole = connection.path().map_or_else(|| path.clone(), PathBuf::from);
            (connection, Some((whole, identity)))
        }
        Place::Memory(uri) => {
            let flags = flags(plan) | OpenFlags::SQLITE_OPEN_URI;
            (Connection::open_with_flags(uri, flags).map_err(map)?, None)
        }
    };
    connection.busy_timeout(plan.busy_timeout).map_err(map)?;
    if let Some(path) = plan.place.file() {
        set_up_file(&connection, plan, path)?;
    }
    connection.pragma_update(None, "foreign_keys", plan.foreign_keys).map_err(map)?;
    if let Some(synchronous) = plan.synchronous {
        connection.pragma_update(None, "synchronous", synchronous).map_err(map)?;
    }
    Ok(Open { connection, file })
}

fn flags(plan: &Plan) -> OpenFlags {
    let access = match plan.mode {
        "ro" => OpenFlags::SQLITE_OPEN_READ_ONLY,
        "rw" => OpenFlags::SQLITE_OPEN_READ_WRITE,
        _ => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    // A session is used by one thread at a time, so SQLite need not lock it.
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Opens a file, and says which one it is: one that was the same before and after.
fn open_file(plan: &Plan, path: &Path) -> Result<(Connection, Identity)> {
    let mut before = Identity::of_file(path).ok();
    for _ in 0..10 {
        let connection = Connection::open_with_flags(path, flags(plan)).map_err(|error| explain(error, path))?;
        match (before, Identity::of_file(path).ok()) {
            (Some(before), Some(now)) if before == now => return Ok((connection, now)),
            // It was made, by this thread or another one. The next look is at the same file.
            (_, now) => before = now,
        }
    }
    let message = format!("cannot open {}: it is replaced by another file again and again", path.display());
    Err(Error::new(ErrorKind::Operational, message))
}

fn set_up_file(connection: &Connection, plan: &Plan, path: &Path) -> Result<()> {
    if plan.journal_mode == "wal" {
        file_system::refuse_shared_log(path)?;
    }
    if plan.mode == "ro" {
        return Ok(());
    }
    // SQLite opens a file that it may not write for reading only, and fails at the first write.
    if connection.is_readonly("main").map_err(map)? {
        let message = format!("{} is read-only; make it writable, or set options.mode=ro", path.display());
        return Err(Error::new(ErrorKind::Operational, message));
    }
    set_journal_mode(connection, plan).map_err(|error| explain(error, path))?;
    connection.pragma_update(None, "journal_size_limit", i64::try_from(log::LARGE).unwrap_or(i64::MAX)).map_err(map)
}

/// Changing the mode takes the whole file for a moment, and SQLite does not wait for that: threads that open a new file
/// together would see it locked.
fn set_journal_mode(connection: &Connection, plan: &Plan) -> rusqlite::Result<()> {
    let started = Instant::now();
    loop {
        match try_to_set_journal_mode(connection, plan.journal_mode) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && started.elapsed() < plan.busy_timeout =>
            {
                sleep(Duration::from_millis(2));
            }
            result => return result,
        }
    }
}

fn try_to_set_journal_mode(connection: &Connection, wanted: &str) -> rusqlite::Result<()> {
    let mode = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let before = connection.pragma_query_value(None, "journal_mode", mode)?;
    if before.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let after = connection.pragma_update_and_check(None, "journal_mode", wanted, mode)?;
    if !after.eq_ignore_ascii_case(wanted) {
        ::log::warn!(
            target: "dockline::connection",
            "sqlite: this file cannot have journal_mode {wanted}, and keeps {after}"
        );
    }
    Ok(())
}

/// SQLite says "unable to open database file" for most of what can be wrong; the file system knows more.
fn explain(error: rusqlite::Error, path: &Path) -> Error {
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let reason = match folder {
        Some(folder) if !folder.exists() => Some(format!("the folder {} does not exist", folder.display())),
        Some(folder) if !folder.is_dir() => Some(format!("{} is no folder", folder.display())),
        _ if path.is_dir() => Some("it is a folder".to_owned()),
        Some(folder) if !file_system::is_writable(folder) => Some(format!(
            "nothing can be made in the folder {}, where SQLite keeps its log beside the file; make the folder writable",
            folder.display()
        )),
        _ => None,
    };
    // The file itself must not be opened here: closing it again would drop the locks that SQLite holds on it for other
    // connections of this process (POSIX). Its folder tells as well whether descriptors have run out.
    let from_system = std::fs::File::open(folder.unwrap_or(Path::new("."))).err();
    let exhausted = from_system.as_ref().is_some_and(is_out_of_descriptors);
    let reason = reason.or_else(|| from_system.map(|error| error.to_string()));
    let mapped = map(error);
    let mapped = if exhausted { mapped.with_fact(Fact::Exhausted) } else { mapped };
    match reason {
        Some(reason) => mapped.with_context(format_args!("cannot open {shown}: {reason}")),
        None => mapped.with_context(format_args!("cannot open {shown}")),
    }
}
