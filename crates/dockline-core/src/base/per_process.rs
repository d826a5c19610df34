//! What each process has of its own.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::base::process::{Process, process};

/// A value for a static of a backend, of which a process that was forked gets a new one. The parent's may have a lock that is held for
/// ever, by a thread that the child does not have.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use dockline::backend::PerProcess;
///
/// static OPENED: PerProcess<AtomicU32> = PerProcess::new();
/// OPENED.get().value.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(OPENED.get().value.load(Ordering::Relaxed), 1);
/// ```
pub struct PerProcess<T>(ArcSwapOption<OfProcess<T>>);

/// What a process has of a [`PerProcess`].
pub struct OfProcess<T> {
    process: Process,
    /// The value.
    pub value: T,
    inherited: Option<Arc<Self>>,
}

impl<T: Default> PerProcess<T> {
    /// Without a value: the first [`get`](PerProcess::get) makes it.
    pub const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// That of this process, made where it is not there yet.
    pub fn get(&self) -> Arc<OfProcess<T>> {
        let process = process();
        loop {
            let current = self.0.load_full();
            if let Some(current) = current.as_ref().filter(|current| current.process == process) {
                return Arc::clone(current);
            }
            // Kept for ever: dropping it might end what the parent is in the middle of.
            let inherited = current.clone();
            let fresh = OfProcess { process, value: T::default(), inherited };
            let before = self.0.compare_and_swap(&current, Some(Arc::new(fresh)));
            let was_replaced = before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr);
            if was_replaced {
                std::mem::forget(current);
            }
        }
    }
}

impl<T: Default> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> OfProcess<T> {
    /// That of the process which this one was forked from, and that of its own parent, and so on, as they were at that moment. No lock
    /// in them may be waited for.
    pub fn ancestors(&self) -> impl Iterator<Item = &T> {
        let first = self.inherited.as_deref();
        std::iter::successors(first, |of| of.inherited.as_deref()).map(|of| &of.value)
    }
}

impl<T> std::fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for OfProcess<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfProcess").field("process", &self.process).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn all_threads_of_a_process_have_the_same() {
        static COUNTS: PerProcess<AtomicU32> = PerProcess::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| COUNTS.get().value.fetch_add(1, Ordering::Relaxed));
            }
        });
        assert_eq!(COUNTS.get().value.load(Ordering::Relaxed), 8);
    }
}
