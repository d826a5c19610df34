//! The SQLite backend of [Dockline](https://docs.rs/dockline), on [`rusqlite`] with SQLite compiled in.
//!
//! Programs use it through the crate `dockline`, with its feature `sqlite` (on by default):
//! `sqlite:path`, `sqlite:/absolute/path`, or `sqlite::memory:`, which is one database for all threads of a registry,
//! for as long as the registry has the alias.
//!
//! Every connection has a busy timeout, foreign keys on, and (on files) the write-ahead log, so that readers and a
//! writer do not wait for each other.
//!
//! | option | default | |
//! |---|---|---|
//! | `busy_timeout` | `5s` | how long a statement waits for a lock (as Python's `sqlite3` does) |
//! | `foreign_keys` | `true` | whether they are enforced |
//! | `journal_mode` | `wal` | `wal`, `delete`, `truncate`, `persist`; files only |
//! | `synchronous` | SQLite's | `off`, `normal`, `full`, `extra` |
//! | `mode` | `rwc` | `rwc` opens for writing and creates the file, `rw` does not create it, `ro` opens for reading |
//!
//! Of the settings, `transaction_mode` and `statement_timeout` are honoured; those for networks do not matter here.
//!
//! SQLite has no type for decimals, dates, UUIDs and JSON: they are stored as text, which reads back as the same value.
//! A column with a numeric affinity (`DECIMAL`, `DATE`) may turn a text that looks like a number into one: declare such
//! columns as `TEXT`.

#![forbid(unsafe_code)]

mod backend;
mod error;
mod open;
mod plan;
mod session;
mod value;

pub use backend::Sqlite;
pub use rusqlite;
