//! How long a statement may take and wait, and what ends it before its time: a canceller, `statement_timeout`, `busy_timeout`.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use dockline_core::Result;
use dockline_core::backend::Cancel;
use rusqlite::{Connection, InterruptHandle, ffi};

use crate::database::Database;
use crate::error::map;
use crate::queue::Waker;

/// What SQLite asks now and then, while it runs or waits for a lock, whether to go on.
pub(crate) struct Watch {
    /// That of the connection, and how often it was installed: what it was installed on before is somebody else's.
    handle: Mutex<InterruptHandle>,
    installed: AtomicU64,
    /// SQLite itself forgets an interrupt that comes before the first step of a statement, or between two.
    cancelled: AtomicBool,
    limit: Option<Duration>,
    start: Instant,
    /// When the statement that runs has to end, in nanoseconds from `start`; `NEVER` while none does.
    deadline: AtomicU64,
    /// How long a statement may wait for others, in nanoseconds: `busy_timeout`.
    patience: AtomicU64,
    /// When the statement that runs ceases to wait; `NEVER` while it has not begun to.
    waits_until: AtomicU64,
    /// What wakes its thread up while that waits for its turn.
    waker: Mutex<Option<Waker>>,
    /// The database that it writes to, where that is shared with other processes.
    database: Option<Weak<Database>>,
    meets_others: AtomicBool,
    /// What runs begins or ends a transaction, which takes a few steps: whoever ends it after the last one only hides that it is done.
    lets_end: AtomicBool,
    /// The program has the connection: each time that it waits is a new one.
    is_lent: AtomicBool,
}

const NEVER: u64 = u64::MAX;
/// How many steps of SQLite's machine go by between two questions: some ten microseconds.
const STEPS: i32 = 1_000;
/// The mean time between two looks whether another process has let the file go. They are even, for whoever waits longer and longer
/// is passed by those who come later.
const STEP: Duration = Duration::from_micros(500);
/// How many such looks there are before some that follow each other without a pause, at first and at the most. A process that writes all
/// the time lets the file go for microseconds only, which no look with a pause may ever meet.
const STEPS_BETWEEN: (u32, u32) = (8, 64);
/// How many looks follow each other: some milliseconds of them.
const AT_ONCE: u32 = 500;

thread_local! {
    /// The watch of the connection that this thread uses: SQLite's busy handler is a plain function here.
    static CURRENT: RefCell<Weak<Watch>> = const { RefCell::new(Weak::new()) };
}

impl Watch {
    pub(crate) fn install(
        connection: &mut Connection,
        limit: Option<Duration>,
        patience: Duration,
        database: Option<&Arc<Database>>,
    ) -> Result<Arc<Self>> {
        let watch = Arc::new(Self {
            handle: Mutex::new(connection.get_interrupt_handle()),
            installed: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            limit,
            start: Instant::now(),
            deadline: AtomicU64::new(NEVER),
            patience: AtomicU64::new(nanoseconds(patience)),
            waits_until: AtomicU64::new(NEVER),
            waker: Mutex::new(None),
            database: database.map(Arc::downgrade),
            meets_others: AtomicBool::new(false),
            lets_end: AtomicBool::new(false),
            is_lent: AtomicBool::new(false),
        });
        watch.install_on(connection);
        Ok(watch)
    }

    /// Has the connection ask this watch from now on: the program, who has had it, may have put another one in its place, or another
    /// progress handler.
    pub(crate) fn install_on(self: &Arc<Self>, connection: &mut Connection) {
        *self.handle() = connection.get_interrupt_handle();
        let number = self.installed.load(Ordering::Relaxed) + 1;
        self.installed.store(number, Ordering::Relaxed);
        let asked = Arc::clone(self);
        // What it returns differs between the versions of rusqlite; it cannot fail on a connection that is open.
        let _ = connection.progress_handler(STEPS, Some(move || asked.ends_what_runs(number)));
    }

    fn ends_what_runs(&self, installed: u64) -> bool {
        self.installed.load(Ordering::Relaxed) == installed
            && !self.lets_end.load(Ordering::Relaxed)
            && (self.is_cancelled() || self.is_over())
    }

    /// Runs what begins or ends a transaction. It is not ended before its time, for SQLite asks once more when it is done.
    pub(crate) fn let_end<R>(&self, call: impl FnOnce() -> R) -> R {
        self.lets_end.store(true, Ordering::Relaxed);
        let result = call();
        self.lets_end.store(false, Ordering::Relaxed);
        result
    }

    /// Forgets a cancellation that came too late.
    pub(crate) fn forget(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// A statement begins on this thread, and with it the time that it has.
    pub(crate) fn begin(self: &Arc<Self>) {
        // On a thread whose thread-locals are gone, it does not wait for locks.
        let _ = CURRENT.try_with(|current| {
            if !std::ptr::eq(current.borrow().as_ptr(), Arc::as_ptr(self)) {
                current.replace(Arc::downgrade(self));
            }
        });
        self.waits_until.store(NEVER, Ordering::Relaxed);
        self.lets_end.store(false, Ordering::Relaxed);
        self.is_lent.store(false, Ordering::Relaxed);
        if let Some(limit) = self.limit {
            self.deadline.store(self.after(limit), Ordering::Relaxed);
        }
    }

    /// Something begins that is no statement of the program's, and has all the time that it needs. Waiting for others has a limit.
    pub(crate) fn begin_unlimited(self: &Arc<Self>) {
        self.begin();
        self.deadline.store(NEVER, Ordering::Relaxed);
    }

    /// The program gets the connection. What it runs there is limited by nothing but how long it may wait, each time.
    pub(crate) fn lend(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
        self.is_lent.store(true, Ordering::Relaxed);
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

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        deadline != NEVER && self.start.elapsed().as_nanos() >= u128::from(deadline)
    }

    /// How much longer the statement that runs may wait for others. The first question begins the waiting.
    pub(crate) fn patience_left(&self) -> Duration {
        let mut until = self.waits_until.load(Ordering::Relaxed);
        if until == NEVER {
            until = self.after(self.patience()).min(self.deadline.load(Ordering::Relaxed));
            self.waits_until.store(until, Ordering::Relaxed);
        }
        Duration::from_nanos(until.saturating_sub(nanoseconds(self.start.elapsed())))
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_nanos(self.patience.load(Ordering::Relaxed))
    }

    pub(crate) fn set_patience(&self, patience: Duration) {
        self.patience.store(nanoseconds(patience), Ordering::Relaxed);
    }

    /// The setting that limits how long the statement waits, and its value.
    pub(crate) fn waiting_limit(&self) -> (&'static str, Duration) {
        let patience = self.patience();
        match self.limit {
            Some(limit) if limit <= patience => ("statement_timeout", limit),
            _ => ("busy_timeout", patience),
        }
    }

    /// Limits the waiting of what runs now, as of something that need not be.
    pub(crate) fn wait_at_most(&self, limit: Duration) {
        self.waits_until.store(self.after(limit), Ordering::Relaxed);
    }

    /// What a canceller wakes up; `None` when nothing waits any more.
    pub(crate) fn set_waker(&self, waker: Option<Waker>) {
        *self.waker() = waker;
    }

    /// Whether what SQLite waits for from now on can only be another process: this thread has the turn.
    pub(crate) fn meets_others(&self, meets_others: bool) {
        self.meets_others.store(meets_others, Ordering::Relaxed);
    }

    /// SQLite has found the file locked: waits a moment, and says whether to try again.
    fn wait_a_moment(&self, looks: u32) -> bool {
        if looks == 0 && self.is_lent.load(Ordering::Relaxed) {
            self.waits_until.store(NEVER, Ordering::Relaxed);
        }
        let left = self.patience_left();
        if left.is_zero() || self.is_cancelled() {
            return false;
        }
        if self.meets_others.load(Ordering::Relaxed)
            && let Some(database) = self.database.as_ref().and_then(Weak::upgrade)
        {
            database.met_another_process(Instant::now());
        }
        if looks_at_once(looks) {
            yield_now();
        } else {
            // Drawn, so that two who wait do not look at the same moments for ever.
            sleep(STEP.mul_f64(0.5 + fastrand::f64()).min(left));
        }
        true
    }

    fn after(&self, time: Duration) -> u64 {
        nanoseconds(self.start.elapsed().saturating_add(time))
    }

    fn handle(&self) -> MutexGuard<'_, InterruptHandle> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a lock by the watch of this thread's connection, and answers whether it is worth another look.
pub(crate) fn wait_a_moment(looks: i32) -> bool {
    let watch = CURRENT.try_with(|current| current.borrow().upgrade()).ok().flatten();
    watch.is_some_and(|watch| watch.wait_a_moment(u32::try_from(looks).unwrap_or_default()))
}

/// Whether the next look follows without a pause, after so many.
fn looks_at_once(looks: u32) -> bool {
    let (mut steps, most) = STEPS_BETWEEN;
    let mut left = looks;
    loop {
        match left.checked_sub(steps) {
            None => return false,
            Some(rest) if rest < AT_ONCE => return true,
            Some(rest) => left = rest - AT_ONCE,
        }
        steps = (steps * 2).min(most);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    // 584 years.
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

impl Cancel for Watch {
    fn cancel(&self) -> Result<()> {
        self.cancelled.store(true, Ordering::Relaxed);
        self.handle().interrupt();
        if let Some(waker) = &*self.waker() {
            waker.wake();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_even_and_now_and_then_close() {
        let close: Vec<u32> = (0..5_000).filter(|looks| looks_at_once(*looks)).collect();
        assert!(!looks_at_once(0) && close[0] == 8, "the first ones have pauses");
        let pauses = 5_000 - close.len();
        assert!((300..1_000).contains(&pauses), "{pauses} of 5,000 have pauses");
    }
}
