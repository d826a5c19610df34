//! Nothing waits for ever: connecting, answers, closing; and closing never runs into the server's limit of connections.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use dockline::{Settings, params};
use dockline_tests::connections;
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::Server;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_deaf_host_costs_connect_timeout),
        case!(a_silent_server_costs_read_timeout),
        case!(every_address_of_a_host_is_tried).private(),
        case!(loopback_stays_tcp),
        case!(closing_does_not_wait_for_a_server_that_is_stopped).own_server(),
        case!(a_ping_and_a_rollback_have_a_limit_of_their_own),
        case!(short_threads_do_not_use_up_the_server)
            .own_server_with(|builder| builder.setting("max_connections", "32")),
        case!(one_after_the_other_closes_at_once),
        case!(threads_that_are_refused_come_back_one_by_one).own_server(),
    ]
}

/// What a busy machine may add. Wrong limits are out by far more.
const SLACK: Duration = Duration::from_secs(8);

fn a_deaf_host_costs_connect_timeout(server: &Server) {
    let proxy = Proxy::start(server.address());
    proxy.deaf(true);
    let settings =
        Settings::from_url(&server.url_via(proxy.port())).unwrap().connect_timeout(Duration::from_millis(500));
    let registry = connections(settings);
    let started = Instant::now();
    let error = registry.get("default").unwrap().ensure_connection().unwrap_err();
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
    assert!(error.is_disconnect() && !error.may_have_executed(), "{error:?}");
}

fn a_silent_server_costs_read_timeout(server: &Server) {
    let proxy = Proxy::start(server.address());
    let settings =
        Settings::from_url(&server.url_via(proxy.port())).unwrap().read_timeout(Some(Duration::from_millis(300)));
    let registry = connections(settings);
    let db = registry.get("default").unwrap();
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    proxy.swallow(true);
    let started = Instant::now();
    let error = db.query_value::<i64>("SELECT 1", ()).unwrap_err();
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
    assert!(error.is_disconnect() && error.may_have_executed(), "{error:?}");
    assert!(error.message().contains("time"), "{error}");
}

/// `localhost` is ::1 as well on most machines, where the private servers do not listen.
fn every_address_of_a_host_is_tried(server: &Server) {
    let settings = Settings::from_url(&server.url()).unwrap().host("localhost");
    let registry = connections(settings);
    assert_eq!(registry.get("default").unwrap().query_value::<i64>("SELECT 1", ()).unwrap(), 1);
}

/// A driver would leave it for the server's socket, past a proxy.
fn loopback_stays_tcp(server: &Server) {
    let proxy = Proxy::start(server.address());
    let registry = connections(Settings::from_url(&server.url_via(proxy.port())).unwrap());
    let db = registry.get("default").unwrap();
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    assert_eq!(proxy.connections(), 1);
    let before = proxy.bytes_from_client();
    db.query_value::<i64>("SELECT 2", ()).unwrap();
    assert!(proxy.bytes_from_client() > before);
}

fn closing_does_not_wait_for_a_server_that_is_stopped(server: &Server) {
    let opened = Opened::new(server);
    let registry = opened.connections.clone();
    let ready = Barrier::new(5);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    registry.get("default").unwrap().ensure_connection().unwrap();
                    ready.wait();
                    ready.wait();
                })
            })
            .collect();
        opened.db.ensure_connection().unwrap();
        ready.wait();
        server.pause();
        let started = Instant::now();
        opened.db.close();
        // The threads end, and close what they have.
        ready.wait();
        for thread in threads {
            thread.join().unwrap();
        }
        let took = started.elapsed();
        server.resume();
        assert!(took < SLACK, "{took:?}");
    });
    opened.database.admin().wait_until_connections(0);
}

fn a_ping_and_a_rollback_have_a_limit_of_their_own(server: &Server) {
    let database = server.database();
    let proxy = Proxy::start(server.address());
    let registry = connections(Settings::from_url(&database.url_via(proxy.port())).unwrap());
    let db = registry.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO t VALUES (?)", params![1]).unwrap();
    proxy.swallow(true);
    let started = Instant::now();
    let error = db.rollback().unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    assert!(!db.is_usable());
    assert!(started.elapsed() < Duration::from_secs(5) + SLACK, "{:?}", started.elapsed());
    db.close();
    proxy.swallow(false);
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
}

/// The server takes 32, and there are 600 threads, 20 at a time, one connection each. Up to 7 may be on their way out, and
/// some are for the administrator.
fn short_threads_do_not_use_up_the_server(server: &Server) {
    let opened = Opened::new(server);
    for _ in 0..30 {
        let one = || {
            let registry = opened.connections.clone();
            std::thread::spawn(move || registry.get("default").unwrap().query_value::<i64>("SELECT 1", ()).unwrap())
        };
        let threads: Vec<_> = (0..20).map(|_| one()).collect();
        for thread in threads {
            // It waits for what the thread closes as it ends; a scope would not.
            assert_eq!(thread.join().unwrap(), 1);
        }
    }
    opened.database.admin().wait_until_connections(0);
}

fn one_after_the_other_closes_at_once(server: &Server) {
    let opened = Opened::with(server, |settings| settings.conn_max_age(Some(Duration::ZERO)));
    for _ in 0..50 {
        let _request = opened.connections.request();
        opened.db.query_value::<i64>("SELECT 1", ()).unwrap();
    }
    opened.database.admin().wait_until_connections(0);
}

fn threads_that_are_refused_come_back_one_by_one(server: &Server) {
    let opened = Opened::with(server, |settings| settings.connect_timeout(Duration::from_secs(30)));
    server.stop();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let registry = opened.connections.clone();
                let db = registry.get("default").unwrap();
                // Each fails at once or soon, and tries again, as a program would.
                loop {
                    match db.query_value::<i64>("SELECT 1", ()) {
                        Ok(one) => return assert_eq!(one, 1),
                        Err(error) => assert!(error.is_disconnect() || error.is_exhausted(), "{error:?}"),
                    }
                }
            });
        }
        server.start_again();
    });
}
