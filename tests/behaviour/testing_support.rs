//! What the tests of programs use: transactions that are rolled back, hooks that are captured, statements that are counted.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use dockline::testing::{TestCase, assert_num_queries, capture_on_commit_callbacks, capture_queries};
use dockline::{
    Atomic, Connection, Connections, Databases, Error, ErrorKind, IsolationLevel, LoggedQuery, Result, Retry,
};
use dockline_tests::{Database, Story, in_memory};

use crate::stage::{Mine, Numbers, Record, insert};

fn begin(numbers: &Numbers) -> TestCase {
    TestCase::begin(&numbers.connections, &["default"]).expect("a test")
}

/// How many numbers the connection itself sees.
fn seen(db: &Connection) -> i64 {
    db.query_value("SELECT count(*) FROM t", ()).expect("a count")
}

#[test]
fn nothing_of_a_test_stays() {
    let numbers = Numbers::new();
    let test = begin(&numbers);
    numbers.insert(1).unwrap();
    numbers.db.atomic(|| numbers.insert(2)).unwrap();
    let failed: Result<(), Mine> = numbers.db.atomic(|| {
        numbers.insert(3)?;
        Err(Mine::Refused)
    });
    assert!(failed.is_err());
    assert_eq!(seen(&numbers.db), 2);
    assert_eq!(numbers.stored(), [0; 0]);
    drop(test);
    assert_eq!(seen(&numbers.db), 0);
    numbers.assert_well();
}

#[test]
fn nothing_of_a_test_that_panics_stays() {
    let numbers = Numbers::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _test = begin(&numbers);
        let _block = numbers.db.begin_atomic(Atomic::new()).unwrap();
        numbers.insert(1).unwrap();
        resume_unwind(Box::new("an assertion fails"));
    }));
    assert!(panic.is_err());
    numbers.assert_well();
    assert_eq!(numbers.stored(), [0; 0]);
}

#[test]
fn a_durable_block_may_stand_in_a_test_but_not_in_a_block_of_it() {
    let numbers = Numbers::new();
    let _test = begin(&numbers);
    let durable = Atomic::new().durable(true);
    numbers
        .db
        .atomic_with(durable, || {
            numbers.insert(1)?;
            assert!(numbers.db.begin_atomic(durable).unwrap_err().is_nested_durable());
            Ok::<_, Error>(())
        })
        .unwrap();
    Retry::new().run(&numbers.db, || numbers.insert(2)).unwrap();
    numbers
        .db
        .atomic(|| {
            assert!(numbers.db.begin_atomic(durable).unwrap_err().is_nested_durable());
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(seen(&numbers.db), 2);
}

#[test]
fn a_block_with_options_may_stand_in_a_test_but_not_in_a_block_of_it() {
    let numbers = Numbers::new();
    let _test = begin(&numbers);
    let serializable = Atomic::new().isolation_level(IsolationLevel::Serializable);
    numbers
        .db
        .atomic_with(serializable, || {
            numbers.insert(1)?;
            let error = numbers.db.begin_atomic(serializable).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TransactionManagement, "{error:?}");
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(seen(&numbers.db), 1);
}

#[test]
fn requests_and_tasks_do_not_end_a_test() {
    let numbers = Numbers::with(|settings| settings.conn_max_age(Some(Duration::ZERO)).atomic_requests(true));
    let (story, connections) = (Story::of(&numbers.connections), &numbers.connections);
    let test = begin(&numbers);
    numbers.insert(1).unwrap();
    connections.in_request(|| numbers.insert(2)).unwrap();
    let failed: Result<(), Mine> = connections.in_request(|| {
        numbers.insert(3)?;
        Err(Mine::Refused)
    });
    assert!(failed.is_err());
    connections.in_request(|| numbers.db.execute("NONSENSE", ())).unwrap_err();
    connections.task({
        let connections = connections.clone();
        move || insert(&connections.get("default").unwrap(), 4).unwrap()
    })();
    connections
        .in_request(|| {
            std::mem::forget(numbers.db.begin_atomic(Atomic::new())?);
            numbers.insert(5)
        })
        .unwrap_err();
    connections.close_old_connections();
    assert_eq!((seen(&numbers.db), story.closed()), (3, 0), "what a request left open is rolled back alone");
    drop(test);
    assert_eq!((numbers.stored(), story.closed()), (vec![], 0));
    connections.close_old_connections();
    assert_eq!(story.closed(), 1, "after it, age counts again");
}

#[test]
fn a_test_has_a_transaction_on_each_of_its_aliases() {
    let files = [Database::new(), Database::new(), Database::new()];
    let aliases = ["default", "orders", "plain"];
    let databases =
        aliases.iter().zip(&files).fold(Databases::new(), |all, (alias, file)| all.with(*alias, file.settings()));
    let connections = Connections::new(databases).unwrap();
    let all = aliases.map(|alias| connections.get(alias).unwrap());
    for db in &all {
        db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    }
    let test = TestCase::begin(&connections, &["default", "orders"]).unwrap();
    for db in &all {
        insert(db, 1).unwrap();
    }
    drop(test);
    assert_eq!(all.each_ref().map(seen), [0, 0, 1]);

    let error = TestCase::begin(&connections, &["default", "missing"]).unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::ConnectionDoesNotExist, Some("missing")));
    assert!(!all[0].in_atomic_block(), "what was begun is ended");
}

#[test]
fn a_test_inside_a_test_is_undone_alone() {
    let numbers = Numbers::new();
    let _outer = begin(&numbers);
    numbers.insert(1).unwrap();
    let inner = begin(&numbers);
    numbers.insert(2).unwrap();
    numbers.db.atomic_with(Atomic::new().durable(true), || numbers.insert(3)).unwrap();
    drop(inner);
    assert_eq!(seen(&numbers.db), 1);
}

#[test]
fn hooks_are_captured_and_run_when_they_are_told() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let test = begin(&numbers);
    db.on_commit(record.hook("before the capture")).unwrap();
    let (answer, hooks) = capture_on_commit_callbacks(db, || {
        db.atomic(|| {
            db.on_commit(record.hook("first"))?;
            let failed: Result<(), Mine> = db.atomic(|| {
                db.on_commit(record.hook("rolled back"))?;
                Err(Mine::Refused)
            });
            assert!(failed.is_err());
            let (handle, to) = (db.clone(), record.clone());
            db.on_commit_robust(move || {
                to.add("robust");
                let (inside, last) = (handle.clone(), to.clone());
                handle.on_commit(move || {
                    last.add("registered by the robust one");
                    inside.on_commit(last.hook("registered by that"))
                })?;
                Err::<(), _>(Error::new(ErrorKind::Interface, "it fails"))
            })?;
            db.on_commit(record.hook("last"))
        })?;
        Ok::<_, Error>("the closure's answer")
    });
    assert_eq!((answer.unwrap(), hooks.len(), hooks.is_empty()), ("the closure's answer", 3, false));
    assert_eq!(record.all(), [""; 0]);
    hooks.run().unwrap();
    let expected = ["first", "robust", "last", "registered by the robust one", "registered by that"];
    assert_eq!(record.all(), expected);
    drop(test);
    assert_eq!(record.all().len(), expected.len(), "what was registered before is dropped with the test");
    assert!(record.is_mine_alone());
}

#[test]
fn a_captured_hook_that_fails_ends_the_run() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let _test = begin(&numbers);
    let ((), hooks) = capture_on_commit_callbacks(db, || {
        db.on_commit(record.hook("before")).unwrap();
        db.on_commit(|| Err::<(), _>("the mail server is down")).unwrap();
        db.on_commit(record.hook("behind")).unwrap();
    });
    let error = hooks.run().unwrap_err();
    assert!(error.message().contains("the mail server is down"), "{error}");
    assert_eq!(record.all(), ["before"]);

    let ((), hooks) = capture_on_commit_callbacks(db, || db.on_commit(record.hook("dropped")).unwrap());
    drop(hooks);
    assert!(record.is_mine_alone());
}

#[test]
fn without_a_block_hooks_run_at_once_and_none_is_captured() {
    let numbers = Numbers::new();
    let record = Record::default();
    let (result, hooks) = capture_on_commit_callbacks(&numbers.db, || numbers.db.on_commit(record.hook("at once")));
    result.unwrap();
    assert!(hooks.is_empty());
    assert_eq!(record.all(), ["at once"]);
}

#[test]
fn statements_are_counted_with_what_begins_and_ends_transactions() {
    let numbers = Numbers::new();
    let answer = assert_num_queries(&numbers.db, 3, || {
        numbers.db.atomic(|| numbers.insert(1)).unwrap();
        "the closure's answer"
    });
    assert_eq!(answer, "the closure's answer");
    assert_num_queries(&numbers.db, 0, || ());
    let _test = begin(&numbers);
    assert_num_queries(&numbers.db, 3, || numbers.db.atomic(|| numbers.insert(2))).unwrap();
}

#[test]
fn a_wrong_number_of_statements_fails_the_test_with_all_of_them() {
    let numbers = Numbers::new();
    for (expected, runs) in [(1, 2), (3, 2)] {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            assert_num_queries(&numbers.db, expected, || {
                numbers.db.query("SELECT 'first'", ())?;
                numbers.db.query("SELECT 'second'", ())
            })
        }));
        let message = panic.unwrap_err().downcast::<String>().expect("a text");
        let head = format!("{runs} statements ran, and {expected} were expected:");
        assert!(message.starts_with(&head), "{message}");
        assert!(message.contains("1. SELECT 'first'\n2. SELECT 'second'"), "{message}");
    }
}

fn texts(queries: Vec<LoggedQuery>) -> Vec<String> {
    queries.into_iter().map(|query| query.sql).collect()
}

#[test]
fn statements_are_captured_over_the_boundaries_of_requests() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.query("SELECT 'before'", ()).unwrap();
    let (inner, queries) = capture_queries(&db, || {
        db.query("SELECT 1", ()).unwrap();
        connections.in_request(|| db.query("SELECT 2", ())).unwrap();
        connections.reset_queries();
        let ((), inner) = capture_queries(&db, || drop(db.query("SELECT 3", ()).unwrap()));
        db.close();
        db.query("SELECT 4", ()).unwrap();
        inner
    });
    assert_eq!(texts(inner), ["SELECT 3"]);
    assert_eq!(texts(queries), ["SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4"]);
    drop(connections.request());
    db.query("SELECT 'behind'", ()).unwrap();
    assert_eq!(texts(db.queries()), [""; 0], "the log is off again, and the next request has emptied it");
}

#[test]
fn a_capture_ends_also_by_a_panic() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        capture_queries(&db, || {
            db.query("SELECT 1", ()).unwrap();
            resume_unwind(Box::new("on purpose"));
        })
    }));
    assert!(panic.is_err());
    db.query("SELECT 2", ()).unwrap();
    assert_eq!(texts(db.queries()), ["SELECT 1"], "the log is off again");
    connections.reset_queries();
    assert_eq!(texts(db.queries()), [""; 0]);
}

#[test]
fn more_than_the_log_keeps_is_not_captured_for_something_else() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.force_query_log(true);
    for _ in 0..8_999 {
        db.query("SELECT 'before'", ()).unwrap();
    }
    let ((), queries) = capture_queries(&db, || {
        for _ in 0..3 {
            db.query("SELECT 'inside'", ()).unwrap();
        }
    });
    assert_eq!(texts(queries), ["SELECT 'inside'"; 3]);
}
