//! What a program does, by the rules of Django and of the database, in memory.

use dockline::ErrorKind;

use super::{Action, Block, Dialect, Event, Form, Hook, Outcome, Step, TAKEN};

pub(super) struct Model {
    dialect: Dialect,
    committed: Vec<u32>,
    transaction: Option<Transaction>,
    blocks: Vec<OpenBlock>,
    /// Django's `needs_rollback`.
    marked: bool,
    errors_occurred: bool,
    waiting: Vec<Hook>,
    /// The savepoints that the program holds; `None` where there was no transaction.
    held: Vec<Option<usize>>,
    last_savepoint: usize,
    in_a_test: bool,
    events: Vec<Event>,
}

/// What the server has of it.
struct Transaction {
    rows: Vec<u32>,
    savepoints: Vec<(usize, Vec<u32>)>,
    /// A statement has failed, and PostgreSQL takes no other.
    failed: bool,
}

#[derive(Clone, Copy)]
struct OpenBlock {
    level: Level,
    /// So many hooks waited before it.
    hooks_before: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Transaction,
    Savepoint(usize),
    Nothing,
}

#[derive(Clone, Copy)]
enum Statement {
    Insert(u32),
    Nonsense,
    Savepoint(usize),
    RollBackTo(usize),
    Release(usize),
}

type Ran = Result<(), Outcome>;

impl Model {
    pub(super) fn new(dialect: Dialect, errors_occurred: bool) -> Self {
        Self {
            dialect,
            committed: vec![TAKEN],
            transaction: None,
            blocks: Vec::new(),
            marked: false,
            errors_occurred,
            waiting: Vec::new(),
            held: Vec::new(),
            last_savepoint: 0,
            in_a_test: false,
            events: Vec::new(),
        }
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.clone()
    }

    pub(super) fn play(&mut self, step: &Step) {
        let _ = self.step(step);
        self.events.push(Event::Rows(self.committed.clone()));
    }

    /// What follows is part of a block that is never committed.
    pub(super) fn begin_test(&mut self) {
        self.in_a_test = true;
        self.begin();
    }

    fn begin(&mut self) {
        self.marked = false;
        let rows = self.committed.clone();
        self.transaction = Some(Transaction { rows, savepoints: Vec::new(), failed: false });
        self.blocks.push(OpenBlock { level: Level::Transaction, hooks_before: 0 });
    }

    fn steps(&mut self, steps: &[Step]) -> Ran {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: &Step) -> Ran {
        let ran = self.act(&step.action);
        self.events.push(Event::Ended {
            outcome: ran.clone().err().unwrap_or(Outcome::Done),
            in_block: !self.blocks.is_empty(),
            marked: self.marked,
            errors_occurred: self.errors_occurred,
        });
        if step.caught { Ok(()) } else { ran }
    }

    fn act(&mut self, action: &Action) -> Ran {
        match action {
            Action::Insert(number) => self.statement(Statement::Insert(*number)),
            Action::Duplicate => self.statement(Statement::Insert(TAKEN)),
            Action::Nonsense => self.statement(Statement::Nonsense),
            Action::Raise => Err(Outcome::Raised),
            Action::Panic(number) => Err(Outcome::Panicked(*number)),
            Action::Mark(_) if self.blocks.is_empty() => Err(failed(ErrorKind::TransactionManagement)),
            Action::Mark(on) => {
                self.marked = *on;
                Ok(())
            }
            Action::Savepoint if self.blocks.is_empty() => {
                self.held.push(None);
                Ok(())
            }
            Action::Savepoint => {
                let savepoint = self.new_savepoint()?;
                self.held.push(Some(savepoint));
                Ok(())
            }
            Action::RollBackTo(nth) => self.on_held(*nth, Statement::RollBackTo),
            Action::Release(nth) => self.on_held(*nth, Statement::Release),
            Action::Block(block) => self.block(block),
            Action::OnCommit(hook) if self.blocks.is_empty() => self.fire(hook),
            Action::OnCommit(hook) => {
                self.waiting.push(hook.clone());
                Ok(())
            }
        }
    }

    fn new_savepoint(&mut self) -> Result<usize, Outcome> {
        self.last_savepoint += 1;
        let savepoint = self.last_savepoint;
        self.statement(Statement::Savepoint(savepoint)).map(|()| savepoint)
    }

    fn on_held(&mut self, nth: usize, statement: fn(usize) -> Statement) -> Ran {
        match self.held.iter().rev().nth(nth) {
            Some(Some(savepoint)) if !self.blocks.is_empty() => self.statement(statement(*savepoint)),
            _ => Ok(()),
        }
    }

    fn statement(&mut self, statement: Statement) -> Ran {
        if !self.blocks.is_empty() && self.marked {
            // It does not reach the server.
            return Err(failed(ErrorKind::TransactionManagement));
        }
        let ran = match &mut self.transaction {
            Some(transaction) => transaction.run(statement, self.dialect),
            None => run(&mut self.committed, statement, self.dialect),
        };
        ran.map_err(|kind| {
            self.errors_occurred |= kind != ErrorKind::Integrity;
            failed(kind)
        })
    }

    fn block(&mut self, block: &Block) -> Ran {
        self.enter(block)?;
        let ran = self.steps(&block.steps);
        let commits = ran.is_ok() && matches!(block.form, Form::Closure | Form::Committed);
        let ended = self.leave(commits);
        ran.and(ended)
    }

    fn enter(&mut self, block: &Block) -> Ran {
        if block.durable && self.blocks.len() > usize::from(self.in_a_test) {
            return Err(failed(ErrorKind::TransactionManagement));
        }
        if self.blocks.is_empty() {
            self.begin();
            return Ok(());
        }
        let level =
            if block.savepoint && !self.marked { Level::Savepoint(self.new_savepoint()?) } else { Level::Nothing };
        self.blocks.push(OpenBlock { level, hooks_before: self.waiting.len() });
        Ok(())
    }

    fn leave(&mut self, commits: bool) -> Ran {
        let Some(block) = self.blocks.last().copied() else { return Ok(()) };
        let ran = match block.level {
            Level::Transaction => None,
            _ => Some(self.leave_inner(block, commits)),
        };
        self.blocks.pop();
        ran.unwrap_or_else(|| self.leave_outermost(commits))
    }

    fn leave_inner(&mut self, block: OpenBlock, commits: bool) -> Ran {
        if commits && !self.marked {
            let Level::Savepoint(savepoint) = block.level else { return Ok(()) };
            let released = self.statement(Statement::Release(savepoint));
            if released.is_err() && self.undo(block).is_err() {
                self.marked = true;
            }
            return released;
        }
        self.marked = false;
        self.marked = self.undo(block).is_err();
        Ok(())
    }

    fn undo(&mut self, block: OpenBlock) -> Ran {
        let Level::Savepoint(savepoint) = block.level else { return Err(Outcome::Raised) };
        self.statement(Statement::RollBackTo(savepoint))?;
        self.waiting.truncate(block.hooks_before);
        self.statement(Statement::Release(savepoint))
    }

    fn leave_outermost(&mut self, commits: bool) -> Ran {
        let marked = std::mem::take(&mut self.marked);
        self.errors_occurred = false;
        match self.transaction.take() {
            Some(transaction) if commits && !marked && !transaction.failed => {
                self.committed = transaction.rows;
                self.run_hooks()
            }
            transaction => {
                self.waiting.clear();
                let says_so = commits && !marked && transaction.is_some_and(|transaction| transaction.failed);
                if !says_so {
                    return Ok(());
                }
                let kind = ErrorKind::TransactionManagement;
                Err(Outcome::Failed { kind, work_lost: true, after_commit: false })
            }
        }
    }

    fn run_hooks(&mut self) -> Ran {
        let (mut ran, mut panicked) = (Ok(()), Ok(()));
        for hook in std::mem::take(&mut self.waiting) {
            match self.fire(&hook) {
                Err(Outcome::Failed { kind, .. }) => {
                    // Of the block itself nothing is lost.
                    ran = Err(Outcome::Failed { kind, work_lost: false, after_commit: true });
                    break;
                }
                fired => panicked = panicked.and(fired),
            }
        }
        panicked.and(ran)
    }

    fn fire(&mut self, hook: &Hook) -> Ran {
        self.events.push(Event::Fired { label: hook.label, rows: self.committed.clone() });
        match self.steps(&hook.steps) {
            _ if hook.robust => Ok(()),
            Err(Outcome::Raised) => Err(failed(ErrorKind::Interface)),
            ran => ran,
        }
    }
}

impl Transaction {
    fn run(&mut self, statement: Statement, dialect: Dialect) -> Result<(), ErrorKind> {
        // A text is read before it is refused.
        if self.failed && !matches!(statement, Statement::RollBackTo(_) | Statement::Nonsense) {
            return Err(ErrorKind::Internal);
        }
        let found = |savepoint| {
            let at = self.savepoints.iter().position(|(other, _)| *other == savepoint);
            at.ok_or(ErrorKind::Operational)
        };
        let ran = match statement {
            Statement::Savepoint(savepoint) => {
                self.savepoints.push((savepoint, self.rows.clone()));
                Ok(())
            }
            Statement::RollBackTo(savepoint) => found(savepoint).map(|at| {
                self.savepoints.truncate(at + 1);
                self.rows.clone_from(&self.savepoints[at].1);
                self.failed = false;
            }),
            Statement::Release(savepoint) => found(savepoint).map(|at| self.savepoints.truncate(at)),
            statement => run(&mut self.rows, statement, dialect),
        };
        self.failed |= ran.is_err() && dialect == Dialect::Postgres;
        ran
    }
}

/// A statement about rows.
fn run(rows: &mut Vec<u32>, statement: Statement, dialect: Dialect) -> Result<(), ErrorKind> {
    match statement {
        Statement::Insert(number) if rows.contains(&number) => Err(ErrorKind::Integrity),
        Statement::Insert(number) => {
            rows.push(number);
            rows.sort_unstable();
            Ok(())
        }
        // Python's sqlite3 calls nearly everything so.
        _ if dialect == Dialect::Sqlite => Err(ErrorKind::Operational),
        _ => Err(ErrorKind::Programming),
    }
}

fn failed(kind: ErrorKind) -> Outcome {
    Outcome::Failed { kind, work_lost: false, after_commit: false }
}
