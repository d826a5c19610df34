//! Files of SQLite.

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dockline::{Settings, rusqlite};

/// A file in a folder of its own, for what SQLite puts beside it.
#[derive(Debug)]
pub(super) struct File {
    home: PathBuf,
}

impl File {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { home: folder.join(name) }
    }

    pub(super) fn create(&self) -> Result<(), String> {
        fs::create_dir_all(&self.home).map_err(|error| self.failed(&error))
    }

    pub(super) fn remove(&self) -> Result<(), String> {
        match fs::remove_dir_all(&self.home) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings::new().engine("sqlite").name(self.path().to_string_lossy())
    }

    pub(super) fn set_up(&self, statements: &[&str]) -> Result<(), String> {
        let connection = rusqlite::Connection::open(self.path()).map_err(|error| self.failed(&error))?;
        statements.iter().try_for_each(|sql| connection.execute_batch(sql).map_err(|error| format!("{sql}: {error}")))
    }

    fn path(&self) -> PathBuf {
        self.home.join("db.sqlite3")
    }

    fn failed(&self, error: &dyn Display) -> String {
        format!("{}: {error}", self.home.display())
    }
}
