//! Hooks that run after a commit.

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;

use dockline::{Atomic, Error, ErrorKind, Fact, Result};
use dockline_tests::log_capture;
use dockline_tests::scripted::{Act, Script};
use log::Level;

use crate::stage::{Mine, Numbers, Record, insert};

fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::Data, message)
}

/// Without a message on the screen.
fn panics(message: &'static str) {
    resume_unwind(Box::new(message));
}

#[test]
fn hooks_run_in_order_after_the_commit_and_outside_of_any_block() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        db.on_commit(record.hook("first"))?;
        db.atomic(|| db.on_commit(record.hook("second, of an inner block")))?;
        let (handle, other, to) = (db.clone(), numbers.other().clone(), record.clone());
        db.on_commit(move || {
            let state = handle.state();
            assert!(!state.in_atomic_block && state.autocommit && !state.needs_rollback, "{state:?}");
            let seen: i64 = other.query_value("SELECT count(*) FROM t", ()).unwrap();
            to.add(format!("third, and another connection sees {seen}"));
        })?;
        numbers.insert(1)?;
        assert_eq!(record.all(), [""; 0], "not before the end");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(record.all(), ["first", "second, of an inner block", "third, and another connection sees 1"]);
    assert!(record.is_mine_alone(), "they run once, and are dropped");
    db.atomic(|| numbers.insert(2)).unwrap();
    assert_eq!(record.all().len(), 3);
}

#[test]
fn hooks_of_what_is_rolled_back_are_dropped() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let register = || db.on_commit(record.hook("never"));
    let failed: Result<(), Mine> = db.atomic(|| {
        register()?;
        Err(Mine::Refused)
    });
    assert!(failed.is_err());
    db.atomic(|| {
        register()?;
        db.set_rollback(true)
    })
    .unwrap();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        db.atomic(|| -> Result<()> {
            register()?;
            resume_unwind(Box::new("on purpose"));
        })
    }));
    drop((db.begin_atomic(Atomic::new()).unwrap(), register()));
    assert!(record.is_mine_alone());
    db.atomic(|| numbers.insert(1)).unwrap();
    assert_eq!(record.all(), [""; 0]);
}

#[test]
fn hooks_of_an_inner_block_go_with_it_and_those_around_stay() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        db.on_commit(record.hook("before"))?;
        let failed: Result<(), Mine> = db.atomic(|| {
            db.on_commit(record.hook("inner"))?;
            db.atomic(|| db.on_commit(record.hook("innermost, which succeeded")))?;
            Err(Mine::Refused)
        });
        assert!(failed.is_err());
        db.on_commit(record.hook("after"))
    })
    .unwrap();
    assert_eq!(record.all(), ["before", "after"]);
}

#[test]
fn a_hook_runs_at_once_where_no_block_is_open() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.on_commit(record.hook("at once")).unwrap();
    assert_eq!(record.all(), ["at once"]);
    let error = db.on_commit(|| Err::<(), _>(refused("the hook's"))).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "the hook's"));
    assert!(!error.is_after_commit(), "there was none");
    db.on_commit_robust(|| Err::<(), _>(refused("the hook's"))).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| db.on_commit(|| panics("on purpose"))));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    numbers.assert_well();
}

#[test]
fn with_autocommit_off_a_hook_needs_a_block() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.set_autocommit(false).unwrap();
    for error in [db.on_commit(record.hook("never")), db.on_commit_robust(record.hook("never"))] {
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.alias()), (ErrorKind::TransactionManagement, Some("default")));
        assert!(error.message().contains("needs an atomic block"), "{error}");
    }
    db.atomic(|| {
        numbers.insert(1)?;
        db.on_commit(record.hook("of the block"))
    })
    .unwrap();
    db.commit().unwrap();
    assert_eq!(record.all(), [""; 0], "as in Django, it waits for autocommit");
    db.set_autocommit(true).unwrap();
    assert_eq!(record.all(), ["of the block"]);

    db.set_autocommit(false).unwrap();
    db.atomic(|| db.on_commit(record.hook("rolled back"))).unwrap();
    db.rollback().unwrap();
    db.atomic(|| numbers.insert(2)).unwrap();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!((numbers.stored(), record.all()), (vec![1, 2], vec!["of the block".to_owned()]));
}

#[test]
fn the_error_of_a_hook_is_one_after_the_commit_and_drops_those_behind_it() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let fail = |hook: fn() -> Result<(), Box<dyn StdError + Send + Sync>>| {
        let before = numbers.stored().len();
        let error = db
            .atomic(|| {
                numbers.insert(before as i64)?;
                db.on_commit(record.hook("before"))?;
                db.on_commit(hook)?;
                db.on_commit(record.hook("behind"))
            })
            .unwrap_err();
        assert_eq!(numbers.stored().len(), before + 1, "it is committed all the same");
        assert!(error.is_after_commit() && !error.is_work_lost() && !error.is_commit_unknown(), "{error:?}");
        assert!(error.message().contains("the work is committed") && record.is_mine_alone(), "{error}");
        numbers.assert_well();
        error
    };
    let error = fail(|| Err(refused("too long").with_code("22001").into()));
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Data, Some("22001")), "ours stays what it is");
    assert!(error.message().ends_with("too long"));
    let error = fail(|| Err("the mail server is down".into()));
    assert_eq!(error.kind(), ErrorKind::Interface);
    assert!(error.message().ends_with("the mail server is down"));
    let error = fail(|| Err(std::io::Error::other("no route").into()));
    let source = error.source().and_then(StdError::source);
    assert!(source.is_some_and(|source| source.is::<std::io::Error>()), "{error:?}");
    assert_eq!(record.all(), ["before"; 3]);
}

#[test]
fn the_log_says_how_many_hooks_a_failing_one_has_dropped() {
    log_capture::start();
    let numbers = Numbers::named("dropped_hooks");
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        db.on_commit(|| Err::<(), _>("the mail server is down"))?;
        db.on_commit(record.hook("behind"))?;
        db.on_commit_robust(record.hook("behind"))
    })
    .unwrap_err();
    assert_eq!(record.all(), [""; 0]);
    let lines = log_capture::lines("dockline::connection", "alias \"dropped_hooks\": a hook of on_commit failed");
    assert!(lines.len() == 1 && lines[0].0 == Level::Warn, "{lines:?}");
    assert!(
        lines[0].1.contains("2 behind it do not run") && lines[0].1.contains("the mail server is down"),
        "{lines:?}"
    );
}

#[test]
fn a_hook_may_end_with_what_its_statement_gives() {
    let numbers = Numbers::new();
    let handle = numbers.db.clone();
    numbers.db.atomic(|| numbers.db.on_commit(move || handle.execute("INSERT INTO t VALUES (1)", ()))).unwrap();
    assert_eq!(numbers.stored(), [1]);
}

#[test]
fn a_hook_that_panics_keeps_none_from_running() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    let panic = catch_unwind(AssertUnwindSafe(|| {
        db.atomic(|| {
            numbers.insert(1)?;
            db.on_commit(record.hook("before"))?;
            db.on_commit(|| panics("the first"))?;
            db.on_commit(record.hook("between"))?;
            db.on_commit(|| panics("the second"))?;
            db.on_commit(record.hook("behind"))
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the first"), "and then it goes on");
    assert_eq!(
        (numbers.stored(), record.all()),
        (vec![1], ["before", "between", "behind"].map(str::to_owned).to_vec())
    );
    numbers.assert_well();
    db.atomic(|| db.on_commit(record.hook("the next block"))).unwrap();
    assert_eq!(record.all().len(), 4);
}

#[test]
fn a_robust_hook_only_logs_its_failure() {
    log_capture::start();
    let numbers = Numbers::named("robust");
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        numbers.insert(1)?;
        db.on_commit_robust(|| Err::<(), _>("the mail server is down"))?;
        db.on_commit_robust(|| panics("on purpose"))?;
        db.on_commit_robust(record.hook("robust"))?;
        db.on_commit(record.hook("plain"))
    })
    .expect("it goes no further");
    assert_eq!(record.all(), ["robust", "plain"]);
    let lines = log_capture::lines("dockline::connection", "alias \"robust\": a robust hook");
    assert!(lines.len() == 2 && lines.iter().all(|(level, _)| *level == Level::Error), "{lines:?}");
    assert!(lines[0].1.contains("failed") && lines[0].1.contains("the mail server is down"), "{lines:?}");
    assert!(lines[1].1.contains("panicked: on purpose"), "{lines:?}");
    numbers.assert_well();
}

#[test]
fn hooks_use_the_connection() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        let (handle, to) = (db.clone(), record.clone());
        db.on_commit(move || {
            insert(&handle, 10)?;
            to.add("first");
            handle.atomic(|| {
                handle.on_commit(to.hook("of the block of the first"))?;
                insert(&handle, 11)?;
                to.add("inside the block");
                Ok::<_, Error>(())
            })?;
            let failed: Result<(), Mine> = handle.atomic(|| {
                handle.on_commit(to.hook("never"))?;
                insert(&handle, 12)?;
                Err(Mine::Refused)
            });
            assert!(failed.is_err());
            handle.on_commit(to.hook("registered by the first, which runs at once"))
        })?;
        db.on_commit(record.hook("second"))?;
        numbers.insert(1)
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 10, 11]);
    let inner = ["inside the block", "of the block of the first", "registered by the first, which runs at once"];
    assert_eq!(record.all(), [&["first"], &inner[..], &["second"]].concat());
    numbers.assert_well();
}

#[test]
fn the_failing_statement_of_a_hook_is_after_the_commit_too() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    let error = db
        .atomic(|| {
            let handle = db.clone();
            db.on_commit(move || handle.atomic(|| insert(&handle, 1)))?;
            numbers.insert(1)
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Integrity, Some("default")));
    assert!(error.is_after_commit());
    assert_eq!(numbers.stored(), [1]);
    numbers.assert_well();
}

#[test]
fn a_hook_that_loses_work_of_its_own_keeps_none_from_running() {
    let (connections, script) = Script::connections(|settings| settings);
    let (db, record) = (connections.get("default").unwrap(), Record::default());
    db.atomic(|| {
        let handle = db.clone();
        db.on_commit(move || {
            let block = handle.begin_atomic(Atomic::new()).unwrap();
            // As PostgreSQL, which checks some constraints then.
            script.in_transaction.store(true, Ordering::SeqCst);
            script.next(Act::FailAndEnd(refused("of the hook's own block")));
            block.commit().unwrap_err();
        })?;
        db.on_commit(record.hook("behind"))
    })
    .unwrap();
    assert_eq!(record.all(), ["behind"]);
}

#[test]
fn closing_drops_the_hooks_that_wait() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.set_autocommit(false).unwrap();
    db.atomic(|| db.on_commit(record.hook("never"))).unwrap();
    db.commit().unwrap();
    db.close();
    assert!(record.is_mine_alone());
    db.set_autocommit(true).unwrap();
    assert_eq!(record.all(), [""; 0]);
}

#[test]
fn a_hook_may_close_the_connection() {
    let numbers = Numbers::new();
    let (db, record) = (&numbers.db, Record::default());
    db.atomic(|| {
        numbers.insert(1)?;
        let handle = db.clone();
        db.on_commit(move || handle.close())?;
        db.on_commit(record.hook("behind"))
    })
    .unwrap();
    assert_eq!((numbers.stored(), record.all()), (vec![1], vec!["behind".to_owned()]));
    numbers.assert_well();
}

#[test]
fn what_a_hook_says_of_itself_does_not_speak_for_the_block() {
    let numbers = Numbers::new();
    let db = &numbers.db;
    let error = db
        .atomic(|| {
            numbers.insert(1)?;
            db.on_commit(|| Err::<(), _>(refused("of another database").with_fact(Fact::Retryable)))
        })
        .unwrap_err();
    assert!(error.is_after_commit() && !error.is_retryable(), "the block cannot be tried again: {error:?}");
    assert_eq!(numbers.stored(), [1]);
}
