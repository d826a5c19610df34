//! Runs a program on a connection.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use dockline::{Atomic, Connection, Error, ErrorKind, Savepoint, params};

use super::{Action, Block, Event, Form, Hook, Outcome, Step, TAKEN};

pub(super) struct Player {
    db: Connection,
    reader: Connection,
    held: RefCell<Vec<Savepoint>>,
    events: RefCell<Vec<Event>>,
}

/// How a step of a program fails.
enum Failure {
    Raised,
    Database(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

type Ran = Result<(), Failure>;

impl Player {
    pub(super) fn new(db: Connection, reader: Connection) -> Self {
        Self { db, reader, held: RefCell::default(), events: RefCell::default() }
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    /// What another connection sees.
    pub(super) fn rows(&self) -> Vec<u32> {
        let rows: Vec<(u32,)> = self.reader.query_as("SELECT n FROM t ORDER BY n", ()).expect("the rows");
        rows.into_iter().map(|(number,)| number).collect()
    }

    pub(super) fn play(self: &Rc<Self>, step: &Step) {
        // Its outcome has been recorded.
        let _ = catch_unwind(AssertUnwindSafe(|| self.step(step)));
        self.record(Event::Rows(self.rows()));
    }

    fn record(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    fn steps(self: &Rc<Self>, steps: &[Step]) -> Ran {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(self: &Rc<Self>, step: &Step) -> Ran {
        let ran = catch_unwind(AssertUnwindSafe(|| self.act(&step.action)));
        let state = self.db.state();
        self.record(Event::Ended {
            outcome: outcome(&ran),
            in_block: state.in_atomic_block,
            marked: state.needs_rollback,
            errors_occurred: state.errors_occurred,
        });
        match ran {
            _ if step.caught => Ok(()),
            Ok(ran) => ran,
            Err(panic) => resume_unwind(panic),
        }
    }

    fn act(self: &Rc<Self>, action: &Action) -> Ran {
        let db = &self.db;
        match action {
            Action::Insert(number) => db.execute("INSERT INTO t VALUES (?)", params![*number]).map(drop)?,
            Action::Duplicate => db.execute("INSERT INTO t VALUES (?)", params![TAKEN]).map(drop)?,
            Action::Nonsense => db.execute("NONSENSE", ()).map(drop)?,
            Action::Raise => return Err(Failure::Raised),
            // Without a message on the screen.
            Action::Panic(number) => resume_unwind(Box::new(*number)),
            Action::Mark(on) => db.set_rollback(*on)?,
            Action::Savepoint => {
                let savepoint = db.savepoint()?;
                self.held.borrow_mut().push(savepoint);
            }
            Action::RollBackTo(nth) => {
                if let Some(savepoint) = self.held(*nth) {
                    db.savepoint_rollback(&savepoint)?;
                }
            }
            Action::Release(nth) => {
                if let Some(savepoint) = self.held(*nth) {
                    db.savepoint_commit(savepoint)?;
                }
            }
            Action::Block(block) => return self.block(block),
            Action::OnCommit(hook) => {
                let (player, hook) = (Rc::clone(self), hook.clone());
                if hook.robust {
                    db.on_commit_robust(move || player.fire(&hook))?;
                } else {
                    db.on_commit(move || player.fire(&hook))?;
                }
            }
        }
        Ok(())
    }

    fn held(&self, nth: usize) -> Option<Savepoint> {
        self.held.borrow().iter().rev().nth(nth).cloned()
    }

    fn block(self: &Rc<Self>, block: &Block) -> Ran {
        let atomic = Atomic::new().savepoint(block.savepoint).durable(block.durable);
        if block.form == Form::Closure {
            return self.db.atomic_with(atomic, || self.steps(&block.steps));
        }
        let guard = self.db.begin_atomic(atomic)?;
        self.steps(&block.steps)?;
        match block.form {
            Form::Committed => guard.commit()?,
            Form::RolledBack => guard.rollback()?,
            _ => drop(guard),
        }
        Ok(())
    }

    fn fire(self: &Rc<Self>, hook: &Hook) -> Result<(), Error> {
        let state = self.db.state();
        assert!(!state.in_atomic_block && state.autocommit, "hook {}: {state:?}", hook.label);
        self.record(Event::Fired { label: hook.label, rows: self.rows() });
        self.steps(&hook.steps).map_err(|failure| match failure {
            Failure::Raised => Error::new(ErrorKind::Interface, "raised by a hook"),
            Failure::Database(error) => error,
        })
    }
}

fn outcome(ran: &Result<Ran, Box<dyn Any + Send>>) -> Outcome {
    match ran {
        Ok(Ok(())) => Outcome::Done,
        Ok(Err(Failure::Raised)) => Outcome::Raised,
        Ok(Err(Failure::Database(error))) => Outcome::Failed {
            kind: error.kind(),
            work_lost: error.is_work_lost(),
            after_commit: error.is_after_commit(),
        },
        // One of the test's own has no number.
        Err(panic) => Outcome::Panicked(panic.downcast_ref().copied().unwrap_or(u32::MAX)),
    }
}
