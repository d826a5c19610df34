//! The thread that logs and tells receivers on behalf of threads that are ending.
//!
//! - What one thread hands over runs in the order in which it was handed over.
//! - A thread that is ending waits until what it handed over has run, for a limited time: so whoever joins it mostly finds
//!   everything told.
//! - If no thread can be started, what was to be told is leaked: nothing of the program's may run on a thread that is ending.
//!
//! It waits by a mutex and a condition variable, which need no thread-local.

use std::collections::VecDeque;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::per_process::PerProcess;

type Tale = Box<dyn FnOnce() + Send>;

/// The teller of this process. A child that was forked has one of its own.
static TELLER: PerProcess<Teller> = PerProcess::new();

#[derive(Default)]
struct Teller(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something was handed over, or has run.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Tale>,
    is_running: bool,
    handed_over: u64,
    told: u64,
}

/// Hands something over that is to be logged or told.
pub(crate) fn tell(tale: impl FnOnce() + Send + 'static) {
    let shared = Arc::clone(&TELLER.get().value.0);
    let mut queue = shared.lock();
    if !queue.is_running {
        let worker = Arc::clone(&shared);
        let started = std::thread::Builder::new().name("dockline-telling".to_owned()).spawn(move || worker.work());
        if started.is_err() {
            return forget(tale);
        }
        queue.is_running = true;
    }
    queue.handed_over += 1;
    queue.waiting.push_back(Box::new(tale));
    drop(queue);
    shared.changed.notify_all();
}

/// Waits until everything that was handed over so far has run, for `limit` at the most.
pub(crate) fn settle(limit: Duration) {
    let shared = Arc::clone(&TELLER.get().value.0);
    let mut queue = shared.lock();
    let (until, begun) = (queue.handed_over, Instant::now());
    while queue.told < until {
        let Some(remaining) = limit.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else { return };
        queue = shared.changed.wait_timeout(queue, remaining).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            let Some(tale) = queue.waiting.pop_front() else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(tale)) {
                // What was thrown may panic again when it is dropped.
                forget(panic);
            }
            queue = self.lock();
            queue.told += 1;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_handed_over_runs_in_order_also_after_a_panic() {
        let (send, receive) = channel();
        for n in 0..100 {
            let send = send.clone();
            tell(move || {
                send.send(n).unwrap();
                assert!(n != 50, "a logger panics");
            });
        }
        assert_eq!(receive.iter().take(100).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn waiting_has_a_limit() {
        let (release, wait) = channel::<()>();
        tell(move || assert!(wait.recv().is_err()));
        settle(Duration::from_millis(1));
        drop(release);
        settle(Duration::from_secs(60));
    }
}
