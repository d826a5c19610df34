//! Files for tests.

use std::fs;
use std::io;
use std::path::PathBuf;

use dockline_core::backend::{FilesOfDatabases, TestDatabases};
use dockline_core::{Error, ErrorKind, Result};

pub(crate) const TEST_DATABASES: TestDatabases = TestDatabases::ByFiles(FilesOfDatabases { create, copy, drop, named });

/// What SQLite has beside a file.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

fn create(name: &str) -> Result<String> {
    let path: PathBuf = std::env::temp_dir().join(format!("{name}.db"));
    path.into_os_string().into_string().map_err(|_| {
        Error::new(ErrorKind::Operational, "the system's folder for temporary files has a name that is not UTF-8")
    })
}

fn copy(name: &str, of: &str) -> Result<String> {
    let path = create(name)?;
    let failed = |error: io::Error| cannot("copied", of, error);
    // An empty template has no file yet.
    if fs::exists(of).map_err(failed)? {
        fs::copy(of, &path).map_err(failed)?;
    }
    // The last connection that was closed has emptied the log, unless it could not.
    let log = format!("{of}-wal");
    if fs::exists(&log).map_err(failed)? {
        fs::copy(log, format!("{path}-wal")).map_err(failed)?;
    }
    Ok(path)
}

fn drop(path: &str) -> Result<()> {
    for path in [path.to_owned()].into_iter().chain(BESIDE.map(|end| format!("{path}{end}"))) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot("removed", &path, error)),
            _ => {}
        }
    }
    Ok(())
}

fn named(prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return Vec::new() };
    let ours = entries.flatten().filter_map(|entry| {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(".db"));
        if is_ours { entry.path().into_os_string().into_string().ok() } else { None }
    });
    ours.collect()
}

fn cannot(be: &str, path: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Operational, format!("the file {path:?} cannot be {be}: {error}")).with_source(error)
}
