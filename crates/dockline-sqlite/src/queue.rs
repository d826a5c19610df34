//! The line of those who want to write to one database: who has the turn, and who is next.
//!
//! What holds whenever `line` is not locked:
//!
//! 1. At most one turn exists: `holder` is `Some` exactly while a [`Turn`] lives, or while one is assigned to a [`Waiting`] that
//!    has not been told yet.
//! 2. Nobody waits while nobody has the turn. A turn that ends is assigned to the first in the line under the same lock, so no
//!    newcomer can come between: first come, first served.
//! 3. Whoever waits stands in `waiting` once. He leaves the line by being assigned the turn or by giving up, under the lock, and
//!    never by both: whoever gives up and finds that the turn is his passes it on.
//! 4. Both guards end by being dropped, so a panic, an error and the end of a thread pass the turn on as well.
//! 5. Under the lock nothing is called that blocks, logs, or is the program's. The lock is held for a few instructions.
//! 6. A process that was forked never takes the lock of a queue of its parent's: a [`Turn`] that it inherited ends in silence.
//!
//! What a thread is called, and how long it has patience, is told by the caller. Since when it has the turn is told by a clock that is coarse,
//! because every transaction asks it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError, Process, coarse_nanos};

/// The writers of one database, in the order in which they came.
#[derive(Default)]
pub(crate) struct Queue {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    holder: Option<Holder>,
    waiting: VecDeque<Waiter>,
    last_ticket: u64,
}

/// Who asks for a turn.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// A number of the thread's own.
    pub(crate) thread: u64,
    pub(crate) name: Arc<str>,
    /// The statement that it wants to run.
    pub(crate) statement: Arc<str>,
}

/// Who has the turn.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) who: Who,
    /// On the coarse clock.
    since: u64,
    ticket: u64,
    /// Somebody has complained of it.
    was_named: bool,
}

struct Waiter {
    who: Who,
    ticket: u64,
    bell: Arc<Condvar>,
}

impl Holder {
    fn new(who: Who, ticket: u64) -> Self {
        Self { who, since: coarse_nanos(), ticket, was_named: false }
    }

    /// For how long he has had it, to some milliseconds.
    pub(crate) fn has_had_it_for(&self) -> Duration {
        Duration::from_nanos(coarse_nanos().saturating_sub(self.since))
    }
}

/// The answer to [`Queue::join`].
pub(crate) enum Joined {
    /// Nobody had the turn.
    Turn(Turn),
    /// Somebody has it.
    Waiting(Waiting),
}

impl Queue {
    /// Asks for the turn, behind all who have asked before.
    pub(crate) fn join(self: &Arc<Self>, who: Who) -> Joined {
        let mut line = self.line();
        line.last_ticket += 1;
        let ticket = line.last_ticket;
        if line.holder.is_none() {
            line.holder = Some(Holder::new(who, ticket));
            drop(line);
            return Joined::Turn(Turn::new(Arc::clone(self), ticket));
        }
        let is_behind_itself = line.holder.as_ref().is_some_and(|holder| holder.who.thread == who.thread);
        let bell = Arc::new(Condvar::new());
        line.waiting.push_back(Waiter { who, ticket, bell: Arc::clone(&bell) });
        drop(line);
        Joined::Waiting(Waiting { queue: Some(Arc::clone(self)), ticket, bell, is_behind_itself })
    }

    /// Who has the turn.
    pub(crate) fn holder(&self) -> Option<Holder> {
        self.line().holder.clone()
    }

    /// The number of the thread that has the turn.
    pub(crate) fn holding_thread(&self) -> Option<u64> {
        self.line().holder.as_ref().map(|holder| holder.who.thread)
    }

    /// Who has the turn, where he has had it for as long as `limit`, and nobody was told so before.
    pub(crate) fn overdue(&self, limit: Duration) -> Option<Holder> {
        let mut line = self.line();
        let holder = line.holder.as_mut()?;
        if holder.was_named || holder.has_had_it_for() < limit {
            return None;
        }
        holder.was_named = true;
        Some(holder.clone())
    }

    /// Assigns the turn to the first who waits, or to nobody.
    fn pass_on(&self, mut line: MutexGuard<'_, Line>) {
        let Some(Waiter { who, ticket, bell }) = line.waiting.pop_front() else {
            line.holder = None;
            return;
        };
        line.holder = Some(Holder::new(who, ticket));
        // Whoever wakes up wants the lock.
        drop(line);
        bell.notify_one();
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn is_assigned(&self, ticket: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.ticket == ticket)
    }
}

/// The right to write. It is passed on when it is dropped.
pub(crate) struct Turn {
    queue: Arc<Queue>,
    ticket: u64,
    process: Process,
}

impl Turn {
    fn new(queue: Arc<Queue>, ticket: u64) -> Self {
        Self { queue, ticket, process: Process::current() }
    }

    pub(crate) fn is_of(&self, queue: &Arc<Queue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

    /// Says with which statement the transaction began, for those who wait.
    pub(crate) fn began_with(&self, statement: &Arc<str>) {
        if let Some(holder) = &mut self.queue.line().holder {
            holder.who.statement = Arc::clone(statement);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.process != Process::current() {
            return;
        }
        let line = self.queue.line();
        debug_assert!(line.is_assigned(self.ticket), "a turn that is had is that of its holder");
        self.queue.pass_on(line);
    }
}

/// A place in the line. It is given up when it is dropped.
pub(crate) struct Waiting {
    /// `None` when the turn was taken.
    queue: Option<Arc<Queue>>,
    ticket: u64,
    bell: Arc<Condvar>,
    is_behind_itself: bool,
}

impl Waiting {
    /// Whether the thread that waits has the turn itself, by another connection. It was looked at when it joined the line: who has
    /// the turn now may be this very place.
    pub(crate) fn is_behind_itself(&self) -> bool {
        self.is_behind_itself
    }

    /// Waits until the turn has come, `limit` is over, or [`Waker::wake`] is called; also now and then without a reason. It does
    /// not wait at all where `gives_up`, which is asked under the lock.
    pub(crate) fn wait(mut self, limit: Duration, gives_up: &dyn Fn() -> bool) -> Joined {
        let Some(queue) = self.queue.take() else { return Joined::Waiting(self) };
        let mut line = queue.line();
        if !line.is_assigned(self.ticket) && !gives_up() {
            line = self.bell.wait_timeout(line, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
        let is_mine = line.is_assigned(self.ticket);
        drop(line);
        if is_mine {
            return Joined::Turn(Turn::new(queue, self.ticket));
        }
        self.queue = Some(queue);
        Joined::Waiting(self)
    }

    /// What wakes it up from another thread.
    pub(crate) fn waker(&self) -> Option<Waker> {
        Some(Waker { queue: Arc::clone(self.queue.as_ref()?), bell: Arc::clone(&self.bell) })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else { return };
        let mut line = queue.line();
        if line.is_assigned(self.ticket) {
            queue.pass_on(line);
        } else {
            line.waiting.retain(|waiter| waiter.ticket != self.ticket);
        }
    }
}

/// Wakes up who waits, to look whether he still wants to.
pub(crate) struct Waker {
    queue: Arc<Queue>,
    bell: Arc<Condvar>,
}

impl Waker {
    /// Wakes up. What `gives_up` of [`Waiting::wait`] reads has been written before.
    pub(crate) fn wake(&self) {
        // Who has asked, and not begun to wait, holds the lock.
        drop(self.queue.line());
        self.bell.notify_one();
    }
}
