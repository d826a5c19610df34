//! A connection that died while nobody looked is noticed before the next statement; and what must not be replaced is not.

use std::time::Duration;

use dockline::{Atomic, Connection, ErrorKind, Liveness, Settings, params};
use dockline_tests::certificates::Certificates;
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};
use dockline_tests::{connections, wait_until};

use crate::case::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_killed_connection_is_replaced_in_silence),
        case!(each_of_many_losses_is_noticed),
        case!(the_idle_limit_of_the_server_is_noticed),
        case!(under_tls_too).own_server_with(|builder| builder.tls(&Certificates::new())),
        case!(a_unix_socket_is_looked_at_as_well).private(),
        case!(with_liveness_off_it_is_django),
        case!(a_transaction_is_lost_and_says_so),
        case!(a_transaction_that_was_begun_by_text_counts),
        case!(state_is_not_replaced_in_silence),
        case!(what_init_sql_sets_is_not_state),
        case!(after_native_the_session_knows_where_it_is),
        case!(a_held_connection_is_not_replaced),
        case!(a_demotion_takes_all_connections_to_the_host).own_server(),
        case!(a_replica_that_was_always_read_only_is_left_alone).own_server(),
        case!(a_health_check_sees_what_the_kernel_was_not_told),
        case!(a_notification_is_no_death).only(&[Kind::Postgres]),
        case!(after_a_timeout_nothing_late_is_taken_for_an_answer),
    ]
}

fn settings(url: &str) -> Settings {
    Settings::from_url(url).expect("a URL").conn_max_age(None)
}

/// The server's id of the connection; one is opened where none is.
fn id(db: &Connection) -> u64 {
    db.ensure_connection().expect("a connection");
    db.server_connection_id().expect("an id")
}

fn one(db: &Connection) -> i64 {
    db.query_value("SELECT 1", ()).expect("a statement")
}

fn a_killed_connection_is_replaced_in_silence(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    let (before, serial) = (id(&db), db.serial());
    database.admin().kill_and_wait(before);
    assert_eq!(one(&db), 1);
    assert_ne!(db.serial(), serial);
    assert_ne!(id(&db), before);
    assert_eq!(database.admin().connections(), [id(&db)]);
    assert!(!db.errors_occurred());
}

/// Executing, many rows, switching autocommit: whatever comes first.
fn each_of_many_losses_is_noticed(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    let mut admin = database.admin();
    let calls: [fn(&Connection); 4] = [
        |db| assert_eq!(db.execute("INSERT INTO t VALUES (?)", params![1]).unwrap(), 1),
        |db| assert_eq!(db.execute_many("INSERT INTO t VALUES (?)", [params![1], params![2]]).unwrap(), 2),
        |db| db.set_autocommit(false).and_then(|()| db.set_autocommit(true)).unwrap(),
        |db| drop(db.query("SELECT n FROM t", ()).unwrap()),
    ];
    for _ in 0..5 {
        for call in calls {
            admin.kill_and_wait(id(&db));
            call(&db);
        }
    }
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 15);
}

/// MySQL leaves its packet 4031 behind, MariaDB a reset, PostgreSQL an error 57P05.
fn the_idle_limit_of_the_server_is_noticed(server: &Server) {
    let database = server.database();
    let limit =
        if server.kind().is_postgres() { "SET idle_session_timeout = 1000" } else { "SET SESSION wait_timeout = 1" };
    let registry = connections(settings(&database.url()).init_sql(limit));
    let db = registry.get("default").unwrap();
    for _ in 0..2 {
        let before = id(&db);
        database.admin().wait_gone(before);
        assert_eq!(one(&db), 1);
        assert_ne!(id(&db), before);
    }
}

fn under_tls_too(server: &Server) {
    let database = server.database();
    let limit =
        if server.kind().is_postgres() { "SET idle_session_timeout = 1000" } else { "SET SESSION wait_timeout = 1" };
    let registry = connections(settings(&database.url()).tls(dockline::Tls::Require));
    let db = registry.get("default").unwrap();
    assert_eq!(db.server_info().unwrap().encrypted, Some(true));
    // Tickets of the session may be waiting, and are no death.
    let serial = db.serial();
    for _ in 0..3 {
        one(&db);
    }
    assert_eq!(db.serial(), serial);
    database.admin().kill_and_wait(id(&db));
    assert_eq!(one(&db), 1);
    assert_ne!(db.serial(), serial);

    registry.replace("default", settings(&database.url()).tls(dockline::Tls::Require).init_sql(limit)).unwrap();
    registry.close_old_connections();
    let before = id(&db);
    database.admin().wait_gone(before);
    assert_eq!(one(&db), 1);
}

fn a_unix_socket_is_looked_at_as_well(server: &Server) {
    let database = server.database();
    let socket = server.socket();
    // No ping.
    let plain = settings(&database.url()).liveness_after(Duration::MAX).tls(dockline::Tls::Prefer);
    let settings = plain.host(socket.to_str().expect("a path in UTF-8"));
    let registry = connections(settings.clone());
    let db = registry.get("default").unwrap();
    let before = id(&db);
    database.admin().kill_and_wait(before);
    assert_eq!(one(&db), 1);
    assert_ne!(id(&db), before);

    // The state of a transaction is the server's word there, too.
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", ()).unwrap();
    db.execute("BEGIN", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    database.admin().kill_and_wait(id(&db));
    let error = db.execute("INSERT INTO t VALUES (2)", ()).unwrap_err();
    assert!(error.is_work_lost(), "{error:?}");
    let _ = db.rollback();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);

    let block = db.begin_atomic(Atomic::new()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    let _ = db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
    if server.kind().is_postgres() {
        let error = block.commit().unwrap_err();
        assert!(error.is_work_lost(), "a failed transaction rolls back: {error:?}");
    } else {
        block.commit().unwrap();
    }
    let left = i64::from(!server.kind().is_postgres());
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), left);
}

fn with_liveness_off_it_is_django(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()).liveness(Liveness::Off));
    let db = registry.get("default").unwrap();
    database.admin().kill_and_wait(id(&db));
    let error = db.query_value::<i64>("SELECT 1", ()).unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Operational);
    let codes: &[&str] = if server.kind().is_postgres() { &["57P01"] } else { &["2006", "2013", "1927"] };
    assert!(codes.contains(&error.code().unwrap_or_default().as_str()), "{error:?}");
    // It stays, without touching the socket, until a boundary.
    let again = db.query_value::<i64>("SELECT 1", ()).unwrap_err();
    assert!(again.is_disconnect() && !again.may_have_executed(), "{again:?}");
    assert!(!db.is_usable());
    registry.close_old_connections();
    assert_eq!(one(&db), 1);
}

fn a_transaction_is_lost_and_says_so(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    database.admin().kill_and_wait(id(&db));
    let serial = db.serial();
    for _ in 0..2 {
        let error = db.execute("INSERT INTO t VALUES (2)", ()).unwrap_err();
        assert!(error.is_disconnect() && error.is_work_lost(), "{error:?}");
        assert_eq!(db.serial(), serial, "it is not replaced");
    }
    assert!(db.rollback().unwrap_err().is_disconnect());
    // Who has rolled back has been told, and goes on.
    db.execute("INSERT INTO t VALUES (3)", ()).unwrap();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT max(n) + count(*) FROM t", ()).unwrap(), 4);
}

fn a_transaction_that_was_begun_by_text_counts(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    for begin in ["BEGIN", "START TRANSACTION"] {
        db.execute(begin, ()).unwrap();
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
        database.admin().kill_and_wait(id(&db));
        assert!(db.execute("INSERT INTO t VALUES (2)", ()).unwrap_err().is_work_lost());
        db.close();
    }
    // And one that was ended by text does not.
    db.execute("BEGIN", ()).unwrap();
    db.execute("COMMIT", ()).unwrap();
    database.admin().kill_and_wait(id(&db));
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
}

fn state_is_not_replaced_in_silence(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    let states: &[&str] = if server.kind().is_postgres() {
        &["CREATE TEMP TABLE u (n INTEGER)", "SELECT pg_advisory_lock(1)", "SET TIME ZONE 'UTC'", "LISTEN jobs"]
    } else {
        &["CREATE TEMPORARY TABLE u (n INTEGER)", "SELECT GET_LOCK('a', 1)", "SET @a = 1", "SET SESSION sql_mode = ''"]
    };
    for state in states {
        db.execute(state, ()).unwrap();
        database.admin().kill_and_wait(id(&db));
        let error = db.query_value::<i64>("SELECT 1", ()).unwrap_err();
        assert!(error.is_disconnect() && !error.may_have_executed(), "{state}: {error:?}");
        db.close();
        assert_eq!(one(&db), 1);
    }
    // A plain statement leaves none.
    database.admin().kill_and_wait(id(&db));
    assert_eq!(one(&db), 1);
}

fn what_init_sql_sets_is_not_state(server: &Server) {
    let database = server.database();
    let sql = if server.kind().is_postgres() {
        "SET TIME ZONE 'UTC'; CREATE TEMP TABLE u (n INTEGER)"
    } else {
        "SET @a = 7; SET SESSION sql_mode = ''"
    };
    let registry = connections(settings(&database.url()).init_sql(sql));
    let db = registry.get("default").unwrap();
    database.admin().kill_and_wait(id(&db));
    assert_eq!(one(&db), 1);
}

fn after_native_the_session_knows_where_it_is(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    native(&db, "BEGIN");
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    database.admin().kill_and_wait(id(&db));
    assert!(db.execute("INSERT INTO t VALUES (2)", ()).unwrap_err().is_work_lost());
    db.close();
    native(&db, "BEGIN");
    native(&db, "ROLLBACK");
    one(&db);
    database.admin().kill_and_wait(id(&db));
    assert_eq!(one(&db), 1);
}

/// Runs a statement on the driver's own object.
fn native(db: &Connection, sql: &str) {
    if db.vendor() == "postgresql" {
        db.native::<dockline::postgres::Client, _>(|client| client.batch_execute(sql)).unwrap().unwrap();
    } else {
        use dockline::mysql::prelude::Queryable;
        db.native::<dockline::mysql::Conn, _>(|conn| conn.query_drop(sql)).unwrap().unwrap();
    }
}

fn a_held_connection_is_not_replaced(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    let held = db.hold();
    database.admin().kill_and_wait(id(&db));
    assert!(db.query_value::<i64>("SELECT 1", ()).unwrap_err().is_disconnect());
    drop(held);
    assert_eq!(one(&db), 1);
}

fn a_demotion_takes_all_connections_to_the_host(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    registry.add("other", settings(&database.url())).unwrap();
    let (db, other) = (registry.get("default").unwrap(), registry.get("other").unwrap());
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    one(&other);
    let serials = (db.serial(), other.serial());
    demote(server, true);
    if server.kind().is_postgres() {
        // Each session is told apart, some time after the administrator's.
        wait_until("the session knows", || {
            db.query_value::<String>("SHOW default_transaction_read_only", ()).unwrap() == "on"
        });
    }
    let error = db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err();
    assert!(error.is_read_only() && !error.may_have_executed(), "{error:?}");
    assert_eq!(one(&other), 1);
    assert_ne!(other.serial(), serials.1, "the other connection to the host went as well");
    assert_eq!(one(&db), 1);
    assert_ne!(db.serial(), serials.0);
    demote(server, false);
    // The new ones were opened while the server was read-only: they stay.
    let serial = db.serial();
    db.close();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    assert_ne!(db.serial(), serial);
}

fn a_replica_that_was_always_read_only_is_left_alone(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.close();
    demote(server, true);
    one(&db);
    let serial = db.serial();
    for _ in 0..3 {
        assert!(db.execute("INSERT INTO t VALUES (1)", ()).unwrap_err().is_read_only());
        assert_eq!(one(&db), 1);
    }
    assert_eq!(db.serial(), serial);
}

fn demote(server: &Server, on: bool) {
    let mut admin = server.admin();
    if server.kind().is_postgres() {
        let value = if on { "on" } else { "off" };
        admin.execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
        admin.execute("SELECT pg_reload_conf()");
        admin.wait_until_value("SHOW default_transaction_read_only", value);
    } else {
        admin.execute(&format!("SET GLOBAL read_only = {}", u8::from(on)));
    }
}

fn a_health_check_sees_what_the_kernel_was_not_told(server: &Server) {
    let database = server.database();
    let proxy = Proxy::start(server.address());
    let registry = connections(
        settings(&database.url_via(proxy.port()))
            .conn_health_checks(true)
            .read_timeout(Some(Duration::from_millis(500))),
    );
    let db = registry.get("default").unwrap();
    let serial = {
        let _request = registry.request();
        one(&db);
        db.serial()
    };
    // A firewall that has forgotten the connection drops its packets, and lets new ones through.
    proxy.swallow(true);
    let before = proxy.accepted();
    let over = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while proxy.accepted() == before {
                std::thread::sleep(Duration::from_millis(5));
            }
            proxy.swallow(false);
        });
        let _request = registry.request();
        let answer = db.query_value::<i64>("SELECT 1", ());
        asking.join().unwrap();
        answer
    });
    assert_eq!(over.unwrap(), 1);
    assert_ne!(db.serial(), serial);
}

fn a_notification_is_no_death(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()));
    let db = registry.get("default").unwrap();
    db.execute("LISTEN jobs", ()).unwrap();
    let serial = db.serial();
    for _ in 0..3 {
        database.admin().execute("NOTIFY jobs, 'more'");
        assert_eq!(one(&db), 1);
    }
    assert_eq!(db.serial(), serial);
    let heard = db.native::<dockline::postgres::Client, _>(|client| client.notifications().len()).unwrap();
    assert_eq!(heard, 3);
}

/// The driver of MySQL would give the rows of the statement before.
fn after_a_timeout_nothing_late_is_taken_for_an_answer(server: &Server) {
    let database = server.database();
    let registry = connections(settings(&database.url()).read_timeout(Some(Duration::from_millis(300))));
    let db = registry.get("default").unwrap();
    one(&db);
    let slow = if server.kind().is_postgres() { "SELECT 7 FROM pg_sleep(1)" } else { "SELECT 7 + SLEEP(1)" };
    let error = db.query_value::<i64>(slow, ()).unwrap_err();
    assert!(error.is_disconnect() && error.may_have_executed(), "{error:?}");
    assert!(!db.is_usable());
    assert_eq!(one(&db), 1);
    assert_eq!(db.query_value::<i64>("SELECT 2", ()).unwrap(), 2);
}
