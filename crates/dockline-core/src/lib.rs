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
//! | [`statement`] | what a text does: one tokenizer, one outline |
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

mod base;
mod config;
mod handle;
mod link;
mod registry;
mod shared;
mod slot;
mod thread;

pub use config::{backend, batch, placeholder, statement};
pub use registry::testing;
pub use shared::signals;

pub use secrecy::{ExposeSecret, SecretString};

pub use base::error::{Constraint, ConstraintKind, Error, ErrorKind, Fact, Result};
pub use base::ids::{DEFAULT_ALIAS, TaskPolicy};
pub use base::params::Params;
pub use base::row::{FromRow, Row, RowIndex};
pub use base::value::{FromValue, ToValue, Value, ValueError};
pub use config::findings::{Finding, Severity};
pub use config::server_info::ServerInfo;
pub use config::settings::{Databases, IsolationLevel, Liveness, Settings, Tls, TransactionMode};
pub use handle::atomic::{Atomic, AtomicBlock};
pub use handle::canceller::Canceller;
pub use handle::connection::{Connection, ConnectionState};
pub use handle::execute_wrapper::{ExecuteWrapper, Execution};
pub use handle::hold::Hold;
pub use handle::on_commit::HookOutcome;
pub use handle::retry::{DatabaseFailure, Retry};
pub use handle::savepoint::Savepoint;
pub use registry::scope::Request;
pub use registry::shutdown::{Left, ShutdownReport};
pub use registry::task::Task;
pub use registry::{Registry, RegistryBuilder};
pub use shared::signals::Signals;
pub use slot::query_log::LoggedQuery;
pub use slot::wrappers::Executed;
