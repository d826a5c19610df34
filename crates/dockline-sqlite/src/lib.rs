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
//! | `busy_timeout` | `5s` | how long a statement waits for others: its turn, and a lock of another process |
//! | `foreign_keys` | `true` | whether they are enforced |
//! | `journal_mode` | `wal` | `wal`, `delete`, `truncate`, `persist`; files only |
//! | `synchronous` | SQLite's | `off`, `normal`, `full`, `extra` |
//! | `mode` | `rwc` | `rwc` opens for writing and creates the file, `rw` does not create it, `ro` opens for reading |
//! | `slow_writer` | `1s` | from when on a thread that writes while others wait is named in a warning; `none`: never |
//!
//! # Writers take turns
//!
//! All connections of the process to a file, of whatever registry, alias or spelling, share one queue. What writes waits in it before
//! SQLite is asked: a statement in autocommit until it has ended, a transaction until its end, `native` while it is lent. The turn goes
//! from one to the next, first come, first served. Readers never wait and never take part. So no thread is told that another thread
//! of the process has locked the file; another process is waited for in short even steps.
//!
//! - A wait that is longer than `busy_timeout` is an error that names the thread that writes, since when, and the statement that its
//!   transaction began with.
//! - A thread that waits for itself, on another connection to the same file, has an error at once; so has the last of several threads
//!   that wait for each other.
//! - A connection with attached files takes the turn of each, in one order, for whatever it writes; also for a temporary table.
//! - [`Atomic::read_only`](dockline_core::Atomic::read_only) and `mode=ro` take no turn, nor does `native` there.
//!
//! # What to know
//!
//! - **Settings.** `transaction_mode`, `statement_timeout`, `init_sql`, `prepared_statements` and `statement_cache` are honoured;
//!   those for networks do not matter here. `is_usable` is always true, as in Django, so `conn_health_checks` finds nothing.
//! - **Time.** `statement_timeout` ends a statement between two steps of SQLite's machine. Waiting for others is ended by
//!   `busy_timeout`, which is not longer than it, with "database is locked"; `native` and `init_sql` are not limited otherwise.
//!   A canceller ends both. `BEGIN`, `COMMIT` and `ROLLBACK` are not ended once SQLite has begun them. A progress handler that the closure
//!   of `native` sets is gone when it returns: Dockline's own is put back.
//! - **The file.** One that was removed or replaced under a connection takes no writes: that is an error, and the connection is
//!   replaced. Reads notice it within a second. On network file systems the write-ahead log is refused.
//! - **Memory statistics** of SQLite are switched off when the first alias is configured, because they make threads that read wait for
//!   each other. A program that wants them initialises SQLite before.
//! - **Memory.** `sqlite::memory:` has no write-ahead log: a writer waits for readers, and they for it. It holds 1 GiB at the most.
//! - **Types.** SQLite has none for decimals, dates, UUIDs and JSON: they are stored as text, which reads back as the same value. Instants
//!   are in UTC without an offset, as `CURRENT_TIMESTAMP` writes them, and sort with it.
//!   A column with a numeric affinity (`DECIMAL`, `DATE`) may turn a text that looks like a number into one, and keep 15 digits
//!   of it: declare such columns as `TEXT`.
//! - **Manual transactions.** With autocommit off, a statement of any kind begins a transaction, so `VACUUM` fails there and
//!   `PRAGMA foreign_keys` does nothing; switch it on for them.
//! - **Descriptors.** While a connection to a file is open, SQLite keeps the descriptors of others that were closed, and gives them
//!   to the next ones: their number stays at its peak until the last is closed.
//! - **Your own file accesses.** A process that opens and closes the database's file by other means than SQLite drops the
//!   locks that it holds on it (POSIX).

#![deny(unsafe_code)]

mod backend;
mod busy;
mod clock;
mod database;
mod decimals;
mod error;
mod file_system;
mod global;
mod identity;
mod insert;
mod locked;
mod log;
mod many;
mod open;
mod opened;
mod own;
mod plan;
mod prepared;
mod queue;
mod rows;
mod running;
mod session;
mod state;
mod sync;
mod test_databases;
mod texts;
mod upkeep;
mod value;
mod watch;
mod writer;

pub use backend::Sqlite;
pub use rusqlite;
