//! The lowest layer: words that every other layer uses.
//!
//! Errors, values and rows, which process this is, and how to log where nothing may go wrong. It may not know settings,
//! drivers, connections, threads or registries.

pub mod async_tasks;
mod details;
pub(crate) mod ending;
pub(crate) mod error;
pub(crate) mod heading;
pub(crate) mod ids;
pub(crate) mod logging;
pub(crate) mod moment;
pub(crate) mod now;
pub(crate) mod params;
pub(crate) mod per_process;
pub(crate) mod places;
pub(crate) mod process;
pub(crate) mod row;
pub(crate) mod row_values;
pub(crate) mod spare;
pub(crate) mod teller;
pub(crate) mod value;
