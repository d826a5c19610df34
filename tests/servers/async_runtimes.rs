//! On the threads of async runtimes a statement works, or is an error that says what to do; closing works everywhere.

mod shared;

use std::sync::mpsc;
use std::time::Duration;

use dockline::{Connection, Connections, Error, ErrorKind, Settings, params};
use dockline_tests::Database;
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, block_in_place, spawn_blocking, unconstrained};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    let cases = vec![
        case!(everything_works_on_several_threads),
        case!(everything_works_on_blocking_threads),
        case!(a_statement_that_waits_stops_nobody_else).only(&[Kind::Postgres]),
        case!(one_thread_is_refused_before_anything_is_sent).only(&[Kind::Postgres]),
        case!(one_thread_blocks_where_the_driver_has_no_runtime).only(Kind::MYSQLS),
        case!(work_that_was_begun_before_stays).only(&[Kind::Postgres]),
        case!(a_commit_that_is_refused_loses_no_other_connection).only(&[Kind::Postgres]),
        case!(what_tokio_cannot_say_beforehand_is_an_error).only(&[Kind::Postgres]),
        case!(native_is_lent_where_it_may_block),
        case!(over_a_unix_socket_it_is_the_same).only(&[Kind::Postgres]).private(),
        case!(closing_works_on_every_thread),
        case!(threads_that_end_with_a_runtime_close),
        case!(a_registry_that_goes_inside_a_runtime_closes),
    ];
    [cases, shared::cases()].concat()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn several_threads(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

fn one(db: &Connection) -> dockline::Result<i64> {
    db.query_value("SELECT 1", ())
}

/// Every call that reaches a driver.
fn everything(connections: &Connections, table: &str) {
    let db = connections.get("default").unwrap();
    db.execute(&format!("CREATE TABLE {table} (n INTEGER)"), ()).unwrap();
    let insert = format!("INSERT INTO {table} VALUES (?)");
    assert_eq!(db.execute_many(&insert, (0..5).map(|n| params![n])).unwrap(), 5);
    let count = || db.query_value::<i64>(&format!("SELECT count(*) FROM {table}"), ()).unwrap();
    db.atomic(|| {
        db.execute(&insert, params![5])?;
        // A savepoint, and its rollback.
        let inner = db.atomic(|| {
            db.execute(&insert, params![6])?;
            Err::<(), _>(Error::new(ErrorKind::Data, "undo"))
        });
        assert_eq!(inner.unwrap_err().message(), "undo");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(count(), 6);
    let mut seen = 0;
    let each = |_| {
        seen += 1;
        Ok(std::ops::ControlFlow::<()>::Continue(()))
    };
    db.query_each(&format!("SELECT n FROM {table}"), (), each).unwrap();
    assert_eq!(seen, 6);
    db.set_autocommit(false).unwrap();
    db.execute(&insert, params![7]).unwrap();
    db.rollback().unwrap();
    db.execute(&insert, params![8]).unwrap();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(count(), 7);
    assert!(db.is_usable());
    if db.vendor() != "sqlite" {
        assert!(db.server_info().unwrap().max_connections.is_some());
    }
    connections.in_request(|| one(&db)).unwrap();
    db.close();
    assert_eq!(one(&db).unwrap(), 1);
}

fn everything_works_on_several_threads(server: &Server) {
    let opened = Opened::new(server);
    let runtime = several_threads(2);
    let tasks = ["a", "b", "c"].map(|table| {
        let connections = opened.connections.clone();
        runtime.spawn(async move { everything(&connections, table) })
    });
    runtime.block_on(async {
        everything(&opened.connections, "d");
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(runtime);
    opened.connections.close_all();
    opened.database.admin().wait_until_connections(0);
}

fn everything_works_on_blocking_threads(server: &Server) {
    for runtime in [one_thread(), several_threads(1)] {
        let opened = Opened::new(server);
        let connections = opened.connections.clone();
        runtime.block_on(async move { spawn_blocking(move || everything(&connections, "t")).await.unwrap() });
        drop(runtime);
        opened.database.admin().wait_until_connections(0);
    }
}

/// The runtime has one worker, whose statement waits for what another task of the same worker leads to.
fn a_statement_that_waits_stops_nobody_else(server: &Server) {
    let opened = Opened::new(server);
    opened.db.execute("SELECT pg_advisory_lock(7)", ()).unwrap();
    let runtime = several_threads(1);
    let (begins, begun) = oneshot::channel();
    let (tells, told) = mpsc::channel();
    let connections = opened.connections.clone();
    let waits = runtime.spawn(async move {
        begins.send(()).unwrap();
        connections.get("default").unwrap().execute("SELECT pg_advisory_lock(7)", ()).unwrap();
    });
    runtime.spawn(async move {
        begun.await.unwrap();
        tells.send(()).unwrap();
    });
    told.recv_timeout(Duration::from_secs(60)).expect("the other task runs");
    opened.db.execute("SELECT pg_advisory_unlock(7)", ()).unwrap();
    runtime.block_on(waits).unwrap();
}

fn is_refused<T: std::fmt::Debug>(result: dockline::Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interface, "{error:?}");
    assert!(!error.is_disconnect() && !error.may_have_executed() && !error.is_work_lost(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("spawn_blocking") && text.contains("alias \"default\""), "{text}");
}

fn one_thread_is_refused_before_anything_is_sent(server: &Server) {
    let database = server.database();
    let proxy = Proxy::start(server.address());
    let connections = dockline_tests::connections(Settings::from_url(&database.url_via(proxy.port())).unwrap());
    let db = connections.get("default").unwrap();
    let runtime = one_thread();
    // It has no connection, and opens none.
    runtime.block_on(async { is_refused(one(&db)) });
    assert_eq!((db.is_connected(), proxy.connections()), (false, 0));

    assert_eq!(one(&db).unwrap(), 1);
    let (serial, sent) = (db.serial(), proxy.bytes_from_client());
    let refused = || {
        is_refused(one(&db));
        is_refused(db.execute("DELETE FROM pg_class", ()));
        is_refused(db.execute("SELECT 2", ()));
        is_refused(db.query_each("SELECT 1", (), |_| Ok(std::ops::ControlFlow::<()>::Continue(()))));
        is_refused(db.execute_many("SELECT ?", [params![1]]));
        is_refused(db.atomic(|| one(&db)));
        is_refused(db.server_info());
        is_refused(db.native(|_: &mut dockline::postgres::Client| ()));
        db.set_autocommit(false).unwrap();
        is_refused(one(&db));
        db.rollback().unwrap();
        db.set_autocommit(true).unwrap();
        // It cannot ask, and sees nothing that speaks against it; so boundaries leave it alone.
        assert!(db.is_usable());
        let request = connections.request();
        is_refused(one(&db));
        drop(request);
        connections.close_old_connections();
    };
    runtime.block_on(async {
        refused();
        tokio::task::yield_now().await;
        refused();
    });
    LocalSet::new().block_on(&runtime, async { refused() });
    assert_eq!(proxy.bytes_from_client(), sent, "nothing was sent");
    assert_eq!((one(&db).unwrap(), db.serial()), (1, serial), "and it is the same connection");
}

fn one_thread_blocks_where_the_driver_has_no_runtime(server: &Server) {
    let (opened, embedded) = (Opened::new(server), Database::new());
    for connections in [&opened.connections, &embedded.connections()] {
        one_thread().block_on(async { everything(connections, "t") });
        LocalSet::new().block_on(&several_threads(1), async { everything(connections, "u") });
        several_threads(1).block_on(async { everything(connections, "v") });
    }
}

fn work_that_was_begun_before_stays(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.atomic(|| {
        db.execute("INSERT INTO t VALUES (1)", ())?;
        one_thread().block_on(async { is_refused(db.execute("INSERT INTO t VALUES (2)", ())) });
        db.execute("INSERT INTO t VALUES (3)", ())
    })
    .unwrap();
    assert_eq!(db.query_value::<i64>("SELECT sum(n) FROM t", ()).unwrap(), 4);
}

fn a_commit_that_is_refused_loses_no_other_connection(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    let block = db.begin_atomic(dockline::Atomic::new()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    let error = one_thread().block_on(async move { block.commit().unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::Interface, "{error:?}");
    // As in Django, a block that can be neither committed nor rolled back closes its connection.
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
    db.execute("INSERT INTO t VALUES (2)", ()).unwrap();
    opened.database.admin().wait_until_connections(1);
}

fn what_tokio_cannot_say_beforehand_is_an_error(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    assert_eq!(one(db).unwrap(), 1);
    let serial = db.serial();
    let (single, several) = (one_thread(), several_threads(1));
    single.block_on(unconstrained(async { is_refused(one(db)) }));
    LocalSet::new().block_on(&several, async {
        is_refused(one(db));
        unconstrained(async { is_refused(one(db)) }).await;
    });
    single.block_on(async {
        let _entered = several.enter();
        is_refused(one(db));
    });
    assert_eq!((one(db).unwrap(), db.serial()), (1, serial));
}

fn native_is_lent_where_it_may_block(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    let native = || match server.kind() {
        Kind::Postgres => {
            db.native(|client: &mut dockline::postgres::Client| client.simple_query("SELECT 1").unwrap().len())
        }
        _ => db.native(|conn: &mut dockline::mysql::Conn| {
            use dockline::mysql::prelude::Queryable;
            conn.query::<i64, _>("SELECT 1").unwrap().len()
        }),
    };
    native().unwrap();
    several_threads(1).block_on(async {
        // It is used outside what Dockline calls.
        assert_eq!(native().is_err(), server.kind().is_postgres());
        block_in_place(|| native().unwrap());
        assert_eq!(one(db).unwrap(), 1);
    });
}

fn over_a_unix_socket_it_is_the_same(server: &Server) {
    let opened =
        Opened::on(server.database(), |settings| settings.host(server.socket().to_str().expect("a path in UTF-8")));
    let db = &opened.db;
    one_thread().block_on(async { is_refused(one(db)) });
    assert_eq!(one(db).unwrap(), 1);
    let serial = db.serial();
    one_thread().block_on(async {
        is_refused(one(db));
        is_refused(db.atomic(|| one(db)));
        assert!(db.is_usable());
    });
    several_threads(1).block_on(async { everything(&opened.connections, "t") });
    assert_ne!(db.serial(), serial);
}

fn closing_works_on_every_thread(server: &Server) {
    let opened = Opened::new(server);
    let mut admin = opened.database.admin();
    for runtime in [one_thread(), several_threads(1)] {
        assert_eq!(one(&opened.db).unwrap(), 1);
        admin.wait_until_connections(1);
        runtime.block_on(async { opened.db.close() });
        admin.wait_until_connections(0);
        assert_eq!(one(&opened.db).unwrap(), 1);
        runtime.block_on(async { opened.connections.close_all() });
        admin.wait_until_connections(0);
        // Out of date at the boundary.
        assert_eq!(one(&opened.db).unwrap(), 1);
        runtime.block_on(async { opened.connections.task_with(close_all(), || ())() });
        admin.wait_until_connections(0);
        // In the middle of a transaction.
        opened.db.set_autocommit(false).unwrap();
        assert_eq!(one(&opened.db).unwrap(), 1);
        runtime.block_on(async { opened.db.close() });
        admin.wait_until_connections(0);
        opened.db.set_autocommit(true).unwrap();
    }
}

fn close_all() -> dockline::Task {
    dockline::Task::new().policy(dockline::TaskPolicy::CloseAll)
}

/// Their thread-local values go in whatever order, tokio's among them.
fn threads_that_end_with_a_runtime_close(server: &Server) {
    let opened = Opened::new(server);
    let mut admin = opened.database.admin();
    let end = |call: fn(&Connection)| {
        let connections = opened.connections.clone();
        std::thread::spawn(move || call(&connections.get("default").unwrap())).join().unwrap();
    };
    // The runtime first.
    end(|db| {
        one_thread().block_on(async { db.alias().len() });
        one(db).unwrap();
    });
    // The connection first.
    end(|db| {
        one(db).unwrap();
        one_thread().block_on(async { db.alias().len() });
    });
    // Inside.
    end(|db| several_threads(1).block_on(async { assert_eq!(one(db).unwrap(), 1) }));
    admin.wait_until_connections(0);

    // Workers and blocking threads, when their runtime ends.
    let runtime = several_threads(2);
    let tasks = (0..4).map(|n| {
        let connections = opened.connections.clone();
        let call = move || one(&connections.get("default").unwrap()).unwrap();
        if n % 2 == 0 { runtime.spawn(async move { call() }) } else { runtime.spawn_blocking(call) }
    });
    for task in tasks {
        assert_eq!(runtime.block_on(task).unwrap(), 1);
    }
    assert!(!admin.connections().is_empty());
    drop(runtime);
    admin.wait_until_connections(0);
}

fn a_registry_that_goes_inside_a_runtime_closes(server: &Server) {
    let database = server.database();
    let mut admin = database.admin();
    for runtime in [one_thread(), several_threads(1)] {
        let connections = dockline_tests::connections(Settings::from_url(&database.url()).unwrap());
        assert_eq!(one(&connections.get("default").unwrap()).unwrap(), 1);
        admin.wait_until_connections(1);
        runtime.block_on(async move { drop(connections) });
        admin.wait_until_connections(0);

        let connections = dockline_tests::connections(Settings::from_url(&database.url()).unwrap());
        assert_eq!(one(&connections.get("default").unwrap()).unwrap(), 1);
        let report = runtime.block_on(async { connections.shutdown(Duration::from_secs(5)) });
        assert_eq!((report.closed, report.left.len()), (1, 0));
        admin.wait_until_connections(0);
    }
}
