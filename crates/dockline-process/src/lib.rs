//! Which process this is, asked by one load, so that a library notices a fork wherever it looks; and a clock that costs as little.
//!
//! ```
//! use dockline_process::Process;
//!
//! struct Connection {
//!     opened_by: Process,
//! }
//!
//! let connection = Connection { opened_by: Process::current() };
//! assert_eq!(connection.opened_by, Process::current()); // in a forked child they differ
//! ```
//!
//! On Linux 4.14 and newer it is a load from a page that the kernel empties in a child, which costs less than a nanosecond.
//! Everywhere else it is a system call.

mod coarse;
#[cfg(target_os = "linux")]
mod wiped;

pub use coarse::coarse_nanos;

/// One process, as it is told from those that it was forked from.
///
/// Two values are equal if the same process asked for them. A child's differs from its parent's, and from that of each earlier
/// ancestor. Those of two processes of which neither descends from the other say nothing about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// Returns the process that calls.
    ///
    /// It allocates nothing and takes no lock, so it may be called in a forked child, in a destructor of a thread-local, and in a
    /// signal handler.
    ///
    /// If memory that is emptied by a fork cannot be had (systems other than Linux, Linux before 4.14, a filter of system calls),
    /// the process id takes its place. A child that has the same id as its parent, as the first process of a new namespace may, is
    /// not told from it then.
    #[inline]
    pub fn current() -> Self {
        #[cfg(target_os = "linux")]
        if let Some(mark) = wiped::mark() {
            return Self(mark.get());
        }
        Self(std::process::id())
    }
}
