//! Which process this is, and its cheap clock.

pub(crate) use dockline_process::{Process, coarse_nanos};

/// Returns this process: one load on Linux, and else a system call.
#[inline]
pub(crate) fn process() -> Process {
    Process::current()
}
