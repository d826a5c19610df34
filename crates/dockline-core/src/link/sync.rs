//! What [`cap`](crate::link::cap) is built of. The model of the cap (`tests/cap_model.rs`) puts loom's in its place.

pub(crate) use crate::base::moment::stamp;
pub(crate) use crate::base::process::Process;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Returns the moment.
#[inline]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}
