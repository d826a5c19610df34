//! Atomic blocks (Django's `transaction.atomic`).

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::base::logging::{panic_text, say};
use crate::config::backend::TransactionOptions;
use crate::config::settings::IsolationLevel;
use crate::handle::connection::Connection;
use crate::handle::own_thread::EndsHere;
use crate::slot::Slot;
use crate::slot::blocks::Entry;
use crate::slot::standing::Exit;

/// How an atomic block is entered (the arguments of Django's `atomic`).
///
/// ```
/// use dockline::{Atomic, IsolationLevel};
///
/// let report = Atomic::new().durable(true).isolation_level(IsolationLevel::RepeatableRead).read_only(true);
/// # let _ = report;
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it is given to atomic_with or begin_atomic"]
pub struct Atomic {
    savepoint: bool,
    durable: bool,
    options: TransactionOptions,
}

impl Atomic {
    /// A block with a savepoint where it is nested, and not durable.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// let options = Atomic::new().durable(true).read_only(true);
    /// # let _ = options;
    /// ```
    pub fn new() -> Self {
        Self { savepoint: true, durable: false, options: TransactionOptions::default() }
    }

    /// Whether a block inside another makes a savepoint. Default: true. Without one it costs nothing, and where it is left
    /// by an error, the blocks around it can only be rolled back, up to the next that has a savepoint.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.transaction(|| {
    ///     // No savepoint: it costs nothing. If it fails, the block around it is rolled back, too.
    ///     db.atomic_with(Atomic::new().savepoint(false), || db.execute("INSERT INTO job (name) VALUES (?)", ("resize",)))
    /// })?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn savepoint(mut self, savepoint: bool) -> Self {
        self.savepoint = savepoint;
        self
    }

    /// Whether the block has to be the outermost one, so that its work is committed when it ends. Default: false. A durable
    /// block inside another is an error ([`Error::is_nested_durable`]); inside that of a test
    /// ([`testing`](crate::testing)) it is taken for a nested one.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.transaction(|| {
    ///     let nested = db.atomic_with(Atomic::new().durable(true), || db.execute("DELETE FROM job", ()));
    ///     assert!(nested.unwrap_err().is_nested_durable()); // its end would be no commit
    ///     Ok(())
    /// })?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// The isolation level of the transaction. Default: that of the connection
    /// ([`Settings::isolation_level`](crate::Settings::isolation_level)). Only the outermost block can have it. SQLite has
    /// serializable alone.
    ///
    /// ```
    /// use dockline::{Atomic, IsolationLevel};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let serializable = Atomic::new().isolation_level(IsolationLevel::Serializable);
    /// db.atomic_with(serializable, || db.execute("INSERT INTO job (name) VALUES (?)", ("resize",)))?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.options.isolation_level = Some(level);
        self
    }

    /// Whether the transaction takes no writes. Default: what the server's default is. Only the outermost block can have
    /// it. On SQLite such a block waits for no writer, and no writer waits for it.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let refused = db.atomic_with(Atomic::new().read_only(true), || db.execute("DELETE FROM job", ()));
    /// assert!(refused.unwrap_err().is_read_only());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.options.read_only = Some(read_only);
        self
    }
}

impl Default for Atomic {
    fn default() -> Self {
        Self::new()
    }
}

/// Atomic blocks.
impl Connection {
    /// Runs a closure as one transaction: commits where it returns `Ok`, rolls back where it returns `Err` or panics, and
    /// passes either on. Inside another block it is a savepoint: its work is undone alone where it fails.
    ///
    /// ```
    /// # use dockline::{Connection, Error, params};
    /// fn transfer(db: &Connection, from: i64, to: i64, amount: i64) -> Result<(), Error> {
    ///     db.atomic(|| {
    ///         db.execute("UPDATE account SET balance = balance - ? WHERE id = ?", params![amount, from])?;
    ///         db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", params![amount, to])?;
    ///         db.on_commit(|| log::info!("transferred"))
    ///     })
    /// }
    /// ```
    ///
    /// In a function whose error is another one than Dockline's, as that of `anyhow::Result`, the compiler asks which error the closure
    /// has (E0283): write [`transaction`](Connection::transaction), or say it, `db.atomic(|| -> anyhow::Result<_> { … })?`.
    ///
    /// Where autocommit is off, the outermost block too is a savepoint, as in Django, and
    /// [`commit`](Connection::commit) commits.
    ///
    /// # Errors
    ///
    /// The closure's; those of beginning and committing. A commit that fails rolls back. Two predicates say what became
    /// of the work: [`is_work_lost`](Error::is_work_lost), where the transaction was gone before the block came to its end
    /// (also where the error of that was swallowed inside: Django ends such a block without an error), and
    /// [`is_commit_unknown`](Error::is_commit_unknown), where the connection was lost by the commit, so that nobody can say
    /// if it took effect.
    #[track_caller]
    pub fn atomic<T, E: From<Error>>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.atomic_with(Atomic::new(), call)
    }

    /// Runs a closure as one transaction whose error is Dockline's own: [`atomic`](Connection::atomic) where nothing says what the
    /// closure's error is.
    ///
    /// In a function of `anyhow::Result` the compiler cannot tell which error a closure has that ends with `Ok`, for `?` would take any.
    /// Either use this, or say it: `db.atomic(|| -> anyhow::Result<_> { … })?`, which takes other errors as well.
    ///
    /// ```
    /// # use dockline::Connection;
    /// fn count(db: &Connection) -> Result<i64, Box<dyn std::error::Error>> {
    ///     let jobs = db.transaction(|| {
    ///         db.execute("DELETE FROM job WHERE done = 1", ())?;
    ///         db.query_value::<i64>("SELECT count(*) FROM job", ())
    ///     })?;
    ///     Ok(jobs)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`atomic`](Connection::atomic).
    #[track_caller]
    pub fn transaction<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.atomic(call)
    }

    /// As [`atomic`](Connection::atomic), with options.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let names: Vec<(String,)> = db.atomic_with(Atomic::new().read_only(true), || db.query_as("SELECT name FROM job", ()))?;
    /// assert!(names.is_empty());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`atomic`](Connection::atomic); [`TransactionManagement`](crate::ErrorKind::TransactionManagement) for a durable
    /// block inside another, and for an isolation level or `read_only` of an inner one.
    #[track_caller]
    pub fn atomic_with<T, E: From<Error>>(&self, atomic: Atomic, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let block = self.begin_atomic(atomic)?;
        match call() {
            Ok(value) => {
                block.commit()?;
                Ok(value)
            }
            Err(error) => {
                block.roll_back_and_log();
                Err(error)
            }
        }
    }

    /// Enters a block that a guard ends, for code that cannot be a closure. Where the guard is dropped without
    /// [`commit`](AtomicBlock::commit), it rolls back.
    ///
    /// ```
    /// # use dockline::{Atomic, Connection, Result};
    /// # fn run(db: &Connection) -> Result<()> {
    /// let block = db.begin_atomic(Atomic::new())?;
    /// db.execute("DELETE FROM job WHERE done = 1", ())?; // an error here returns, and rolls back
    /// block.commit()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of connecting and of the database; else as [`atomic_with`](Connection::atomic_with).
    #[track_caller]
    pub fn begin_atomic(&self, atomic: Atomic) -> Result<AtomicBlock> {
        AtomicBlock::enter(self.slot_here(), atomic, false, Location::caller())
    }

    /// Whether an atomic block is open.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert!(!db.in_atomic_block());
    /// db.transaction(|| {
    ///     assert!(db.in_atomic_block());
    ///     Ok(())
    /// })?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn in_atomic_block(&self) -> bool {
        self.slot().transaction.in_atomic_block()
    }

    /// Whether the innermost block is marked for rollback (Django's `get_rollback`).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// db.transaction(|| {
    ///     assert!(!db.get_rollback()?);
    ///     Ok(())
    /// })?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) where no block is open.
    pub fn get_rollback(&self) -> Result<bool> {
        self.slot().is_marked()
    }

    /// Marks the innermost block for rollback, so that it rolls back without an error, or clears the mark (Django's
    /// `set_rollback`). Where the block has no savepoint, the mark goes to the block around it. While it stands, no
    /// statement runs.
    ///
    /// Clear it only after rolling back to a savepoint where all is well. Work that is lost stays lost: the end of the
    /// outermost block says so whatever the mark.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.transaction(|| {
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("only tried",))?;
    ///     db.set_rollback(true) // no error, and nothing stays
    /// })?;
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) where no block is open.
    pub fn set_rollback(&self, rollback: bool) -> Result<()> {
        self.slot().mark(rollback)
    }
}

/// An atomic block that is open: see [`Connection::begin_atomic`].
///
/// Blocks end in the reverse order of their beginning. One that ends before those inside it rolls all of them back;
/// committing one of them is then an error with [`is_work_lost`](Error::is_work_lost). One that is still open at the end of the
/// request or task that it was begun in is rolled back there, and the log says where it began.
///
/// It does not go over an `.await`: other tasks of the thread would be in the middle of its transaction. Where tasks may change their
/// thread the compiler refuses that, for it is not `Send`; on a runtime of one thread the statement of another task is an error, if
/// `dockline-tokio` watches tasks. An async program has the whole block in one section of blocking code.
///
/// ```
/// use dockline::Atomic;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// let block = db.begin_atomic(Atomic::new())?;
/// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
/// block.commit()?; // dropped instead, it rolls back
/// # Ok::<_, dockline::Error>(())
/// ```
#[must_use = "a block that is dropped is rolled back"]
pub struct AtomicBlock {
    here: EndsHere,
    slot: Rc<Slot>,
    /// `None` when it has ended.
    number: Option<u64>,
}

impl AtomicBlock {
    pub(crate) fn enter(
        slot: &Rc<Slot>,
        atomic: Atomic,
        is_test: bool,
        at: &'static Location<'static>,
    ) -> Result<Self> {
        let Atomic { savepoint, durable, options } = atomic;
        let number = slot.enter(Entry { savepoint, durable, options, is_test, at })?;
        Ok(Self { here: EndsHere {}, slot: Rc::clone(slot), number: Some(number) })
    }

    /// Ends the block: commits, or releases its savepoint; rolls back where it is marked for that.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let block = db.begin_atomic(Atomic::new())?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// block.commit()?;
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the database, of hooks, and of work that is lost: see [`Connection::atomic`].
    pub fn commit(mut self) -> Result<()> {
        self.end(Exit::Commit)
    }

    /// Rolls the block back, as an error that leaves it does.
    ///
    /// Where the connection is lost, the work is gone all the same, and that is no error.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let block = db.begin_atomic(Atomic::new())?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// block.rollback()?;
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of hooks that a block around it was waiting for, and with [`liveness`](crate::Liveness) off those of connecting again.
    pub fn rollback(mut self) -> Result<()> {
        self.end(Exit::RollBack)
    }

    fn end(&mut self, exit: Exit) -> Result<()> {
        match self.number.take() {
            Some(number) => self.slot.exit(number, exit),
            None => Ok(()),
        }
    }

    pub(crate) fn roll_back_and_log(mut self) {
        self.end_and_log();
    }

    fn end_and_log(&mut self) {
        if let Err(error) = self.end(Exit::RollBack) {
            say!(warn, "rolling an atomic block back: {}", error.brief());
        }
    }
}

impl Drop for AtomicBlock {
    fn drop(&mut self) {
        if self.number.is_none() {
            return;
        }
        // In the middle of a panic, or on a thread that ends and whose driver cannot be used any more, a panic ends the process.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.end_and_log())) {
            let text = panic_text(&*panic);
            say!(error, "rolling an atomic block back: a wrapper or the driver panicked: {text}");
        }
    }
}

impl fmt::Debug for AtomicBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicBlock").field("alias", &self.slot.alias()).finish_non_exhaustive()
    }
}
