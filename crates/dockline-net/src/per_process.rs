//! What each process has of its own.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// A value of which a process that was forked gets a new one. The parent's may have a lock that is held for ever, by a thread that
/// the child does not have.
pub(crate) struct PerProcess<T>(ArcSwapOption<Of<T>>);

pub(crate) struct Of<T> {
    process: u32,
    pub(crate) value: T,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// That of this process, made where it is not there yet.
    pub(crate) fn get(&self) -> Arc<Of<T>> {
        let process = std::process::id();
        loop {
            let current = self.0.load_full();
            if let Some(current) = current.as_ref().filter(|current| current.process == process) {
                return Arc::clone(current);
            }
            let before = self.0.compare_and_swap(&current, Some(Arc::new(Of { process, value: T::default() })));
            // The parent's is leaked: dropping it may run what it is in the middle of.
            let was_replaced = before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr);
            if was_replaced {
                std::mem::forget(current);
            }
        }
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
