//! Requests: boundaries at which old connections are closed.

use std::fmt;
use std::rc::Rc;
use std::thread::panicking;

use crate::base::error::Error;
use crate::handle::atomic::Atomic;
use crate::registry::Registry;
use crate::shared::signals::{RequestFinished, RequestStarted};
use crate::thread::desk::{OF_REQUEST_FINISHED, OF_REQUEST_STARTED};
use crate::thread::local::{self, ThreadRegistry};

impl Registry {
    /// Begins a request on this thread: sends `request_started` now, and `request_finished` when the guard is dropped,
    /// also by a panic. So old connections are closed at both ends. An atomic block or a `BEGIN` sent as text that was
    /// left open is rolled back, with a warning in the log that says where it began.
    ///
    /// It never fails: errors of the configuration are those of the first [`get`](Registry::get). On a thread that is
    /// ending it does nothing.
    ///
    /// It cannot commit, for nobody says whether the request went well: aliases with
    /// [`atomic_requests`](crate::Settings::atomic_requests) need [`in_request`](Registry::in_request), and the log says so
    /// once, at warn.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// {
    ///     let _request = connections.request(); // old connections are closed now,
    ///     connections.get("default")?.query("SELECT 1", ())?;
    /// } // and here
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn request(&self) -> Request {
        let hot = &self.shared().hot;
        if hot.has_atomic_requests() && hot.warns_of_requests() {
            log::warn!(
                target: "dockline::connection",
                "atomic_requests is set, and a request was begun by request(), which cannot commit: its statements are in no \
                 block; use in_request"
            );
        }
        self.request_around()
    }

    /// As [`request`](Registry::request), without the warning about `atomic_requests`: for adapters around handlers that have their blocks
    /// themselves.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// // What an adapter does around a handler that it does not know:
    /// let request = connections.request_around();
    /// connections.in_request(|| connections.get("default")?.query("SELECT 1", ()))?;
    /// drop(request);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn request_around(&self) -> Request {
        let registry = local::join(self.shared());
        if let Some(registry) = &registry {
            // Not entered yet: where it is the outermost, what is due is closed whatever its state.
            registry.shared.signals.request_started.send_at(&RequestStarted::new(), &**registry, &OF_REQUEST_STARTED);
            registry.enter();
        }
        Request { registry, was_panicking: panicking() }
    }

    /// Runs a closure as a request: see [`request`](Registry::request). For every alias that has
    /// [`atomic_requests`](crate::Settings::atomic_requests), it is an [`atomic`](crate::Connection::atomic) block too, and
    /// opens its connection, as in Django.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let one: i64 = connections.in_request(|| connections.get("default")?.query_value("SELECT 1", ()))?;
    /// assert_eq!(one, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The closure's own, and those of its blocks. Blocks are committed one after the other: where one fails, those before
    /// it stand, and those after it are rolled back.
    #[track_caller]
    pub fn in_request<T, E: From<Error>>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let _request = self.request_around();
        let aliases = self.shared().atomic_aliases();
        if aliases.is_empty() {
            return call();
        }
        let mut blocks = Vec::with_capacity(aliases.len());
        // As Django: the first alias is the innermost, and commits first.
        for alias in aliases.iter().rev() {
            blocks.push(self.get(alias)?.begin_atomic(Atomic::new())?);
        }
        match call() {
            Ok(value) => {
                while let Some(block) = blocks.pop() {
                    block.commit()?;
                }
                Ok(value)
            }
            Err(error) => {
                while blocks.pop().is_some() {}
                Err(error)
            }
        }
    }
}

/// A request on this thread, until it is dropped: see [`Registry::request`].
///
/// It belongs to its thread, and cannot be sent to another.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// {
///     let _request = connections.request();
///     connections.get("default")?.query("SELECT 1", ())?;
/// } // it ends here
/// # Ok::<_, dockline::Error>(())
/// ```
#[must_use = "the request ends when this is dropped"]
pub struct Request {
    registry: Option<Rc<ThreadRegistry>>,
    was_panicking: bool,
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(registry) = &self.registry {
            let event = RequestFinished::new(panicking() && !self.was_panicking);
            let signal = &registry.shared.signals.request_finished;
            registry.exit(|| signal.send_at(&event, &**registry, &OF_REQUEST_FINISHED));
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
