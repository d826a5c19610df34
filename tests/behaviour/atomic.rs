//! Atomic blocks: what is committed and what is undone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use dockline::{Atomic, Connections, Databases, Error, ErrorKind, Result};
use dockline_tests::{memory, on_thread};

use crate::stage::{Mine, Numbers, Record, assert_misuse, insert};

#[test]
fn a_block_is_committed_when_its_closure_succeeds() {
    let numbers = Numbers::new();
    let answer = numbers.db.atomic(|| {
        numbers.insert(1)?;
        assert!(numbers.db.in_atomic_block());
        assert_eq!(numbers.stored(), [0_i64; 0], "not before its end");
        Ok::<_, Error>("what the closure gives")
    });
    assert_eq!(answer.unwrap(), "what the closure gives");
    assert_eq!(numbers.stored(), [1]);
    numbers.assert_well();
}

#[test]
fn a_block_is_rolled_back_when_its_closure_fails() {
    let numbers = Numbers::new();
    let failed: Result<(), Mine> = numbers.db.atomic(|| {
        numbers.insert(1)?;
        Err(Mine::Refused)
    });
    assert!(matches!(failed, Err(Mine::Refused)));
    assert_eq!(numbers.stored(), [0; 0]);

    let failed: Result<(), Mine> = numbers.db.atomic(|| {
        numbers.insert(1)?;
        numbers.insert(1)?;
        Ok(())
    });
    assert!(matches!(failed, Err(Mine::Database(error)) if error.kind() == ErrorKind::Integrity));
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

#[test]
fn a_panic_rolls_back_and_goes_on() {
    let numbers = Numbers::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        numbers.db.atomic(|| -> Result<()> {
            numbers.insert(1)?;
            resume_unwind(Box::new("on purpose"));
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();

    numbers
        .db
        .atomic(|| {
            numbers.insert(1)?;
            let panic = catch_unwind(AssertUnwindSafe(|| {
                let _inner = numbers.db.begin_atomic(Atomic::new());
                numbers.insert(2).unwrap();
                resume_unwind(Box::new("on purpose"));
            }));
            assert!(panic.is_err());
            numbers.insert(3)
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1, 3], "where it is caught, what is around goes on");
}

#[test]
fn a_guard_commits_when_it_is_told_and_else_rolls_back() {
    let numbers = Numbers::new();
    let block = numbers.db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(1).unwrap();
    block.commit().unwrap();
    let block = numbers.db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(2).unwrap();
    block.rollback().unwrap();
    let block = numbers.db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(3).unwrap();
    drop(block);
    assert_eq!(numbers.stored(), [1]);
    numbers.assert_well();
}

#[test]
fn an_inner_block_is_undone_alone() {
    let numbers = Numbers::new();
    numbers
        .db
        .atomic(|| {
            numbers.insert(1)?;
            let inner: Result<(), Mine> = numbers.db.atomic(|| {
                numbers.insert(2)?;
                numbers.db.atomic(|| numbers.insert(3))?;
                Err(Mine::Refused)
            });
            assert!(inner.is_err());
            assert!(!numbers.db.get_rollback()?);
            numbers.db.atomic(|| numbers.insert(4))?;
            numbers.insert(5)
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1, 4, 5]);
}

#[test]
fn what_a_block_without_savepoint_fails_takes_what_is_around_with_it() {
    let numbers = Numbers::new();
    let merged = Atomic::new().savepoint(false);
    let record = Record::default();
    numbers
        .db
        .atomic(|| {
            numbers.insert(1)?;
            numbers.db.atomic_with(merged, || numbers.insert(2))?;
            numbers.db.atomic(|| {
                numbers.insert(3)?;
                let failed: Result<(), Mine> = numbers.db.atomic_with(merged, || Err(Mine::Refused));
                assert!(failed.is_err() && numbers.db.get_rollback()?);
                let refused = numbers.insert(4).unwrap_err();
                assert_misuse(&refused, "marked for rollback");
                assert!(!refused.is_work_lost());
                numbers.db.on_commit(record.hook("of what is rolled back"))
            })?;
            assert!(!numbers.db.get_rollback()?, "up to the next that has a savepoint");
            numbers.insert(5)
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1, 2, 5]);
    assert_eq!(record.all(), [""; 0]);
    numbers.assert_well();
}

#[test]
fn a_commit_that_fails_rolls_back() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    db.execute("CREATE TABLE child (n INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)", ()).unwrap();
    let record = Record::default();
    let error = db
        .atomic(|| {
            numbers.insert(1)?;
            db.on_commit(record.hook("of what failed"))?;
            db.execute("INSERT INTO child VALUES (2)", ())
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Integrity, Some("default")));
    assert!(!error.is_commit_unknown() && !error.is_after_commit() && !error.is_work_lost(), "{error:?}");
    assert_eq!((numbers.stored(), record.all()), (vec![], vec![]));
    numbers.assert_well();
}

#[test]
fn with_autocommit_off_a_block_is_a_savepoint() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    db.set_autocommit(false).unwrap();
    numbers.insert(1).unwrap();
    db.atomic(|| numbers.insert(2)).unwrap();
    let failed: Result<(), Mine> = db.atomic(|| {
        numbers.insert(3)?;
        Err(Mine::Refused)
    });
    assert!(failed.is_err());
    assert_eq!(numbers.stored(), [0; 0], "its end commits nothing");
    db.commit().unwrap();
    assert_eq!(numbers.stored(), [1, 2]);

    let failed: Result<(), Mine> = db.atomic_with(Atomic::new().savepoint(false), || Err(Mine::Refused));
    assert!(failed.is_err());
    assert_misuse(&numbers.insert(4).unwrap_err(), "until rollback or close");
    db.rollback().unwrap();
    numbers.insert(5).unwrap();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(numbers.stored(), [1, 2, 5]);
}

#[test]
fn blocks_are_those_of_one_alias_and_one_thread() {
    let databases = Databases::new().with("default", memory()).with("other", memory());
    let connections = Connections::new(databases).unwrap();
    let [db, other] = ["default", "other"].map(|alias| connections.get(alias).unwrap());
    for db in [&db, &other] {
        db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    }
    let block = db.begin_atomic(Atomic::new()).unwrap();
    assert!(!other.in_atomic_block());
    insert(&other, 1).unwrap();
    other.atomic_with(Atomic::new().durable(true), || insert(&other, 2)).unwrap();
    let on_another = connections.clone();
    on_thread(move || assert!(!on_another.get("default").unwrap().in_atomic_block()));
    drop(block);
    assert_eq!(other.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 2);
}

#[test]
fn a_guard_that_is_leaked_on_a_thread_ends_with_it() {
    let numbers = Numbers::new();
    let connections = numbers.connections.clone();
    on_thread(move || {
        let db = connections.get("default").unwrap();
        std::mem::forget(db.begin_atomic(Atomic::new()).unwrap());
        insert(&db, 1).unwrap();
    });
    numbers.other().execute("PRAGMA busy_timeout = 0", ()).unwrap();
    insert(numbers.other(), 2).expect("its lock is gone");
    assert_eq!(numbers.stored(), [2]);
}
