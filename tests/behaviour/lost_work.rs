//! Blocks whose work is gone before they come to their end: that is never silent.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dockline::{Atomic, Error, ErrorKind, Fact, Result};
use dockline_tests::scripted::{Act, Script};

use crate::stage::{Mine, Numbers, Record, insert};

#[track_caller]
fn assert_lost(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::TransactionManagement, "{error:?}");
    assert!(error.is_work_lost() && !error.is_commit_unknown() && !error.is_after_commit(), "{error:?}");
    assert_eq!(error.alias(), Some("default"));
}

#[test]
fn a_guard_that_ends_before_those_inside_it_rolls_all_of_them_back() {
    let numbers = Numbers::new();
    let begin = || numbers.db.begin_atomic(Atomic::new()).unwrap();
    let outer = begin();
    numbers.insert(1).unwrap();
    let (middle, inner) = (begin(), begin());
    numbers.insert(2).unwrap();
    let error = outer.commit().unwrap_err();
    assert_lost(&error);
    assert!(error.message().contains("before 2 inside it"), "{error}");
    assert!(!numbers.db.in_atomic_block());
    let error = middle.commit().unwrap_err();
    assert_lost(&error);
    assert!(error.message().contains("rolled back before"), "{error}");
    inner.rollback().expect("who asks for a rollback has it");
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();

    let (outer, middle, inner) = (begin(), begin(), begin());
    numbers.insert(1).unwrap();
    drop(outer);
    // A block that is begun now is none of theirs.
    let next = begin();
    numbers.insert(2).unwrap();
    drop(middle);
    assert_lost(&inner.commit().unwrap_err());
    next.commit().unwrap();
    assert_eq!(numbers.stored(), [2]);
    numbers.assert_well();
}

#[test]
fn what_is_around_a_guard_that_ended_too_early_goes_on() {
    let numbers = Numbers::new();
    let begin = || numbers.db.begin_atomic(Atomic::new()).unwrap();
    let outer = begin();
    numbers.insert(1).unwrap();
    let (middle, inner) = (begin(), begin());
    numbers.insert(2).unwrap();
    assert_lost(&middle.commit().unwrap_err());
    numbers.insert(3).unwrap();
    assert_lost(&inner.commit().unwrap_err());
    outer.commit().unwrap();
    assert_eq!(numbers.stored(), [1, 3]);
    numbers.assert_well();
}

#[test]
fn closing_inside_a_block_loses_its_work_and_its_end_says_so() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    let record = Record::default();
    let error = db
        .atomic(|| {
            numbers.insert(1)?;
            db.on_commit(record.hook("of the closed block"))?;
            db.close();
            assert!(!db.is_connected());
            let error = numbers.insert(2).unwrap_err();
            assert_lost(&error);
            assert!(error.message().contains("its connection was closed (asked by close)"), "{error}");
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_lost(&error);
    assert!(error.message().contains("its connection was closed (asked by close)"), "{error}");
    assert_eq!((numbers.stored(), record.all()), (vec![], vec![]));
    assert!(record.is_mine_alone(), "its hooks are dropped");
    numbers.assert_well();

    // In an inner block it is the outermost that says it.
    let error = db
        .atomic(|| {
            numbers.insert(1)?;
            db.atomic(|| {
                db.close();
                Ok::<_, Error>(())
            })
            .expect("as in Django");
            assert_lost(&numbers.insert(2).unwrap_err());
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_lost(&error);

    // What leaves it by an error of its own has that.
    let failed: Result<(), Mine> = db.atomic(|| {
        db.close();
        Err(Mine::Refused)
    });
    assert!(matches!(failed, Err(Mine::Refused)));
    let guard = db.begin_atomic(Atomic::new()).unwrap();
    db.close();
    guard.rollback().unwrap();
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

#[test]
fn a_boundary_inside_a_block_closes_it_only_outside_of_requests() {
    let numbers = Numbers::new();
    let error = numbers
        .db
        .atomic(|| {
            numbers.insert(1)?;
            numbers.connections.close_old_connections();
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_lost(&error);
    let _request = numbers.connections.request();
    numbers
        .db
        .atomic(|| {
            numbers.insert(2)?;
            numbers.connections.close_old_connections();
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(numbers.stored(), [2]);
}

#[test]
fn a_transaction_that_the_database_has_rolled_back_is_lost() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    numbers.insert(1).unwrap();
    let record = Record::default();
    for clears_the_mark in [false, true] {
        let error = db
            .atomic(|| {
                db.on_commit(record.hook("of what is lost"))?;
                numbers.insert(2)?;
                db.atomic(|| {
                    let error = db.execute("INSERT OR ROLLBACK INTO t VALUES (1)", ()).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Integrity);
                    assert!(error.is_work_lost() && !error.is_disconnect(), "{error:?}");
                    // What ran now would be committed by itself.
                    assert_lost(&numbers.insert(3).unwrap_err());
                    Ok::<_, Error>(())
                })
                .expect("as in Django, it is the outermost that says it");
                assert_lost(&numbers.insert(4).unwrap_err());
                if clears_the_mark {
                    db.set_rollback(false)?;
                }
                Ok::<_, Error>(())
            })
            .unwrap_err();
        assert_lost(&error);
        assert!(error.message().contains("UNIQUE"), "the first reason is told: {error}");
        numbers.assert_well();
    }
    assert_eq!((numbers.stored(), record.all()), (vec![1], vec![]));
}

#[test]
fn a_block_that_is_ended_in_the_middle_of_a_statement_is_lost() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    for commits in [true, false] {
        let outer = db.begin_atomic(Atomic::new()).unwrap();
        numbers.insert(1).unwrap();
        numbers.insert(2).unwrap();
        db.on_commit(record.hook("never")).unwrap();
        let (mut outer, mut seen) = (Some(outer), 0);
        db.query_each("SELECT n FROM t", (), |_| {
            seen += 1;
            match outer.take() {
                Some(outer) if commits => {
                    let error = outer.commit().unwrap_err();
                    assert_eq!((error.kind(), error.is_work_lost()), (ErrorKind::Programming, true), "{error:?}");
                }
                outer => drop(outer),
            }
            Ok(ControlFlow::<()>::Continue(()))
        })
        .unwrap();
        assert_eq!(seen, 2, "the statement goes on");
        assert_eq!((numbers.stored(), record.all()), (vec![], vec![]));
        assert!(!db.in_atomic_block());
        numbers.assert_well();
    }
    let outer = db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(1).unwrap();
    let mut inner = Some(db.begin_atomic(Atomic::new()).unwrap());
    numbers.insert(2).unwrap();
    db.query_each("SELECT n FROM t", (), |_| {
        drop(inner.take());
        Ok(ControlFlow::<()>::Continue(()))
    })
    .unwrap();
    assert_lost(&outer.commit().unwrap_err());
    assert_eq!(numbers.stored(), [0; 0], "an inner one that could not be undone takes what is around with it");
    numbers.assert_well();
}

#[test]
fn a_shutdown_waits_for_a_block_and_its_hooks() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        numbers.insert(1)?;
        let (handle, to) = (db.clone(), record.clone());
        db.on_commit(move || {
            assert_eq!(insert(&handle, 2).unwrap_err().kind(), ErrorKind::Interface, "there is no transaction now");
            to.add("it runs");
        })?;
        let report = numbers.connections.shutdown(Duration::ZERO);
        assert_eq!((report.closed, report.left.len()), (0, 1));
        numbers.insert(3)
    })
    .unwrap();
    assert_eq!((numbers.stored(), record.all()), (vec![1, 3], vec!["it runs".to_owned()]));
    assert!(!db.is_connected());
    let error = db.begin_atomic(Atomic::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interface, "{error:?}");
}

#[test]
fn hooks_of_a_manual_transaction_that_the_database_has_rolled_back_do_not_run() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    numbers.insert(1).unwrap();
    db.set_autocommit(false).unwrap();
    db.atomic(|| {
        numbers.insert(2)?;
        db.on_commit(record.hook("of what is gone"))
    })
    .unwrap();
    let error = db.execute("INSERT OR ROLLBACK INTO t VALUES (1)", ()).unwrap_err();
    assert!(error.is_work_lost(), "{error:?}");
    db.atomic(|| {
        numbers.insert(3)?;
        db.on_commit(record.hook("of what came after"))
    })
    .unwrap();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!((numbers.stored(), record.all()), (vec![1, 3], vec!["of what came after".to_owned()]));
}

/// What a session holds is lost with its connection also if that is lost inside a block: the end of the block does not hide it.
#[test]
fn state_that_goes_with_the_connection_of_a_block_is_told_of_behind_it() {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    let lost = || Error::new(ErrorKind::Operational, "the server has gone away").with_fact(Fact::Disconnect);
    for (has_state, commits) in [(true, false), (true, true), (false, false), (false, true)] {
        script.has_state.store(has_state, Ordering::SeqCst);
        let block = db.begin_atomic(Atomic::new()).unwrap();
        script.in_transaction.store(true, Ordering::SeqCst);
        script.next(Act::Fail(lost()));
        assert!(db.execute("x", ()).unwrap_err().is_work_lost());
        script.in_transaction.store(false, Ordering::SeqCst);
        let ended = if commits { block.commit() } else { block.rollback() };
        assert_eq!(ended.is_err(), commits, "who rolls back has what he asks for");
        let next = db.execute("y", ());
        if has_state {
            let error = next.unwrap_err();
            assert!(error.is_disconnect() && !error.is_work_lost() && !error.may_have_executed(), "{error:?}");
            assert!(error.message().contains("call close()"), "{error}");
            assert!(db.begin_atomic(Atomic::new()).unwrap_err().is_disconnect());
            script.has_state.store(false, Ordering::SeqCst);
            db.close();
        } else {
            next.unwrap();
        }
        assert!(db.autocommit().unwrap());
        db.execute("z", ()).unwrap();
    }
}
