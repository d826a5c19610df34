//! Dockline keeps every thread tied to its databases: Django's connection layer for threaded Rust.
//!
//! One connection for each thread and alias, opened by the first statement, kept for as long as it is good, and closed
//! on time: at the ends of requests and tasks when it is too old or has failed, and when its thread ends. Nothing is
//! checked out and nothing is given back, so the common path shares nothing with other threads.
//!
//! ```
//! use dockline::{Connections, Databases, Settings, params};
//!
//! # fn main() -> dockline::Result<()> {
//! let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
//! let connections = Connections::new(databases)?;
//!
//! let db = connections.get("default")?; // this thread's; nothing is opened yet
//! db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT)", ())?;
//! db.execute("INSERT INTO job (name) VALUES (?)", params!["resize"])?;
//!
//! // On another thread, another connection. What is due there is closed when the task is done, and all of it when the
//! // thread ends.
//! let task = connections.task({
//!     let connections = connections.clone();
//!     move || connections.get("default")?.query_value::<i64>("SELECT count(*) FROM job", ())
//! });
//! assert_eq!(std::thread::spawn(task).join().unwrap()?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! A program with one configuration calls [`init`] once, or nothing at all: then the environment is read
//! ([`Databases::from_env`]). From there on, [`connection`] and [`connections`] are enough:
//!
//! ```no_run
//! # fn main() -> dockline::Result<()> {
//! let _request = dockline::request(); // old connections are closed now, and when this is dropped
//! let jobs: i64 = dockline::connection()?.query_value("SELECT count(*) FROM job", ())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Servers
//!
//! The URL of an alias says which database it is: `postgres://`, `mysql://` and `mariadb://`, each with the feature of its
//! backend, or `sqlite:`. The rest of the program stays the same.
//!
//! ```no_run
//! use dockline::{Connections, Databases, Settings};
//!
//! # fn main() -> dockline::Result<()> {
//! let url = "postgres://app@db.example/app?tls=verify-full&password_file=/run/secrets/app";
//! let connections = Connections::new(Databases::new().with("default", Settings::from_url(url)?))?;
//! for finding in connections.check()? {
//!     println!("{finding}"); // what is likely to go wrong one day: idle limits, places left, encryption
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Transactions
//!
//! [`Connection::atomic`] commits where its closure returns `Ok`, and rolls back where it returns `Err` or panics; a block
//! inside another is a savepoint. Hooks of [`Connection::on_commit`] run after the commit.
//!
//! ```
//! # use dockline::{Connections, Databases, Error, Settings, params};
//! # fn main() -> dockline::Result<()> {
//! # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
//! # let connections = Connections::new(databases)?;
//! # let db = connections.get("default")?;
//! # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT)", ())?;
//! db.atomic(|| {
//!     db.execute("INSERT INTO job (name) VALUES (?)", params!["resize"])?;
//!     db.on_commit(|| println!("stored"))
//! })
//! # }
//! ```
//!
//! # Liveness
//!
//! Before each statement outside a transaction the socket is looked at, without a round trip, and a connection that the
//! server has ended is replaced ([`Settings::liveness`]). Inside a transaction nothing is replaced, and no statement that
//! may have run is sent again: [`Error::may_have_executed`] and [`Error::is_work_lost`] say what became of it.
//!
//! # Threads, async programs, forks
//!
//! A pool's worker has no request: [`Connections::task`](Registry::task) goes around what is submitted. Async programs hand sections of
//! blocking code to threads, by the crate `dockline-tokio`; servers of Thrift put a processor of `dockline-thrift` around
//! their own. A process that was forked leaves its parent's connections alone and opens its own: a transaction that stays with the
//! parent is an error in the child ([`Error::is_work_lost`]).
//!
//! # Where to go from here
//!
//! [`guide`] has everything in the order in which a program meets it, and pages of its own for recipes, types, the differences of
//! servers, compile errors, other libraries, threads and incidents.
//!
//! | | |
//! |---|---|
//! | [`Connections`], [`Registry`] | the registry: aliases, boundaries, signals, shutdown |
//! | [`Connection`] | statements, transactions, the life of the physical connection |
//! | [`Atomic`], [`AtomicBlock`], [`Retry`] | how a block is entered; its guard; running it again where that can do no harm |
//! | [`Settings`], [`Databases`] | what can be set, and where it is read from |
//! | [`ToValue`], [`FromValue`], [`FromRow`] | your own types |
//! | [`Error`], [`ErrorKind`] | what can go wrong, and what to do about it |
//! | [`ServerInfo`], [`Finding`] | what a server says of itself, and what speaks against it |
//! | [`signals`] | hooks |
//! | [`events`], [`Status`] | what happens on all threads, as it happens; what they have open now |
//! | [`testing`] | transactions around tests, databases for tests, hooks that are captured, statements that are counted |
//! | [`backend`] | writing a backend |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `sqlite` | yes | the embedded backend; compiles SQLite in |
//! | `mysql` | | MySQL and MariaDB, by the `mysql` crate |
//! | `postgres` | | PostgreSQL, by the `postgres` crate |
//! | `chrono` | | dates and times as values |
//! | `decimal` | | `rust_decimal::Decimal` as a value |
//! | `derive` | | `#[derive(FromRow)]`, and derives for enums, newtypes and parameters by name |
//! | `jiff` | | `Timestamp`, `civil::DateTime` and their like as values |
//! | `json` | | `serde_json::Value` as a value, and JSON as types of yours |
//! | `metrics` | | `observe::Metrics`: OpenTelemetry's metrics of databases |
//! | `serde` | | [`Status`] can be serialized |
//! | `time` | | `OffsetDateTime`, `PrimitiveDateTime` and their like as values |
//! | `tracing` | | `observe::Traces`: a span per statement, inside one per transaction |
//! | `uuid` | | `uuid::Uuid` as a value |
//!
//! # Logs
//!
//! By the crate `log`: `dockline::connection` (opened and closed, at debug; what goes wrong at a boundary, at warn),
//! `dockline::query` (each statement at debug; those slower than `slow_statement` at warn; no parameter,
//! unless [`Settings::slow_statement_params`] asks for those of slow statements),
//! `dockline::check` (what speaks against an alias, once, by its first connection, at warn), `dockline::signals` (receivers that
//! panic, at error).

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connections;
#[cfg(feature = "derive")]
#[doc(hidden)]
pub mod derive;
#[cfg(doctest)]
mod does_not_compile;
mod global;
// The pages of the repository's `docs`. Their code is run by the tests of the repository.
#[cfg(all(doc, not(doctest)))]
pub mod guide;

#[cfg(feature = "uuid")]
pub use dockline_core::Binary;
pub use dockline_core::{
    AliasStatus, Atomic, AtomicBlock, Canceller, CapStatus, ChannelBinding, Connection, ConnectionState,
    ConnectionStatus, Constraint, ConstraintKind, Counts, DEFAULT_ALIAS, DatabaseFailure, Databases, Element, Error,
    ErrorKind, ExecuteWrapper, Executed, Execution, ExposeSecret, Fact, Finding, FromRow, FromValue, FromValueRef,
    Hold, HookOutcome, Interval, IsolationLevel, Left, Liveness, LoadBalanceHosts, LoggedQuery, NamedParams,
    NamedValue, Other, Params, Phase, RawJson, Registry, RegistryBuilder, Request, ResetOnHandover, Result, Retry, Row,
    RowIndex, Savepoint, SecretString, ServerInfo, Settings, Severity, ShutdownReport, Signals, Status,
    TargetSessionAttrs, Task, TaskPolicy, Tls, ToValue, Totals, TransactionMode, Value, ValueError, backend, batch,
    events, list, named, params, placeholder, signals, statement, testing,
};
#[cfg(feature = "derive")]
pub use dockline_derive::{FromRow, FromValue, NamedParams, ToValue};
#[cfg(feature = "mysql")]
pub use dockline_mysql::{Mysql, mysql};
#[cfg(any(feature = "metrics", feature = "tracing"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "metrics", feature = "tracing"))))]
pub use dockline_observe as observe;
#[cfg(feature = "postgres")]
pub use dockline_postgres::{Postgres, postgres};
#[cfg(feature = "sqlite")]
pub use dockline_sqlite::{Sqlite, rusqlite};

pub use connections::Connections;
pub use global::{
    close_old_connections, connection, connections, in_request, init, request, reset_queries, task, task_with,
};
