//! Inner blocks whose savepoint could not be rolled back to, although the transaction was open: the work of the inner block
//! cannot be told from that of the block around it, and is never kept or dropped in silence.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dockline::{Atomic, Connection, Connections, Error, ErrorKind, Fact, Result};
use dockline_tests::scripted::{Act, Script};

fn cancelled() -> Error {
    Error::new(ErrorKind::Operational, "the statement was cancelled").with_code("1317").with_fact(Fact::Cancelled)
}

fn stage() -> (Connections, Connection, Arc<Script>) {
    let (connections, script) = Script::connections(|settings| settings);
    let db = connections.get("default").unwrap();
    db.ensure_connection().unwrap();
    (connections, db, script)
}

/// An inner block that fails, and whose ROLLBACK TO SAVEPOINT is refused.
fn refused(db: &Connection, script: &Script) {
    let inner = db.begin_atomic(Atomic::new()).unwrap();
    db.execute("inner", ()).unwrap();
    script.next(Act::Fail(cancelled()));
    inner.rollback().expect("as in Django, the end of the inner block says nothing");
}

#[test]
fn the_block_around_does_not_end_as_if_all_were_well() {
    let (_connections, db, script) = stage();
    let result = db.atomic(|| {
        script.in_transaction.store(true, Ordering::SeqCst);
        db.execute("outer", ())?;
        refused(&db, &script);
        Ok::<_, Error>(())
    });
    let error = result.unwrap_err();
    assert!(error.is_work_lost() && error.message().contains("the statement was cancelled"), "{error:?}");
    script.in_transaction.store(false, Ordering::SeqCst);
    db.atomic(|| db.execute("again", ())).expect("the connection is well");
}

#[test]
fn what_follows_inside_is_an_error_with_a_predicate() {
    let (_connections, db, script) = stage();
    let outer = db.begin_atomic(Atomic::new()).unwrap();
    refused(&db, &script);
    assert!(db.get_rollback().unwrap());
    let error = db.execute("x", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionManagement);
    assert!(error.is_work_lost() && !error.may_have_executed(), "{error:?}");
    db.set_rollback(false).unwrap();
    assert!(db.execute("x", ()).unwrap_err().is_work_lost(), "taking the mark away does not bring the work back");
    outer.rollback().expect("the caller asked for that");
}

#[test]
fn a_savepoint_further_out_makes_all_well_again() {
    let (_connections, db, script) = stage();
    db.atomic(|| {
        let middle = db.begin_atomic(Atomic::new())?;
        refused(&db, &script);
        middle.rollback()?;
        db.execute("x", ())?;
        Ok::<_, Error>(())
    })
    .expect("the middle block was rolled back, as it asked for, and the inner one with it");
}

#[test]
fn a_block_between_is_told_and_its_caller_can_go_on() {
    let (_connections, db, script) = stage();
    db.atomic(|| {
        let middle: Result<()> = db.atomic(|| {
            refused(&db, &script);
            Ok(())
        });
        assert!(middle.unwrap_err().is_work_lost());
        db.execute("x", ())?;
        Ok::<_, Error>(())
    })
    .expect("the middle block was undone, and its caller knows");
}

#[test]
fn a_deadlock_there_can_be_tried_again() {
    let (_connections, db, script) = stage();
    let deadlock = Error::new(ErrorKind::Operational, "deadlock").with_fact(Fact::Retryable);
    let outer = db.begin_atomic(Atomic::new()).unwrap();
    let inner = db.begin_atomic(Atomic::new()).unwrap();
    script.next(Act::FailAndEnd(deadlock));
    db.execute("x", ()).unwrap_err();
    drop(inner);
    let error = db.execute("x", ()).unwrap_err();
    assert!(error.is_retryable() && error.is_work_lost(), "{error:?}");
    let error = outer.commit().unwrap_err();
    assert!(error.is_retryable() && error.is_work_lost(), "{error:?}");
}

#[test]
fn a_savepoint_that_the_program_has_ended_itself_marks_the_block_around_as_in_django() {
    let (_connections, db, script) = stage();
    let missing = Error::new(ErrorKind::Operational, "SAVEPOINT x does not exist").with_fact(Fact::SavepointMissing);
    db.atomic(|| {
        let inner = db.begin_atomic(Atomic::new())?;
        script.next(Act::Fail(missing));
        inner.rollback()?;
        assert!(db.get_rollback()?);
        let error = db.execute("x", ()).unwrap_err();
        assert!(!error.is_work_lost() && error.message().contains("marked for rollback"), "{error}");
        Ok::<_, Error>(())
    })
    .unwrap();
}
