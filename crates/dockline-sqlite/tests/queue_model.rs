//! The queue of writers in every order in which threads can come by: loom runs each of them.

#[path = "../src/queue.rs"]
#[allow(dead_code, reason = "what the rest of the crate uses")]
mod queue;

/// What `queue` is built of, of loom's.
mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;

    /// Time stands still.
    pub(crate) fn coarse_nanos() -> u64 {
        0
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

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use queue::{Joined, Queue, Turn, Who};

/// Every order with up to this many switches that no thread has asked for; three find nearly all faults there are.
const SWITCHES: usize = 3;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(SWITCHES);
    model.check(run);
}

fn who(thread: u64) -> Who {
    Who { thread, name: "t".into(), statement: "s".into() }
}

/// Waits without a limit; loom has no time.
fn take(queue: &Arc<Queue>, thread: u64, gives_up: &dyn Fn() -> bool) -> Option<Turn> {
    let mut joined = queue.join(who(thread));
    loop {
        joined = match joined {
            Joined::Turn(turn) => return Some(turn),
            Joined::Waiting(_) if gives_up() => return None,
            Joined::Waiting(waiting) => waiting.wait(Duration::MAX, gives_up),
        };
    }
}

/// Writes, and fails where somebody else does too.
fn write(inside: &AtomicUsize) {
    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two have the turn");
    thread::yield_now();
    inside.fetch_sub(1, Ordering::Relaxed);
}

#[test]
fn one_writes_at_a_time_and_all_come_to_their_turn() {
    model(|| {
        let (queue, inside) = (Arc::new(Queue::default()), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (1..=2)
            .map(|n| {
                let (queue, inside) = (Arc::clone(&queue), Arc::clone(&inside));
                thread::spawn(move || {
                    let turn = take(&queue, n, &|| false).unwrap();
                    write(&inside);
                    drop(turn);
                })
            })
            .collect();
        let turn = take(&queue, 3, &|| false).unwrap();
        write(&inside);
        drop(turn);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(queue.holder().is_none(), "who still waited would have it");
    });
}

#[test]
fn who_gives_up_is_woken_and_the_turn_is_never_lost() {
    model(|| {
        let (queue, given_up) = (Arc::new(Queue::default()), Arc::new(AtomicBool::new(false)));
        let first = take(&queue, 1, &|| false).unwrap();
        let Joined::Waiting(waiting) = queue.join(who(2)) else { panic!("it is held") };
        let waker = waiting.waker().unwrap();
        let flag = Arc::clone(&given_up);
        let waiter = thread::spawn(move || {
            let gives_up = || flag.load(Ordering::Relaxed);
            let mut joined = Joined::Waiting(waiting);
            while let Joined::Waiting(waiting) = joined {
                if gives_up() {
                    return;
                }
                joined = waiting.wait(Duration::MAX, &gives_up);
            }
        });
        let canceller = thread::spawn(move || {
            given_up.store(true, Ordering::Relaxed);
            waker.wake();
        });
        // The turn may come while the waiter gives up: whichever is first, it is free in the end.
        drop(first);
        canceller.join().unwrap();
        waiter.join().unwrap();
        assert!(queue.holder().is_none(), "who still waited would have it");
        assert!(take(&queue, 1, &|| false).is_some());
    });
}

#[test]
fn a_waiter_that_is_cancelled_while_the_turn_is_held_goes() {
    model(|| {
        let (queue, given_up) = (Arc::new(Queue::default()), Arc::new(AtomicBool::new(false)));
        let held = take(&queue, 1, &|| false).unwrap();
        let Joined::Waiting(waiting) = queue.join(who(2)) else { panic!("it is held") };
        let waker = waiting.waker().unwrap();
        let flag = Arc::clone(&given_up);
        let waiter = thread::spawn(move || {
            let gives_up = || flag.load(Ordering::Relaxed);
            let mut joined = Joined::Waiting(waiting);
            while let Joined::Waiting(waiting) = joined {
                if gives_up() {
                    return;
                }
                joined = waiting.wait(Duration::MAX, &gives_up);
            }
            panic!("nobody passed the turn on");
        });
        given_up.store(true, Ordering::Relaxed);
        waker.wake();
        // A wake-up that is lost would leave it waiting for ever, which loom reports.
        waiter.join().unwrap();
        drop(held);
        assert!(queue.holder().is_none(), "who still waited would have it");
    });
}

#[test]
fn the_first_to_come_is_the_first_to_write() {
    model(|| {
        let queue = Arc::new(Queue::default());
        let first = take(&queue, 1, &|| false).unwrap();
        let Joined::Waiting(second) = queue.join(who(2)) else { panic!("it is held") };
        let Joined::Waiting(third) = queue.join(who(3)) else { panic!("it is held") };
        let newcomer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || drop(take(&queue, 4, &|| false).unwrap()))
        };
        drop(first);
        assert_eq!(queue.holding_thread(), Some(2));
        // It gives its turn up untaken.
        drop(second);
        assert_eq!(queue.holding_thread(), Some(3));
        drop(third);
        newcomer.join().unwrap();
        assert!(queue.holder().is_none());
    });
}
