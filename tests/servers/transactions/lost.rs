//! Blocks whose connection is lost, or whose transaction the server gives up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dockline::{Atomic, Connections, Error, ErrorKind, IsolationLevel, Result, params};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};

use super::{Numbers, assert_refused, insert, refused};
use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(before_its_first_statement_a_block_is_worth_another_connection).only(&[Kind::Postgres]),
        case!(an_idle_connection_is_replaced_before_a_block_has_begun).only(&[Kind::Postgres]),
        case!(a_block_outlives_a_restart_before_its_first_statement).only(&[Kind::Postgres]).own_server(),
        case!(a_block_that_has_begun_is_not_moved).only(Kind::MYSQLS),
        case!(a_kill_inside_a_block_loses_its_work),
        case!(a_kill_that_nobody_noticed_fails_the_commit),
        case!(a_loss_inside_an_inner_block_is_told_by_the_outermost),
        case!(a_block_that_fails_on_a_lost_connection_has_its_own_error),
        case!(a_commit_whose_answer_is_cut_off_is_unknown),
        case!(a_commit_that_is_swallowed_is_unknown_too),
        case!(a_deadlock_that_is_swallowed_loses_the_work),
    ]
}

#[track_caller]
fn assert_lost(error: &Error) {
    assert!(error.is_work_lost() && !error.is_commit_unknown() && !error.is_after_commit(), "{error:?}");
    assert_eq!(error.alias(), Some("default"));
}

/// A list of hooks that have run.
type Ran = Rc<RefCell<Vec<&'static str>>>;

fn hook(ran: &Ran, name: &'static str) -> impl FnOnce() + 'static {
    let ran = Rc::clone(ran);
    move || ran.borrow_mut().push(name)
}

fn before_its_first_statement_a_block_is_worth_another_connection(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, ran) = (numbers.db(), Ran::default());
    let (level, serial) = (Atomic::new().isolation_level(IsolationLevel::Serializable), db.serial());
    db.atomic_with(level, || {
        db.on_commit(hook(&ran, "the block's"))?;
        numbers.kill();
        numbers.insert(1)?;
        assert_ne!(db.serial(), serial);
        assert!(db.in_atomic_block());
        assert_eq!(db.query_value::<String>("SHOW transaction_isolation", ())?, "serializable", "it is like the first");
        assert_eq!(numbers.stored(), [0; 0]);
        assert_refused(&db.atomic(|| {
            numbers.insert(2)?;
            Err(refused())
        }));
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!((numbers.stored(), &*ran.borrow()), (vec![1], &vec!["the block's"]));
    numbers.assert_well();
    // An empty one has nothing to lose.
    db.atomic(|| {
        numbers.kill();
        Ok::<_, Error>(())
    })
    .unwrap();
    numbers.assert_well();
    // Once it has replaced the connection, the block has begun.
    let error = db
        .atomic(|| {
            numbers.kill();
            numbers.insert(2)?;
            numbers.kill();
            numbers.insert(3)
        })
        .unwrap_err();
    assert_lost(&error);
    assert_eq!(numbers.stored(), [1]);
    numbers.assert_well();
}

fn a_block_outlives_a_restart_before_its_first_statement(server: &Server) {
    let numbers = Numbers::new(server);
    numbers
        .db()
        .atomic(|| {
            server.restart();
            numbers.insert(1)
        })
        .unwrap();
    assert_eq!(numbers.stored(), [1]);
    numbers.assert_well();
}

fn an_idle_connection_is_replaced_before_a_block_has_begun(server: &Server) {
    let idle = Some(Duration::from_nanos(1));
    let numbers = Numbers::of(Opened::with(server, |settings| settings.conn_max_idle(idle)));
    let (db, serial) = (numbers.db(), numbers.db().serial());
    db.atomic(|| {
        numbers.insert(1)?;
        let begun = db.serial();
        assert_ne!(begun, serial);
        numbers.insert(2)?;
        assert_eq!(db.serial(), begun, "now there is something to lose");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(numbers.stored(), [1, 2]);
    numbers.assert_well();
}

fn a_block_that_has_begun_is_not_moved(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, serial) = (numbers.db(), numbers.db().serial());
    let error = db
        .atomic(|| {
            numbers.kill();
            let error = numbers.insert(1).unwrap_err();
            assert!(error.is_disconnect() && !error.may_have_executed(), "{error:?}");
            assert_eq!(db.serial(), serial);
            Err::<(), _>(error)
        })
        .unwrap_err();
    assert_lost(&error);
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

fn a_kill_inside_a_block_loses_its_work(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, ran) = (numbers.db(), Ran::default());
    for swallows in [false, true] {
        let serial = db.serial();
        let error = db
            .atomic(|| {
                numbers.insert(1)?;
                db.on_commit(hook(&ran, "never"))?;
                numbers.kill();
                for _ in 0..2 {
                    let error = numbers.insert(2).unwrap_err();
                    assert!(error.is_disconnect() && error.kind() == ErrorKind::Operational, "{error:?}");
                    assert_lost(&error);
                    assert_eq!(db.serial(), serial, "nothing is replaced inside");
                    if !swallows {
                        return Err(error);
                    }
                }
                Ok(())
            })
            .unwrap_err();
        assert_lost(&error);
        assert!(error.is_disconnect(), "{error:?}");
        assert_eq!((numbers.stored(), ran.borrow().len()), (vec![], 0));
        numbers.assert_well();
        assert_ne!(db.serial(), serial);
    }
    assert_eq!(Rc::strong_count(&ran), 1, "hooks are dropped");
}

fn a_kill_that_nobody_noticed_fails_the_commit(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, ran) = (numbers.db(), Ran::default());
    for guard in [false, true] {
        let work = || {
            numbers.insert(1)?;
            db.on_commit(hook(&ran, "never"))?;
            numbers.kill();
            Ok::<_, Error>(())
        };
        let ended = if guard {
            let block = db.begin_atomic(Atomic::new()).unwrap();
            work().unwrap();
            block.commit()
        } else {
            db.atomic(work)
        };
        let error = ended.unwrap_err();
        assert_eq!((error.kind(), error.alias()), (ErrorKind::Operational, Some("default")));
        assert!(error.is_disconnect() && (error.is_work_lost() ^ error.is_commit_unknown()), "{error:?}");
        assert_eq!((numbers.stored(), ran.borrow().len()), (vec![], 0));
        numbers.assert_well();
    }
}

fn a_loss_inside_an_inner_block_is_told_by_the_outermost(server: &Server) {
    let numbers = Numbers::new(server);
    let (db, ran) = (numbers.db(), Ran::default());
    let error = db
        .atomic(|| {
            numbers.insert(1)?;
            db.on_commit(hook(&ran, "never"))?;
            let error = db
                .atomic(|| {
                    numbers.insert(2)?;
                    numbers.kill();
                    numbers.insert(3)
                })
                .unwrap_err();
            assert_lost(&error);
            assert_lost(&numbers.insert(4).unwrap_err());
            // All is swallowed.
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_lost(&error);
    assert_eq!(error.kind(), ErrorKind::TransactionManagement, "Django ends it without an error");
    assert_eq!((numbers.stored(), ran.borrow().len()), (vec![], 0));
    numbers.assert_well();
}

fn a_block_that_fails_on_a_lost_connection_has_its_own_error(server: &Server) {
    let numbers = Numbers::new(server);
    assert_refused(&numbers.db().atomic(|| {
        numbers.insert(1)?;
        numbers.kill();
        Err(refused())
    }));
    let block = numbers.db().begin_atomic(Atomic::new()).unwrap();
    numbers.insert(1).unwrap();
    numbers.kill();
    block.rollback().expect("the work is gone all the same");
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
}

fn a_commit_whose_answer_is_cut_off_is_unknown(server: &Server) {
    let database = server.database();
    let proxy = Proxy::start(server.address());
    let opened = Opened::on(database, |_| settings(&server.url()));
    let url = opened.database.url_via(proxy.port());
    opened.connections.replace("default", settings(&url)).unwrap();
    let numbers = Numbers::of(opened);
    let (db, ran, runs) = (numbers.db(), Ran::default(), Cell::new(0));
    // The connection is as any other: the first commit of a session may be answered with more.
    db.atomic(|| numbers.insert(1)).unwrap();
    let error = dockline::Retry::new()
        .run(db, || {
            runs.set(runs.get() + 1);
            numbers.insert(1 + runs.get())?;
            db.on_commit(hook(&ran, "never"))?;
            proxy.cut_after(0);
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Operational, Some("default")));
    assert!(error.is_commit_unknown() && error.is_disconnect() && error.may_have_executed(), "{error:?}");
    assert!(!error.is_work_lost() && !error.is_after_commit(), "{error:?}");
    proxy.wait_until_cuts(1);
    assert_eq!((runs.get(), ran.borrow().len()), (1, 0));
    assert_eq!(numbers.stored(), [1, 2], "this one did take effect");
    numbers.assert_well();
}

fn a_commit_that_is_swallowed_is_unknown_too(server: &Server) {
    let proxy = Proxy::start(server.address());
    let opened = Opened::on(server.database(), |_| settings(&server.url()));
    let url = opened.database.url_via(proxy.port());
    let patience = Some(Duration::from_millis(300));
    opened.connections.replace("default", settings(&url).read_timeout(patience)).unwrap();
    let numbers = Numbers::of(opened);
    let (db, ran, runs) = (numbers.db(), Ran::default(), Cell::new(0));
    let error = dockline::Retry::new()
        .run(db, || {
            runs.set(runs.get() + 1);
            numbers.insert(runs.get())?;
            db.on_commit(hook(&ran, "never"))?;
            proxy.swallow(true);
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert!(error.is_commit_unknown() && error.is_disconnect() && error.may_have_executed(), "{error:?}");
    assert_eq!((runs.get(), ran.borrow().len()), (1, 0));
    // What was swallowed would arrive.
    proxy.reset();
    proxy.swallow(false);
    assert_eq!(numbers.stored(), [0; 0], "this one did not");
    numbers.assert_well();
}

/// Runs a block that has a row each way, on two threads that meet in the middle; and what each of their ends says.
fn meet(
    connections: &Connections,
    block: impl Fn(&dockline::Connection, &Barrier, i64, i64) -> Result<()> + Sync,
) -> [Result<()>; 2] {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let threads = [(1, 2), (2, 1)].map(|(first, second)| {
            let (block, barrier) = (&block, &barrier);
            scope.spawn(move || {
                let db = connections.get("default").unwrap();
                block(&db, barrier, first, second)
            })
        });
        threads.map(|thread| thread.join().unwrap())
    })
}

fn a_deadlock_that_is_swallowed_loses_the_work(server: &Server) {
    let numbers = Numbers::new(server);
    numbers.insert(1).unwrap();
    numbers.insert(2).unwrap();
    let committed = AtomicUsize::new(0);
    let ends = meet(&numbers.opened.connections, |db, barrier, first, second| {
        // A reference would not live for as long as a hook.
        let ran = Ran::default();
        let update = |row: i64| db.execute("UPDATE t SET v = v + 1 WHERE n = ?", params![row]);
        let ended = db.atomic(|| {
            db.on_commit(hook(&ran, "committed"))?;
            update(first)?;
            barrier.wait();
            if let Err(error) = update(second) {
                assert!(error.is_retryable() && !error.is_disconnect(), "{error:?}");
                // What ran now would be committed by itself, or is refused by the server.
                let refused = insert(db, 3).unwrap_err();
                assert!(refused.is_work_lost() || refused.code().as_deref() == Some("25P02"), "{refused:?}");
            }
            Ok::<_, Error>(())
        });
        committed.fetch_add(ran.borrow().len(), Ordering::SeqCst);
        db.query("SELECT 1", ()).expect("the connection is well");
        ended
    });
    let lost: Vec<&Error> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert_eq!(lost.len(), 1, "{ends:?}");
    assert_lost(lost[0]);
    assert_eq!(lost[0].kind(), ErrorKind::TransactionManagement);
    assert_eq!(committed.into_inner(), 1, "hooks of the other run");
    assert_eq!(numbers.db().query_value::<i64>("SELECT min(v) + 10 * max(v) FROM t", ()).unwrap(), 11);
    assert_eq!(numbers.stored(), [1, 2]);
}
