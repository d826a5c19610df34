//! Tasks of one thread share its connection, and no transaction. (PostgreSQL refuses statements on such a thread.)

use std::future::Future;
use std::rc::Rc;

use dockline::{Atomic, Connection, Connections, Error, ErrorKind, params};
use dockline_tests::Database;
use dockline_tests::servers::{Kind, Server};
use tokio::sync::Barrier;
use tokio::task::{LocalSet, spawn_local};

use super::one_thread;
use crate::case::{Case, case};
use crate::opened::Opened;

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(Kind::MYSQLS);
    vec![
        only(case!(a_transaction_is_that_of_one_task)),
        only(case!(a_block_is_ended_by_whoever_has_its_guard)),
        only(case!(a_block_of_a_test_is_for_every_task)),
        only(case!(with_autocommit_off_one_task_goes_on_where_another_has_ended)),
    ]
}

/// Runs it on the server and on SQLite.
fn on_each(server: &Server, play: impl AsyncFn(Connections, Connection)) {
    dockline_tokio::watch_tasks();
    let (opened, embedded) = (Opened::new(server), Database::new());
    for connections in [&opened.connections, &embedded.connections()] {
        let db = connections.get("default").unwrap();
        db.execute("CREATE TABLE held (n INTEGER)", ()).unwrap();
        let connections = connections.clone();
        LocalSet::new().block_on(&one_thread(), play(connections, db));
    }
}

/// Task A holds what `holds` gives over an await; meanwhile task B runs `meets`.
async fn beside<T: 'static>(
    holds: impl FnOnce() -> T + 'static,
    meets: impl FnOnce() + 'static,
    ends: impl FnOnce(T) + 'static,
) {
    let (held, met) = (Rc::new(Barrier::new(2)), Rc::new(Barrier::new(2)));
    let a = spawn_local({
        let (held, met) = (Rc::clone(&held), Rc::clone(&met));
        async move {
            let holding = holds();
            held.wait().await;
            met.wait().await;
            ends(holding);
        }
    });
    let b = spawn_local(async move {
        held.wait().await;
        meets();
        met.wait().await;
    });
    both(a, b).await;
}

async fn both(
    a: impl Future<Output = Result<(), tokio::task::JoinError>>,
    b: impl Future<Output = Result<(), tokio::task::JoinError>>,
) {
    b.await.unwrap();
    a.await.unwrap();
}

fn insert(db: &Connection, n: i64) -> dockline::Result<u64> {
    db.execute("INSERT INTO held VALUES (?)", params![n])
}

fn sum(db: &Connection) -> Option<i64> {
    db.query_value("SELECT sum(n) FROM held", ()).unwrap()
}

fn is_refused<T: std::fmt::Debug>(result: dockline::Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionManagement, "{error}");
    assert!(!error.may_have_executed() && !error.is_work_lost() && !error.is_disconnect(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("another async task") && text.contains("shared.rs") && text.contains("blocking.request"),
        "{text}"
    );
}

/// Every call that would become part of it.
fn everything_is_refused(db: &Connection, begins: bool) {
    is_refused(insert(db, 100));
    is_refused(db.query("SELECT n FROM held", ()));
    is_refused(db.execute_many("INSERT INTO held VALUES (?)", [params![100]]));
    is_refused(db.atomic(|| insert(db, 100)));
    is_refused(db.atomic_with(Atomic::new().savepoint(false), || Ok::<_, Error>(())));
    is_refused(db.on_commit(unreachable_hook));
    is_refused(db.savepoint());
    if begins {
        is_refused(db.set_rollback(true));
    } else {
        is_refused(db.commit());
    }
}

fn a_transaction_is_that_of_one_task(server: &Server) {
    on_each(server, async |_, db| {
        let [a, b] = [db.clone(), db.clone()];
        let holds = move || {
            let block = a.begin_atomic(Atomic::new()).unwrap();
            insert(&a, 1).unwrap();
            (a, block)
        };
        let ends = |(a, block): (Connection, dockline::AtomicBlock)| {
            insert(&a, 2).unwrap();
            a.atomic(|| insert(&a, 3)).unwrap();
            block.rollback().unwrap();
        };
        beside(holds, move || everything_is_refused(&b, true), ends).await;
        assert_eq!(sum(&db), None);

        // A block on which nothing was done yet.
        let [a, b] = [db.clone(), db.clone()];
        let ends = |block: dockline::AtomicBlock| block.commit().unwrap();
        beside(move || a.begin_atomic(Atomic::new()).unwrap(), move || is_refused(insert(&b, 100)), ends).await;

        // A manual transaction, and one that was begun by a text.
        let [a, b] = [db.clone(), db.clone()];
        let holds = move || {
            a.set_autocommit(false).unwrap();
            insert(&a, 10).unwrap();
            a
        };
        let ends = |a: Connection| {
            a.commit().unwrap();
            a.set_autocommit(true).unwrap();
        };
        beside(holds, move || everything_is_refused(&b, false), ends).await;
        let [a, b] = [db.clone(), db.clone()];
        let holds = move || {
            a.execute("BEGIN", ()).unwrap();
            insert(&a, 20).unwrap();
            a
        };
        beside(holds, move || is_refused(insert(&b, 100)), |a| assert_eq!(a.execute("COMMIT", ()).unwrap(), 0)).await;

        // Nothing is held any more: every task has its turn.
        let again = db.clone();
        spawn_local(async move { insert(&again, 30).unwrap() }).await.unwrap();
        assert_eq!(sum(&db), Some(60));
    });
}

fn a_block_is_ended_by_whoever_has_its_guard(server: &Server) {
    on_each(server, async |_, db| {
        let a = db.clone();
        let begins = spawn_local(async move {
            let outer = a.begin_atomic(Atomic::new()).unwrap();
            insert(&a, 1).unwrap();
            let inner = a.begin_atomic(Atomic::new()).unwrap();
            insert(&a, 2).unwrap();
            (outer, inner)
        });
        let (outer, inner) = begins.await.unwrap();
        is_refused_outside(insert(&db, 100));
        inner.rollback().unwrap();
        outer.commit().unwrap();
        assert_eq!(sum(&db), Some(1));

        // A task that is dropped with its block rolls back.
        let a = db.clone();
        let task = spawn_local(async move {
            let _block = a.begin_atomic(Atomic::new()).unwrap();
            insert(&a, 4).unwrap();
            std::future::pending::<()>().await;
        });
        while !db.in_atomic_block() {
            tokio::task::yield_now().await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(sum(&db), Some(1));
    });
}

fn is_refused_outside<T: std::fmt::Debug>(result: dockline::Result<T>) {
    let error = result.unwrap_err();
    assert!(error.message().contains("which is in no task itself"), "{error}");
    is_refused::<T>(Err(error));
}

fn a_block_of_a_test_is_for_every_task(server: &Server) {
    on_each(server, async |connections, db| {
        let test = dockline::testing::TestCase::begin(&connections, &["default"]).unwrap();
        let handler = db.clone();
        spawn_local(async move { handler.atomic(|| insert(&handler, 1)).unwrap() }).await.unwrap();
        assert_eq!(sum(&db), Some(1));
        drop(test);
        assert_eq!(sum(&db), None);
    });
}

fn unreachable_hook() {
    panic!("a hook of another task");
}

fn with_autocommit_off_one_task_goes_on_where_another_has_ended(server: &Server) {
    dockline_tokio::watch_tasks();
    let opened = Opened::with(server, |settings| settings.autocommit(false));
    let db = opened.db.clone();
    LocalSet::new().block_on(&one_thread(), async move {
        for n in 1..4 {
            let db = db.clone();
            spawn_local(async move { assert_eq!(db.query_value::<i64>("SELECT ?", params![n]).unwrap(), n) })
                .await
                .unwrap();
        }
        db.rollback().unwrap();
    });
}
