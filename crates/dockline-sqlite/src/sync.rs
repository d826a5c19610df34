//! What [`queue`](crate::queue) is built of, and its clock. The model of the queue (`tests/queue_model.rs`) puts loom's in its place.

pub(crate) use dockline_process::{Process, coarse_nanos};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
