//! What the backends of Dockline for database servers share, and the embedded one does not need.
//!
//! - [`Server`]: one host and port as this process knows it: whether it refused lately, which of its connections are still
//!   closing, whether it was demoted.
//! - [`connect`], [`each_place`], [`resolve`]: connecting to every address of a host, and again if the server has no place just now,
//!   within one [`Deadline`].
//! - [`Watchdog`], [`on_a_thread`], [`Limited`]: that deadline, where a driver or the system has no limit of its own.
//! - [`client_config`], [`explain`]: the words of the setting `tls`, for rustls.
//! - [`Wire`]: a look at a socket without a round trip.
//! - [`Gate`]: what keeps a cancellation from hitting a later statement.
//! - [`StatementCache`]: prepared statements, the least recently used going first.
//!
//! It knows no driver and no protocol.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod closing;
mod connect;
mod deadline;
mod descriptors;
mod files;
mod gate;
mod helper;
mod hex;
mod hosts;
mod known;
mod look;
mod program;
mod resolve;
mod room;
mod server;
mod statements;
mod stream;
mod tls;
mod watchdog;
#[cfg(unix)]
mod wire;
#[cfg(not(unix))]
#[path = "wire_elsewhere.rs"]
mod wire;

pub use connect::{Failure, Why, connect, each_place, no_answer, resolve};
pub use deadline::Deadline;
pub use descriptors::descriptors_left;
pub use files::{Passwords, check_tls_files, home_file, read_passwords};
pub use gate::Gate;
pub use helper::on_a_thread;
pub use hex::hex;
pub use hosts::{Hosts, Role};
pub use look::Look;
pub use program::application_name;
pub use resolve::addresses;
pub use server::{Server, Stamp};
pub use statements::StatementCache;
pub use stream::Limited;
#[cfg(unix)]
pub use stream::connect_unix;
pub use tls::{check_client_certificate, client_config, explain};
pub use watchdog::Watchdog;
pub use wire::Wire;

use std::time::Duration;

/// How long a ping, a rollback or a close may take if the settings have no `read_timeout`, or a longer one.
pub const SHORT: Duration = Duration::from_secs(5);

/// How long a ping, a rollback or a cancellation may take: [`SHORT`], or a shorter `read_timeout`.
pub fn short(read_timeout: Option<Duration>) -> Duration {
    read_timeout.map_or(SHORT, |limit| limit.min(SHORT))
}
