//! What the backends of Dockline for database servers share, and the embedded one does not need.
//!
//! - [`Server`]: one host and port as this process knows it: whether it refused lately, which of its connections are still
//!   closing, whether it was demoted.
//! - [`Deadline`] and [`addresses`]: one time limit for all addresses of a host.
//! - [`Wire`]: a look at a socket without a round trip.
//! - [`StatementCache`]: prepared statements, the least recently used going first.
//!
//! It knows no driver and no protocol.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod closing;
mod deadline;
mod files;
mod look;
mod program;
mod server;
mod statements;
#[cfg(unix)]
mod wire;
#[cfg(not(unix))]
#[path = "wire_elsewhere.rs"]
mod wire;

pub use deadline::{Deadline, addresses};
pub use files::{check_tls_files, home_file, is_readable_by_others};
pub use look::Look;
pub use program::application_name;
pub use server::{Server, Stamp};
pub use statements::StatementCache;
pub use wire::Wire;

use std::time::Duration;

/// How long a ping, a rollback or a close may take where the settings have no `read_timeout`, or a longer one.
pub const SHORT: Duration = Duration::from_secs(5);
