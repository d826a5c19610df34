//! What [`queue`](crate::queue) is built of. The model of the queue (`tests/queue_model.rs`) puts loom's in its place.

pub(crate) use dockline_process::Process;
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
