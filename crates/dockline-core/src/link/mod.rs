//! One physical connection, and the seat that it sits in.
//!
//! A seat is what other threads may see of a connection. This layer may not know blocks, hooks, wrappers or flags: what only the
//! owner of a connection touches is the slot's.

pub(crate) mod ages;
pub(crate) mod cap;
pub(crate) mod caps;
pub(crate) mod exhausted;
pub(crate) mod left;
pub(crate) mod seat;
pub(crate) mod stages;
pub(crate) mod stint;
pub(crate) mod sync;
pub(crate) mod usage;
pub(crate) mod vitals;
pub(crate) mod waiter;
pub(crate) mod watch;
