//! The handle that programs use: one thread's connection for one alias.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::now::Now;
use crate::config::backend::SessionState;
use crate::config::server_info::ServerInfo;
use crate::handle::canceller::Canceller;
use crate::handle::hold::Hold;
use crate::handle::own_thread::OfThisThread;
use crate::slot::Slot;
use crate::slot::query_log::LoggedQuery;
use crate::slot::reason::CloseReason;
use crate::slot::work::Work;

/// This thread's connection for an alias (Django's `DatabaseWrapper`).
///
/// A cheap handle: clone it freely. It stays valid when the physical connection behind it is closed and replaced; the
/// first statement opens one. It can be used on its own thread only, which the compiler checks: it is neither `Send`
/// nor `Sync`.
///
/// In an async program it is for the inside of a section of blocking code (the crate `dockline-tokio`): a task that holds a transaction
/// over an `.await` shares the connection with every other task of its thread.
///
/// SQL has `?` for each parameter, whatever the backend, and `??` for a literal question mark.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// let db = connections.get("default")?; // opens nothing
/// db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT)", ())?; // opens a connection
/// let id: i64 = db.insert("INSERT INTO job (name) VALUES (?)", ("resize",))?;
/// let name: String = db.query_value("SELECT name FROM job WHERE id = ?", (id,))?;
/// assert_eq!(name, "resize");
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Clone)]
pub struct Connection {
    here: OfThisThread,
    slot: Rc<Slot>,
}

/// The flags of a connection as they stand: see [`Connection::state`].
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// db.transaction(|| {
///     assert!(db.state().in_atomic_block);
///     Ok(())
/// })?;
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionState {
    /// Whether a physical connection is open, as far as this side knows.
    pub connected: bool,
    /// Whether an atomic block is open.
    pub in_atomic_block: bool,
    /// Whether the atomic block, or the manual transaction after one, can only be rolled back. It stays true after a block
    /// whose connection was closed, until the next connection.
    pub needs_rollback: bool,
    /// Whether an error has occurred that makes the next boundary check the connection (Django's `errors_occurred`).
    pub errors_occurred: bool,
    /// Whether autocommit is on. False before the first connection.
    pub autocommit: bool,
    /// What the session holds that a new connection would lack, as far as is known. Empty in the middle of a statement.
    pub held: SessionState,
}

/// The life of the physical connection.
impl Connection {
    #[inline]
    pub(crate) fn new(slot: Rc<Slot>) -> Self {
        Self { here: OfThisThread {}, slot }
    }

    pub(crate) fn slot(&self) -> &Rc<Slot> {
        &self.slot
    }

    /// The slot, with a note of where the program has called: for what begins transactions.
    #[track_caller]
    #[inline]
    pub(crate) fn slot_here(&self) -> &Rc<Slot> {
        self.slot.trace.called();
        &self.slot
    }

    /// The alias.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert_eq!(db.alias(), "default");
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn alias(&self) -> &str {
        self.slot.alias()
    }

    /// The kind of database, in Django's words: `sqlite`, `mysql`, `postgresql`.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert_eq!(db.vendor(), "sqlite");
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn vendor(&self) -> &str {
        self.slot.vendor()
    }

    /// Opens a physical connection where none is. It does not ask whether one that is open still works.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert!(!db.is_connected()); // looking it up opened nothing
    /// db.ensure_connection()?;
    /// assert!(db.is_connected());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of connecting; [`Interface`](crate::ErrorKind::Interface) after shutdown and on a thread that is ending;
    /// [`ConnectionDoesNotExist`](crate::ErrorKind::ConnectionDoesNotExist) where the alias was removed.
    pub fn ensure_connection(&self) -> Result<()> {
        self.slot.ensure_connection()
    }

    /// Whether a physical connection is open, as far as this side knows.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert!(!db.is_connected());
    /// db.query("SELECT 1", ())?; // the first statement connects
    /// assert!(db.is_connected());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_connected(&self) -> bool {
        self.slot.notice_fork();
        self.slot.serial().is_some()
    }

    /// Asks the server what it is, and what its limits are: a round trip or two. It opens a connection where none is.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let info = db.server_info()?;
    /// println!("{} {}, {:?} connections left", info.product, info.version, info.connections_left);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of connecting and of the database; [`NotSupported`](crate::ErrorKind::NotSupported) where the backend has no server.
    pub fn server_info(&self) -> Result<ServerInfo> {
        self.slot.run(Work::Native, |session| session.server_info())
    }

    /// Whether a physical connection is open and answers: a round trip, where the backend has one. False where none is
    /// open, except on SQLite, which as in Django is always usable.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// db.ensure_connection()?;
    /// assert!(db.is_usable());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_usable(&self) -> bool {
        self.slot.is_usable()
    }

    /// Closes the physical connection; what was open on it is rolled back. In the middle of a statement, it is closed
    /// when that is over.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// db.ensure_connection()?;
    /// db.close();
    /// assert!(!db.is_connected());
    /// db.query("SELECT 1", ())?; // on a new one
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn close(&self) {
        self.slot.close(CloseReason::Asked);
    }

    /// Closes the physical connection where it is due: what
    /// [`close_old_connections`](crate::Registry::close_old_connections) does for each.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// db.ensure_connection()?;
    /// db.close_if_unusable_or_obsolete();
    /// assert!(db.is_connected()); // young, and well
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn close_if_unusable_or_obsolete(&self) {
        self.slot.close_if_unusable_or_obsolete(&Now::default(), self.slot.depth() > 0);
    }

    /// Runs a closure with this connection open, and closes it after that where it opened it (Django's
    /// `temporary_connection`): for what runs outside requests and tasks, and should leave nothing open behind it.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let one: i64 = db.temporary(|db| db.query_value("SELECT 1", ()))?;
    /// assert_eq!(one, 1);
    /// assert!(!db.is_connected());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of connecting, and the closure's.
    pub fn temporary<T, E: From<Error>>(&self, call: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        /// Closes also where the closure panics.
        struct Closing<'a>(&'a Connection);
        impl Drop for Closing<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }
        let _closing = (!self.is_connected()).then(|| Closing(self));
        self.ensure_connection()?;
        call(self)
    }

    /// Whether an error has occurred that makes the next boundary check the connection: any but
    /// [`Data`](crate::ErrorKind::Data) and [`Integrity`](crate::ErrorKind::Integrity).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert!(db.execute("no SQL at all", ()).is_err());
    /// assert!(db.errors_occurred()); // the next boundary asks whether it still works
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn errors_occurred(&self) -> bool {
        self.slot.flags.errors_occurred()
    }

    /// Reads the flags as they stand, and what the session holds. Opens nothing, and asks no server.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// db.execute("CREATE TEMPORARY TABLE seen (id INTEGER)", ())?;
    /// let state = db.state();
    /// assert!(state.connected && state.autocommit && !state.in_atomic_block);
    /// println!("{:?}", state.held);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn state(&self) -> ConnectionState {
        ConnectionState {
            connected: self.is_connected(),
            in_atomic_block: self.in_atomic_block(),
            needs_rollback: self.slot.transaction.needs_rollback(),
            errors_occurred: self.errors_occurred(),
            autocommit: self.slot.flags.autocommit(),
            held: self.slot.held_state(),
        }
    }

    /// The number of the physical connection, counted from 1 in this process; `None` where none is open.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert_eq!(db.serial(), None);
    /// db.ensure_connection()?;
    /// let first = db.serial();
    /// db.close();
    /// db.ensure_connection()?;
    /// assert_ne!(db.serial(), first); // it was replaced
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn serial(&self) -> Option<u64> {
        self.slot.notice_fork();
        self.slot.serial()
    }

    /// The number by which the server lists the connection; `None` where none is open, and for an embedded database.
    /// In the middle of a statement it is `None` too.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// // On servers, what pg_stat_activity and SHOW PROCESSLIST list.
    /// assert_eq!(db.server_connection_id(), None); // SQLite has no server
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn server_connection_id(&self) -> Option<u64> {
        self.slot.turn().ok()?.link()?.session.server_connection_id()
    }

    /// Keeps the connection from being replaced by another, until the guard is dropped: for state that a new one would
    /// lack, as temporary tables or what [`native`](Connection::native) set. Neither age nor idleness nor a changed
    /// autocommit nor other settings of its alias close it, and where it is lost or closed, statements and commits fail
    /// with [`is_disconnect`](Error::is_disconnect).
    ///
    /// It holds the connection that is open, or else the first that will be.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let hold = db.hold();
    /// db.execute("CREATE TEMPORARY TABLE seen (id INTEGER)", ())?;
    /// connections.close_old_connections(); // neither age nor idleness close what is held
    /// db.execute("INSERT INTO seen VALUES (1)", ())?;
    /// drop(hold);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn hold(&self) -> Hold {
        Hold::new(Rc::clone(&self.slot))
    }

    /// What cancels the running statement of this connection from another thread: it is `Send` and `Sync`.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let canceller = db.canceller();
    /// let watcher = std::thread::spawn(move || canceller.cancel()); // when the user has gone, say
    /// assert!(!watcher.join().unwrap()?); // no statement was running
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn canceller(&self) -> Canceller {
        self.slot.notice_fork();
        Canceller::new(Arc::clone(self.slot.seat()))
    }

    /// Turns the query log on or off (Django's `force_debug_cursor`). It is kept over reconnects, and emptied by
    /// `reset_queries` and by `request_started`.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// db.force_query_log(true);
    /// db.query("SELECT 1", ())?;
    /// for statement in db.queries() {
    ///     println!("{:?}: {}", statement.duration, statement.sql);
    /// }
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn force_query_log(&self, on: bool) {
        self.slot.log().force(on);
    }

    /// What the query log has: the last 9,000 statements, the oldest first.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// db.force_query_log(true);
    /// db.query("SELECT 1", ())?;
    /// assert_eq!(db.queries()[0].sql, "SELECT 1");
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn queries(&self) -> Vec<LoggedQuery> {
        self.slot.log().entries()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.slot.fmt(f)
    }
}
