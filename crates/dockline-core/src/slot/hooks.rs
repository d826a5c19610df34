//! What waits for a commit.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::base::ending::drop_or_leak;
use crate::base::error::{Error, Fact, Result};
use crate::base::logging::{panic_text, say};
use crate::base::process::process;

/// The hooks that wait for a commit, in order.
#[derive(Default)]
pub(crate) struct CommitHooks {
    waiting: RefCell<VecDeque<(u64, Hook)>>,
    next_number: Cell<u64>,
    /// Those below this number are of work that is gone: they do not run.
    first_alive: Cell<u64>,
}

/// One hook.
pub(crate) struct Hook {
    /// Its failure is only logged.
    pub(crate) robust: bool,
    pub(crate) call: Box<dyn FnOnce() -> Result<()>>,
}

impl CommitHooks {
    pub(crate) fn push(&self, hook: Hook) {
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
            drop_or_leak(self.waiting.take());
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
                        "alias {alias:?}: a hook of on_commit failed after the commit, and {} behind it do not run: {}",
                        waiting.len(),
                        error.brief()
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
                say!(error, "alias {alias:?}: a robust hook of on_commit failed: {}", error.brief());
            }
            Err(panic) => {
                let text = panic_text(&*panic);
                say!(error, "alias {alias:?}: a robust hook of on_commit panicked: {text}");
            }
        }
        Ok(())
    }
}
