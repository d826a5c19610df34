//! The core of [Dockline](https://docs.rs/dockline): a registry of per-thread database connections, when they are
//! opened, checked and closed, and the hooks around requests and tasks. It knows no driver.
//!
//! Programs use the crate `dockline`, which adds the drivers and re-exports what is here. Use this one to write a
//! backend (see [`backend`]), or an adapter that needs none.
//!
//! The folders are layers; each names only itself and those below it, and its first lines say what it may not know:
//!
//! | layer | what is in it |
//! |---|---|
//! | `registry` | the registry, requests, tasks, checks, shutdown, [`testing`] |
//! | `thread` | what one thread has of a registry, and its end |
//! | `shared` | what threads share: the table of aliases, [`signals`] |
//! | `handle` | what a program holds: the connection, blocks, savepoints, hooks, holds, wrappers |
//! | `slot` | one thread and one alias: statements, opening, replacing, closing, transactions, [`events`] |
//! | `link` | one physical connection, its ages, and its seat |
//! | `config` | [`settings`](Settings), what a driver implements ([`backend`]), what a text does ([`statement`], [`placeholder`], [`batch`]) |
//! | `base` | errors, values, rows, parameters |
//!
//! # Features
//!
//! Each adds variants to [`Value`] and the conversions that belong to them:
//!
//! | feature | types |
//! |---|---|
//! | `chrono` | `NaiveDate`, `NaiveTime`, `NaiveDateTime`, `DateTime` |
//! | `decimal` | `rust_decimal::Decimal` |
//! | `jiff` | `Timestamp`, `civil::Date`, `civil::Time`, `civil::DateTime`, `SignedDuration`; brings `chrono` |
//! | `json` | `serde_json::Value`, and `RawJson` as types of yours |
//! | `time` | `Date`, `Time`, `PrimitiveDateTime`, `OffsetDateTime`, `Duration`; brings `chrono` |
//! | `uuid` | `uuid::Uuid` |
//!
//! The feature `serde` makes [`Status`] serializable.

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

pub use base::async_tasks;
pub use config::{backend, batch, placeholder, statement};
pub use registry::testing;
pub use shared::signals;
pub use slot::events;

pub use secrecy::{ExposeSecret, SecretString};

pub use base::error::{Constraint, ConstraintKind, Error, ErrorKind, Fact, Result};
pub use base::ids::{DEFAULT_ALIAS, TaskPolicy};
pub use base::params::Params;
#[doc(hidden)]
pub use base::params::element;
pub use base::row::{FromRow, Row, RowIndex};
#[cfg(feature = "uuid")]
pub use base::value::Binary;
pub use base::value::{
    Element, FromValue, FromValueRef, Interval, NamedParams, NamedValue, Other, RawJson, ToValue, Value, ValueError,
    list,
};
pub use config::findings::{Finding, Severity};
pub use config::server_info::ServerInfo;
pub use config::settings::{
    ChannelBinding, Databases, IsolationLevel, Liveness, LoadBalanceHosts, ResetOnHandover, Settings,
    TargetSessionAttrs, Tls, TransactionMode,
};
pub use handle::atomic::{Atomic, AtomicBlock};
pub use handle::canceller::Canceller;
pub use handle::connection::{Connection, ConnectionState};
pub use handle::execute_wrapper::{ExecuteWrapper, Execution};
pub use handle::hold::Hold;
pub use handle::on_commit::HookOutcome;
pub use handle::retry::{DatabaseFailure, Retry};
pub use handle::savepoint::Savepoint;
pub use registry::cap::CapStatus;
pub use registry::scope::Request;
pub use registry::shutdown::{Left, ShutdownReport};
pub use registry::task::Task;
pub use registry::{Registry, RegistryBuilder};
pub use shared::signals::Signals;
pub use shared::status::{AliasStatus, ConnectionStatus, Counts, Phase, Status, Totals};
pub use slot::query_log::LoggedQuery;
pub use slot::wrappers::Executed;
