//! Opening a file, and saying clearly why one cannot be opened.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dockline_core::backend::is_out_of_descriptors;
use dockline_core::{Error, ErrorKind, Fact, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::map;
use crate::plan::{Place, Plan};

/// Opens a connection, and sets what every connection of the alias has.
pub(crate) fn open(plan: &Plan) -> Result<Connection> {
    // A session is used by one thread at a time, so SQLite need not lock it.
    let access = match plan.mode {
        "ro" => OpenFlags::SQLITE_OPEN_READ_ONLY,
        "rw" => OpenFlags::SQLITE_OPEN_READ_WRITE,
        _ => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match &plan.place {
        Place::File(path) => Connection::open_with_flags(path, flags).map_err(|error| explain(error, path))?,
        Place::Memory(uri) => Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).map_err(map)?,
    };
    connection.busy_timeout(plan.busy_timeout).map_err(map)?;
    if let Some(path) = plan.place.file() {
        set_up_file(&connection, plan, path)?;
    }
    connection.pragma_update(None, "foreign_keys", plan.foreign_keys).map_err(map)?;
    if let Some(synchronous) = plan.synchronous {
        connection.pragma_update(None, "synchronous", synchronous).map_err(map)?;
    }
    Ok(connection)
}

fn set_up_file(connection: &Connection, plan: &Plan, path: &Path) -> Result<()> {
    if plan.mode == "ro" {
        return Ok(());
    }
    // SQLite opens a file that it may not write for reading only, and fails at the first write.
    if connection.is_readonly("main").map_err(map)? {
        let message = format!("{} is read-only; make it writable, or set options.mode=ro", path.display());
        return Err(Error::new(ErrorKind::Operational, message));
    }
    set_journal_mode(connection, plan).map_err(|error| explain(error, path))
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
        log::warn!(
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
