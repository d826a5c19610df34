//! Results that are left before their end: nothing is lost with them, and inside a transaction they cost next to nothing.

use std::ops::ControlFlow;

use dockline::{Connection, Error, params};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]);
    vec![
        only(case!(inside_a_block_the_rest_is_never_sent)),
        only(case!(chunks_are_one_result)),
        only(case!(a_small_result_is_one_round_trip)),
        only(case!(a_failure_in_a_later_chunk)),
        only(case!(a_cancellation_between_two_chunks)),
        only(case!(what_writes_runs_to_its_end)),
        only(case!(a_session_with_state_is_not_closed)),
        only(case!(one_row_too_many_leaves_the_work_alone)),
    ]
}

/// Takes so many rows, and then no more.
fn take(db: &Connection, sql: &str, count: usize) -> Result<Vec<i64>, Error> {
    let mut taken = Vec::new();
    db.query_each(sql, (), |row| {
        taken.push(row.get::<i64, _>(0)?);
        Ok(if taken.len() == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(taken)
}

fn inside_a_block_the_rest_is_never_sent(server: &Server) {
    for prepares in [true, false] {
        let proxy = Proxy::start(server.address());
        let database = server.database();
        let url = database.url().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
        let connections = dockline_tests::connections(settings(&url).prepared_statements(prepares));
        let db = connections.get("default").unwrap();
        db.execute("CREATE TABLE big AS SELECT n FROM generate_series(1, 3000000) AS n", ()).unwrap();
        db.atomic(|| {
            for count in [1, 50, 101, 299, 300, 301] {
                let before = proxy.bytes_from_server();
                let taken = take(&db, "SELECT n FROM big ORDER BY ctid", count)?;
                assert_eq!(taken.len(), count);
                assert_eq!(taken.last().copied(), Some(i64::try_from(count).unwrap()));
                let came = proxy.bytes_from_server() - before;
                assert!(came < 40_000, "{count} rows of 3 million took {came} bytes (prepares: {prepares})");
                // The block goes on.
                assert_eq!(db.query_value::<i64>("SELECT 5", ())?, 5);
                db.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER)", ())?;
            }
            db.atomic(|| {
                take(&db, "SELECT n FROM big ORDER BY ctid", 3)?;
                Ok::<_, Error>(())
            })?;
            db.execute("INSERT INTO t VALUES (1)", ())?;
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);
    }
}

fn chunks_are_one_result(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    for rows in [0_i64, 1, 99, 100, 101, 299, 300, 301, 700, 5_000, 40_000] {
        let sum = db
            .atomic(|| {
                let (mut sum, mut last) = (0, 0);
                db.query_each::<()>(
                    "SELECT n, repeat('x', 50) FROM generate_series(1, ?::int) AS n",
                    params![rows],
                    |row| {
                        let n = row.get::<i64, _>(0)?;
                        assert_eq!(n, last + 1);
                        (sum, last) = (sum + n, n);
                        Ok(ControlFlow::Continue(()))
                    },
                )?;
                Ok::<_, Error>(sum)
            })
            .unwrap();
        assert_eq!(sum, rows * (rows + 1) / 2);
    }
}

fn a_small_result_is_one_round_trip(server: &Server) {
    let proxy = Proxy::start(server.address());
    let connections = dockline_tests::connections(settings(&server.url_via(proxy.port())));
    let db = connections.get("default").unwrap();
    let sql = "SELECT n FROM generate_series(1, 50) AS n";
    let sent = |run: &dyn Fn() -> usize| {
        let before = proxy.bytes_from_client();
        assert_eq!(run(), 50);
        proxy.bytes_from_client() - before
    };
    db.atomic(|| {
        let all = || db.query(sql, ()).unwrap().len();
        let each = || take(&db, sql, 1_000).unwrap().len();
        all();
        assert_eq!(sent(&all), sent(&each), "the first chunk asks for no more than a query does");
        Ok::<_, Error>(())
    })
    .unwrap();
}

fn a_failure_in_a_later_chunk(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    db.atomic(|| {
        db.execute("INSERT INTO t VALUES (1)", ())?;
        let failed = db.atomic(|| take(db, "SELECT 1 / (1000 - n) FROM generate_series(1, 2000) AS n", 5_000));
        let error = failed.unwrap_err();
        assert_eq!(error.code().as_deref(), Some("22012"));
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ())?, 1);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);
}

fn a_cancellation_between_two_chunks(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    db.execute("CREATE TABLE big AS SELECT n FROM generate_series(1, 100000) AS n", ()).unwrap();
    db.atomic(|| {
        db.execute("INSERT INTO t VALUES (1)", ())?;
        let canceller = db.canceller();
        let mut rows = 0;
        let error = db
            .query_each::<()>("SELECT n FROM big", (), |_| {
                rows += 1;
                if rows == 100 {
                    canceller.cancel()?;
                }
                Ok(ControlFlow::Continue(()))
            })
            .unwrap_err();
        assert!(error.is_cancelled(), "{error:?}");
        assert_eq!(rows, 100);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);
}

/// Each gives its first row long before it is done.
fn what_writes_runs_to_its_end(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    db.execute(
        "CREATE FUNCTION claim(n INTEGER) RETURNS INTEGER LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO t VALUES (n); RETURN n; END'",
        (),
    )
    .unwrap();
    for (at, sql) in [
        "SELECT claim(n) FROM generate_series(1, 3000) AS n",
        "WITH x AS (SELECT claim(n) AS n FROM generate_series(1, 3000) AS n) SELECT n FROM x",
        "INSERT INTO t SELECT n FROM generate_series(1, 3000) AS n RETURNING a",
        "WITH i AS (INSERT INTO t SELECT n FROM generate_series(1, 3000) AS n RETURNING a) SELECT a FROM i",
        "VALUES (1), (claim(2)), (claim(3))",
        "/* app */ SELECT claim(n) FROM generate_series(1, 3000) AS n -- the end",
        "SELECT a FROM (SELECT claim(n) AS a FROM generate_series(1, 3000) AS n) AS x",
        "UPDATE t SET a = a + 1 RETURNING a",
    ]
    .into_iter()
    .enumerate()
    {
        db.execute("TRUNCATE t", ()).unwrap();
        let wanted = if sql.starts_with("VALUES") { 2 } else { 3_000 };
        if sql.starts_with("UPDATE") {
            db.execute("INSERT INTO t SELECT 1 FROM generate_series(1, 3000)", ()).unwrap();
        }
        for in_block in [false, true] {
            let serial = db.serial();
            let run = || take(db, sql, 1).map(drop);
            if in_block { db.atomic(run) } else { run() }.unwrap();
            assert_eq!(db.serial(), serial, "{sql}");
        }
        let count: i64 = db.query_value("SELECT count(*) FROM t", ()).unwrap();
        assert_eq!(count, if at == 7 { wanted } else { 2 * wanted }, "{sql}");
    }
    assert_eq!(db.query_value::<i64>("SELECT sum(a) FROM t", ()).unwrap(), 9_000);
}

fn a_session_with_state_is_not_closed(server: &Server) {
    let sql = "SELECT n FROM generate_series(1, 200000) AS n";
    for make in [
        "SET ROLE pg_monitor",
        "SELECT pg_advisory_lock(1)",
        "CREATE TEMPORARY TABLE mine (a INTEGER)",
        "SET app.tenant = '7'",
        "SELECT set_config('app.tenant', '7', false)",
        "LISTEN jobs",
        "PREPARE p AS SELECT 1",
        "SET SESSION AUTHORIZATION DEFAULT; SET search_path = pg_catalog",
    ] {
        let opened = Opened::new(server);
        let db = &opened.db;
        let user: String = db.query_value("SELECT current_user::text", ()).unwrap();
        opened.database.admin().try_execute(&format!("GRANT pg_monitor TO {user}")).unwrap_or_default();
        for part in make.split("; ") {
            db.execute(part, ()).unwrap();
        }
        let serial = db.serial();
        take(db, sql, 1).unwrap();
        assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5);
        assert_eq!(db.serial(), serial, "{make}");
    }
    let Opened { db, .. } = &Opened::new(server);
    db.ensure_connection().unwrap();
    let _hold = db.hold();
    let serial = db.serial();
    take(db, sql, 1).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5);
    assert_eq!(db.serial(), serial, "it is held");
}

fn one_row_too_many_leaves_the_work_alone(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    let sql = "INSERT INTO t SELECT n FROM generate_series(1, 400000) AS n RETURNING a";
    let error = db.query_value::<i64>(sql, ()).unwrap_err();
    assert!(error.may_have_executed() && !error.is_disconnect(), "{error:?}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 400_000);
}
