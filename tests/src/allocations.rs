//! An allocator that counts how often the current thread asks for memory.
//!
//! A test program makes it its own: `#[global_allocator] static ALLOCATOR: Counting = Counting;`. In one that does not, the count stays 0.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting.
#[derive(Debug, Clone, Copy)]
pub struct Counting;

thread_local! {
    // Without a destructor, so that it can be used whenever memory is.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory so far. What grows is counted as well.
pub fn count() -> u64 {
    ALLOCATIONS.get()
}

/// How often `call` asks for memory on this thread, in so many rounds together, after some that fill what is kept.
pub fn of_rounds(rounds: u64, mut call: impl FnMut()) -> u64 {
    for _ in 0..3 {
        call();
    }
    let before = count();
    for _ in 0..rounds {
        call();
    }
    count() - before
}

// SAFETY: the system's allocator does the work; counting touches nothing of it. What grows is counted as well, by the default of
// `realloc`, which calls `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's layout, as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's block and layout, as they came.
        unsafe { System.dealloc(memory, layout) }
    }
}
