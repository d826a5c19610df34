//! The end of a registry.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::link::caps;
use crate::link::seat::Seat;
use crate::registry::Registry;
use crate::shared::Shared;
use crate::slot::Desk;
use crate::slot::reason::CloseReason;
use crate::slot::retire::retire_by;

/// What [`Registry::shutdown`] closed, and what it had to leave.
///
/// ```
/// use std::time::Duration;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// let report = connections.shutdown(Duration::from_secs(1));
/// assert!(report.left.is_empty());
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many connections it closed. Those that their own threads were closing at that time do not count.
    pub closed: usize,
    /// The connections that were in the middle of a statement or a transaction to the last. Each is closed when that
    /// ends, or its thread does.
    pub left: Vec<Left>,
}

/// A connection that was busy to the last.
///
/// ```
/// use std::time::Duration;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// for left in connections.shutdown(Duration::from_secs(1)).left {
///     println!("{} still works on {}", left.thread, left.alias);
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Its alias.
    pub alias: String,
    /// The name of its thread, or the thread's id.
    pub thread: String,
}

/// How long a registry that is dropped waits, in all, for servers to let go of its connections.
const AT_THE_END: Duration = Duration::from_secs(1);

impl Registry {
    /// Ends the registry: from now on nothing is opened, and no statement runs outside a transaction that is open
    /// already; those fail with [`Interface`](crate::ErrorKind::Interface). What is idle is closed, in every thread.
    /// What is in the middle of a statement or a transaction is waited for, up to `limit`, and closed when it ends, also
    /// after that; it is never cut off.
    ///
    /// All of it has one limit, however many connections there are. It returns as soon as nothing is left, and may be called again. In the middle of a statement of this thread it
    /// waits for itself, up to the limit.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// connections.get("default")?.query("SELECT 1", ())?;
    /// let report = connections.shutdown(Duration::from_secs(10));
    /// for left in &report.left {
    ///     println!("{} is still at work on {}", left.thread, left.alias);
    /// }
    /// assert_eq!(report.closed, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn shutdown(&self, limit: Duration) -> ShutdownReport {
        self.shared().hot.close();
        self.shared().wake_all();
        let started = Instant::now();
        // One beyond what the clock can tell is never reached.
        let deadline = started.checked_add(limit);
        let mut pause = Duration::from_millis(1);
        let mut closed = 0;
        loop {
            let busy = self.shared().sweep(deadline, &mut closed);
            let remaining = limit.saturating_sub(started.elapsed());
            if busy.is_empty() || remaining.is_zero() {
                let left = busy.iter().map(|seat| Left { alias: seat.alias.to_string(), thread: seat.thread.clone() });
                return ShutdownReport { closed, left: left.collect() };
            }
            // Owners do not tell when they are done: that would be a write to shared memory at every statement.
            sleep(pause.min(remaining));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

impl Shared {
    /// Shuts down without waiting for what is busy.
    pub(crate) fn close_idle(self: &Arc<Self>) {
        self.hot.close();
        self.wake_all();
        self.sweep(Instant::now().checked_add(AT_THE_END), &mut 0);
        caps::forget(self.hot.id);
    }

    /// Closes what is idle, in every thread, by the deadline; what is not idle is the answer.
    fn sweep(self: &Arc<Self>, deadline: Option<Instant>, closed: &mut usize) -> Vec<Arc<Seat>> {
        let desk = Arc::clone(self) as Arc<dyn Desk>;
        let mut busy = Vec::new();
        for seat in self.state().buckets.iter().flat_map(|bucket| bucket.seats()) {
            // Not `seat.serial()`: only the lock orders this with a thread that is connecting.
            let Some(mut guard) = seat.visit() else {
                busy.push(seat);
                continue;
            };
            let in_transaction = guard.get().is_some_and(|link| link.in_transaction());
            if in_transaction {
                drop(guard);
                busy.push(seat);
                continue;
            }
            let link = guard.take();
            drop(guard);
            if link.is_none() && seat.is_departing() {
                // Its owner is closing it.
                busy.push(seat);
            } else if let Some(link) = link {
                retire_by(&desk, link, CloseReason::Shutdown, deadline);
                *closed += 1;
            }
        }
        busy
    }
}
