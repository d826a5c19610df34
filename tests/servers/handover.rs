//! What goes from thread to thread with a connection at the cap, and what the setting `reset_on_handover` takes away.

use std::thread;
use std::time::Duration;

use dockline::{Connection, Connections, IsolationLevel, ResetOnHandover, Result, Settings};
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{FreshDatabase, Kind, Server};
use dockline_tests::{connections, on_thread};

use crate::case::{Case, case};
use crate::opened::settings;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_reset_leaves_nothing_that_nobody_has_seen),
        case!(without_a_reset_what_nobody_has_seen_goes_along),
        case!(after_a_reset_the_session_is_set_up_as_a_new_one),
        case!(a_thread_that_takes_its_own_back_finds_it_as_it_was),
        case!(statements_that_were_prepared_run_after_a_reset),
        case!(prepared_statements_outlive_a_reset).only(&[Kind::Postgres]),
        case!(a_connection_that_cannot_be_reset_is_replaced),
    ]
}

/// A cap of one, so that each other thread gets the same connection.
fn of_one(url: &str) -> Settings {
    settings(url).max_connections(Some(1)).acquire_timeout(Duration::from_secs(100))
}

fn with_reset(url: &str) -> Connections {
    connections(of_one(url).reset_on_handover(ResetOnHandover::Server))
}

/// A request of another thread, which lives until it has been served.
fn on_another<R: Send + 'static>(
    registry: &Connections,
    call: impl FnOnce(&Connection) -> Result<R> + Send + 'static,
) -> R {
    let other = registry.clone();
    on_thread(move || {
        let request = other.request();
        let result = call(&other.get("default").unwrap());
        drop(request);
        result
    })
    .unwrap()
}

/// A function that sets something of the session's, which no text shows, and no server tells of.
fn make_secret(database: &FreshDatabase<'_>) {
    let mut admin = database.admin();
    if database.server().kind().is_postgres() {
        admin.execute(
            "CREATE FUNCTION keep_secret() RETURNS int LANGUAGE sql AS \
             $$ SELECT 1 FROM (SELECT set_config('app.tenant', 'seven', false)) AS s $$",
        );
    } else {
        admin.execute("CREATE FUNCTION keep_secret() RETURNS int DETERMINISTIC RETURN (@tenant := 7)");
    }
}

fn keep_secret(registry: &Connections) {
    let db = registry.get("default").unwrap();
    registry.in_request(|| db.query_value::<i64>("SELECT keep_secret()", ())).unwrap();
    assert!(db.state().held.is_empty(), "nobody has seen it: {:?}", db.state().held);
}

/// What another thread finds of it.
fn found(registry: &Connections, kind: Kind) -> Option<String> {
    let sql = if kind.is_postgres() {
        "SELECT nullif(current_setting('app.tenant', true), '')"
    } else {
        "SELECT CAST(@tenant AS CHAR(10))"
    };
    on_another(registry, move |db| db.query_value::<Option<String>>(sql, ()))
}

fn a_reset_leaves_nothing_that_nobody_has_seen(server: &Server) {
    let database = server.database();
    make_secret(&database);
    let registry = with_reset(&database.url());
    keep_secret(&registry);
    assert_eq!(found(&registry, server.kind()), None);
    assert_eq!(registry.cap_status("default").unwrap().unwrap().handed_over, 1, "it was not opened anew");
    registry.close_all();
}

fn without_a_reset_what_nobody_has_seen_goes_along(server: &Server) {
    let database = server.database();
    make_secret(&database);
    let registry = connections(of_one(&database.url()));
    keep_secret(&registry);
    assert!(found(&registry, server.kind()).is_some());
    registry.close_all();
}

fn after_a_reset_the_session_is_set_up_as_a_new_one(server: &Server) {
    let database = server.database();
    let is_postgres = server.kind().is_postgres();
    database.admin().execute("CREATE TABLE set_up (n int)");
    if is_postgres {
        database.admin().execute("GRANT ALL ON set_up TO PUBLIC");
    }
    let init = if is_postgres { "SET app.of_init = 'here'" } else { "SET @of_init = 'here'" };
    let registry = connections(
        of_one(&database.url())
            .reset_on_handover(ResetOnHandover::Server)
            .time_zone("+03:00")
            .isolation_level(Some(IsolationLevel::Serializable))
            .init_sql(init),
    );
    let seen = move |db: &Connection| -> Result<Vec<String>> {
        let (zone, level, init) = if is_postgres {
            (
                "SELECT to_char(timestamptz '2024-01-01 00:00:00+00', 'HH24')",
                "SHOW default_transaction_isolation",
                "SELECT current_setting('app.of_init')",
            )
        } else {
            (
                "SELECT @@time_zone",
                "SELECT VARIABLE_VALUE FROM performance_schema.session_variables \
                 WHERE VARIABLE_NAME IN ('transaction_isolation', 'tx_isolation')",
                "SELECT CAST(@of_init AS CHAR(10))",
            )
        };
        let level = if db.server_info()?.product == "MariaDB" { "SELECT @@tx_isolation" } else { level };
        [zone, level, init].into_iter().map(|sql| db.query_value::<String>(sql, ())).collect()
    };
    let own = {
        let _request = registry.request();
        seen(&registry.get("default").unwrap()).unwrap()
    };
    assert_eq!(own[2], "here");
    let others = on_another(&registry, seen);
    assert_eq!(others, own);
    // Its transactions are known of as before.
    let kept = on_another(&registry, |db| {
        db.atomic(|| db.execute("INSERT INTO set_up VALUES (1)", ()))?;
        let _ = db.atomic(|| {
            db.execute("INSERT INTO set_up VALUES (2)", ())?;
            Err::<(), _>(dockline::Error::new(dockline::ErrorKind::Data, "no"))
        });
        db.query_value::<i64>("SELECT count(*) FROM set_up", ())
    });
    assert_eq!(kept, 1);
    registry.close_all();
}

fn a_thread_that_takes_its_own_back_finds_it_as_it_was(server: &Server) {
    let database = server.database();
    make_secret(&database);
    let registry = with_reset(&database.url());
    keep_secret(&registry);
    let db = registry.get("default").unwrap();
    let sql = if server.kind().is_postgres() {
        "SELECT nullif(current_setting('app.tenant', true), '')"
    } else {
        "SELECT CAST(@tenant AS CHAR(10))"
    };
    let still = registry.in_request(|| db.query_value::<Option<String>>(sql, ())).unwrap();
    assert!(still.is_some());
    registry.close_all();
}

fn statements_that_were_prepared_run_after_a_reset(server: &Server) {
    let database = server.database();
    let registry = with_reset(&database.url());
    let ask = |db: &Connection| db.query_value::<i64>("SELECT 40 + ?", (2,));
    for _ in 0..3 {
        let own = {
            let _request = registry.request();
            ask(&registry.get("default").unwrap())
        };
        assert_eq!(own.unwrap(), 42);
        assert_eq!(on_another(&registry, ask), 42);
    }
    registry.close_all();
}

fn prepared_statements_outlive_a_reset(server: &Server) {
    let database = server.database();
    let registry = with_reset(&database.url());
    let db = registry.get("default").unwrap();
    registry.in_request(|| db.query_value::<i64>("SELECT 40 + ?", (2,))).unwrap();
    let kept = on_another(&registry, |db| {
        db.query_value::<i64>("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT 40 +%'", ())
    });
    assert_eq!(kept, 1);
    registry.close_all();
}

/// The network cuts the answer to the reset: what was half reset is closed, and another one opened in its place.
fn a_connection_that_cannot_be_reset_is_replaced(server: &Server) {
    let database = server.database();
    let proxy = Proxy::start(server.address());
    let registry = with_reset(&database.url_via(proxy.port()));
    let db = registry.get("default").unwrap();
    registry.in_request(|| db.query_value::<i64>("SELECT 1", ())).unwrap();
    let serial = db.serial();
    proxy.cut_after(3);
    let other = registry.clone();
    let waiter = thread::spawn(move || {
        other.in_request(|| {
            let db = other.get("default")?;
            db.query_value::<i64>("SELECT 1", ()).map(|one| (one, db.serial()))
        })
    });
    let (one, of_other) = waiter.join().unwrap().unwrap();
    assert_eq!((one, proxy.cuts()), (1, 1));
    assert_ne!(of_other, serial);
    let status = registry.cap_status("default").unwrap().unwrap();
    assert_eq!((status.in_use, status.waiting), (0, 0), "no place was lost: {status:?}");
    registry.in_request(|| db.query_value::<i64>("SELECT 1", ())).unwrap();
    registry.close_all();
}
