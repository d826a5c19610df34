//! What is tried again on servers, and what never is.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use dockline::{Atomic, Connection, Error, ErrorKind, Fact, IsolationLevel, Result, Retry, params};
use dockline_tests::servers::{Kind, Server};

use super::{Numbers, insert};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(a_deadlock_is_tried_again),
        case!(a_serialization_failure_is_tried_again).only(&[Kind::Postgres]),
        case!(a_lock_that_is_not_there_is_tried_for_again),
        case!(after_a_kill_the_work_is_done_once),
        case!(a_kill_before_the_commit_is_never_done_twice),
        case!(a_server_that_is_down_is_waited_for).only(&[Kind::Postgres, Kind::MariaDb]).own_server(),
        case!(what_has_committed_by_itself_is_not_tried_again).only(Kind::MYSQLS),
    ]
}

fn add(db: &Connection, row: i64) -> Result<()> {
    db.execute("UPDATE t SET v = v + 1 WHERE n = ?", params![row]).map(drop)
}

fn values(db: &Connection) -> Vec<i64> {
    let rows: Vec<(i64,)> = db.query_as("SELECT v FROM t ORDER BY n", ()).unwrap();
    rows.into_iter().map(|(value,)| value).collect()
}

fn a_deadlock_is_tried_again(server: &Server) {
    let numbers = Numbers::new(server);
    numbers.insert(1).unwrap();
    numbers.insert(2).unwrap();
    let (barrier, attempts) = (Barrier::new(2), AtomicUsize::new(0));
    thread::scope(|scope| {
        for (first, second) in [(1, 2), (2, 1)] {
            let (connections, barrier, attempts) = (&numbers.opened.connections, &barrier, &attempts);
            scope.spawn(move || {
                let db = connections.get("default").unwrap();
                let mut runs = 0;
                Retry::new()
                    .run(&db, || {
                        runs += 1;
                        add(&db, first)?;
                        if runs == 1 {
                            barrier.wait();
                        }
                        add(&db, second)
                    })
                    .unwrap();
                attempts.fetch_add(runs, Ordering::SeqCst);
            });
        }
    });
    assert!(attempts.into_inner() > 2, "one of them was the victim");
    assert_eq!(values(numbers.db()), [2, 2], "each has done its work once");
}

fn a_serialization_failure_is_tried_again(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, other, runs) = (numbers.db(), numbers.other(), Cell::new(0));
    let serializable = Atomic::new().isolation_level(IsolationLevel::Serializable);
    // Each writes what the other's question depends on.
    let next = |db: &Connection| {
        let count: i64 = db.query_value("SELECT count(*) FROM t", ())?;
        Ok::<_, Error>(count + 1)
    };
    Retry::new()
        .atomic(serializable)
        .run(db, || {
            runs.set(runs.get() + 1);
            let number = next(db)?;
            if runs.get() == 1 {
                other.atomic_with(serializable, || insert(&other, 100 * next(&other)?))?;
            }
            insert(db, number)
        })
        .unwrap();
    assert_eq!((runs.get(), numbers.stored()), (2, vec![2, 100]), "the second attempt has seen the other's row");
    numbers.assert_well();
}

fn a_lock_that_is_not_there_is_tried_for_again(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, other, runs) = (numbers.db(), numbers.other(), Cell::new(0));
    numbers.insert(1).unwrap();
    let lock = other.begin_atomic(Atomic::new()).unwrap();
    add(&other, 1).unwrap();
    let lock = Cell::new(Some(lock));
    Retry::new()
        .run(db, || {
            runs.set(runs.get() + 1);
            if runs.get() == 3 {
                lock.take().expect("the first time").commit()?;
            }
            let found = db.query("SELECT n FROM t WHERE n = 1 FOR UPDATE NOWAIT", ());
            if let Err(error) = &found {
                assert!(error.is_lock_timeout() && error.is_retryable(), "{error:?}");
            }
            found?;
            add(db, 1)
        })
        .unwrap();
    assert_eq!((runs.get(), values(db)), (3, vec![2]));
    numbers.assert_well();
}

fn after_a_kill_the_work_is_done_once(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, runs) = (numbers.db(), Cell::new(0));
    let answer = Retry::new().run(db, || {
        runs.set(runs.get() + 1);
        numbers.insert(1)?;
        if runs.get() < 3 {
            numbers.kill();
        }
        numbers.insert(2)?;
        Ok::<_, Error>("done")
    });
    assert_eq!((answer.unwrap(), runs.get()), ("done", 3));
    assert_eq!(numbers.stored(), [1, 2]);
    numbers.assert_well();
}

fn a_server_that_is_down_is_waited_for(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, runs) = (numbers.db(), Cell::new(0));
    let (fails, failed) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            failed.recv().expect("a failure");
            server.start_again();
        });
        Retry::new()
            .attempts(u32::MAX)
            .limit(Some(Duration::from_secs(60)))
            .run(db, || {
                runs.set(runs.get() + 1);
                numbers.insert(1)?;
                if runs.get() == 1 {
                    server.stop();
                    let error = numbers.insert(2).unwrap_err();
                    fails.send(()).expect("the other thread");
                    return Err(error);
                }
                numbers.insert(2)
            })
            .unwrap();
    });
    assert_eq!((runs.get(), numbers.stored()), (2, vec![1, 2]), "the closure runs only where the block has begun");
    numbers.assert_well();
}

/// Where it is certain that nothing was committed, another attempt is made; where it is not, none.
fn a_kill_before_the_commit_is_never_done_twice(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, runs) = (numbers.db(), Cell::new(0));
    let ended = Retry::new().run(db, || {
        runs.set(runs.get() + 1);
        numbers.insert(runs.get())?;
        if runs.get() == 1 {
            numbers.kill();
        }
        Ok::<_, Error>(())
    });
    match ended {
        Ok(()) => assert_eq!((runs.get(), numbers.stored()), (2, vec![2])),
        Err(error) => {
            assert!(error.is_commit_unknown(), "{error:?}");
            assert_eq!((runs.get(), numbers.stored()), (1, vec![]));
        }
    }
    numbers.assert_well();
}

fn what_has_committed_by_itself_is_not_tried_again(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, runs) = (numbers.db(), Cell::new(0));
    let mut next = 0;
    for statement in ["CREATE TABLE u (n INTEGER)", "ALTER TABLE u ADD m INTEGER", "TRUNCATE TABLE u", "COMMIT"] {
        runs.set(0);
        next += 1;
        let error = Retry::new()
            .run(db, || {
                runs.set(runs.get() + 1);
                numbers.insert(next)?;
                db.execute(statement, ())?;
                let deadlock = Error::new(ErrorKind::Operational, "deadlock").with_fact(Fact::Retryable);
                Err::<(), _>(deadlock.with_alias("default"))
            })
            .unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert_eq!((runs.get(), numbers.stored().last()), (1, Some(&next)), "{statement}: what came before it stands");
    }
    // Nor after a loss; and the next block begins anew.
    runs.set(0);
    let error = Retry::new()
        .run(db, || {
            runs.set(runs.get() + 1);
            db.execute("DROP TABLE u", ())?;
            numbers.kill();
            numbers.insert(100)
        })
        .unwrap_err();
    assert!(error.is_work_lost(), "{error:?}");
    assert_eq!(runs.take(), 1);
    Retry::new()
        .run(db, || {
            runs.set(runs.get() + 1);
            numbers.insert(200)?;
            if runs.get() == 1 {
                numbers.kill();
            }
            numbers.insert(201)
        })
        .unwrap();
    assert_eq!((runs.get(), numbers.stored().len()), (2, 6));
    numbers.assert_well();
}
