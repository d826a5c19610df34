//! Calls that take no time limit, on a thread of their own.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use dockline_core::backend::PerProcess;

use crate::deadline::Deadline;

/// So many may be left behind at a time, by servers or resolvers that do not answer. Then no further one is started.
const MOST: usize = 32;

#[derive(Default)]
struct Helpers {
    running: AtomicUsize,
}

/// Runs `call` on a thread of its own, and waits for it until the deadline. What comes later is dropped on that thread.
///
/// It is for calls that end by themselves before long in all but rare cases.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut) if it has not ended by then; otherwise no thread can be started, the call has panicked, or too
/// many earlier ones have not ended yet.
pub fn on_a_thread<T: Send + 'static>(deadline: Deadline, call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    static HELPERS: PerProcess<Helpers> = PerProcess::new();
    let helpers = HELPERS.get();
    if helpers.value.running.fetch_add(1, Ordering::AcqRel) >= MOST {
        helpers.value.running.fetch_sub(1, Ordering::AcqRel);
        return Err(io::Error::other(format!("{MOST} earlier attempts are still waiting for an answer")));
    }
    let running = Running(helpers);
    let (done, wait) = channel();
    std::thread::Builder::new().name("dockline-connect".to_owned()).spawn(move || {
        let _running = running;
        let _ = done.send(call());
    })?;
    match wait.recv_timeout(deadline.remaining().unwrap_or_default()) {
        Ok(result) => Ok(result),
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err(io::Error::other("the driver panicked")),
    }
}

struct Running(std::sync::Arc<dockline_core::backend::OfProcess<Helpers>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.value.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_waits_until_the_deadline_and_not_for_ever() {
        let long = Deadline::after(Duration::from_secs(30));
        assert_eq!(on_a_thread(long, || 7).unwrap(), 7);
        let (end, wait) = channel::<()>();
        let stuck = move || {
            let _ = wait.recv();
        };
        let late = on_a_thread(Deadline::after(Duration::from_millis(20)), stuck).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        drop(end);
        assert_eq!(
            on_a_thread(long, || panic!("on purpose")).map(|(): ()| ()).unwrap_err().kind(),
            io::ErrorKind::Other
        );
    }
}
