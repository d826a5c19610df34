//! The cap in every order in which threads can come by: loom runs each of them.

#[path = "../src/link/cap.rs"]
#[allow(dead_code, reason = "what the rest of the crate uses")]
mod cap;

/// What `cap` is built of, of loom's.
mod link {
    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering, fence};
        pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
        pub(crate) use std::sync::PoisonError;

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
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

/// Every order with up to this many switches that no thread has asked for; three find nearly all faults there are.
const SWITCHES: usize = 3;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(SWITCHES);
    model.check(run);
}

/// A connection: its permit, and nothing else.
struct Link(Permit<Seat>);

/// One thread's place, as the core's seat: a lock, and beside it a word for a glance.
struct Seat {
    sitting: Mutex<Sitting>,
    is_parked: AtomicBool,
    thread: usize,
}

#[derive(Default)]
struct Sitting {
    link: Option<Link>,
    is_parked: bool,
}

impl Seat {
    fn new(thread: usize) -> Arc<Self> {
        Arc::new(Self { sitting: Mutex::default(), is_parked: AtomicBool::new(false), thread })
    }

    fn park(&self, cap: &Arc<Cap<Self>>) {
        let mut sitting = self.sitting.lock().unwrap();
        sitting.is_parked = true;
        self.is_parked.store(true, Ordering::Relaxed);
        drop(sitting);
        cap.serve_if_any_waits();
    }

    /// Takes back what is parked, if it is there and nobody waits.
    fn take_back(&self, cap: &Arc<Cap<Self>>) -> bool {
        let mut sitting = self.sitting.lock().unwrap();
        if !sitting.is_parked {
            return sitting.link.is_some();
        }
        sitting.is_parked = false;
        self.is_parked.store(false, Ordering::Relaxed);
        if !cap.any_waits() {
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

/// Far enough: loom has no time, and a wait that nobody ends is a deadlock, which it finds.
fn never() -> Instant {
    Instant::now() + Duration::from_secs(1_000_000)
}

fn seat_with(cap: &Arc<Cap<Seat>>, thread: usize) -> Arc<Seat> {
    let seat = Seat::new(thread);
    acquire(cap, &seat);
    seat
}

/// Waits for a connection, and puts it into the seat.
fn acquire(cap: &Arc<Cap<Seat>>, seat: &Arc<Seat>) {
    let mut waiting = cap.claim(seat, Instant::now(), Order::Last);
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
            let waiting = cap.claim(&seat, Instant::now(), Order::Last);
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
        let mut waiting = cap.claim(&seat, Instant::now(), Order::Last);
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
            let mut waiting = cap.claim(&seat, Instant::now(), Order::Last);
            drop(waiting.granted().or_else(|| waiting.wait(never())));
        });
        // A shutdown wakes whoever waits; who comes later finds the connection closed.
        cap.wake(|_| true);
        owner.close();
        waiter.join().unwrap();
        assert!(cap.standing().holders.is_empty());
    });
}
