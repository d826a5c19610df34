//! Wrappers around every statement of a connection (Django's `execute_wrapper`).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::base::error::Result;
use crate::base::value::Value;
use crate::handle::connection::Connection;
use crate::slot::Slot;

/// A statement on its way through the wrappers: see [`Connection::execute_wrapper`].
pub struct Execution<'a> {
    connection: &'a Connection,
    sql: &'a str,
    params: &'a [Value],
    many: bool,
    /// The wrappers that are still to come, the next one first.
    inside: &'a [Wrapper],
    run: &'a mut dyn FnMut(&str, &[Value]) -> Result<()>,
}

/// Says that a statement has run: what a wrapper returns, and only [`Execution::run`] gives.
#[derive(Debug)]
pub struct Executed(());

impl Execution<'_> {
    /// The connection. A statement that a wrapper runs on it goes through the wrappers too.
    pub fn connection(&self) -> &Connection {
        self.connection
    }

    /// The statement, as the program gave it: with `?` for each parameter.
    pub fn sql(&self) -> &str {
        self.sql
    }

    /// Its parameters. None for [`execute_many`](Connection::execute_many), whose rows come one at a time.
    pub fn params(&self) -> &[Value] {
        self.params
    }

    /// Whether it is run for several rows of parameters.
    pub fn is_many(&self) -> bool {
        self.many
    }

    /// Calls on: the next wrapper, or the database.
    ///
    /// # Errors
    ///
    /// Those of the statement, and of wrappers further inside.
    pub fn run(self) -> Result<Executed> {
        let (sql, params) = (self.sql, self.params);
        self.run_as(sql, params)
    }

    /// Calls on with another statement, or other parameters: a comment for the server's log, say. (Where there are several
    /// rows, theirs are kept.)
    ///
    /// # Errors
    ///
    /// As [`run`](Execution::run).
    pub fn run_as(self, sql: &str, params: &[Value]) -> Result<Executed> {
        call(self.connection, self.inside, sql, params, self.many, self.run)
    }
}

impl fmt::Debug for Execution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the parameters, which may be secret.
        f.debug_struct("Execution").field("sql", &self.sql).field("many", &self.many).finish_non_exhaustive()
    }
}

/// Calls the first of the wrappers, or where there is none, the database.
fn call(
    connection: &Connection,
    wrappers: &[Wrapper],
    sql: &str,
    params: &[Value],
    many: bool,
    run: &mut dyn FnMut(&str, &[Value]) -> Result<()>,
) -> Result<Executed> {
    match wrappers.split_first() {
        Some((wrapper, inside)) => wrapper(Execution { connection, sql, params, many, inside, run }),
        None => run(sql, params).map(Executed),
    }
}

type Wrapper = Rc<dyn Fn(Execution<'_>) -> Result<Executed>>;

/// The wrappers of a slot, the outermost first.
#[derive(Default)]
pub(crate) struct Wrappers {
    // Shared with the statements that run: what they go through stays as it was when they began.
    stack: RefCell<Rc<[Wrapper]>>,
}

impl Wrappers {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.stack.borrow().is_empty()
    }

    /// Runs a statement through them.
    pub(crate) fn call(
        &self,
        slot: &Rc<Slot>,
        sql: &str,
        params: &[Value],
        many: bool,
        run: &mut dyn FnMut(&str, &[Value]) -> Result<()>,
    ) -> Result<()> {
        let wrappers = Rc::clone(&self.stack.borrow());
        call(&Connection::new(Rc::clone(slot)), &wrappers, sql, params, many, run).map(drop)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Wrapper>)) {
        let mut wrappers = self.stack.borrow().to_vec();
        change(&mut wrappers);
        // What goes is dropped outside the borrow: it is the program's code.
        drop(self.stack.replace(wrappers.into()));
    }

    pub(crate) fn clear(&self) {
        drop(self.stack.take());
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
    /// # use dockline_core::{Connection, Error, ErrorKind, Result};
    /// # fn run(db: &Connection) -> Result<()> {
    /// let _no_queries = db.execute_wrapper(|execution| {
    ///     let message = format!("no statement belongs into a template: {}", execution.sql());
    ///     Err(Error::new(ErrorKind::Interface, message))
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute_wrapper(&self, wrapper: impl Fn(Execution<'_>) -> Result<Executed> + 'static) -> ExecuteWrapper {
        let wrapper: Wrapper = Rc::new(wrapper);
        self.slot().wrappers.change(|wrappers| wrappers.push(Rc::clone(&wrapper)));
        ExecuteWrapper { slot: Rc::clone(self.slot()), wrapper }
    }
}

/// A wrapper that is entered; dropping this takes it away, whatever was entered after it.
#[must_use = "the wrapper is taken away when this is dropped"]
pub struct ExecuteWrapper {
    slot: Rc<Slot>,
    wrapper: Wrapper,
}

impl Drop for ExecuteWrapper {
    fn drop(&mut self) {
        let mine = |wrapper: &Wrapper| Rc::ptr_eq(wrapper, &self.wrapper);
        self.slot.wrappers.change(|wrappers| {
            if let Some(at) = wrappers.iter().rposition(mine) {
                wrappers.remove(at);
            }
        });
    }
}

impl fmt::Debug for ExecuteWrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecuteWrapper").field("alias", &self.slot.alias()).finish_non_exhaustive()
    }
}
