//! A mark of this process, in memory that the kernel empties in a child.
//!
//! Invariants:
//!
//! - `PAGE` points at an `AtomicU32` that lives as long as the process: at `NOT_ASKED` at first, then at the start of a mapped
//!   page, or at `REFUSED` if there is none to be had. It changes once, and what it has pointed at is never unmapped.
//! - The page holds 0 until the process has a mark, and the mark from then on. The kernel makes it 0 again in a child.
//! - `NOT_ASKED` and `REFUSED` hold 0 for ever.
//! - `LAST` is in ordinary memory, which a child has a copy of. It is never less than a mark that this process or one that it was
//!   forked from has got, so that the next one differs from all of those.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

static NOT_ASKED: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const NOT_ASKED).cast_mut());
static LAST: AtomicU32 = AtomicU32::new(0);

/// Returns the mark of this process, or `None` if the system has no memory that a fork empties.
#[inline]
pub(crate) fn mark() -> Option<NonZeroU32> {
    NonZeroU32::new(page().load(Ordering::Relaxed)).or_else(new_mark)
}

#[inline]
fn page() -> &'static AtomicU32 {
    // SAFETY: it points at one of two statics or at a mapped page, by the invariants. All are aligned, hold initialised memory and are never
    // given back; and they are written by atomic operations alone, but for the kernel's emptying, which happens before the
    // child's first instruction.
    unsafe { &*PAGE.load(Ordering::Acquire) }
}

/// The first call of a process, and every call where the system has no such memory.
#[cold]
fn new_mark() -> Option<NonZeroU32> {
    if std::ptr::eq(page(), &raw const NOT_ASKED) {
        let found = map().unwrap_or((&raw const REFUSED).cast_mut());
        // If another thread was faster, its answer counts, and this page stays unused: one page, once.
        let _ = PAGE.compare_exchange((&raw const NOT_ASKED).cast_mut(), found, Ordering::AcqRel, Ordering::Relaxed);
    }
    if std::ptr::eq(page(), &raw const REFUSED) {
        return None;
    }
    // After 2^32 forks in a row it would begin anew; 0 is no mark.
    let mark = NonZeroU32::new(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)).unwrap_or(NonZeroU32::MIN);
    // All threads have the mark of the one that was first.
    match page().compare_exchange(0, mark.get(), Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Some(mark),
        Err(earlier) => NonZeroU32::new(earlier),
    }
}

/// Maps a page that a fork empties.
fn map() -> Option<*mut AtomicU32> {
    // Both calls count in pages: one byte stands for one page, whatever its size.
    const LENGTH: usize = 1;
    // SAFETY: a new private mapping, at an address of the kernel's choosing, touches no memory of anybody's.
    let page = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), LENGTH, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // Some emulators of Linux answer every advice with success and do nothing. They are found by one that does not exist
    // (BoringSSL's fork_detect.c does the same).
    const NO_ADVICE: libc::c_int = -1;
    // SAFETY: the page was mapped above and nobody else knows it. The first advice is refused, the second one changes what a
    // child finds there.
    let is_emptied = unsafe {
        libc::madvise(page, LENGTH, NO_ADVICE) != 0 && libc::madvise(page, LENGTH, libc::MADV_WIPEONFORK) == 0
    };
    if !is_emptied {
        // SAFETY: as above; nothing points at it any more.
        unsafe { libc::munmap(page, LENGTH) };
        return None;
    }
    Some(page.cast())
}
