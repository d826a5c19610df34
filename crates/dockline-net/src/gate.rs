//! What keeps a cancellation from hitting a later statement.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use dockline_core::Result;

/// Servers know connections and not statements: a cancellation ends whatever runs when it arrives. So one is sent under a lock, and
/// only while the statement runs that it is meant for; and no statement begins while the lock is held.
///
/// `T` is what a backend knows besides of the cancellations that it has sent.
#[derive(Debug, Default)]
pub struct Gate<T> {
    /// Counts statements.
    epoch: AtomicU64,
    /// The last of them has been sent, or is about to be, and has not ended.
    runs: AtomicBool,
    state: Mutex<T>,
}

/// A cancellation that comes before its statement does, or between two steps of one, is forgotten by the server: it is sent again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

impl<T> Gate<T> {
    /// A gate before the first statement.
    pub fn new(state: T) -> Self {
        Self { epoch: AtomicU64::new(0), runs: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// A statement begins: what was asked for before is not meant for it.
    pub fn begin<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        let mut state = self.lock();
        // Written under the lock alone.
        self.epoch.store(self.epoch().wrapping_add(1), Ordering::Relaxed);
        self.runs.store(true, Ordering::Release);
        look(&mut state)
    }

    /// The statement has ended.
    #[inline]
    pub fn end(&self) {
        self.runs.store(false, Ordering::Release);
    }

    /// Which statement runs, or was the last.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Looks at what is known, and changes it.
    pub fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.lock())
    }

    /// Sends a cancellation by `ask`, and again, until the statement with that number has ended.
    ///
    /// # Errors
    ///
    /// That of `ask`.
    pub fn cancel(&self, epoch: u64, mut ask: impl FnMut(&mut T) -> Result<()>) -> Result<()> {
        for n in 1..=TRIES {
            let mut state = self.lock();
            if self.epoch() != epoch || !self.runs.load(Ordering::Acquire) {
                break;
            }
            ask(&mut state)?;
            drop(state);
            sleep(PAUSE * n);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dockline_core::{Error, ErrorKind};

    use super::*;

    #[test]
    fn only_the_statement_that_is_meant_is_cancelled() {
        let gate = Gate::new(0);
        let count = |asked: &mut u32| {
            *asked += 1;
            Ok(())
        };
        gate.cancel(gate.epoch(), count).unwrap();
        assert_eq!(gate.with(|asked| *asked), 0, "nothing runs");
        gate.begin(|_| ());
        let first = gate.epoch();
        gate.cancel(first, count).unwrap();
        assert_eq!(gate.with(|asked| *asked), TRIES, "it does not end");
        gate.begin(|_| ());
        gate.cancel(first, count).unwrap();
        assert_eq!(gate.with(|asked| *asked), TRIES, "a later statement runs");
    }

    #[test]
    fn a_statement_that_ends_is_not_asked_for_again() {
        let gate = Gate::new(0);
        gate.begin(|_| ());
        let ends = |asked: &mut u32| {
            *asked += 1;
            gate.end();
            Ok(())
        };
        gate.cancel(gate.epoch(), ends).unwrap();
        assert_eq!(gate.with(|asked| *asked), 1);
    }

    #[test]
    fn an_error_of_asking_is_the_answer() {
        let gate = Gate::new(());
        gate.begin(|()| ());
        let refused = |(): &mut ()| Err(Error::new(ErrorKind::Operational, "refused"));
        assert_eq!(gate.cancel(gate.epoch(), refused).unwrap_err().message(), "refused");
    }
}
