//! The core of [Dockline](https://docs.rs/dockline): a registry of per-thread database connections, when they are
//! opened, checked and closed, and the hooks around requests and tasks. It knows no driver.
//!
//! Programs use the crate `dockline`, which adds the drivers and re-exports what is here. Use this one to write a
//! backend (see [`backend`]), or an adapter that needs none.
//!
//! | module | what is in it |
//! |---|---|
//! | `registry`, `shared`, `engines` | aliases and their settings, shared by all threads |
//! | `thread`, `names` | what one thread has of a registry, and its end |
//! | `slot`, `seat` | one thread and one alias: what the thread alone touches, and what others may see |
//! | `turn` | one statement: what runs while a connection is locked |
//! | `lifecycle` | when a connection is checked, replaced and closed |
//! | `transaction`, `atomic`, `savepoint`, `commit_hook`, `retry` | blocks and what hangs on them |
//! | `execute_wrapper`, `query_log`, [`testing`] | watching statements |
//! | `connection`, `row`, `value`, `params` | the handle, and what goes in and out |
//! | [`placeholder`] | `?` on every backend |
//! | [`settings`](Settings) | URL, environment, TOML, builder |
//! | [`signals`], `scope`, `task` | hooks; requests and tasks |
//! | [`backend`] | what a driver implements |
//!
//! # Features
//!
//! Each adds variants to [`Value`] and the conversions that belong to them:
//!
//! | feature | types |
//! |---|---|
//! | `chrono` | `NaiveDate`, `NaiveTime`, `NaiveDateTime`, `DateTime` |
//! | `decimal` | `rust_decimal::Decimal` |
//! | `json` | `serde_json::Value` |
//! | `uuid` | `uuid::Uuid` |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
pub mod batch;
pub mod placeholder;
pub mod signals;
pub mod testing;

mod atomic;
mod canceller;
mod check;
mod commit_hook;
mod connection;
mod engines;
mod error;
mod execute_wrapper;
mod fork;
mod hold;
mod lifecycle;
mod logging;
mod names;
mod params;
mod per_process;
mod query_log;
mod registry;
mod retry;
mod row;
mod savepoint;
mod scope;
mod seat;
mod server_info;
mod settings;
mod shared;
mod shutdown;
mod slot;
mod task;
mod thread;
mod transaction;
mod turn;
mod value;

pub use secrecy::{ExposeSecret, SecretString};

pub use atomic::{Atomic, AtomicBlock};
pub use canceller::Canceller;
pub use check::{Finding, Severity};
pub use commit_hook::HookOutcome;
pub use connection::{Connection, ConnectionState};
pub use error::{Constraint, ConstraintKind, Error, ErrorKind, Fact, Result};
pub use execute_wrapper::{ExecuteWrapper, Executed, Execution};
pub use hold::Hold;
pub use params::Params;
pub use query_log::LoggedQuery;
pub use registry::{DEFAULT_ALIAS, Registry, RegistryBuilder};
pub use retry::{DatabaseFailure, Retry};
pub use row::{FromRow, Row, RowIndex};
pub use savepoint::Savepoint;
pub use scope::Request;
pub use server_info::ServerInfo;
pub use settings::{Databases, IsolationLevel, Liveness, Settings, Tls, TransactionMode};
pub use shutdown::{Left, ShutdownReport};
pub use signals::Signals;
pub use task::{Task, TaskPolicy};
pub use value::{FromValue, ToValue, Value, ValueError};
