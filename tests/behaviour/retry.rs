//! Running a transaction again.

use std::cell::Cell;
use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dockline::testing::TestCase;
use dockline::{
    Connection, Connections, DatabaseFailure, Databases, Error, ErrorKind, Fact, Result, Retry, TransactionMode,
};
use dockline_tests::scripted::{Act, Script};
use dockline_tests::{log_capture, memory, wait_until};

use crate::stage::{Numbers, Record, insert};

/// Without pauses: these tests wait for nobody.
fn at_once() -> Retry {
    Retry::new().pauses(Duration::ZERO, Duration::ZERO)
}

/// A lock that is not there is an error at once, of the statement that wants it.
fn impatient() -> Numbers {
    Numbers::with(|settings| settings.option("busy_timeout", "0").transaction_mode(TransactionMode::Deferred))
}

fn retryable() -> Error {
    Error::new(ErrorKind::Operational, "deadlock detected").with_code("40P01").with_fact(Fact::Retryable)
}

fn disconnect() -> Error {
    Error::new(ErrorKind::Operational, "server has gone away").with_code("2006").with_fact(Fact::Disconnect)
}

#[test]
fn it_runs_until_the_lock_is_there() {
    let numbers = impatient();
    let blocker = numbers.bare();
    blocker.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (100)").unwrap();
    let attempts = Cell::new(0);
    let answer = at_once()
        .run(&numbers.db, || {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 4 {
                blocker.execute_batch("COMMIT").unwrap();
            }
            numbers.insert(1)?;
            Ok::<_, Error>("done")
        })
        .unwrap();
    assert_eq!((answer, attempts.get()), ("done", 4));
    assert_eq!(numbers.stored(), [1, 100]);
    numbers.assert_well();
}

#[test]
fn a_transaction_that_cannot_begin_is_tried_again_too() {
    log_capture::start();
    let numbers = Numbers::named("cannot_begin");
    let settings = numbers.settings().option("busy_timeout", "0").transaction_mode(TransactionMode::Immediate);
    numbers.connections.replace("cannot_begin", settings).unwrap();
    numbers.other().execute("BEGIN IMMEDIATE", ()).unwrap();
    let connections = numbers.connections.clone();
    let retrying = std::thread::spawn(move || {
        let db = connections.get("cannot_begin").unwrap();
        let mut attempts = 0;
        let forever =
            Retry::new().attempts(u32::MAX).limit(None).pauses(Duration::from_millis(1), Duration::from_millis(1));
        forever
            .run(&db, || {
                attempts += 1;
                insert(&db, 1)
            })
            .map(|()| attempts)
    });
    // It says that there will be a third.
    wait_until("two attempts were made", || {
        !log_capture::lines("dockline::connection", "alias \"cannot_begin\": attempt 2 of a transaction").is_empty()
    });
    numbers.other().execute("COMMIT", ()).unwrap();
    assert_eq!(retrying.join().unwrap().unwrap(), 1, "the closure itself runs only where the block has begun");
    assert_eq!(numbers.stored(), [1]);
}

/// How often the closure runs where it always fails like that.
fn attempts<E: From<Error> + DatabaseFailure + fmt::Debug>(
    retry: &Retry,
    db: &Connection,
    fail: impl Fn() -> E,
) -> u32 {
    let mut attempts = 0;
    let result: Result<(), E> = retry.run(db, || {
        attempts += 1;
        Err(fail())
    });
    result.unwrap_err();
    attempts
}

#[test]
fn it_gives_up_after_so_many_attempts_or_so_much_time() {
    let numbers = impatient();
    let db = &numbers.db;
    for (retry, runs) in [
        (at_once(), 5),
        (at_once().attempts(3), 3),
        (at_once().attempts(1), 1),
        (at_once().attempts(0), 1),
        (at_once().limit(Some(Duration::ZERO)), 1),
        (at_once().attempts(3).limit(None), 3),
        // The pause would be longer than what is left.
        (Retry::new().pauses(Duration::from_secs(3600), Duration::from_secs(3600)), 1),
    ] {
        let locked = || retryable().with_alias("default");
        assert_eq!(attempts(&retry, db, locked), runs, "{retry:?}");
    }
    let blocker = numbers.bare();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = at_once().run(db, || numbers.insert(1)).unwrap_err();
    assert_eq!((error.code().as_deref(), error.is_lock_timeout()), (Some("5"), true), "the last attempt's: {error:?}");
    drop(blocker);
    numbers.assert_well();
}

/// An error of a program.
#[derive(Debug)]
enum OrderError {
    SoldOut,
    Database(Error),
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl DatabaseFailure for OrderError {
    fn database_error(&self) -> Option<&Error> {
        match self {
            Self::Database(error) => Some(error),
            Self::SoldOut => None,
        }
    }
}

/// One that holds another.
#[derive(Debug)]
struct While(&'static str, Error);

impl fmt::Display for While {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for While {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.1)
    }
}

#[test]
fn only_what_may_pass_is_tried_again() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    let ours = |error: Error| error.with_alias("default");
    let plain = |kind| ours(Error::new(kind, "it failed"));
    for (fail, runs) in [
        (&(|| ours(retryable())) as &dyn Fn() -> Error, 5),
        (&|| ours(disconnect()), 5),
        (&|| plain(ErrorKind::Operational).with_fact(Fact::Exhausted), 5),
        (&|| plain(ErrorKind::Integrity), 1),
        (&|| plain(ErrorKind::Operational), 1),
        (&|| plain(ErrorKind::Operational).with_fact(Fact::Cancelled), 1),
        (&|| ours(disconnect()).with_fact(Fact::CommitUnknown), 1),
        (&|| ours(retryable()).with_fact(Fact::AfterCommit), 1),
        // What another connection met says nothing of this one's transaction.
        (&|| retryable().with_alias("other"), 1),
        (&retryable, 1),
    ] {
        assert_eq!(attempts(&at_once(), db, fail), runs, "{:?}", fail());
    }
    numbers.insert(1).unwrap();
    let mut runs = 0;
    let error = at_once().run(db, || {
        runs += 1;
        numbers.insert(1)
    });
    assert_eq!((error.unwrap_err().kind(), runs), (ErrorKind::Integrity, 1));
}

#[test]
fn errors_of_a_program_say_whether_the_database_has_failed() {
    type Boxed = Box<dyn StdError + Send + Sync>;
    let numbers = Numbers::new();
    let (db, retry) = (&numbers.db, at_once().attempts(3));
    let ours = || retryable().with_alias("default");
    assert_eq!(attempts(&retry, db, || OrderError::SoldOut), 1);
    assert_eq!(attempts(&retry, db, || OrderError::Database(ours())), 3);
    assert_eq!(attempts(&retry, db, || Boxed::from("sold out")), 1);
    assert_eq!(attempts(&retry, db, || Boxed::from(ours())), 3);
    assert_eq!(attempts(&retry, db, || Boxed::from(While("ordering", ours()))), 3, "among the sources");
    assert_eq!(attempts(&retry, db, || Box::<dyn StdError>::from(While("ordering", ours()))), 3);
    assert_eq!(attempts(&retry, db, || Box::<dyn StdError>::from("sold out")), 1);
}

#[test]
fn an_error_type_of_somebody_else_is_asked_by_a_closure() {
    /// As `anyhow::Error`: it takes every error, and is none itself.
    #[derive(Debug)]
    struct Any(Box<dyn StdError>);
    impl<E: StdError + 'static> From<E> for Any {
        fn from(error: E) -> Self {
            Self(Box::new(error))
        }
    }
    let numbers = Numbers::new();
    let attempts = |fail: &dyn Fn() -> Any| {
        let mut runs = 0;
        let result: Result<(), Any> = at_once().attempts(3).run_by(
            &numbers.db,
            |error: &Any| error.0.downcast_ref(),
            || {
                runs += 1;
                Err(fail())
            },
        );
        result.unwrap_err();
        runs
    };
    assert_eq!(attempts(&|| retryable().with_alias("default").into()), 3);
    assert_eq!(attempts(&|| std::io::Error::other("no route").into()), 1);
}

#[test]
fn a_failure_that_the_closure_swallowed_is_found_at_the_end() {
    let numbers = Numbers::new();
    let (db, runs) = (&numbers.db, Cell::new(0));
    // What the driver says of a deadlock: the server has rolled the transaction back.
    let (connections, script) = Script::connections(|settings| settings);
    let scripted = connections.get("default").unwrap();
    at_once()
        .run(&scripted, || {
            runs.set(runs.get() + 1);
            script.in_transaction.store(true, Ordering::SeqCst);
            scripted.execute("UPDATE job SET done = 1", ())?;
            if runs.get() == 1 {
                script.next(Act::FailAndEnd(retryable()));
                let _ = scripted.execute("UPDATE job SET done = 2", ());
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(runs.get(), 2);
    // One that may not pass is not.
    numbers.insert(1).unwrap();
    runs.set(0);
    let error = at_once()
        .run(db, || {
            runs.set(runs.get() + 1);
            numbers.insert(2)?;
            let _ = db.execute("INSERT OR ROLLBACK INTO t VALUES (1)", ());
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert!(error.is_work_lost() && runs.get() == 1, "{error:?}");
}

#[test]
fn it_is_refused_where_nothing_can_be_tried_again() {
    let numbers = Numbers::new();
    let mut runs = 0;
    let mut refused = || -> Error {
        at_once()
            .run(&numbers.db, || {
                runs += 1;
                Ok::<_, Error>(())
            })
            .unwrap_err()
    };
    let block = numbers.db.begin_atomic(dockline::Atomic::new()).unwrap();
    let error = refused();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::TransactionManagement, Some("default")));
    assert!(error.is_nested_durable(), "{error:?}");
    block.commit().unwrap();
    numbers.db.set_autocommit(false).unwrap();
    let error = refused();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::TransactionManagement, Some("default")));
    assert!(error.message().contains("autocommit is on"), "{error}");
    numbers.db.set_autocommit(true).unwrap();
    assert_eq!(runs, 0);
    numbers.assert_well();
}

#[test]
fn inside_a_test_it_runs_as_everywhere() {
    let numbers = Numbers::new();
    let _test = TestCase::begin(&numbers.connections, &["default"]).unwrap();
    let runs = Cell::new(0);
    at_once()
        .run(&numbers.db, || {
            runs.set(runs.get() + 1);
            numbers.insert(runs.get())?;
            if runs.get() < 3 { Err(retryable().with_alias("default")) } else { Ok(()) }
        })
        .unwrap();
    let seen: Vec<(i64,)> = numbers.db.query_as("SELECT n FROM t", ()).unwrap();
    assert_eq!(seen, [(3,)], "what failed is undone");
}

#[test]
fn what_an_attempt_left_is_undone_before_the_next() {
    let numbers = Numbers::new();
    let record = Record::default();
    let runs = Cell::new(0);
    at_once()
        .run(&numbers.db, || {
            runs.set(runs.get() + 1);
            numbers.insert(runs.get())?;
            numbers.db.on_commit(record.hook("of the last"))?;
            if runs.get() < 3 { Err(retryable().with_alias("default")) } else { Ok(()) }
        })
        .unwrap();
    assert_eq!((numbers.stored(), record.all()), (vec![3], vec!["of the last".to_owned()]));
}

#[test]
fn a_hook_that_fails_after_the_commit_runs_nothing_again() {
    let numbers = Numbers::new();
    let runs = Cell::new(0);
    let error = at_once()
        .run(&numbers.db, || {
            runs.set(runs.get() + 1);
            numbers.insert(runs.get())?;
            numbers.db.on_commit(|| Err::<(), _>(retryable().with_alias("default")))
        })
        .unwrap_err();
    assert!(error.is_after_commit() && !error.is_retryable(), "{error:?}");
    assert_eq!(numbers.stored(), [1], "it is committed, and once");
}

#[test]
fn an_error_of_another_alias_is_not_tried_again() {
    let databases = Databases::new().with("default", memory()).with("other", memory());
    let connections = Connections::new(databases).unwrap();
    let [db, other] = ["default", "other"].map(|alias| connections.get(alias).unwrap());
    let mut runs = 0;
    let result: Result<()> = at_once().run(&db, || {
        runs += 1;
        other.atomic(|| Err(retryable().with_alias("other")))
    });
    assert_eq!((result.unwrap_err().alias(), runs), (Some("other"), 1));
}

/// Runs a closure of one statement on the scripted backend, with this script for what the connection is asked to do; and
/// how often the closure ran.
fn scripted(acts: impl IntoIterator<Item = Option<Error>>) -> (Result<()>, u32, usize) {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    db.ensure_connection().unwrap();
    for act in acts {
        script.next(act.map_or(Act::Succeed, Act::Fail));
    }
    let mut runs = 0;
    let result = at_once().run(&db, || {
        runs += 1;
        db.execute("UPDATE job SET done = 1", ()).map(drop)
    });
    (result, runs, script.statements.load(Ordering::SeqCst))
}

#[test]
fn a_connection_that_is_lost_before_the_commit_is_replaced_for_another_attempt() {
    let fine = || None;
    let lost = || Some(disconnect().with_fact(Fact::MayHaveExecuted));
    // The block begins; the statement finds out.
    let (result, runs, asked) = scripted([fine(), lost()]);
    result.unwrap();
    assert_eq!((runs, asked), (2, 5), "two for the first, which has nobody to roll back, and three for the second");
    // The commit finds out before it is sent.
    let (result, runs, _) = scripted([fine(), fine(), Some(disconnect())]);
    result.unwrap();
    assert_eq!(runs, 2);
    // Beginning finds out.
    let (result, runs, _) = scripted([lost()]);
    result.unwrap();
    assert_eq!(runs, 1);
}

#[test]
fn a_commit_that_the_database_has_undone_is_tried_again() {
    let (result, runs, asked) = scripted([None, None, Some(retryable())]);
    result.unwrap();
    assert_eq!((runs, asked), (2, 7), "the commit that failed is rolled back");
}

#[test]
fn a_commit_whose_outcome_is_unknown_is_never_tried_again() {
    let (result, runs, asked) = scripted([None, None, Some(disconnect().with_fact(Fact::MayHaveExecuted))]);
    let error = result.unwrap_err();
    assert!(error.is_commit_unknown() && error.is_disconnect() && !error.is_work_lost(), "{error:?}");
    assert_eq!((runs, asked), (1, 3));
}
