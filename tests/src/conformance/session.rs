//! One thread of a scenario, and what its steps do there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use dockline::signals::{RequestFinished, RequestStarted};
use dockline::{Atomic, AtomicBlock, Connection, Connections, ExecuteWrapper, Savepoint};
use serde_json::{Value, json};

use super::engine::Engine;
use super::failure::{Failure, Own};
use super::physicals::Physicals;
use super::pool;
use super::scenario::{Callback, Op, Pool, Sql, Statement, Step};
use super::statement::Prepared;
use super::trace::{Entry, Outcome};

/// What a thread of a scenario has: the registry, and the handles that Dockline gave it.
pub(super) struct Session {
    engine: Engine,
    connections: Connections,
    physicals: Arc<Physicals>,
    blocks: Stacks<AtomicBlock>,
    wrappers: Stacks<ExecuteWrapper>,
    savepoints: RefCell<HashMap<(String, String), Savepoint>>,
    /// The labels of the callbacks and wrappers that have run since the last step.
    fired: RefCell<Vec<String>>,
}

impl Session {
    pub(super) fn new(engine: Engine, connections: Connections, physicals: Arc<Physicals>) -> Rc<Self> {
        Rc::new(Self {
            engine,
            connections,
            physicals,
            blocks: Stacks::default(),
            wrappers: Stacks::default(),
            savepoints: RefCell::default(),
            fired: RefCell::default(),
        })
    }

    /// Does a step, and says what it did.
    ///
    /// # Errors
    ///
    /// Where the scenario cannot go on.
    pub(super) fn run(self: &Rc<Self>, number: usize, step: &Step) -> Result<Entry, String> {
        let outcome = match self.perform(step) {
            Ok(value) => Outcome::Value(value),
            Err(failure) => failure.outcome()?,
        };
        let seen = self.physicals.observe(&self.connections, &step.alias)?;
        Ok(Entry { step: number, op: step.name().to_owned(), outcome, seen: Some(seen), fired: self.fired.take() })
    }

    /// Leaves what is still open, the innermost first.
    pub(super) fn leave(&self) {
        self.blocks.clear();
        self.wrappers.clear();
    }

    fn perform(self: &Rc<Self>, step: &Step) -> Result<Value, Failure> {
        match &step.op {
            Op::Query(statement) => return self.query(step, statement),
            Op::Execute(statement) => {
                let statement = self.prepared(statement)?;
                self.db(step)?.execute(&statement.sql, &statement.params)?;
            }
            Op::TemporaryConnection { sql } => return self.temporary_connection(step, sql),

            Op::CloseOldConnections => self.connections.close_old_connections(),
            Op::CloseAll => self.connections.close_all(),
            Op::RequestStarted => self.connections.signals().request_started.send(&RequestStarted::new()),
            Op::RequestFinished => self.connections.signals().request_finished.send(&RequestFinished::new(false)),
            Op::Aliases => return Ok(self.connections.aliases()?.into()),
            Op::Initialized => return Ok(self.connections.initialized().into()),

            Op::Close => self.db(step)?.close(),
            Op::EnsureConnection => self.db(step)?.ensure_connection()?,
            Op::IsUsable => return Ok(self.db(step)?.is_usable().into()),
            Op::State => return Ok(state(&self.db(step)?)),

            Op::AtomicEnter { savepoint, durable } => {
                let options = Atomic::new().savepoint(*savepoint).durable(*durable);
                self.blocks.push(step, self.db(step)?.begin_atomic(options)?);
            }
            Op::AtomicExit { raise: false } => self.blocks.pop(step)?.commit()?,
            Op::AtomicExit { raise: true } => {
                self.blocks.pop(step)?.rollback()?;
                return Err(Failure::RAISED);
            }
            Op::Savepoint { name } => {
                let savepoint = self.db(step)?.savepoint()?;
                self.savepoints.borrow_mut().insert((step.alias.clone(), name.clone()), savepoint);
            }
            Op::SavepointCommit { name } => self.db(step)?.savepoint_commit(self.savepoint(step, name)?)?,
            Op::SavepointRollback { name } => self.db(step)?.savepoint_rollback(&self.savepoint(step, name)?)?,
            Op::GetAutocommit => return Ok(self.db(step)?.autocommit()?.into()),
            Op::SetAutocommit { value } => self.db(step)?.set_autocommit(*value)?,
            Op::Commit => self.db(step)?.commit()?,
            Op::Rollback => self.db(step)?.rollback()?,
            Op::GetRollback => return Ok(self.db(step)?.get_rollback()?.into()),
            Op::SetRollback { value } => self.db(step)?.set_rollback(*value)?,

            Op::OnCommit(callback) => self.on_commit(step, callback)?,
            Op::WrapperEnter { label } => self.enter_wrapper(step, label)?,
            Op::WrapperExit => drop(self.wrappers.pop(step)?),

            Op::DebugCursor { value } => self.db(step)?.force_query_log(*value),
            Op::Queries => return Ok(self.db(step)?.queries().len().into()),
            Op::ResetQueries => self.connections.reset_queries(),

            Op::Kill => self.physicals.kill(&self.connections, &step.alias)?,
            Op::IdleTimeout { seconds } => {
                let sql = self.idle_timeout_sql(*seconds).ok_or(Failure::MISSING)?;
                self.db(step)?.execute(&sql, ())?;
            }
            Op::Sleep { seconds } => sleep(duration(*seconds)?),
            Op::Pool(pool) => return self.pool(step, pool),
            // A thread does not end itself: the runner does that.
            Op::ThreadExit => return Err(Failure::MISSING),
        }
        Ok(Value::Null)
    }

    fn db(&self, step: &Step) -> Result<Connection, Failure> {
        Ok(self.connections.get(&step.alias)?)
    }

    fn prepared<'a>(&self, statement: &'a Statement) -> Result<Prepared<'a>, Failure> {
        Prepared::new(statement, self.engine).map_err(Failure::broken)
    }

    fn query(&self, step: &Step, statement: &Statement) -> Result<Value, Failure> {
        self.prepared(statement)?.first_column(&self.db(step)?)
    }

    fn temporary_connection(&self, step: &Step, sql: &Sql) -> Result<Value, Failure> {
        let sql = sql.text(self.engine).map_err(Failure::broken)?;
        self.db(step)?.temporary(|db| Prepared::without_params(sql, self.engine).first_column(db))
    }

    fn savepoint(&self, step: &Step, name: &str) -> Result<Savepoint, Failure> {
        let key = (step.alias.clone(), name.to_owned());
        self.savepoints.borrow().get(&key).cloned().ok_or(Failure::MISSING)
    }

    fn on_commit(self: &Rc<Self>, step: &Step, callback: &Callback) -> Result<(), Failure> {
        let db = self.db(step)?;
        let hook = {
            let (session, callback) = (Rc::downgrade(self), callback.clone());
            move || -> Result<(), Box<dyn StdError + Send + Sync>> {
                let Some(session) = session.upgrade() else { return Ok(()) };
                session.fired.borrow_mut().push(callback.label);
                for step in &callback.steps {
                    session.perform(step).map_err(Failure::into_boxed)?;
                }
                if callback.fail { Err(Own::Raised.into()) } else { Ok(()) }
            }
        };
        Ok(if callback.robust { db.on_commit_robust(hook) } else { db.on_commit(hook) }?)
    }

    fn enter_wrapper(self: &Rc<Self>, step: &Step, label: &str) -> Result<(), Failure> {
        let (session, label) = (Rc::downgrade(self), label.to_owned());
        let wrapper = self.db(step)?.execute_wrapper(move |execution| {
            if let Some(session) = Weak::upgrade(&session) {
                session.fired.borrow_mut().push(label.clone());
            }
            execution.run()
        });
        self.wrappers.push(step, wrapper);
        Ok(())
    }

    fn idle_timeout_sql(&self, seconds: f64) -> Option<String> {
        match self.engine {
            Engine::Mysql => Some(format!("SET SESSION wait_timeout = {seconds}")),
            Engine::Postgres => Some(format!("SET idle_session_timeout = {}", seconds * 1000.0)),
            Engine::Sqlite => None,
        }
    }

    fn pool(&self, step: &Step, pool: &Pool) -> Result<Value, Failure> {
        let statement = self.prepared(&pool.statement)?;
        pool::run(pool, &statement, &step.alias, &self.connections, &self.physicals)
    }
}

fn state(db: &Connection) -> Value {
    let state = db.state();
    json!({
        "connected": state.connected,
        "in_atomic_block": state.in_atomic_block,
        "needs_rollback": state.needs_rollback,
        "errors_occurred": state.errors_occurred,
        "autocommit": state.autocommit,
    })
}

fn duration(seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).map_err(|error| Failure::broken(format!("{seconds} seconds: {error}")))
}

/// What steps have entered and not left, by alias. No borrow is held while Dockline runs, which may call back.
struct Stacks<T>(RefCell<HashMap<String, Vec<T>>>);

impl<T> Stacks<T> {
    fn push(&self, step: &Step, entered: T) {
        self.0.borrow_mut().entry(step.alias.clone()).or_default().push(entered);
    }

    fn pop(&self, step: &Step) -> Result<T, Failure> {
        self.0.borrow_mut().get_mut(&step.alias).and_then(Vec::pop).ok_or(Failure::MISSING)
    }

    fn clear(&self) {
        for stack in self.0.take().into_values() {
            stack.into_iter().rev().for_each(drop);
        }
    }
}

impl<T> Default for Stacks<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}
