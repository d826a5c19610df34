//! Which process this is.

/// Returns the id of this process: one system call.
#[inline]
pub(crate) fn process() -> u32 {
    std::process::id()
}
