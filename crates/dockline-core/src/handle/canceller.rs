//! Cancelling a statement from another thread.

use std::fmt;
use std::sync::Arc;

use crate::base::error::Result;
use crate::link::seat::Seat;

/// Cancels the statement that a connection runs, from another thread: see
/// [`Connection::canceller`](crate::Connection::canceller).
///
/// It follows the connection: where that is replaced by a new one, it cancels what runs there.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// let canceller = db.canceller();
/// let watcher = std::thread::spawn(move || canceller.cancel()); // when the user has gone, say
/// # watcher.join().unwrap()?;
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Clone)]
pub struct Canceller {
    seat: Arc<Seat>,
}

impl Canceller {
    pub(crate) fn new(seat: Arc<Seat>) -> Self {
        Self { seat }
    }

    /// Asks the database to end the statement that runs now. The statement then fails with
    /// [`is_cancelled`](crate::Error::is_cancelled), unless it ends before.
    ///
    /// False where no statement runs (connecting is none), or the backend cannot cancel. Where one ends and the next begins at this very
    /// moment, it can be the next that is cancelled.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let canceller = db.canceller();
    /// let limit = std::thread::spawn(move || {
    ///     // After a while, or when somebody asks for it:
    ///     canceller.cancel()
    /// });
    /// # limit.join().unwrap()?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the server cannot be asked.
    pub fn cancel(&self) -> Result<bool> {
        self.seat.cancel()
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").field("alias", &self.seat.alias).field("thread", &self.seat.thread).finish()
    }
}
