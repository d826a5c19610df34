//! Scenarios, as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use dockline::DEFAULT_ALIAS;
use serde::Deserialize;
use serde_json::Value;

use super::databases::AliasSettings;
use super::engine::Engine;

/// A script over a registry: one step after the other, each on the thread that it names.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    /// The behaviour that it pins down.
    pub why: String,
    pub engines: Vec<Engine>,
    pub databases: BTreeMap<String, AliasSettings>,
    /// What runs on the empty database before the first step.
    pub setup: Vec<Sql>,
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub struct Step {
    pub thread: String,
    pub alias: String,
    pub op: Op,
    written: Value,
}

/// What a step does.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    Query(Statement),
    Execute(Statement),
    TemporaryConnection {
        sql: Sql,
    },

    CloseOldConnections,
    CloseAll,
    RequestStarted,
    RequestFinished,
    Aliases,
    Initialized,

    Close,
    EnsureConnection,
    IsUsable,
    State,

    AtomicEnter {
        #[serde(default = "yes")]
        savepoint: bool,
        #[serde(default)]
        durable: bool,
    },
    AtomicExit {
        #[serde(default)]
        raise: bool,
    },
    Savepoint {
        name: String,
    },
    SavepointCommit {
        name: String,
    },
    SavepointRollback {
        name: String,
    },
    GetAutocommit,
    SetAutocommit {
        value: bool,
    },
    Commit,
    Rollback,
    GetRollback,
    SetRollback {
        value: bool,
    },

    OnCommit(Callback),
    WrapperEnter {
        label: String,
    },
    WrapperExit,

    DebugCursor {
        value: bool,
    },
    Queries,
    ResetQueries,

    Kill,
    IdleTimeout {
        seconds: f64,
    },
    Sleep {
        seconds: f64,
    },
    ThreadExit,
    Pool(Pool),
}

/// A statement. `%s` stands for a parameter where parameters are given, were it an empty list.
#[derive(Debug, Clone, Deserialize)]
pub struct Statement {
    pub sql: Sql,
    pub params: Option<Vec<Value>>,
}

/// What `on_commit` registers.
#[derive(Debug, Clone, Deserialize)]
pub struct Callback {
    pub label: String,
    #[serde(default)]
    pub steps: Vec<Step>,
    #[serde(default)]
    pub fail: bool,
    #[serde(default)]
    pub robust: bool,
}

/// A pool of threads, and what they do.
#[derive(Debug, Clone, Deserialize)]
pub struct Pool {
    pub workers: NonZeroUsize,
    pub tasks: usize,
    pub hook: Hook,
    #[serde(flatten)]
    pub statement: Statement,
}

/// What a worker of a pool calls after each task.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    CloseAll,
    CloseOldConnections,
    None,
}

/// A text for all engines, or one for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Sql {
    Same(String),
    ByEngine(BTreeMap<String, String>),
}

/// A scenario before its steps are read, so that what is wrong with one can be told with its number.
#[derive(Deserialize)]
struct Raw {
    name: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    engines: Vec<Engine>,
    databases: BTreeMap<String, AliasSettings>,
    #[serde(default)]
    setup: Vec<Sql>,
    steps: Vec<Value>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and in which step.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Raw { name, why, engines, databases, setup, steps } =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let read = |(number, step)| Step::try_from(step).map_err(|reason| format!("step {number}: {reason}"));
        let steps = steps.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { name, why, engines, databases, setup, steps })
    }

    /// Whether it says for this engine what is to be run.
    ///
    /// # Errors
    ///
    /// Where a text is missing.
    pub(super) fn check(&self, engine: Engine) -> Result<(), String> {
        for (number, sql) in self.setup.iter().enumerate() {
            sql.text(engine).map_err(|reason| format!("setup {number}: {reason}"))?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            step.check(engine).map_err(|reason| format!("step {number}: {reason}"))?;
        }
        Ok(())
    }
}

impl Step {
    /// The name of what it does.
    pub fn name(&self) -> &str {
        self.written["op"].as_str().unwrap_or_default()
    }

    fn check(&self, engine: Engine) -> Result<(), String> {
        match &self.op {
            Op::Query(statement) | Op::Execute(statement) => statement.sql.text(engine).map(drop),
            Op::Pool(pool) => pool.statement.sql.text(engine).map(drop),
            Op::TemporaryConnection { sql } => sql.text(engine).map(drop),
            Op::OnCommit(callback) => callback.steps.iter().try_for_each(|step| step.check(engine)),
            _ => Ok(()),
        }
    }
}

impl TryFrom<Value> for Step {
    type Error = String;

    fn try_from(written: Value) -> Result<Self, String> {
        let text = |key: &str, usual: &str| match written.get(key) {
            None => Ok(usual.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(format!("{key} is {other}, and no text")),
        };
        let (thread, alias) = (text("thread", "main")?, text("alias", DEFAULT_ALIAS)?);
        let op = Op::deserialize(&written).map_err(|error| error.to_string())?;
        Ok(Self { thread, alias, op, written })
    }
}

/// As it is written.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

impl Sql {
    pub(super) fn text(&self, engine: Engine) -> Result<&str, String> {
        match self {
            Self::Same(text) => Ok(text),
            Self::ByEngine(texts) => {
                texts.get(engine.name()).map(String::as_str).ok_or_else(|| format!("there is no sql for {engine}"))
            }
        }
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(json: &str) -> Result<Step, String> {
        Step::try_from(serde_json::from_str::<Value>(json).unwrap())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let plain = step(r#"{"op": "atomic_enter"}"#).unwrap();
        assert_eq!((plain.thread.as_str(), plain.alias.as_str(), plain.name()), ("main", "default", "atomic_enter"));
        assert!(matches!(plain.op, Op::AtomicEnter { savepoint: true, durable: false }));
        let hook = step(r#"{"op": "on_commit", "label": "a", "steps": [{"op": "close", "thread": "b"}]}"#).unwrap();
        let Op::OnCommit(callback) = hook.op else { panic!("{:?}", hook.op) };
        assert!(!callback.fail && !callback.robust);
        assert!(matches!(&callback.steps[..], [Step { op: Op::Close, thread, .. }] if thread == "b"));
    }

    #[test]
    fn no_parameters_are_not_an_empty_list_of_them() {
        for (json, given) in [("", false), (r#", "params": null"#, false), (r#", "params": []"#, true)] {
            let query = step(&format!(r#"{{"op": "query", "sql": "SELECT 1"{json}}}"#)).unwrap();
            let Op::Query(statement) = query.op else { panic!("{:?}", query.op) };
            assert_eq!(statement.params.is_some(), given, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_step() {
        let broken = |steps: &str| {
            Scenario::parse(&format!(r#"{{"name": "x", "databases": {{"default": {{}}}}, "steps": [{steps}]}}"#))
        };
        let error = broken(r#"{"op": "close"}, {"op": "closed"}"#).unwrap_err();
        assert!(error.starts_with("step 1: unknown variant `closed`"), "{error}");
        let error = broken(r#"{"op": "set_autocommit"}"#).unwrap_err();
        assert_eq!(error, "step 0: missing field `value`");
        let error = broken(r#"{"op": "close", "alias": 1}"#).unwrap_err();
        assert_eq!(error, "step 0: alias is 1, and no text");
        let error =
            broken(r#"{"op": "pool", "workers": 0, "tasks": 1, "hook": "none", "sql": "SELECT 1"}"#).unwrap_err();
        assert!(error.starts_with("step 0: "), "{error}");
    }

    #[test]
    fn a_text_for_each_engine_is_there_or_missed() {
        let scenario = Scenario::parse(
            r#"{"name": "x", "databases": {}, "steps":
                [{"op": "close"}, {"op": "query", "sql": {"mysql": "SELECT 1", "sqlite": "SELECT 2"}}]}"#,
        )
        .unwrap();
        scenario.check(Engine::Mysql).unwrap();
        assert_eq!(scenario.check(Engine::Postgres).unwrap_err(), "step 1: there is no sql for postgres");
        let Op::Query(statement) = &scenario.steps[1].op else { panic!("{}", scenario.steps[1]) };
        assert_eq!(statement.sql.text(Engine::Sqlite), Ok("SELECT 2"));
    }
}
