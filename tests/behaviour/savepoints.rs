//! Savepoints by hand.

use dockline::{Connections, Databases, Error, ErrorKind};
use dockline_tests::memory;

use crate::stage::{Numbers, Record};

#[test]
fn what_was_done_since_a_savepoint_is_undone_or_stays() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    db.atomic(|| {
        numbers.insert(1)?;
        let savepoint = db.savepoint()?;
        numbers.insert(2)?;
        db.savepoint_rollback(&savepoint)?;
        numbers.insert(3)?;
        db.savepoint_rollback(&savepoint)?;
        numbers.insert(4)?;
        db.savepoint_commit(savepoint)?;
        let inner = db.atomic(|| db.savepoint())?;
        drop(inner);
        numbers.insert(5)
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 4, 5], "it can be gone back to more than once");
    numbers.assert_well();
}

#[test]
fn with_autocommit_off_savepoints_are_real() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    db.set_autocommit(false).unwrap();
    let savepoint = db.savepoint().unwrap();
    numbers.insert(1).unwrap();
    db.savepoint_rollback(&savepoint).unwrap();
    numbers.insert(2).unwrap();
    db.savepoint_commit(savepoint).unwrap();
    assert_eq!(numbers.stored(), [0; 0], "it has begun a transaction");
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(numbers.stored(), [2]);
}

#[test]
fn outside_of_a_transaction_a_savepoint_is_nothing() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    let savepoint = db.savepoint().unwrap();
    numbers.insert(1).unwrap();
    db.savepoint_rollback(&savepoint).unwrap();
    db.savepoint_commit(savepoint.clone()).unwrap();
    assert_eq!(numbers.stored(), [1]);
    db.atomic(|| {
        numbers.insert(2)?;
        db.savepoint_rollback(&savepoint)?;
        db.savepoint_commit(savepoint)
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 2], "nor is it one in a later transaction");
}

#[test]
fn a_savepoint_that_is_gone_is_an_error_of_the_database_and_harms_nothing() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    db.atomic(|| {
        numbers.insert(1)?;
        let savepoint = db.savepoint()?;
        db.savepoint_commit(savepoint.clone())?;
        for error in [db.savepoint_commit(savepoint.clone()), db.savepoint_rollback(&savepoint)] {
            let error = error.unwrap_err();
            assert_eq!((error.kind(), error.alias()), (ErrorKind::Operational, Some("default")));
            assert!(!error.is_work_lost() && !error.is_disconnect() && !error.may_have_executed(), "{error:?}");
        }
        numbers.insert(2)
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 2]);

    // One of an inner block is gone with it.
    db.atomic(|| {
        let savepoint = db.atomic(|| db.savepoint())?;
        numbers.insert(3)?;
        assert_eq!(db.savepoint_rollback(&savepoint).unwrap_err().kind(), ErrorKind::Operational);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 2, 3]);
}

#[test]
fn no_two_savepoints_are_taken_for_each_other() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    let of_before = db.atomic(|| db.savepoint()).unwrap();
    db.atomic(|| {
        numbers.insert(1)?;
        let _of_now = db.savepoint()?;
        numbers.insert(2)?;
        assert_eq!(db.savepoint_rollback(&of_before).unwrap_err().kind(), ErrorKind::Operational);
        Ok::<_, Error>(())
    })
    .unwrap();
    db.close();
    db.atomic(|| {
        let _of_now = db.savepoint()?;
        numbers.insert(3)?;
        assert_eq!(db.savepoint_rollback(&of_before).unwrap_err().kind(), ErrorKind::Operational);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 2, 3]);
}

#[test]
fn a_savepoint_of_another_connection_is_refused() {
    let connections =
        || Connections::new(Databases::new().with("default", memory()).with("replica", memory())).unwrap();
    let (registry, stranger) = (connections(), connections());
    let [db, replica] = ["default", "replica"].map(|alias| registry.get(alias).unwrap());
    let namesake = stranger.get("default").unwrap();
    db.atomic(|| {
        let savepoint = db.savepoint()?;
        for other in [&replica, &namesake] {
            other.atomic(|| {
                for error in [other.savepoint_rollback(&savepoint), other.savepoint_commit(savepoint.clone())] {
                    let error = error.unwrap_err();
                    assert_eq!((error.kind(), error.alias()), (ErrorKind::TransactionManagement, Some(other.alias())));
                    assert!(
                        error.message().contains("made by another connection, that of alias \"default\""),
                        "{error}"
                    );
                }
                Ok::<_, Error>(())
            })?;
        }
        // A handle to the same connection is no other.
        registry.get("default")?.savepoint_commit(savepoint)
    })
    .unwrap();
}

#[test]
fn hooks_stay_when_a_savepoint_by_hand_is_rolled_back() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        let savepoint = db.savepoint()?;
        numbers.insert(1)?;
        db.on_commit(record.hook("as in Django"))?;
        db.savepoint_rollback(&savepoint)
    })
    .unwrap();
    assert_eq!((numbers.stored(), record.all()), (vec![], vec!["as in Django".to_owned()]));
}

#[test]
fn going_back_behind_an_inner_block_undoes_it_and_its_end_says_so() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        numbers.insert(1)?;
        let savepoint = db.savepoint()?;
        let error = db
            .atomic(|| {
                numbers.insert(2)?;
                db.on_commit(record.hook("of what is undone"))?;
                db.savepoint_rollback(&savepoint)
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Operational, "its savepoint is gone: {error:?}");
        assert!(db.get_rollback()?, "what is around it can only be rolled back");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!((numbers.stored(), record.all()), (vec![], vec![]));
    numbers.assert_well();
}
