//! Closures around every statement of a connection.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use dockline::{
    Atomic, Connection, Connections, Databases, Error, ErrorKind, ExecuteWrapper, Executed, Result, params,
};
use dockline_tests::{in_memory, memory, on_thread};

use crate::stage::{Mine, Numbers, Record};

/// Records the statements that pass, with a word before each.
fn recording(db: &Connection, record: &Record, word: &'static str) -> ExecuteWrapper {
    let record = record.clone();
    db.execute_wrapper(move |execution| {
        record.add(format!("{word} {}", execution.sql()));
        execution.run()
    })
}

#[test]
fn the_wrapper_that_was_entered_first_is_the_outermost() {
    let connections = in_memory();
    let (db, record) = (connections.get("default").unwrap(), Record::default());
    let around = |word: &'static str| {
        let record = record.clone();
        db.execute_wrapper(move |execution| {
            record.add(format!("{word} begins"));
            let executed = execution.run();
            record.add(format!("{word} ends"));
            executed
        })
    };
    let _wrappers = (around("first"), around("second"));
    assert_eq!(db.query_value::<i64>("SELECT 7", ()).unwrap(), 7);
    assert_eq!(record.all(), ["first begins", "second begins", "second ends", "first ends"]);
}

#[test]
fn a_wrapper_sees_what_is_run_and_how() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let to = record.clone();
    let _wrapper = db.execute_wrapper(move |execution| {
        assert_eq!(execution.connection().alias(), "default");
        to.add(format!("{} {:?} {}", execution.sql(), execution.params(), execution.is_many()));
        execution.run()
    });
    numbers.insert(1).unwrap();
    db.execute_many("INSERT INTO t VALUES (?)", [params![2], params![3]]).unwrap();
    db.query("SELECT n FROM t", ()).unwrap();
    db.query_each("SELECT n FROM t LIMIT 1", (), |_| Ok(std::ops::ControlFlow::Break(()))).unwrap();
    let expected = [
        "INSERT INTO t VALUES (?) [Int(1)] false",
        "INSERT INTO t VALUES (?) [] true",
        "SELECT n FROM t [] false",
        "SELECT n FROM t LIMIT 1 [] false",
    ];
    assert_eq!(record.all(), expected);
    assert_eq!(numbers.stored(), [1, 2, 3]);
}

#[test]
fn debug_does_not_show_parameters() {
    let connections = in_memory();
    let (db, record) = (connections.get("default").unwrap(), Record::default());
    let to = record.clone();
    let _wrapper = db.execute_wrapper(move |execution| {
        to.add(format!("{execution:?}"));
        execution.run()
    });
    db.query("SELECT ?", params!["hunter2"]).unwrap();
    assert!(record.all()[0].contains("SELECT ?") && !record.all()[0].contains("hunter2"), "{:?}", record.all());
}

#[test]
fn a_wrapper_may_run_another_statement_in_its_place() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let annotated = db.execute_wrapper(|execution| {
        let sql = format!("/* orders */ {}", execution.sql());
        let params = execution.params().to_vec();
        execution.run_as(&sql, &params)
    });
    let inner = recording(db, &record, "inner");
    numbers.insert(1).unwrap();
    db.execute_many("INSERT INTO t VALUES (?)", [params![2], params![3]]).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT ? + 1", params![1]).unwrap(), 2);
    let insert = "inner /* orders */ INSERT INTO t VALUES (?)";
    assert_eq!(record.all(), [insert, insert, "inner /* orders */ SELECT ? + 1"]);
    assert_eq!(numbers.stored(), [1, 2, 3], "rows of execute_many are kept");
    drop((annotated, inner));
    let _other = db.execute_wrapper(|execution| execution.run_as("SELECT ? * 100", params![5].as_ref()));
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 500, "its parameters are taken, too");
}

#[test]
fn what_a_wrapper_refuses_is_not_sent() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let outer = recording(db, &record, "outer");
    let blocker = db.execute_wrapper(|_| Err(Error::new(ErrorKind::Interface, "not in a template")));
    let inner = recording(db, &record, "inner");
    let error = numbers.insert(1).unwrap_err();
    assert_eq!(
        (error.kind(), error.message(), error.alias()),
        (ErrorKind::Interface, "not in a template", Some("default"))
    );
    assert!(!error.may_have_executed());
    assert_eq!(record.all(), ["outer INSERT INTO t VALUES (?)"]);
    assert_eq!(db.atomic(|| db.atomic(|| Ok::<_, Error>(()))).unwrap_err().message(), "not in a template");
    drop((outer, blocker, inner));
    numbers.assert_well();
    assert_eq!(numbers.stored(), [0; 0]);
}

#[test]
fn where_a_wrapper_fails_after_the_statement_the_error_says_that_it_ran() {
    let numbers = Numbers::new();
    let _wrapper = numbers.db.execute_wrapper(|execution| {
        execution.run()?;
        Err(Error::new(ErrorKind::Interface, "too slow"))
    });
    let error = numbers.insert(1).unwrap_err();
    assert!(error.may_have_executed() && error.message() == "too slow", "{error:?}");
    assert_eq!(numbers.stored(), [1]);
}

#[test]
fn a_wrapper_sees_the_error_of_the_statement() {
    let numbers = Numbers::new();
    let record = Record::default();
    let to = record.clone();
    let _wrapper = numbers
        .db
        .execute_wrapper(move |execution| execution.run().inspect_err(|error| to.add(format!("{:?}", error.kind()))));
    numbers.insert(1).unwrap();
    assert_eq!(numbers.insert(1).unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(record.all(), ["Integrity"]);
}

#[test]
fn a_wrapper_cannot_answer_with_what_another_statement_gave() {
    let numbers = Numbers::new();
    let kept: Rc<RefCell<Option<Executed>>> = Rc::default();
    let keeping = Rc::clone(&kept);
    let wrapper = numbers.db.execute_wrapper(move |execution| match keeping.take() {
        Some(executed) => Ok(executed),
        None => execution.run(),
    });
    let keeper = Rc::clone(&kept);
    let inner = numbers.db.execute_wrapper(move |execution| {
        let connection = execution.connection().clone();
        // What it runs goes through the wrappers as well.
        if connection.alias() == "default" && execution.sql() == "SELECT 1" {
            *keeper.borrow_mut() = Some(execution.run()?);
            return Err(Error::new(ErrorKind::Interface, "kept"));
        }
        execution.run()
    });
    assert_eq!(numbers.db.query("SELECT 1", ()).unwrap_err().message(), "kept");
    let error = numbers.insert(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interface);
    assert!(error.message().contains("what another one gave") && !error.may_have_executed(), "{error:?}");
    drop((wrapper, inner));
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

#[test]
fn a_statement_of_a_wrapper_goes_through_the_wrappers_too() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let _outer = recording(db, &record, "outer");
    let _explains = db.execute_wrapper(|execution| {
        if !execution.sql().starts_with("EXPLAIN") {
            execution.connection().query("EXPLAIN SELECT 1", ())?;
        }
        execution.run()
    });
    numbers.insert(1).unwrap();
    assert_eq!(record.all(), ["outer INSERT INTO t VALUES (?)", "outer EXPLAIN SELECT 1"]);
    assert_eq!(numbers.stored(), [1]);
}

#[test]
fn a_wrapper_goes_with_its_guard_whatever_the_order() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let [first, second, third] = ["first", "second", "third"].map(|word| recording(db, &record, word));
    drop(second);
    db.query("SELECT 1", ()).unwrap();
    drop(first);
    db.query("SELECT 2", ()).unwrap();
    drop(third);
    db.query("SELECT 3", ()).unwrap();
    assert_eq!(record.all(), ["first SELECT 1", "third SELECT 1", "third SELECT 2"]);
    assert!(record.is_mine_alone());
}

#[test]
fn a_statement_that_runs_keeps_the_wrappers_that_it_began_with() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let inner: Rc<RefCell<Option<ExecuteWrapper>>> = Rc::default();
    let (taken, to) = (Rc::clone(&inner), record.clone());
    let _outer = db.execute_wrapper(move |execution| {
        drop(taken.take());
        let _late = recording(execution.connection(), &to, "late");
        execution.run()
    });
    *inner.borrow_mut() = Some(recording(db, &record, "inner"));
    db.query("SELECT 1", ()).unwrap();
    db.query("SELECT 2", ()).unwrap();
    assert_eq!(record.all(), ["inner SELECT 1"]);
}

#[test]
fn wrappers_see_savepoints_and_not_the_ends_of_transactions() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let _wrapper = recording(db, &record, "");
    db.atomic(|| {
        db.atomic(|| numbers.insert(1))?;
        drop(db.begin_atomic(Atomic::new())?);
        db.savepoint_commit(db.savepoint()?)
    })
    .unwrap();
    drop(db.begin_atomic(Atomic::new()).unwrap());
    db.set_autocommit(false).unwrap();
    db.rollback().unwrap();
    db.set_autocommit(true).unwrap();
    // Numbered through.
    let verbs: Vec<String> =
        record.all().iter().map(|sql| sql.trim().trim_end_matches(char::is_numeric).to_owned()).collect();
    let expected = [
        "SAVEPOINT dockline_",
        "INSERT INTO t VALUES (?)",
        "RELEASE SAVEPOINT dockline_",
        "SAVEPOINT dockline_",
        "ROLLBACK TO SAVEPOINT dockline_",
        "RELEASE SAVEPOINT dockline_",
        "SAVEPOINT dockline_",
        "RELEASE SAVEPOINT dockline_",
    ];
    assert_eq!(verbs, expected);
}

#[test]
fn wrappers_see_a_statement_that_a_marked_block_refuses() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let _wrapper = recording(db, &record, "seen:");
    db.atomic(|| {
        db.set_rollback(true)?;
        let error = numbers.insert(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionManagement);
        assert!(!error.may_have_executed());
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(record.all(), ["seen: INSERT INTO t VALUES (?)"]);
}

#[test]
fn wrappers_stay_over_a_reconnect() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let _wrapper = recording(db, &record, "seen:");
    db.query("SELECT 1", ()).unwrap();
    let serial = db.serial();
    db.close();
    db.query("SELECT 2", ()).unwrap();
    numbers.connections.in_request(|| db.query("SELECT 3", ())).unwrap();
    assert_ne!(db.serial(), serial);
    assert_eq!(record.all(), ["seen: SELECT 1", "seen: SELECT 2", "seen: SELECT 3"]);
}

#[test]
fn wrappers_are_those_of_one_alias_and_one_thread() {
    let connections = Connections::new(Databases::new().with("default", memory()).with("other", memory())).unwrap();
    let (db, record) = (connections.get("default").unwrap(), Record::default());
    let _wrapper = recording(&db, &record, "seen:");
    connections.get("other").unwrap().query("SELECT 1", ()).unwrap();
    let on_another = connections.clone();
    on_thread(move || drop(on_another.get("default").unwrap().query("SELECT 2", ()).unwrap()));
    connections.get("default").unwrap().query("SELECT 3", ()).unwrap();
    assert_eq!(record.all(), ["seen: SELECT 3"], "whatever the handle");
}

/// Panics at statements that begin so, without a message on the screen.
fn panicking_at(db: &Connection, verb: &'static str) -> ExecuteWrapper {
    db.execute_wrapper(move |execution| {
        if execution.sql().starts_with(verb) {
            resume_unwind(Box::new(verb));
        }
        execution.run()
    })
}

#[test]
fn a_wrapper_that_panics_leaves_no_block_open() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    for verb in ["INSERT", "SAVEPOINT", "RELEASE"] {
        let wrapper = panicking_at(db, verb);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            db.atomic(|| {
                db.atomic(|| Ok::<_, Error>(()))?;
                numbers.insert(1)
            })
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&verb), "it goes on");
        drop(wrapper);
        numbers.assert_well();
    }
    db.set_autocommit(false).unwrap();
    let wrapper = panicking_at(db, "RELEASE");
    assert!(catch_unwind(AssertUnwindSafe(|| db.atomic(|| numbers.insert(1)))).is_err());
    drop(wrapper);
    assert!(!db.in_atomic_block());
    db.rollback().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

#[test]
fn a_wrapper_that_panics_while_a_block_is_left_by_a_panic_ends_no_process() {
    let numbers = Numbers::new();
    let _wrapper = panicking_at(&numbers.db, "ROLLBACK");
    let panic = catch_unwind(AssertUnwindSafe(|| {
        numbers.db.atomic(|| {
            numbers.insert(1)?;
            numbers.db.atomic(|| -> Result<()> { resume_unwind(Box::new("on purpose")) })
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"), "the first goes on");
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

#[test]
fn a_block_that_could_not_be_undone_for_a_panic_is_not_committed_with_what_is_around() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    for (verb, fails) in [("ROLLBACK", true), ("RELEASE", false)] {
        let wrapper = panicking_at(db, verb);
        db.atomic(|| {
            numbers.insert(1)?;
            let panic = catch_unwind(AssertUnwindSafe(|| {
                db.atomic(|| {
                    numbers.insert(2)?;
                    if fails { Err(Mine::Refused) } else { Ok(()) }
                })
            }));
            assert!(panic.is_err());
            Ok::<_, Error>(())
        })
        .unwrap();
        drop(wrapper);
        let stored = numbers.stored();
        assert!(!stored.contains(&2), "{verb}: a block that did not end well was committed: {stored:?}");
        numbers.assert_well();
        db.execute("DELETE FROM t", ()).unwrap();
    }
}

#[test]
fn wrappers_see_only_what_has_a_connection() {
    let numbers = Numbers::with(|settings| settings.name("/nowhere/at/all.db"));
    let record = Record::default();
    let _wrapper = recording(&numbers.db, &record, "seen:");
    let failed: Result<()> = numbers.insert(1);
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Operational);
    assert_eq!(record.all(), [""; 0]);
}
