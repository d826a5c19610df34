//! Calls of the driver on threads that tokio knows.
//!
//! The driver is blocking on the outside and async within: each call blocks on a runtime of its own, and tokio panics where
//! that happens on a thread that drives another runtime. So whether it would is found out before anything is sent.

use std::cell::Cell;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll, Waker};

use dockline_core::{Error, ErrorKind, Result};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::task::coop::poll_proceed;

/// How much tokio lets a task do in one turn.
const A_TURN: u32 = 128;

/// Runs what calls the driver.
///
/// On a thread of a runtime with several threads, the runtime goes on elsewhere meanwhile. On the one thread of a runtime
/// that has no other, the call would stop all its tasks: that is an error, and nothing is called.
pub(crate) fn blocking<R>(call: impl FnOnce() -> Result<R>) -> Result<R> {
    match Handle::try_current() {
        Err(_) => call(),
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::CurrentThread => {
            may_block(&handle)?;
            call()
        }
        Ok(_) => in_place(call),
    }
}

/// Whether the driver can be called here without [`blocking`] around it, for what is lent to the program.
///
/// # Errors
///
/// Where it cannot.
pub(crate) fn may_lend() -> Result<()> {
    match Handle::try_current() {
        Err(_) => Ok(()),
        Ok(handle) => may_block(&handle),
    }
}

/// Without a runtime, on blocking threads and inside `block_in_place` it is no more than the call.
#[cold]
fn in_place<R>(call: impl FnOnce() -> Result<R>) -> Result<R> {
    let called = Cell::new(false);
    let run = || {
        called.set(true);
        call()
    };
    match catch_unwind(AssertUnwindSafe(|| block_in_place(run))) {
        Ok(result) => result,
        Err(panic) if called.get() => resume_unwind(panic),
        // In a `LocalSet`, say, whose tasks cannot go on elsewhere. Nobody can ask for that beforehand.
        Err(_) => Err(refused()),
    }
}

/// A blocking thread knows its runtime as well as the runtime's own thread does, and tokio does not say which this is.
#[cold]
fn may_block(handle: &Handle) -> Result<()> {
    // The second asks tokio as the driver would. It is certain, but where it fails, the panic is on the screen.
    if is_in_a_turn() || catch_unwind(AssertUnwindSafe(|| handle.block_on(ready(())))).is_err() {
        return Err(refused());
    }
    Ok(())
}

/// Whether tokio counts what is done here, as it does while it polls a task, unless the task is `unconstrained`.
fn is_in_a_turn() -> bool {
    let mut context = Context::from_waker(Waker::noop());
    // Dropped last, it puts back what was spent.
    let Poll::Ready(_spent) = poll_proceed(&mut context) else { return true };
    (0..A_TURN).any(|_| match poll_proceed(&mut context) {
        Poll::Ready(step) => {
            step.made_progress();
            false
        }
        Poll::Pending => true,
    })
}

fn refused() -> Error {
    let message = "this thread drives an async runtime, which a statement would stop; nothing was sent: hand the work to \
                   spawn_blocking of tokio, or to the crate dockline-tokio";
    Error::new(ErrorKind::Interface, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::runtime::{Builder, Runtime};
    use tokio::task::{LocalSet, spawn_blocking, unconstrained};

    fn current_thread() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    fn multi_thread() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    /// What the driver does: this panics where it would.
    fn call() -> Result<u32> {
        blocking(|| Ok(current_thread().block_on(async { 7 })))
    }

    fn works() {
        assert_eq!(call().unwrap(), 7);
    }

    fn is_refused() {
        let error = call().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interface, "{error}");
        assert!(error.message().contains("spawn_blocking") && !error.may_have_executed(), "{error}");
    }

    #[test]
    fn a_thread_without_a_runtime_calls_it() {
        works();
        may_lend().unwrap();
    }

    #[test]
    fn a_runtime_of_one_thread_refuses() {
        let runtime = current_thread();
        runtime.block_on(async {
            is_refused();
            may_lend().unwrap_err();
            tokio::spawn(async { is_refused() }).await.unwrap();
            unconstrained(async { is_refused() }).await;
        });
        LocalSet::new().block_on(&runtime, async { tokio::task::spawn_local(async { is_refused() }).await.unwrap() });
    }

    #[test]
    fn a_runtime_of_several_threads_goes_on_elsewhere() {
        let runtime = multi_thread();
        runtime.block_on(async {
            works();
            // What is lent is used outside.
            may_lend().unwrap_err();
            block_in_place(|| may_lend().unwrap());
            tokio::spawn(async {
                works();
                may_lend().unwrap_err();
                block_in_place(|| may_lend().unwrap());
                unconstrained(async { works() }).await;
            })
            .await
            .unwrap();
        });
    }

    #[test]
    fn a_local_set_on_several_threads_refuses() {
        let runtime = multi_thread();
        LocalSet::new().block_on(&runtime, async {
            tokio::task::spawn_local(async { is_refused() }).await.unwrap();
            tokio::task::spawn_local(unconstrained(async { is_refused() })).await.unwrap();
        });
    }

    #[test]
    fn blocking_threads_of_both_call_it() {
        for runtime in [current_thread(), multi_thread()] {
            let call = || {
                works();
                may_lend().unwrap();
                // Here it would drive one again.
                if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
                    Handle::current().block_on(async { is_refused() });
                }
            };
            runtime.block_on(async { spawn_blocking(call).await.unwrap() });
        }
    }

    #[test]
    fn a_guard_alone_is_no_hindrance() {
        for runtime in [current_thread(), multi_thread()] {
            let _entered = runtime.enter();
            works();
            may_lend().unwrap();
        }
    }

    #[test]
    fn the_guard_of_another_runtime_does_not_hide_the_one_that_runs() {
        let (one, several) = (current_thread(), multi_thread());
        one.block_on(async {
            let _entered = several.enter();
            is_refused();
        });
        several.block_on(async {
            let _entered = one.enter();
            is_refused();
            block_in_place(works);
        });
    }

    #[test]
    fn asking_costs_a_task_nothing_of_its_turn() {
        current_thread().block_on(async {
            for _ in 0..10 {
                is_refused();
            }
            assert!(tokio::task::coop::has_budget_remaining());
            // The first await of a task that had nothing left would give way to the others.
            let mut spent = std::pin::pin!(tokio::task::consume_budget());
            assert!(spent.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        });
    }

    #[test]
    fn a_panic_of_the_call_goes_on() {
        let panics = || blocking::<()>(|| panic!("mine"));
        let text = |panic: Box<dyn std::any::Any + Send>| *panic.downcast_ref::<&str>().unwrap();
        assert_eq!(catch_unwind(panics).map_err(text).unwrap_err(), "mine");
        multi_thread().block_on(async { assert_eq!(catch_unwind(panics).map_err(text).unwrap_err(), "mine") });
    }
}
