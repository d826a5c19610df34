//! What each wrong use of an atomic block is told.

use dockline::{Atomic, Error, ErrorKind, IsolationLevel};

use crate::stage::{Numbers, assert_misuse};

#[test]
fn a_durable_block_has_to_be_the_outermost() {
    let numbers = Numbers::new();
    let durable = Atomic::new().durable(true);
    numbers.db.atomic_with(durable, || numbers.insert(1)).unwrap();
    numbers
        .db
        .atomic(|| {
            let error = numbers.db.atomic_with(durable, || numbers.insert(2)).unwrap_err();
            assert_misuse(&error, "durable");
            assert!(error.is_nested_durable() && !error.is_work_lost());
            assert!(numbers.db.begin_atomic(durable).unwrap_err().is_nested_durable());
            numbers.db.atomic(|| {
                assert!(numbers.db.begin_atomic(durable).unwrap_err().is_nested_durable());
                numbers.insert(3)
            })
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1, 3], "it does no harm to the block around it");
}

#[test]
fn what_ends_a_transaction_is_refused_inside_a_block() {
    let numbers = Numbers::new();
    numbers
        .db
        .atomic(|| {
            numbers.insert(1)?;
            numbers.db.atomic(|| {
                let db = &numbers.db;
                for error in [db.commit(), db.rollback(), db.set_autocommit(true), db.set_autocommit(false)] {
                    assert_misuse(&error.unwrap_err(), "is forbidden inside an atomic block, which began at ");
                }
                numbers.insert(2)
            })
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1, 2]);
    numbers.assert_well();
}

#[test]
fn the_rollback_flag_is_that_of_a_block() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    for error in [db.get_rollback().map(drop), db.set_rollback(true), db.set_rollback(false)] {
        assert_misuse(&error.unwrap_err(), "none is open");
    }
    db.atomic(|| {
        numbers.insert(1)?;
        db.set_rollback(true)?;
        assert!(db.get_rollback()? && db.state().needs_rollback);
        assert_misuse(&numbers.insert(2).unwrap_err(), "marked for rollback");
        assert_misuse(&db.savepoint().unwrap_err(), "marked for rollback");
        Ok::<_, Error>(())
    })
    .expect("it is rolled back without an error");
    assert_eq!(numbers.stored(), [0; 0]);

    db.atomic(|| {
        numbers.insert(1)?;
        db.atomic(|| {
            numbers.insert(2)?;
            db.set_rollback(true)
        })?;
        assert!(!db.get_rollback()?, "it was the inner one's");
        db.set_rollback(true)?;
        db.set_rollback(false)?;
        numbers.insert(3)
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 3]);
    assert_misuse(&db.get_rollback().unwrap_err(), "none is open");
}

#[test]
fn only_the_outermost_block_has_the_options_of_a_transaction() {
    let numbers = Numbers::new();
    let options = [
        Atomic::new().isolation_level(IsolationLevel::Serializable),
        Atomic::new().read_only(true),
        Atomic::new().read_only(false),
    ];
    numbers
        .db
        .atomic(|| {
            for atomic in options {
                assert_misuse(&numbers.db.begin_atomic(atomic).unwrap_err(), "only the outermost block");
            }
            numbers.insert(1)
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1]);
    numbers.db.set_autocommit(false).unwrap();
    for atomic in options {
        assert_misuse(&numbers.db.begin_atomic(atomic).unwrap_err(), "with autocommit on");
    }
    numbers.db.set_autocommit(true).unwrap();
    numbers.assert_well();
}

#[test]
fn on_sqlite_transactions_are_serializable_and_nothing_else() {
    let numbers = Numbers::new();
    let serializable = Atomic::new().isolation_level(IsolationLevel::Serializable);
    numbers.db.atomic_with(serializable, || numbers.insert(1)).unwrap();
    for (atomic, setting) in [
        (Atomic::new().isolation_level(IsolationLevel::ReadCommitted), "isolation_level"),
        (Atomic::new().isolation_level(IsolationLevel::RepeatableRead), "isolation_level"),
    ] {
        let mut runs = false;
        let error = numbers
            .db
            .atomic_with(atomic, || {
                runs = true;
                numbers.insert(2)
            })
            .unwrap_err();
        assert_eq!((error.kind(), error.alias()), (ErrorKind::NotSupported, Some("default")));
        assert!(error.message().contains(setting) && !runs, "{error}");
        numbers.assert_well();
    }
    assert_eq!(numbers.stored(), [1]);
}

#[test]
fn what_is_refused_says_where_the_block_around_it_began() {
    let numbers = Numbers::new();
    let began = line!() + 1;
    let block = numbers.db.begin_atomic(Atomic::new()).unwrap();
    let durable = numbers.db.begin_atomic(Atomic::new().durable(true)).unwrap_err();
    let place = format!("began at {}:{began}:", file!());
    for error in [durable, numbers.db.commit().unwrap_err()] {
        assert!(error.message().contains(&place), "{error} lacks {place:?}");
    }
    block.commit().unwrap();
}
