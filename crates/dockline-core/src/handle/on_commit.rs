//! What runs when a transaction has been committed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::base::error::{Error, ErrorKind, Fact, Result, misuse};
use crate::base::logging::{panic_text, say};
use crate::base::process::process;
use crate::handle::connection::Connection;

/// What a hook of [`Connection::on_commit`] gives: nothing, or a result, whose error the end of the block passes on.
pub trait HookOutcome: private::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<()>;
}

impl HookOutcome for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> HookOutcome for Result<T, E> {
    fn into_result(self) -> Result<()> {
        self.map(drop).map_err(|error| match error.into().downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::new(ErrorKind::Interface, other.to_string()).with_source(other),
        })
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}

/// Hooks.
impl Connection {
    /// Has a hook run when the transaction has been committed (Django's `on_commit`): after the end of the outermost
    /// [`atomic`](Connection::atomic) block, in the order in which hooks were registered, with autocommit on and outside any
    /// block. Where the block, or one around it, is rolled back, it is dropped and does not run. With no block open it runs
    /// at once.
    ///
    /// A hook that returns an error ends the block with that error, and as in Django those after it do not run; the work is
    /// committed all the same ([`Error::is_after_commit`]). One that panics keeps none from running: the panic goes on
    /// after the last. See [`on_commit_robust`](Connection::on_commit_robust) for hooks whose failure is only logged.
    ///
    /// ```
    /// # use dockline_core::{Connection, Result};
    /// # fn run(db: &Connection) -> Result<()> {
    /// db.atomic(|| {
    ///     db.execute("UPDATE job SET done = 1", ())?;
    ///     db.on_commit(|| println!("stored"))
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](ErrorKind::TransactionManagement) where autocommit is off and no block is open: there is
    /// no end to wait for. Where it runs at once, the hook's own. Where no block is open, those of connecting.
    pub fn on_commit<R: HookOutcome>(&self, hook: impl FnOnce() -> R + 'static) -> Result<()> {
        self.register(Hook { robust: false, call: Box::new(move || hook().into_result()) })
    }

    /// As [`on_commit`](Connection::on_commit); an error or a panic of the hook is logged at level error, and goes no
    /// further (Django's `robust=True`).
    ///
    /// # Errors
    ///
    /// As [`on_commit`](Connection::on_commit), without the hook's own.
    pub fn on_commit_robust<R: HookOutcome>(&self, hook: impl FnOnce() -> R + 'static) -> Result<()> {
        self.register(Hook { robust: true, call: Box::new(move || hook().into_result()) })
    }

    fn register(&self, hook: Hook) -> Result<()> {
        let slot = self.slot();
        if slot.transaction.in_atomic_block() {
            slot.transaction.hooks.push(hook);
            Ok(())
        } else if slot.autocommit()? {
            hook.run(slot.alias())
        } else {
            let message =
                "on_commit needs an atomic block where autocommit is off: after commit, call the hook yourself";
            Err(misuse(message).with_alias(slot.alias_arc()))
        }
    }
}

/// The hooks that wait for a commit, in order.
#[derive(Default)]
pub(crate) struct CommitHooks {
    waiting: RefCell<VecDeque<(u64, Hook)>>,
    next_number: Cell<u64>,
    /// Those below this number are of work that is gone: they do not run.
    first_alive: Cell<u64>,
}

pub(crate) struct Hook {
    robust: bool,
    call: Box<dyn FnOnce() -> Result<()>>,
}

impl CommitHooks {
    fn push(&self, hook: Hook) {
        let number = self.next_number();
        self.next_number.set(number + 1);
        self.waiting.borrow_mut().push_back((number, hook));
    }

    /// What the next hook will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number.get()
    }

    /// Drops those that were registered from that number on.
    pub(crate) fn forget_from(&self, number: u64) {
        drop(self.take_from(number));
    }

    /// Takes those out that were registered from that number on. They are dropped, or run, outside any borrow: they are
    /// the program's code.
    pub(crate) fn take_from(&self, number: u64) -> VecDeque<(u64, Hook)> {
        let mut waiting = self.waiting.borrow_mut();
        let at = waiting.partition_point(|(other, _)| *other < number);
        waiting.split_off(at)
    }

    /// The work of all that wait is gone. They are dropped later: this is called where the program's code must not run.
    pub(crate) fn disown(&self) {
        self.first_alive.set(self.next_number());
    }

    pub(crate) fn clear(&self) {
        if !self.waiting.borrow().is_empty() {
            drop(self.waiting.take());
        }
    }

    /// Runs them, in order. What they register themselves is no part of it.
    pub(crate) fn run(&self, alias: &str) -> Result<()> {
        if self.waiting.borrow().is_empty() {
            return Ok(());
        }
        let mut panicked = None;
        let mut failed = Ok(());
        let mut waiting = self.waiting.take();
        // Before any runs: work that hooks lose is their own.
        waiting.retain(|(number, _)| *number >= self.first_alive.get());
        let started_in = process();
        while let Some((_, hook)) = waiting.pop_front() {
            // The others are those of the parent, where a hook has forked.
            if process() != started_in {
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| hook.run(alias))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    say!(
                        warn,
                        "alias {alias:?}: a hook of on_commit failed after the commit, and {} behind it do not run: {error}",
                        waiting.len()
                    );
                    failed = Err(error);
                    break;
                }
                Err(panic) => {
                    say!(
                        error,
                        "alias {alias:?}: a hook of on_commit panicked after the commit: {}",
                        panic_text(&*panic)
                    );
                    panicked.get_or_insert(panic);
                }
            }
        }
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
        // What the hook's error says of its own work is not said of the block's.
        failed.map_err(|error| {
            let message = format!("the work is committed, and a hook of on_commit failed: {}", error.message());
            let after = Error::new(error.kind(), message).with_fact(Fact::AfterCommit);
            let after = error.code().into_iter().fold(after, Error::with_code);
            after.with_source(error)
        })
    }
}

impl Hook {
    pub(crate) fn run(self, alias: &str) -> Result<()> {
        if !self.robust {
            return (self.call)();
        }
        match catch_unwind(AssertUnwindSafe(self.call)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                say!(error, "alias {alias:?}: a robust hook of on_commit failed: {error}");
            }
            Err(panic) => {
                let text = panic_text(&*panic);
                say!(error, "alias {alias:?}: a robust hook of on_commit panicked: {text}");
            }
        }
        Ok(())
    }
}
