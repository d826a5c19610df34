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
//! # What to know
//!
//! - **Settings.** `transaction_mode`, `statement_timeout`, `init_sql`, `prepared_statements` and `statement_cache` are honoured;
//!   those for networks do not matter here. `is_usable` is always true, as in Django, so `conn_health_checks` finds nothing.
//! - **Time.** `statement_timeout` ends a statement between two steps of SQLite's machine. Waiting for a lock is ended by
//!   `busy_timeout`, which is not longer than it, with "database is locked"; `native` and `init_sql` are not limited.
//!   A canceller does not end the waiting either.
//! - **Memory.** `sqlite::memory:` has no write-ahead log: a writer waits for readers, and they for it. It holds 1 GiB at the most.
//! - **Types.** SQLite has none for decimals, dates, UUIDs and JSON: they are stored as text, which reads back as the same value.
//!   A column with a numeric affinity (`DECIMAL`, `DATE`) may turn a text that looks like a number into one, and keep 15 digits
//!   of it: declare such columns as `TEXT`.
//! - **Manual transactions.** With autocommit off, a statement of any kind begins a transaction, so `VACUUM` fails there and
//!   `PRAGMA foreign_keys` does nothing; switch it on for them.
//! - **Descriptors.** While a connection to a file is open, SQLite keeps the descriptors of others that were closed, and gives them
//!   to the next ones: their number stays at its peak until the last is closed.
//! - **Your own file accesses.** A process that opens and closes the database's file by other means than SQLite drops the
//!   locks that it holds on it (POSIX).

#![forbid(unsafe_code)]

mod backend;
mod error;
mod open;
mod opened;
mod plan;
mod session;
mod value;
mod watch;

pub use backend::Sqlite;
pub use rusqlite;
