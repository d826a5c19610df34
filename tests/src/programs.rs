//! Random programs of transactions: what they are made of, a model in memory that says what each does, and a player that
//! runs one on a real connection. The two have to tell the same story.

mod model;
mod play;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use dockline::testing::TestCase;
use dockline::{Connection, Connections, Databases, ErrorKind, Settings, params};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use model::Model;
use play::Player;

#[derive(Clone)]
struct Program {
    /// It runs inside a `TestCase`, and nothing of it stays.
    in_a_test: bool,
    steps: Vec<Step>,
}

/// Something that a program does. Where it is caught, what surrounds it goes on whether it failed or panicked.
#[derive(Clone)]
struct Step {
    action: Action,
    caught: bool,
}

#[derive(Debug, Clone)]
enum Action {
    /// A row with this number.
    Insert(u32),
    /// A row with a number that is taken.
    Duplicate,
    /// A statement that is none.
    Nonsense,
    /// An error of the program's own.
    Raise,
    Panic(u32),
    /// `set_rollback`.
    Mark(bool),
    /// A savepoint by hand.
    Savepoint,
    /// To a savepoint by hand, counted from the one that was made last; nothing where there are fewer. It may be gone.
    RollBackTo(usize),
    Release(usize),
    Block(Block),
    OnCommit(Hook),
}

#[derive(Debug, Clone)]
struct Block {
    form: Form,
    savepoint: bool,
    durable: bool,
    steps: Vec<Step>,
}

/// How a block is written, and how it ends where nothing that is not caught ends it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Closure,
    Committed,
    RolledBack,
    Dropped,
}

#[derive(Debug, Clone)]
struct Hook {
    label: u32,
    robust: bool,
    steps: Vec<Step>,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done,
    Raised,
    Panicked(u32),
    Failed { kind: ErrorKind, work_lost: bool, after_commit: bool },
}

/// What player and model tell, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Ended {
        outcome: Outcome,
        in_block: bool,
        marked: bool,
        errors_occurred: bool,
    },
    /// A hook runs, and another connection sees these rows.
    Fired {
        label: u32,
        rows: Vec<u32>,
    },
    /// What another connection sees when a step of the program itself has ended.
    Rows(Vec<u32>),
}

/// Of what the model has to know which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Mysql,
    Postgres,
}

/// Runs so many programs on a database of these settings, which is empty. They are the same in every run: a failure can be
/// tried again.
///
/// # Panics
///
/// Where the database does not do what the model says: the message has the shortest program that shows it.
pub fn check(settings: &Settings, cases: u32) {
    let stage = Stage::new(settings);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&program(), |program| stage.play(&program));
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Where programs run: one connection, and another that looks on.
struct Stage {
    // Before the connections of which it consists.
    db: Connection,
    reader: Connection,
    dialect: Dialect,
    /// The program before has failed.
    unwell: Cell<bool>,
    connections: Connections,
}

impl Stage {
    fn new(settings: &Settings) -> Self {
        let databases = Databases::new().with("default", settings.clone()).with("reader", settings.clone());
        let connections = Connections::new(databases).expect("a registry");
        let db = connections.get("default").expect("an alias");
        let reader = connections.get("reader").expect("an alias");
        db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).expect("a table");
        let dialect = match db.vendor() {
            "sqlite" => Dialect::Sqlite,
            "postgresql" => Dialect::Postgres,
            _ => Dialect::Mysql,
        };
        Self { db, reader, dialect, unwell: Cell::new(false), connections }
    }

    fn play(&self, program: &Program) -> Result<(), TestCaseError> {
        if self.unwell.replace(true) {
            // What the one before left open is in the way.
            self.db.close();
        }
        self.play_on_an_empty_table(program)?;
        self.unwell.set(false);
        Ok(())
    }

    fn play_on_an_empty_table(&self, program: &Program) -> Result<(), TestCaseError> {
        self.reader.execute("DELETE FROM t", ()).expect("an empty table");
        self.db.execute("INSERT INTO t VALUES (?)", params![TAKEN]).expect("a row");
        let serial = self.db.serial();

        let player = Rc::new(Player::new(self.db.clone(), self.reader.clone()));
        let mut model = Model::new(self.dialect, self.db.errors_occurred());
        let test = program.in_a_test.then(|| {
            model.begin_test();
            TestCase::begin(&self.connections, &["default"]).expect("a test")
        });
        for step in &program.steps {
            player.play(step);
            model.play(step);
        }
        drop(test);
        same_story(&player.events(), &model.events())?;

        let state = self.db.state();
        prop_assert!(state.connected && state.autocommit && !state.needs_rollback, "{:?}", state);
        prop_assert!(self.db.get_rollback().is_err(), "a block is open");
        prop_assert_eq!(self.db.serial(), serial, "the connection was replaced");
        // Where a transaction were open, nobody else would see it.
        self.db.execute("INSERT INTO t VALUES (?)", params![UNUSED]).expect("a statement");
        prop_assert!(player.rows().contains(&UNUSED), "a transaction is open");
        Ok(())
    }
}

fn same_story(told: &[Event], expected: &[Event]) -> Result<(), TestCaseError> {
    let same = told.iter().zip(expected).take_while(|(told, expected)| told == expected).count();
    let (told, wanted) = (told.get(same), expected.get(same));
    prop_assert!(told == wanted, "{told:?}, and the model says {wanted:?}, after {:?}", &expected[..same]);
    Ok(())
}

/// The number of a row that is there from the beginning.
const TAKEN: u32 = 0;
/// One that no program has.
const UNUSED: u32 = 1_000_000;

fn program() -> impl Strategy<Value = Program> {
    let steps = prop::collection::vec(caught_or_not(prop_oneof![1 => leaf(), 6 => holder(step())]), 1..4);
    (prop::bool::weighted(0.2), steps).prop_map(|(in_a_test, mut steps)| {
        number(&mut steps, &mut 0);
        Program { in_a_test, steps }
    })
}

fn step() -> BoxedStrategy<Step> {
    let holds = |inner: BoxedStrategy<Step>| caught_or_not(prop_oneof![1 => leaf(), 2 => holder(inner)]);
    caught_or_not(leaf()).prop_recursive(4, 60, 8, holds).boxed()
}

fn caught_or_not(action: impl Strategy<Value = Action>) -> impl Strategy<Value = Step> {
    (action, prop::bool::weighted(0.75)).prop_map(|(action, caught)| Step { action, caught })
}

fn leaf() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => Just(Action::Insert(0)),
        3 => Just(Action::Duplicate),
        1 => Just(Action::Nonsense),
        1 => Just(Action::Raise),
        1 => Just(Action::Panic(0)),
        1 => prop::bool::weighted(0.6).prop_map(Action::Mark),
        2 => Just(Action::Savepoint),
        2 => (0_usize..3).prop_map(Action::RollBackTo),
        1 => (0_usize..3).prop_map(Action::Release),
    ]
}

/// A block or a hook, with these steps in it.
fn holder(inner: BoxedStrategy<Step>) -> impl Strategy<Value = Action> {
    let steps = prop::collection::vec(inner, 0..8);
    let form = prop_oneof![
        4 => Just(Form::Closure), 3 => Just(Form::Committed), 1 => Just(Form::RolledBack), 1 => Just(Form::Dropped)
    ];
    let block = (form, prop::bool::weighted(0.75), prop::bool::weighted(0.05), steps.clone())
        .prop_map(|(form, savepoint, durable, steps)| Action::Block(Block { form, savepoint, durable, steps }));
    let hook = (prop::bool::weighted(0.3), steps)
        .prop_map(|(robust, steps)| Action::OnCommit(Hook { label: 0, robust, steps }));
    prop_oneof![1 => block, 1 => hook]
}

/// Gives each row, panic and hook a number of its own.
fn number(steps: &mut [Step], last: &mut u32) {
    for step in steps {
        *last += 1;
        match &mut step.action {
            Action::Insert(number) | Action::Panic(number) => *number = *last,
            Action::Block(block) => number(&mut block.steps, last),
            Action::OnCommit(hook) => {
                hook.label = *last;
                number(&mut hook.steps, last);
            }
            _ => {}
        }
    }
}

// A program as one can read it, whatever the format.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.in_a_test { "in a test" } else { "" })?;
        self.steps.iter().try_for_each(|step| write!(f, "\n    {step:?}"))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caught = if self.caught { "" } else { "?" };
        write!(f, "{:?}{caught}", self.action)
    }
}
