//! The cap in every order in which threads can come by: loom runs each of them.

#[path = "../src/link/cap.rs"]
#[allow(dead_code, reason = "what the rest of the crate uses")]
mod cap;
#[path = "../src/link/waiter.rs"]
mod waiter;

/// What `cap` is built of, of loom's.
mod link {
    pub(crate) use crate::waiter;

    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
        pub(crate) use loom::sync::{Mutex, MutexGuard};
        pub(crate) use std::sync::PoisonError;

        use std::cell::Cell;
        use std::sync::LockResult;
        use std::time::{Duration, Instant};

        /// A wait that is longer is one that somebody has to end: if nobody does, loom finds a deadlock.
        pub(crate) const LONG: Duration = Duration::from_secs(1_000);

        thread_local! {
            /// The clock of a run: all threads of a model are one of the system's.
            static CLOCK: Cell<(Option<Instant>, Duration)> = const { Cell::new((None, Duration::ZERO)) };
        }

        /// A run begins.
        pub(crate) fn set_clock() {
            CLOCK.set((Some(Instant::now()), Duration::ZERO));
        }

        fn began() -> Instant {
            CLOCK.get().0.expect("a run has begun")
        }

        /// Time passes only where somebody waits for it.
        pub(crate) fn now() -> Instant {
            began() + CLOCK.get().1
        }

        pub(crate) fn stamp(now: Instant) -> u64 {
            u64::try_from((now - began()).as_nanos()).unwrap() + 1
        }

        /// loom has no time. A short wait is over at once, in any order with what other threads do; a long one is never over by itself.
        pub(crate) struct Condvar(loom::sync::Condvar);

        impl Condvar {
            pub(crate) fn new() -> Self {
                Self(loom::sync::Condvar::new())
            }

            pub(crate) fn notify_one(&self) {
                self.0.notify_one();
            }

            pub(crate) fn wait_timeout<'a, T>(
                &self,
                guard: MutexGuard<'a, T>,
                timeout: Duration,
            ) -> LockResult<(MutexGuard<'a, T>, ())> {
                if timeout < LONG {
                    let (began, passed) = CLOCK.get();
                    CLOCK.set((began, passed + timeout));
                    return Ok((guard, ()));
                }
                match self.0.wait(guard) {
                    Ok(guard) => Ok((guard, ())),
                    Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), ()))),
                }
            }
        }

        /// There is one.
        #[derive(PartialEq)]
        pub(crate) struct Process;

        impl Process {
            pub(crate) fn current() -> Self {
                Self
            }
        }
    }
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use cap::{Cap, Grant, Order, Permit, Place};
use link::sync::{LONG, now, stamp};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use loom::thread;

/// Every order with up to this many switches that no thread has asked for; three find nearly all faults there are.
const SWITCHES: usize = 3;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(SWITCHES);
    model.check(move || {
        link::sync::set_clock();
        run();
    });
}

/// A connection: its permit, and nothing else.
struct Link(Permit<Seat>);

/// One thread's place, as the core's seat: a lock, and beside it a word for a glance.
struct Seat {
    sitting: Mutex<Sitting>,
    is_parked: AtomicBool,
    /// Until when it is kept for its owner, as a stamp.
    kept_until: AtomicU64,
    thread: usize,
}

#[derive(Default)]
struct Sitting {
    link: Option<Link>,
    is_parked: bool,
}

impl Seat {
    fn new(thread: usize) -> Arc<Self> {
        Arc::new(Self {
            sitting: Mutex::default(),
            is_parked: AtomicBool::new(false),
            kept_until: AtomicU64::new(0),
            thread,
        })
    }

    fn park(&self, cap: &Arc<Cap<Self>>) {
        let mut sitting = self.sitting.lock().unwrap();
        sitting.is_parked = true;
        self.is_parked.store(true, Ordering::Relaxed);
        drop(sitting);
        cap.serve_if_any_waits(self);
    }

    /// The owner may go on with it for a while although others wait.
    fn begin_stint(&self) {
        self.kept_until.store(stamp(now() + STINT), Ordering::Relaxed);
    }

    /// Takes back what is parked, if it is there and nobody waits.
    fn take_back(&self, cap: &Arc<Cap<Self>>) -> bool {
        let mut sitting = self.sitting.lock().unwrap();
        if !sitting.is_parked {
            return sitting.link.is_some();
        }
        sitting.is_parked = false;
        self.is_parked.store(false, Ordering::Relaxed);
        if !cap.any_waits() || stamp(now()) < self.kept_until() {
            return true;
        }
        drop(sitting);
        self.park(cap);
        false
    }

    fn put(self: &Arc<Self>, link: Link) {
        link.0.is(cap::Stage::Open);
        self.sitting.lock().unwrap().link = Some(link);
    }

    fn close(&self) {
        let mut sitting = self.sitting.lock().unwrap();
        sitting.is_parked = false;
        self.is_parked.store(false, Ordering::Relaxed);
        let link = sitting.link.take();
        drop(sitting);
        drop(link);
    }
}

impl Place for Seat {
    type Link = Link;

    fn parked_since(&self) -> Option<u64> {
        self.is_parked.load(Ordering::Relaxed).then_some(1)
    }

    fn kept_until(&self) -> u64 {
        self.kept_until.load(Ordering::Relaxed)
    }

    fn take_parked(&self) -> Option<Link> {
        let mut sitting = self.sitting.try_lock().ok()?;
        if !sitting.is_parked {
            return None;
        }
        sitting.is_parked = false;
        self.is_parked.store(false, Ordering::Relaxed);
        sitting.link.take()
    }

    fn is_alike(&self, _: &Self) -> bool {
        true
    }

    fn is_of_same_thread(&self, other: &Self) -> bool {
        self.thread == other.thread
    }
}

/// How long an owner may go on.
const STINT: Duration = Duration::from_millis(1);

/// Far enough: a wait that nobody ends is a deadlock, which loom finds.
fn never() -> Instant {
    now() + LONG * 1_000
}

fn seat_with(cap: &Arc<Cap<Seat>>, thread: usize) -> Arc<Seat> {
    let seat = Seat::new(thread);
    acquire(cap, &seat);
    seat
}

/// Waits for a connection, and puts it into the seat.
fn acquire(cap: &Arc<Cap<Seat>>, seat: &Arc<Seat>) {
    let mut waiting = cap.claim(seat, now(), Order::Last);
    match waiting.granted().or_else(|| waiting.wait(never())) {
        Some(Grant::Permit(permit)) => seat.put(Link(permit)),
        Some(Grant::Link(link)) => seat.put(link),
        Some(Grant::Nothing) | None => panic!("nobody wakes it"),
    }
}

fn new_cap(max: usize) -> Arc<Cap<Seat>> {
    Arc::new(Cap::new("a cap".into(), max))
}

/// A thread beside this one.
fn beside<T: 'static>(cap: &Arc<Cap<Seat>>, run: impl FnOnce(&Arc<Cap<Seat>>) -> T + 'static) -> thread::JoinHandle<T> {
    let cap = Arc::clone(cap);
    thread::spawn(move || run(&cap))
}

fn use_it(inside: &AtomicUsize, max: usize) {
    assert!(inside.fetch_add(1, Ordering::Relaxed) < max, "more than the cap");
    thread::yield_now();
    inside.fetch_sub(1, Ordering::Relaxed);
}

#[test]
fn a_permit_that_is_given_back_goes_to_who_waits() {
    model(|| {
        let (cap, inside) = (new_cap(1), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (1..=2)
            .map(|n| {
                let (cap, inside) = (Arc::clone(&cap), Arc::clone(&inside));
                thread::spawn(move || {
                    let seat = seat_with(&cap, n);
                    use_it(&inside, 1);
                    seat.close();
                })
            })
            .collect();
        let seat = seat_with(&cap, 3);
        use_it(&inside, 1);
        seat.close();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(cap.standing().holders.is_empty());
    });
}

#[test]
fn what_is_parked_is_found_by_who_waits_whoever_comes_first() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        let waiter = beside(&cap, |cap| seat_with(cap, 2).close());
        owner.park(&cap);
        waiter.join().unwrap();
    });
}

#[test]
fn an_owner_that_comes_back_and_one_that_waits_both_get_their_turn() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        owner.park(&cap);
        let waiter = beside(&cap, |cap| {
            let seat = seat_with(cap, 2);
            seat.park(cap);
            seat
        });
        if !owner.take_back(&cap) {
            acquire(&cap, &owner);
        }
        owner.park(&cap);
        let seat = waiter.join().unwrap();
        // Somebody has it, and it is one.
        assert_eq!(cap.standing().holders.len(), 1);
        owner.close();
        seat.close();
        assert!(cap.standing().holders.is_empty());
    });
}

#[test]
fn who_gives_up_in_the_moment_of_being_served_keeps_what_he_got() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        let waiter = beside(&cap, |cap| {
            let seat = Seat::new(2);
            let waiting = cap.claim(&seat, now(), Order::Last);
            drop(waiting.give_up());
        });
        owner.park(&cap);
        waiter.join().unwrap();
        owner.close();
        // Whatever came of it, nothing was lost.
        seat_with(&cap, 3).close();
        assert!(cap.standing().holders.is_empty());
    });
}

/// Else a thread whose connection is on its way to another would seem to hold it still.
#[test]
fn what_is_handed_over_is_the_others_at_once() {
    model(|| {
        let cap = new_cap(1);
        let (owner, seat) = (seat_with(&cap, 1), Seat::new(2));
        let mut waiting = cap.claim(&seat, now(), Order::Last);
        assert!(!waiting.is_for_itself());
        owner.park(&cap);
        assert!(Arc::ptr_eq(&cap.standing().holders[0].place, &seat));
        drop(waiting.granted());
        assert!(cap.standing().holders.is_empty());
    });
}

#[test]
fn a_cap_that_is_lowered_while_one_parks_and_one_waits() {
    model(|| {
        let cap = new_cap(2);
        let (one, other) = (seat_with(&cap, 1), seat_with(&cap, 2));
        let waiter = beside(&cap, |cap| seat_with(cap, 3).close());
        let lowering = beside(&cap, |cap| drop(cap.set_max(1)));
        one.park(&cap);
        other.park(&cap);
        lowering.join().unwrap();
        waiter.join().unwrap();
        one.close();
        other.close();
        assert!(cap.standing().holders.is_empty());
    });
}

#[test]
fn those_who_are_woken_leave_nothing_behind() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        let waiter = beside(&cap, |cap| {
            let seat = Seat::new(2);
            let mut waiting = cap.claim(&seat, now(), Order::Last);
            drop(waiting.granted().or_else(|| waiting.wait(never())));
        });
        // A shutdown wakes whoever waits; who comes later finds the connection closed.
        cap.wake(|_| true);
        owner.close();
        waiter.join().unwrap();
        assert!(cap.standing().holders.is_empty());
    });
}

#[test]
fn what_is_kept_for_its_owner_is_found_by_who_waits_when_that_is_over() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        owner.begin_stint();
        let waiter = beside(&cap, |cap| seat_with(cap, 2).close());
        // It does not come back, and nobody else comes by.
        owner.park(&cap);
        waiter.join().unwrap();
        assert!(cap.standing().holders.is_empty());
    });
}

#[test]
fn an_owner_in_his_stint_goes_on_and_who_waits_gets_his_turn() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        owner.begin_stint();
        let waiter = beside(&cap, |cap| seat_with(cap, 2).close());
        owner.park(&cap);
        if owner.take_back(&cap) {
            owner.park(&cap);
        }
        waiter.join().unwrap();
        owner.close();
        assert!(cap.standing().holders.is_empty());
    });
}

/// The head of the queue looks again by himself for the sake of one place; the other is not forgotten for that.
#[test]
fn of_two_that_are_kept_each_is_found() {
    model(|| {
        let cap = new_cap(2);
        let (one, other) = (seat_with(&cap, 1), seat_with(&cap, 2));
        one.begin_stint();
        other.begin_stint();
        let first = beside(&cap, |cap| seat_with(cap, 3).close());
        let parks = beside(&cap, move |cap| {
            one.park(cap);
            one
        });
        other.park(&cap);
        let second = seat_with(&cap, 4);
        first.join().unwrap();
        parks.join().unwrap().close();
        second.close();
        other.close();
        assert!(cap.standing().holders.is_empty());
    });
}

#[test]
fn a_head_that_gives_up_leaves_what_is_kept_to_the_next() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        owner.begin_stint();
        let seat = Seat::new(2);
        let head = cap.claim(&seat, now(), Order::Last);
        let next = beside(&cap, |cap| seat_with(cap, 3).close());
        owner.park(&cap);
        drop(head.give_up());
        next.join().unwrap();
        owner.close();
        assert!(cap.standing().holders.is_empty());
    });
}

/// Those who are woken to think again may have been the ones who would have looked.
#[test]
fn what_is_kept_is_found_by_those_who_are_not_woken() {
    model(|| {
        let cap = new_cap(1);
        let owner = seat_with(&cap, 1);
        owner.begin_stint();
        let seat = Seat::new(2);
        let mut head = cap.claim(&seat, now(), Order::Last);
        let next = beside(&cap, |cap| seat_with(cap, 3).close());
        owner.park(&cap);
        cap.wake(|place| place.thread == 2);
        drop(head.granted());
        next.join().unwrap();
        owner.close();
        assert!(cap.standing().holders.is_empty());
    });
}
