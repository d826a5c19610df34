//! Where a transaction stands after the server has ended it.

use std::sync::Barrier;
use std::thread;

use dockline::{Connection, Error, Result, params};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::Server;
use mysql::prelude::Queryable;

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_victim_that_only_read_loses_its_locks),
        case!(a_victim_of_the_first_statement_is_tried_again),
        case!(a_wait_that_ends_the_transaction_is_work_lost)
            .own_server_with(|builder| builder.setting("innodb_rollback_on_timeout", "ON")),
        case!(a_wait_that_ends_a_statement_leaves_the_transaction),
        case!(options_outlive_an_error_before_the_first_statement),
        case!(after_native_a_transaction_is_known),
        case!(a_reset_of_the_driver_s_takes_a_transaction_with_it),
        case!(nothing_after_an_answered_commit_makes_it_fail),
    ]
}

fn table(db: &Connection) {
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v INTEGER)", ()).unwrap();
    db.execute_many("INSERT INTO t VALUES (?, 0)", [1, 2, 3].map(|n| params![n])).unwrap();
}

/// Two blocks that lock the same rows in another order, first one each. What each of their ends says.
fn cross(opened: &Opened<'_>, block: impl Fn(&Connection, &Barrier, i64, i64) -> Result<()> + Sync) -> [Result<()>; 2] {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let threads = [(1, 2), (2, 1)].map(|(first, second)| {
            let (block, barrier, connections) = (&block, &barrier, &opened.connections);
            scope.spawn(move || block(&connections.get("default").unwrap(), barrier, first, second))
        });
        threads.map(|thread| thread.join().unwrap())
    })
}

const LOCK: &str = "SELECT v FROM t WHERE n = ? FOR UPDATE";

fn a_victim_that_only_read_loses_its_locks(server: &Server) {
    for inner in [false, true] {
        let opened = Opened::new(server);
        table(&opened.db);
        let ends = cross(&opened, |db, barrier, first, second| {
            db.atomic(|| {
                db.query(LOCK, params![first])?;
                barrier.wait();
                let lock = || db.query(LOCK, params![second]).map(drop);
                // The error is swallowed, and the work goes on without the lock.
                let _ = if inner { db.atomic(lock) } else { lock() };
                let _ = db.execute("UPDATE t SET v = v + 1 WHERE n = 3", ());
                Ok::<_, Error>(())
            })
        });
        let lost: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        assert_eq!(lost.len(), 1, "inner: {inner}: {ends:?}");
        assert!(lost[0].is_work_lost(), "{:?}", lost[0]);
        assert_eq!(opened.db.query_value::<i64>("SELECT v FROM t WHERE n = 3", ()).unwrap(), 1);
    }
}

/// Nothing had been told of the transaction: the victim's lock came with rows alone.
fn a_victim_of_the_first_statement_is_tried_again(server: &Server) {
    let opened = Opened::new(server);
    table(&opened.db);
    let ends = cross(&opened, |db, barrier, first, second| {
        db.atomic(|| {
            db.query(LOCK, params![first])?;
            barrier.wait();
            db.atomic(|| db.query(LOCK, params![second]).map(drop))
        })
    });
    let lost: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert_eq!(lost.len(), 1, "{ends:?}");
    assert!(lost[0].is_retryable(), "{:?}", lost[0]);
}

/// One block waits for a lock that another connection holds, and swallows that it does not get it.
fn wait_in_vain(opened: &Opened<'_>) -> Result<()> {
    let connections = &opened.connections;
    let (held, ends) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let db = connections.get("default").unwrap();
            db.atomic(|| {
                db.query(LOCK, params![2])?;
                held.wait();
                ends.wait();
                Ok::<_, Error>(())
            })
            .unwrap();
        });
        held.wait();
        let db = &opened.db;
        db.execute("SET SESSION innodb_lock_wait_timeout = 1", ()).unwrap();
        let ended = db.atomic(|| {
            db.query(LOCK, params![1])?;
            let error = db.query(LOCK, params![2]).unwrap_err();
            assert!(error.is_lock_timeout(), "{error:?}");
            let _ = db.execute("UPDATE t SET v = v + 1 WHERE n = 3", ());
            Ok::<_, Error>(())
        });
        ends.wait();
        ended
    })
}

fn a_wait_that_ends_the_transaction_is_work_lost(server: &Server) {
    let opened = Opened::new(server);
    table(&opened.db);
    assert!(wait_in_vain(&opened).unwrap_err().is_work_lost());
    assert_eq!(opened.db.query_value::<i64>("SELECT v FROM t WHERE n = 3", ()).unwrap(), 0);
}

fn a_wait_that_ends_a_statement_leaves_the_transaction(server: &Server) {
    let opened = Opened::new(server);
    table(&opened.db);
    wait_in_vain(&opened).unwrap();
    assert_eq!(opened.db.query_value::<i64>("SELECT v FROM t WHERE n = 3", ()).unwrap(), 1);
}

/// Finding out where a transaction stands must not change what the next one is.
fn options_outlive_an_error_before_the_first_statement(server: &Server) {
    use dockline::{Atomic, IsolationLevel};
    let opened = Opened::new(server);
    let (db, other) = (&opened.db, opened.database.admin());
    table(db);
    let mut other = other;
    db.atomic_with(Atomic::new().isolation_level(IsolationLevel::RepeatableRead), || {
        // The server has no such function: it begins no transaction.
        assert!(db.query("SELECT no_such_function(1)", ()).is_err());
        let v = || db.query_value::<i64>("SELECT sum(v) FROM t", ());
        assert_eq!(v()?, 0);
        other.execute("UPDATE t SET v = v + 1");
        assert_eq!(v()?, 0, "the block reads one snapshot");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(db.query_value::<i64>("SELECT sum(v) FROM t", ()).unwrap(), 3);
}

fn after_native_a_transaction_is_known(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    table(db);
    db.native(|conn: &mut mysql::Conn| {
        conn.query_drop("BEGIN")?;
        conn.query_drop("UPDATE t SET v = 5 WHERE n = 1")?;
        conn.query_drop("SELECT 1")
    })
    .unwrap()
    .unwrap();
    opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
    let error = db.query("SELECT 1", ()).unwrap_err();
    assert!(error.is_disconnect() && error.is_work_lost(), "{error:?}");
    db.close();
    db.native(|conn: &mut mysql::Conn| conn.query_drop("SELECT 1")).unwrap().unwrap();
    opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1, "without one it is replaced");
}

/// The driver's `reset` rolls back, switches autocommit on, and does not say so.
fn a_reset_of_the_driver_s_takes_a_transaction_with_it(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    table(db);
    let v = || db.query_value::<i64>("SELECT sum(v) FROM t", ()).unwrap();
    let before = v();
    let change = || db.execute("UPDATE t SET v = v + 1", ());
    let reset = || db.native(|conn: &mut mysql::Conn| conn.reset()).unwrap().unwrap();
    let is_lost = |error: Error| assert!(error.is_work_lost() && !error.may_have_executed(), "{error:?}");

    let changed = db.atomic(|| {
        change()?;
        reset();
        change()
    });
    is_lost(changed.unwrap_err());
    let ended = db.atomic(|| {
        change()?;
        reset();
        Ok::<_, Error>(())
    });
    is_lost(ended.unwrap_err());
    let inner = db.atomic(|| {
        change()?;
        db.atomic(|| {
            reset();
            Ok::<_, Error>(())
        })
    });
    is_lost(inner.unwrap_err());
    assert_eq!(v(), before);

    let begins: [&dyn Fn(); 2] =
        [&|| db.set_autocommit(false).unwrap(), &|| assert_eq!(db.execute("BEGIN", ()).unwrap(), 0)];
    for begin in begins {
        begin();
        change().unwrap();
        reset();
        is_lost(change().unwrap_err());
        db.close();
        assert_eq!(v(), before);
        db.set_autocommit(true).unwrap();
    }

    // Nothing of it was there before, so nothing is lost.
    let serial = db.serial();
    db.native(|conn: &mut mysql::Conn| conn.query_drop("BEGIN").and_then(|()| conn.reset())).unwrap().unwrap();
    change().unwrap();
    assert_eq!(db.serial(), serial);
    assert_ne!(v(), before);
}

/// The connection ends at each byte of the last answers. A block with options sends COMMIT, and then switches autocommit on.
fn nothing_after_an_answered_commit_makes_it_fail(server: &Server) {
    use dockline::{Atomic, IsolationLevel, Retry};
    let database = server.database();
    let proxy = Proxy::start(server.address());
    let url = database.url_via(proxy.port());
    let opened = Opened::on(database, |_| settings(&url));
    let db = &opened.db;
    db.execute("CREATE TABLE ledger (operation INTEGER)", ()).unwrap();
    let block = |operation: i64| {
        let options = Atomic::new().isolation_level(IsolationLevel::Serializable);
        Retry::new()
            .attempts(3)
            .atomic(options)
            .run(db, || db.execute("INSERT INTO ledger VALUES (?)", params![operation]))
    };
    block(0).unwrap();
    let before = proxy.bytes_from_server();
    block(1).unwrap();
    let length = proxy.bytes_from_server() - before;
    for back in 1..length.min(90) {
        let operation = i64::try_from(back).unwrap() + 1;
        // On a connection that is open, with a statement that is prepared.
        block(1_000 + operation).unwrap();
        let cuts = proxy.cuts();
        proxy.cut_after(length - back);
        let ended = block(operation);
        proxy.pass();
        proxy.wait_until_cuts(cuts + 1);
        let rows: i64 = db.query_value("SELECT count(*) FROM ledger WHERE operation = ?", params![operation]).unwrap();
        let is_right = match &ended {
            Ok(_) => rows == 1,
            Err(error) if error.is_commit_unknown() => rows <= 1,
            Err(_) => rows == 0,
        };
        assert!(is_right, "{back} bytes before the end: {rows} rows; {ended:?}");
        // These are of the answer to what comes after COMMIT.
        assert!(ended.is_ok() || back > 10, "{back} bytes before the end: {ended:?}");
    }
}
