//! The conformance runner: plays scenarios over Dockline, and compares what happens with what Django did.
//!
//! `tests/conformance/FORMAT.md` says how scenarios and traces read. The runner holds no state of transactions: a step
//! is one public call, and all that it keeps of blocks, savepoints and wrappers are the handles that Dockline gave it.

mod administration;
mod compare;
mod databases;
mod engine;
mod expected;
mod failure;
mod physicals;
mod pool;
mod runner;
mod scenario;
mod session;
mod statement;
mod trace;
mod values;

pub use administration::Place;
pub use compare::{Difference, first_difference};
pub use engine::Engine;
pub use expected::{Expected, Recorded};
pub use runner::run;
pub use scenario::{Op, Scenario, Sql, Step};
pub use trace::{Entry, Outcome, Seen, Trace};
