//! Requests and tasks: the boundaries at which old connections are closed.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::panicking;
use std::time::Instant;

use crate::error::Error;
use crate::registry::Registry;
use crate::shared::Shared;
use crate::signals::{RequestFinished, RequestStarted, TaskReport};
use crate::thread::{self, ThreadRegistry};

impl Registry {
    /// Begins a request on this thread: sends `request_started` now, and `request_finished` when the guard is dropped,
    /// also by a panic. So old connections are closed at both ends. A transaction that was begun by a `BEGIN` sent as
    /// text and left open is rolled back, with a warning in the log.
    ///
    /// It never fails: errors of the configuration are those of the first [`get`](Registry::get). On a thread that is
    /// ending it does nothing.
    pub fn request(&self) -> Request {
        let registry = thread::join(self.shared());
        if let Some(registry) = &registry {
            // Not entered yet: where it is the outermost, what is due is closed whatever its state.
            registry.shared.signals.request_started.send(&RequestStarted::new());
            registry.enter();
        }
        Request { registry, was_panicking: panicking() }
    }

    /// Runs a closure as a request: see [`request`](Registry::request).
    ///
    /// # Errors
    ///
    /// The closure's own. (`E: From<Error>` is for what the request itself may add.)
    pub fn in_request<T, E: From<Error>>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let _request = self.request();
        call()
    }

    /// Wraps a closure for a thread pool: when it has run, and also when it panics, `task_done` is sent on the thread
    /// that ran it, and what is due there is closed. A transaction that was left open is rolled back, as at the end of
    /// a request; a task inside a request or another task leaves that to them.
    ///
    /// The closure does not keep the registry alive.
    pub fn task<T, F>(&self, call: F) -> impl FnOnce() -> T + Send + use<T, F>
    where
        F: FnOnce() -> T + Send,
    {
        let shared = Arc::clone(self.shared());
        move || {
            let _task = Task::begin(shared);
            call()
        }
    }
}

/// A request on this thread, until it is dropped: see [`Registry::request`].
///
/// It belongs to its thread, and cannot be sent to another.
#[must_use = "the request ends when this is dropped"]
pub struct Request {
    registry: Option<Rc<ThreadRegistry>>,
    was_panicking: bool,
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(registry) = &self.registry {
            let event = RequestFinished::new(panicking() && !self.was_panicking);
            registry.exit(|| registry.shared.signals.request_finished.send(&event));
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// A task that runs; dropped on the thread that ran it.
struct Task {
    shared: Arc<Shared>,
    registry: Option<Rc<ThreadRegistry>>,
    started: Instant,
    was_panicking: bool,
}

impl Task {
    fn begin(shared: Arc<Shared>) -> Self {
        let registry = thread::join(&shared);
        if let Some(registry) = &registry {
            registry.enter();
        }
        Self { shared, registry, started: Instant::now(), was_panicking: panicking() }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let report = TaskReport::new(self.started.elapsed(), panicking() && !self.was_panicking);
        let tell = || self.shared.signals.task_done.send(&report);
        match &self.registry {
            Some(registry) => registry.exit(tell),
            None => tell(),
        }
    }
}
