//! Whether this thread is ending: then no code of the program runs on it any more.
//!
//! The destructor of a thread-local is no place for a logger, a receiver or the `Drop` of a value of the program: each of them
//! may use a thread-local of its own that is gone by then, and a panic there ends the process. What is to be logged or told
//! goes to the [`teller`](crate::base::teller); what cannot be sent to another thread is leaked.

use std::cell::Cell;

thread_local! {
    // It has no destructor, so it can be read to the very end of the thread.
    static IS_ENDING: Cell<bool> = const { Cell::new(false) };
}

/// Says that the thread-locals of this thread are being destroyed.
pub(crate) fn begin_ending() {
    IS_ENDING.set(true);
}

/// Returns whether the thread-locals of this thread are being destroyed.
#[inline]
pub(crate) fn is_ending() -> bool {
    IS_ENDING.get()
}

/// Drops a value of the program, or leaks it on a thread that is ending.
pub(crate) fn drop_or_leak<T>(value: T) {
    if is_ending() {
        std::mem::forget(value);
    } else {
        drop(value);
    }
}
