//! What the owner of a seat shows of it to whoever looks, and what has happened on an alias in all.
//!
//! A seat's [`Vitals`] are written by its owner alone, each by a plain load and store: no other thread's cache line is touched by a
//! statement. An alias's [`Tally`] is shared, and written when connections come and go, never by a statement. When a seat goes, what it
//! counted is added to the tally.

use std::sync::Arc;
use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use crate::base::moment::stamp;

/// What the owner of a seat shows of it.
#[derive(Default)]
pub(crate) struct Vitals {
    is_opening: AtomicBool,
    in_transaction: AtomicBool,
    /// How many guards hold the connection.
    holds: AtomicU32,
    /// Autocommit is not that of the settings.
    is_changed: AtomicBool,
    /// When the connection was opened, and when the owner was last seen to have used it; as stamps.
    opened_at: AtomicU64,
    /// The statements of the connection that is open.
    statements: AtomicU64,
    /// Those of connections before it.
    earlier_statements: AtomicU64,
    /// The number by which the server lists the connection, and one more, so that 0 says that there is none.
    server_id: AtomicU64,
    reused: AtomicU64,
    alive: AtomicU64,
    answered: AtomicU64,
    gone: AtomicU64,
    /// What a look found that came before: how many statements had run, and since when there were that many. Lookers write it; one that
    /// comes between another's two writes makes a pause look shorter.
    looked_at: AtomicU64,
    looked_statements: AtomicU64,
    /// In how many requests and tasks the owner is.
    presence: Arc<Presence>,
}

/// In how many requests and tasks of a registry a thread is.
#[derive(Default)]
pub(crate) struct Presence(AtomicU32);

impl Presence {
    #[inline]
    pub(crate) fn set(&self, depth: u32) {
        self.0.store(depth, Relaxed);
    }
}

/// What a seat shows at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signs {
    pub(crate) is_opening: bool,
    pub(crate) in_transaction: bool,
    pub(crate) is_held: bool,
    pub(crate) is_changed: bool,
    pub(crate) in_scope: bool,
    pub(crate) age: Duration,
    pub(crate) statements: u64,
    pub(crate) server_id: Option<u64>,
    /// For how long it has been seen unused, at the least.
    pub(crate) unused: Duration,
}

impl Signs {
    /// Whether another connection in its place would be missed by whoever uses it.
    pub(crate) fn is_missed(&self) -> bool {
        self.in_transaction || self.is_held || self.is_changed
    }
}

/// Adds to what its owner alone writes.
#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

impl Vitals {
    pub(crate) fn new(presence: Arc<Presence>) -> Self {
        Self { presence, ..Self::default() }
    }

    pub(crate) fn presence(&self) -> Arc<Presence> {
        Arc::clone(&self.presence)
    }

    pub(crate) fn set_opening(&self, is_opening: bool) {
        self.is_opening.store(is_opening, Relaxed);
    }

    /// A statement has run: the connection has run that many.
    #[inline]
    pub(crate) fn ran(&self, statements: u64, in_transaction: bool) {
        self.statements.store(statements, Relaxed);
        self.in_transaction.store(in_transaction, Relaxed);
    }

    pub(crate) fn set_in_transaction(&self, in_transaction: bool) {
        self.in_transaction.store(in_transaction, Relaxed);
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.in_transaction.load(Relaxed)
    }

    pub(crate) fn set_holds(&self, holds: u32) {
        self.holds.store(holds, Relaxed);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Relaxed) > 0
    }

    /// Autocommit is, or is not, that of the settings.
    pub(crate) fn set_changed(&self, is_changed: bool) {
        self.is_changed.store(is_changed, Relaxed);
    }

    /// A request or task has ended that worked on a connection which was there before.
    pub(crate) fn reused(&self) {
        add(&self.reused, 1);
    }

    #[inline]
    pub(crate) fn saw_alive(&self) {
        add(&self.alive, 1);
    }

    pub(crate) fn saw_answer(&self) {
        add(&self.answered, 1);
    }

    pub(crate) fn saw_gone(&self) {
        add(&self.gone, 1);
    }

    pub(super) fn put(&self, opened_at: Instant, statements: u64, server_id: Option<u64>) {
        self.opened_at.store(stamp(opened_at), Relaxed);
        self.statements.store(statements, Relaxed);
        // Those that another thread has run on it are that thread's.
        add(&self.earlier_statements, 0_u64.wrapping_sub(statements));
        self.server_id.store(server_id.map_or(0, |id| id.wrapping_add(1)), Relaxed);
        self.in_transaction.store(false, Relaxed);
        self.looked_at.store(stamp(Instant::now()), Relaxed);
        self.looked_statements.store(statements, Relaxed);
    }

    pub(super) fn taken(&self) {
        add(&self.earlier_statements, self.statements.swap(0, Relaxed));
        self.in_transaction.store(false, Relaxed);
    }

    /// Looks at what the owner shows. `is_running`: a statement runs at this moment.
    pub(crate) fn look(&self, now: Instant, is_running: bool) -> Signs {
        let now = stamp(now);
        let statements = self.statements.load(Relaxed);
        if is_running || self.looked_statements.swap(statements, Relaxed) != statements {
            self.looked_at.store(now, Relaxed);
        }
        let since = |then: u64| Duration::from_nanos(now.saturating_sub(then));
        Signs {
            is_opening: self.is_opening.load(Relaxed),
            in_transaction: self.in_transaction.load(Relaxed),
            is_held: self.holds.load(Relaxed) > 0,
            is_changed: self.is_changed.load(Relaxed),
            in_scope: self.presence.0.load(Relaxed) > 0,
            age: since(self.opened_at.load(Relaxed)),
            statements,
            server_id: self.server_id.load(Relaxed).checked_sub(1),
            unused: since(self.looked_at.load(Relaxed)),
        }
    }

    /// Returns what the seat has counted so far.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            statements: self.earlier_statements.load(Relaxed).wrapping_add(self.statements.load(Relaxed)),
            reused: self.reused.load(Relaxed),
            alive: self.alive.load(Relaxed),
            answered: self.answered.load(Relaxed),
            gone: self.gone.load(Relaxed),
        }
    }
}

/// What seats have counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) statements: u64,
    pub(crate) reused: u64,
    pub(crate) alive: u64,
    pub(crate) answered: u64,
    pub(crate) gone: u64,
}

impl Counted {
    pub(crate) fn add(&mut self, other: Self) {
        self.statements += other.statements;
        self.reused += other.reused;
        self.alive += other.alive;
        self.answered += other.answered;
        self.gone += other.gone;
    }
}

/// How many reasons for closing there is room for.
pub(crate) const REASONS: usize = 16;

/// What has happened on an alias in all, on all threads, also on those that have ended.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) opened: AtomicU64,
    pub(crate) connect_errors: AtomicU64,
    pub(crate) handed_over: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) leaks: AtomicU64,
    /// By the number of the reason.
    pub(crate) closed: [AtomicU64; REASONS],
    statements: AtomicU64,
    reused: AtomicU64,
    alive: AtomicU64,
    answered: AtomicU64,
    gone: AtomicU64,
    /// How many seats have gone.
    seats_gone: AtomicU64,
}

impl Tally {
    /// Adds what a seat has counted that goes.
    pub(crate) fn fold(&self, counted: Counted) {
        self.statements.fetch_add(counted.statements, Relaxed);
        self.reused.fetch_add(counted.reused, Relaxed);
        self.alive.fetch_add(counted.alive, Relaxed);
        self.answered.fetch_add(counted.answered, Relaxed);
        self.gone.fetch_add(counted.gone, Relaxed);
        self.seats_gone.fetch_add(1, Ordering::Release);
    }

    /// Returns how many seats have gone: who reads seats and tally asks before and after, and reads again if it is another number.
    pub(crate) fn seats_gone(&self) -> u64 {
        self.seats_gone.load(Ordering::Acquire)
    }

    /// Returns what the seats have counted that have gone.
    pub(crate) fn folded(&self) -> Counted {
        Counted {
            statements: self.statements.load(Relaxed),
            reused: self.reused.load(Relaxed),
            alive: self.alive.load(Relaxed),
            answered: self.answered.load(Relaxed),
            gone: self.gone.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals() -> Vitals {
        // So that the moments of a test lie behind it.
        stamp(Instant::now());
        Vitals::default()
    }

    #[test]
    fn unused_is_counted_from_the_first_look_that_found_as_many_statements() {
        let (vitals, began) = (vitals(), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        vitals.put(began, 0, None);
        vitals.ran(5, false);
        assert_eq!(vitals.look(after(10), false).unused, Duration::ZERO);
        assert_eq!(vitals.look(after(40), false).unused, Duration::from_secs(30));
        vitals.ran(6, false);
        assert_eq!(vitals.look(after(50), false).unused, Duration::ZERO);
        assert_eq!(vitals.look(after(60), true).unused, Duration::ZERO, "while one runs");
        assert_eq!(vitals.look(after(61), false).unused, Duration::from_secs(1));
    }

    #[test]
    fn what_a_seat_counted_is_kept_over_connections_and_by_the_tally() {
        let vitals = vitals();
        vitals.put(Instant::now(), 0, Some(0));
        assert_eq!(vitals.look(Instant::now(), false).server_id, Some(0));
        vitals.ran(3, true);
        vitals.taken();
        assert!(!vitals.look(Instant::now(), false).in_transaction);
        vitals.put(Instant::now(), 0, None);
        vitals.ran(2, false);
        vitals.saw_alive();
        vitals.saw_gone();
        let counted = vitals.counted();
        assert_eq!((counted.statements, counted.alive, counted.answered, counted.gone), (5, 1, 0, 1));
        let tally = Tally::default();
        tally.fold(counted);
        tally.fold(counted);
        let mut twice = counted;
        twice.add(counted);
        assert_eq!((tally.folded(), tally.seats_gone()), (twice, 2));
    }
}
