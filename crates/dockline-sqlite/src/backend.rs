//! The engine, and the database of one alias.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use dockline_core::backend::{Backend, Engine, Session, TestDatabases};
use dockline_core::{Error, ErrorKind, ResetOnHandover, Result, Settings};
use once_cell::sync::OnceCell;
use rusqlite::Connection;

use crate::database::Database;
use crate::global;
use crate::identity::Identity;
use crate::open::{self, Open};
use crate::opened::Opened;
use crate::plan::{Place, Plan};
use crate::session::SqliteSession;
use crate::test_databases::TEST_DATABASES;
use crate::writer::Writer;

/// The engine of the scheme `sqlite`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sqlite;

const OPTIONS: &[&str] = &["busy_timeout", "foreign_keys", "journal_mode", "synchronous", "mode", "slow_writer"];

impl Engine for Sqlite {
    fn schemes(&self) -> &'static [&'static str] {
        &["sqlite", "sqlite3"]
    }

    fn options(&self) -> &'static [&'static str] {
        OPTIONS
    }

    fn open(&self, _alias: &str, settings: &Settings) -> Result<Box<dyn Backend>> {
        refuse_settings_of_servers(settings)?;
        global::configure();
        let place = match settings.get_name() {
            None | Some("") => {
                return Err(Error::config("setting name: sqlite needs a path; write sqlite:path or sqlite::memory:"));
            }
            // SQLite would read it as a URI, with options of its own.
            Some(name) if name.starts_with("file:") => {
                return Err(Error::config("setting name: write the path alone, without file: before it"));
            }
            Some(":memory:") => Place::memory(),
            // It would be a file of that name.
            Some(name) if name.starts_with(':') => {
                return Err(Error::config(format!(
                    "setting name: {name:?} is neither a database in memory nor a likely file; write sqlite::memory: for one \
                     in memory, or sqlite:./{name} for the file"
                )));
            }
            Some(path) => Place::File(PathBuf::from(path)),
        };
        let statement_timeout = settings.get_statement_timeout();
        let busy_timeout = settings.duration_option("busy_timeout")?.unwrap_or(Duration::from_secs(5));
        let cache = if settings.get_prepared_statements() { settings.get_statement_cache() } else { 0 };
        let plan = Plan {
            place,
            mode: settings.word_option("mode", &["rwc", "rw", "ro"])?.unwrap_or("rwc"),
            // Waiting for a lock counts as running; SQLite's own counter has 31 bits of milliseconds.
            busy_timeout: busy_timeout.min(statement_timeout.unwrap_or(busy_timeout)).min(Duration::from_secs(1 << 21)),
            foreign_keys: settings.flag_option("foreign_keys")?.unwrap_or(true),
            journal_mode: settings
                .word_option("journal_mode", &["wal", "delete", "truncate", "persist"])?
                .unwrap_or("wal"),
            synchronous: settings.word_option("synchronous", &["off", "normal", "full", "extra"])?,
            statement_timeout,
            statement_cache: usize::try_from(cache).unwrap_or(usize::MAX),
            autocommit: settings.get_autocommit(),
            transaction_mode: settings.get_transaction_mode(),
            slow_writer: match settings.get_option("slow_writer") {
                Some(word) if word.trim().eq_ignore_ascii_case("none") => None,
                _ => Some(settings.duration_option("slow_writer")?.unwrap_or(Duration::from_secs(1))),
            },
            init_sql: settings.get_init_sql().map(str::to_owned),
        };
        Ok(Box::new(SqliteBackend { plan, anchor: OnceCell::new() }))
    }
}

/// A path that was meant as a host, or a server's URL with the wrong scheme.
fn refuse_settings_of_servers(settings: &Settings) -> Result<()> {
    if let Some(host) = settings.get_host() {
        return Err(Error::config(format!("setting host: sqlite has none; for the file {host:?} write sqlite:{host}")));
    }
    if settings.get_user().is_some() || settings.get_password().is_some() || settings.get_port().is_some() {
        return Err(Error::config("settings user, password, port: sqlite has none; write sqlite:path"));
    }
    if settings.get_reset_on_handover() != ResetOnHandover::None {
        return Err(Error::config(
            "setting reset_on_handover: sqlite has no server that could reset a session; leave it out. What a connection holds keeps it \
             with its thread in any case",
        ));
    }
    Ok(())
}

struct SqliteBackend {
    plan: Plan,
    /// A database in memory lives as long as one connection to it is open: this one, as long as the alias.
    anchor: OnceCell<Mutex<Connection>>,
}

impl Backend for SqliteBackend {
    fn vendor(&self) -> &'static str {
        "sqlite"
    }

    fn test_databases(&self) -> Option<TestDatabases> {
        Some(TEST_DATABASES)
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        let plan = &self.plan;
        if matches!(plan.place, Place::Memory(_)) {
            self.anchor.get_or_try_init(|| open::open(plan).map(|opened| Mutex::new(opened.connection)))?;
        }
        let counted = plan.place.file().is_some().then(Opened::count).transpose()?;
        let Open { connection, file } = open::open(plan)?;
        let database = match (&plan.place, &file) {
            _ if plan.mode == "ro" => None,
            (Place::Memory(uri), _) => {
                Some(Database::of(Identity::Memory(uri.as_str().into()), "the database in memory"))
            }
            (Place::File(_), Some((path, identity))) => {
                Some(Database::of(identity.clone(), &path.display().to_string()))
            }
            (Place::File(_), None) => None,
        };
        let readers_are_apart = file.is_some() && plan.journal_mode == "wal";
        let writer = Writer::new(database, file, readers_are_apart, plan.slow_writer);
        Ok(Box::new(SqliteSession::set_up(connection, counted, writer, plan)?))
    }

    fn is_always_usable(&self) -> bool {
        true
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Programming, "the database is closed")
    }
}
