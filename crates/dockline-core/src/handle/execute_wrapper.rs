//! Wrappers around every statement of a connection (Django's `execute_wrapper`).

use std::fmt;
use std::rc::Rc;

use crate::base::error::Result;
use crate::base::value::Value;
use crate::handle::connection::Connection;
use crate::slot::Slot;
use crate::slot::wrappers::{Call, Executed, Wrapper};

/// A statement on its way through the wrappers: see [`Connection::execute_wrapper`].
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// let _logged = db.execute_wrapper(|execution| {
///     println!("{}", execution.sql());
///     execution.run()
/// });
/// db.query("SELECT 1", ())?;
/// # Ok::<_, dockline::Error>(())
/// ```
pub struct Execution<'a> {
    connection: Connection,
    call: Call<'a>,
}

impl Execution<'_> {
    /// The connection. A statement that a wrapper runs on it goes through the wrappers too.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let _logged = db.execute_wrapper(|execution| {
    ///     let alias = execution.connection().alias().to_owned();
    ///     let result = execution.run();
    ///     println!("{alias}: {}", if result.is_ok() { "done" } else { "failed" });
    ///     result
    /// });
    /// db.query("SELECT 1", ())?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The statement, as the program gave it: with `?` for each parameter.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let _logged = db.execute_wrapper(|execution| {
    ///     println!("{}", execution.sql());
    ///     execution.run()
    /// });
    /// db.query("SELECT 1", ())?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn sql(&self) -> &str {
        self.call.sql
    }

    /// Its parameters. None for [`execute_many`](Connection::execute_many), whose rows come one at a time.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let _counted = db.execute_wrapper(|execution| {
    ///     println!("{} parameters", execution.params().len()); // the values may be secret
    ///     execution.run()
    /// });
    /// db.query("SELECT ?", (1,))?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn params(&self) -> &[Value] {
        self.call.params
    }

    /// Whether it is run for several rows of parameters.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let _logged = db.execute_wrapper(|execution| {
    ///     println!("{}{}", execution.sql(), if execution.is_many() { ", for several rows" } else { "" });
    ///     execution.run()
    /// });
    /// db.execute_many("INSERT INTO job (name) VALUES (?)", [("resize",), ("rotate",)])?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_many(&self) -> bool {
        self.call.many
    }

    /// Calls on: the next wrapper, or the database.
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let _timed = db.execute_wrapper(|execution| {
    ///     let started = Instant::now();
    ///     let result = execution.run();
    ///     println!("{:?}", started.elapsed());
    ///     result
    /// });
    /// db.query("SELECT 1", ())?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the statement, and of wrappers further inside.
    pub fn run(self) -> Result<Executed> {
        self.call.go_on()
    }

    /// Calls on with another statement, or other parameters: a comment for the server's log, say. (Where there are several
    /// rows, theirs are kept.)
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let _annotated = db.execute_wrapper(|execution| {
    ///     let sql = format!("/* orders */ {}", execution.sql());
    ///     let params = execution.params().to_vec();
    ///     execution.run_as(&sql, &params)
    /// });
    /// db.query("SELECT 1", ())?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Execution::run).
    pub fn run_as(self, sql: &str, params: &[Value]) -> Result<Executed> {
        self.call.go_on_as(sql, params)
    }
}

impl fmt::Debug for Execution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the parameters, which may be secret.
        f.debug_struct("Execution").field("sql", &self.call.sql).field("many", &self.call.many).finish_non_exhaustive()
    }
}

/// Wrappers.
impl Connection {
    /// Has every statement of this connection go through a wrapper, until the guard is dropped (Django's
    /// `execute_wrapper`): to measure, to count, to annotate, to forbid. It stays over reconnects. The wrapper that was
    /// entered first is the outermost.
    ///
    /// A wrapper sees savepoints, and statements that a marked block refuses. It does not see what begins and ends
    /// transactions, switches autocommit or checks the connection, nor what [`native`](Connection::native) runs.
    ///
    /// It calls on by [`Execution::run`], and returns what that gave; or an error, with which the statement then fails.
    ///
    /// ```
    /// # use dockline::{Connection, Error, ErrorKind, Result};
    /// # fn run(db: &Connection) -> Result<()> {
    /// let _no_queries = db.execute_wrapper(|execution| {
    ///     let message = format!("no statement belongs into a template: {}", execution.sql());
    ///     Err(Error::new(ErrorKind::Interface, message))
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute_wrapper(&self, wrapper: impl Fn(Execution<'_>) -> Result<Executed> + 'static) -> ExecuteWrapper {
        // Not the slot itself: it would keep itself alive by its wrapper.
        let slot = Rc::downgrade(self.slot());
        let wrapper: Wrapper = Rc::new(move |call| match slot.upgrade() {
            Some(slot) => wrapper(Execution { connection: Connection::new(slot), call }),
            // Nobody can run a statement of a slot that has gone.
            None => call.go_on(),
        });
        self.slot().wrappers.add(&wrapper);
        ExecuteWrapper { slot: Rc::clone(self.slot()), wrapper }
    }
}

/// A wrapper that is entered; dropping this takes it away, whatever was entered after it.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// let logged = db.execute_wrapper(|execution| execution.run());
/// db.query("SELECT 1", ())?; // goes through it
/// drop(logged);
/// db.query("SELECT 1", ())?; // does not
/// # Ok::<_, dockline::Error>(())
/// ```
#[must_use = "the wrapper is taken away when this is dropped"]
pub struct ExecuteWrapper {
    slot: Rc<Slot>,
    wrapper: Wrapper,
}

impl Drop for ExecuteWrapper {
    fn drop(&mut self) {
        self.slot.wrappers.remove(&self.wrapper);
    }
}

impl fmt::Debug for ExecuteWrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecuteWrapper").field("alias", &self.slot.alias()).finish_non_exhaustive()
    }
}
