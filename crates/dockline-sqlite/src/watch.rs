//! Ending a statement before its time: by a canceller, or by `statement_timeout`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dockline_core::Result;
use dockline_core::backend::Cancel;
use rusqlite::{Connection, InterruptHandle, ffi};

use crate::error::map;

/// What SQLite asks now and then, while it runs, whether to go on.
pub(crate) struct Watch {
    handle: InterruptHandle,
    /// SQLite itself forgets an interrupt that comes before the first step of a statement, or between two.
    cancelled: AtomicBool,
    limit: Option<Duration>,
    start: Instant,
    /// When the statement that runs has to end, in nanoseconds from `start`; `NEVER` while none does.
    deadline: AtomicU64,
}

const NEVER: u64 = u64::MAX;
/// How many steps of SQLite's machine go by between two questions: some ten microseconds.
const STEPS: i32 = 1_000;

impl Watch {
    pub(crate) fn install(connection: &mut Connection, limit: Option<Duration>) -> Arc<Self> {
        let watch = Arc::new(Self {
            handle: connection.get_interrupt_handle(),
            cancelled: AtomicBool::new(false),
            limit,
            start: Instant::now(),
            deadline: AtomicU64::new(NEVER),
        });
        let asked = Arc::clone(&watch);
        // What it returns differs between the versions of rusqlite; it cannot fail on a connection that is open.
        let _ = connection.progress_handler(STEPS, Some(move || asked.is_cancelled() || asked.is_over()));
        watch
    }

    /// Forgets a cancellation that came too late.
    pub(crate) fn forget(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// A statement begins, and with it the time that it has.
    pub(crate) fn begin(&self) {
        if let Some(limit) = self.limit {
            let deadline = self.start.elapsed().saturating_add(limit).as_nanos();
            self.deadline.store(u64::try_from(deadline).unwrap_or(NEVER), Ordering::Relaxed);
        }
    }

    /// The statement has ended; the answer is the limit, where it was exceeded.
    pub(crate) fn end(&self) -> Option<Duration> {
        let limit = self.limit?;
        let over = self.is_over();
        self.deadline.store(NEVER, Ordering::Relaxed);
        over.then_some(limit)
    }

    /// Where SQLite does not look: before the first step of a statement.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_cancelled() {
            return Ok(());
        }
        let code = ffi::Error::new(ffi::SQLITE_INTERRUPT);
        Err(map(rusqlite::Error::SqliteFailure(code, Some("interrupted".to_owned()))))
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        deadline != NEVER && self.start.elapsed().as_nanos() >= u128::from(deadline)
    }
}

impl Cancel for Watch {
    fn cancel(&self) -> Result<()> {
        self.cancelled.store(true, Ordering::Relaxed);
        self.handle.interrupt();
        Ok(())
    }
}
