//! What an alias is: its settings, its driver, and what the texts of its statements say.
//!
//! It has the contract that a driver implements ([`backend`]), and judges settings and texts without a connection of its own. It
//! may not know where a physical connection sits, which thread uses it, or how a transaction stands.

pub mod backend;
pub mod batch;
pub(crate) mod bind;
pub(crate) mod engines;
pub(crate) mod findings;
pub(crate) mod full;
pub(crate) mod outcome;
pub mod placeholder;
pub(crate) mod server_info;
pub(crate) mod session_state;
pub(crate) mod settings;
pub mod statement;
pub(crate) mod test_databases;
