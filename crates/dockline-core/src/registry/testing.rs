//! For the tests of programs: a transaction around a test that is rolled back, a database of its own for a test whose handlers run on
//! other threads, the hooks that a commit would have run, and
//! the statements that ran (Django's `TestCase`, `TransactionTestCase`, `captureOnCommitCallbacks` and `assertNumQueries`).
//!
//! ```
//! use dockline::{Registry, Result, testing};
//!
//! fn test_of_a_handler(connections: &Registry) -> Result<()> {
//!     let _test = testing::TestCase::begin(connections, &["default"])?;
//!     let db = connections.get("default")?;
//!     let (result, hooks) = testing::capture_on_commit_callbacks(&db, || db.execute("DELETE FROM job", ()));
//!     result?;
//!     assert_eq!(hooks.len(), 0);
//!     testing::assert_num_queries(&db, 1, || db.query("SELECT 1", ()))?;
//!     Ok(()) // and nothing of it stays
//! }
//! ```

mod alike;
mod database;
mod maker;
mod template;

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

pub use database::TestDatabase;
pub use template::Template;

use crate::base::error::Result;
use crate::handle::atomic::{Atomic, AtomicBlock};
use crate::handle::connection::Connection;
use crate::handle::hold::Hold;
use crate::registry::Registry;
use crate::slot::Slot;
use crate::slot::hooks::Hook;
use crate::slot::query_log::LoggedQuery;

/// A transaction around a test, rolled back when this is dropped: nothing of the test stays in the database.
///
/// It is an atomic block, of which the blocks inside do not know: they can be durable, and requests and tasks neither roll
/// it back nor close its connection. Hooks of [`on_commit`](Connection::on_commit) do not run, for nothing is committed: see
/// [`capture_on_commit_callbacks`].
///
/// It is this thread's: what other threads do is not part of it, and they do not see what it did; [`TestDatabase`] is for tests of
/// those. What commits by itself
/// on MySQL and MariaDB (CREATE TABLE and the like) stays.
#[must_use = "the test's transaction is rolled back when this is dropped"]
pub struct TestCase {
    /// The last one ends first.
    blocks: Vec<(AtomicBlock, Hold)>,
}

impl TestCase {
    /// Begins a transaction on each of these aliases.
    ///
    /// ```
    /// use dockline::testing::TestCase;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// {
    ///     let _test = TestCase::begin(&connections, &["default"])?;
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// } // rolled back
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Registry::get`], of connecting and of the database.
    #[track_caller]
    pub fn begin(registry: &Registry, aliases: &[&str]) -> Result<Self> {
        let at = Location::caller();
        let mut test = Self { blocks: Vec::with_capacity(aliases.len()) };
        for alias in aliases {
            let db = registry.get(alias)?;
            let block = AtomicBlock::enter(db.slot(), Atomic::new(), true, at)?;
            // Neither its age nor a boundary may end the connection.
            test.blocks.push((block, db.hold()));
        }
        Ok(test)
    }
}

impl Drop for TestCase {
    fn drop(&mut self) {
        while let Some((block, hold)) = self.blocks.pop() {
            drop(hold);
            drop(block);
        }
    }
}

impl fmt::Debug for TestCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCase").field("blocks", &self.blocks.len()).finish()
    }
}

/// Runs a closure, and takes the hooks of [`on_commit`](Connection::on_commit) that it registered and that would run if what
/// is around it were committed now.
///
/// It is for the inside of a [`TestCase`], or another block: with none open, hooks run at once, and none is left to take.
///
/// ```
/// use dockline::testing::capture_on_commit_callbacks;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// let (stored, hooks) = capture_on_commit_callbacks(&db, || db.transaction(|| db.on_commit(|| println!("stored"))));
/// stored?;
/// println!("{} hooks", hooks.len());
/// # Ok::<_, dockline::Error>(())
/// ```
pub fn capture_on_commit_callbacks<T>(db: &Connection, call: impl FnOnce() -> T) -> (T, CommitCallbacks) {
    let slot = db.slot();
    let first = slot.transaction.hooks.next_number();
    let value = call();
    let hooks = slot.transaction.hooks.take_from(first);
    (value, CommitCallbacks { slot: Rc::clone(slot), hooks })
}

/// Hooks that were captured: see [`capture_on_commit_callbacks`].
#[must_use = "run runs them; dropping them drops them"]
pub struct CommitCallbacks {
    slot: Rc<Slot>,
    hooks: VecDeque<(u64, Hook)>,
}

impl CommitCallbacks {
    /// How many there are.
    ///
    /// ```
    /// use dockline::testing::{TestCase, capture_on_commit_callbacks};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let _test = TestCase::begin(&connections, &["default"])?;
    /// let (_, hooks) = capture_on_commit_callbacks(&db, || db.transaction(|| db.on_commit(|| println!("stored"))));
    /// assert_eq!(hooks.len(), 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.hooks.len()
    }

    /// Whether there is none.
    ///
    /// ```
    /// use dockline::testing::{TestCase, capture_on_commit_callbacks};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let _test = TestCase::begin(&connections, &["default"])?;
    /// let (_, hooks) = capture_on_commit_callbacks(&db, || db.execute("DELETE FROM job", ()));
    /// assert!(hooks.is_empty());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Runs them, in order, and then those that they register.
    ///
    /// ```
    /// use dockline::testing::{TestCase, capture_on_commit_callbacks};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let _test = TestCase::begin(&connections, &["default"])?;
    /// let (_, hooks) = capture_on_commit_callbacks(&db, || db.transaction(|| db.on_commit(|| println!("stored"))));
    /// hooks.run()?; // as the commit would
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That of the first hook that fails, unless it is a robust one; those after it do not run.
    pub fn run(mut self) -> Result<()> {
        let waiting = &self.slot.transaction.hooks;
        while !self.hooks.is_empty() {
            let first = waiting.next_number();
            for (_, hook) in self.hooks.drain(..) {
                hook.run(self.slot.alias())?;
            }
            self.hooks = waiting.take_from(first);
        }
        Ok(())
    }
}

impl fmt::Debug for CommitCallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitCallbacks").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Runs a closure, and gives the statements that this connection ran meanwhile, those that begin and end transactions among
/// them (Django's `CaptureQueriesContext`). Meanwhile the query log is on, and requests do not empty it; it keeps no more than
/// 9,000.
///
/// ```
/// use dockline::testing::capture_queries;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// let (count, queries) = capture_queries(&db, || db.query_value::<i64>("SELECT count(*) FROM job", ()));
/// assert_eq!((count?, queries[0].sql.as_str()), (0, "SELECT count(*) FROM job"));
/// # Ok::<_, dockline::Error>(())
/// ```
pub fn capture_queries<T>(db: &Connection, call: impl FnOnce() -> T) -> (T, Vec<LoggedQuery>) {
    let capture = Capture { slot: Rc::clone(db.slot()), from: db.slot().log().begin_capture(), ended: false };
    let value = call();
    let queries = capture.end();
    (value, queries)
}

/// Runs a closure, and fails the test where this connection has not run that many statements.
///
/// ```
/// use dockline::testing::assert_num_queries;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// let jobs = assert_num_queries(&db, 1, || db.query("SELECT name FROM job", ()))?;
/// assert!(jobs.is_empty());
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// # Panics
///
/// Where it has run more or fewer: the message has all of them.
#[track_caller]
pub fn assert_num_queries<T>(db: &Connection, expected: usize, call: impl FnOnce() -> T) -> T {
    let (value, queries) = capture_queries(db, call);
    let list: String = queries.iter().enumerate().map(|(at, query)| format!("\n{}. {}", at + 1, query.sql)).collect();
    assert!(queries.len() == expected, "{} statements ran, and {expected} were expected:{list}", queries.len());
    value
}

/// Ends also where the closure panics.
struct Capture {
    slot: Rc<Slot>,
    from: usize,
    ended: bool,
}

impl Capture {
    fn end(mut self) -> Vec<LoggedQuery> {
        self.ended = true;
        self.slot.log().end_capture(self.from)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !self.ended {
            self.slot.log().end_capture(self.from);
        }
    }
}
