//! The wrappers around a connection's statements, and the way through them.
//!
//! They do not know what a connection is: [`Connection::execute_wrapper`](crate::Connection::execute_wrapper) makes closures of
//! them that do.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::ending::drop_or_leak;
use crate::base::error::Result;
use crate::base::value::Value;

/// Says that a statement has run: what a wrapper returns, and only [`Execution::run`](crate::Execution::run) gives.
///
/// ```
/// use dockline::{Executed, Execution, Result};
///
/// fn annotated(execution: Execution<'_>) -> Result<Executed> {
///     let (sql, params) = (format!("/* orders */ {}", execution.sql()), execution.params().to_vec());
///     execution.run_as(&sql, &params)
/// }
/// ```
#[derive(Debug)]
pub struct Executed(());

/// A wrapper, with what it needs besides the statement.
pub(crate) type Wrapper = Rc<dyn Fn(Call<'_>) -> Result<Executed>>;

/// A statement on its way.
pub(crate) struct Call<'a> {
    pub(crate) sql: &'a str,
    pub(crate) params: &'a [Value],
    pub(crate) many: bool,
    /// The wrappers that are still to come, the next one first.
    inside: &'a [Wrapper],
    run: &'a mut dyn FnMut(&str, &[Value]) -> Result<()>,
}

impl Call<'_> {
    /// Calls the next wrapper with the statement as it is.
    pub(crate) fn go_on(self) -> Result<Executed> {
        match self.inside.split_first() {
            Some((wrapper, inside)) => wrapper(Call { inside, ..self }),
            None => (self.run)(self.sql, self.params).map(Executed),
        }
    }

    /// Calls the next wrapper with another statement, or other parameters.
    pub(crate) fn go_on_as(self, sql: &str, params: &[Value]) -> Result<Executed> {
        Call { sql, params, many: self.many, inside: self.inside, run: self.run }.go_on()
    }
}

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
        sql: &str,
        params: &[Value],
        many: bool,
        run: &mut dyn FnMut(&str, &[Value]) -> Result<()>,
    ) -> Result<()> {
        let wrappers = Rc::clone(&self.stack.borrow());
        Call { sql, params, many, inside: &wrappers, run }.go_on().map(drop)
    }

    /// Adds one, inside the others.
    pub(crate) fn add(&self, wrapper: &Wrapper) {
        self.change(|wrappers| wrappers.push(Rc::clone(wrapper)));
    }

    /// Takes one away, whatever was added after it.
    pub(crate) fn remove(&self, wrapper: &Wrapper) {
        self.change(|wrappers| {
            if let Some(at) = wrappers.iter().rposition(|other| Rc::ptr_eq(other, wrapper)) {
                wrappers.remove(at);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Wrapper>)) {
        let mut wrappers = self.stack.borrow().to_vec();
        change(&mut wrappers);
        // What goes is dropped outside the borrow: it is the program's code.
        drop(self.stack.replace(wrappers.into()));
    }

    pub(crate) fn clear(&self) {
        drop_or_leak(self.stack.take());
    }
}
