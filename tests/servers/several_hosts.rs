//! Several hosts in one URL: which is taken, and what is said if none is.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dockline::{ChannelBinding, Connections, Error, Settings, TargetSessionAttrs, params};
use dockline_tests::certificates::Certificates;
use dockline_tests::connections;
use dockline_tests::servers::{Kind, Server, free_port};

use crate::case::{Case, case};
use crate::opened::settings;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(the_next_host_is_taken_if_one_is_not_there).private(),
        case!(a_host_that_is_not_there_is_not_asked_at_every_connect).private(),
        case!(a_host_that_is_silent_has_its_share_of_the_time).own_server(),
        case!(the_role_is_asked_for).own_server(),
        case!(a_primary_that_is_demoted_is_left_for_another).own_server(),
        case!(a_wrong_password_is_wrong_everywhere).private(),
        case!(connections_are_spread_over_hosts).private(),
        case!(the_password_is_bound_to_the_encrypted_connection).only(&[Kind::Postgres]).private(),
    ]
}

/// The URL of a server, with a list of hosts in place of its own.
fn url(server: &Server, hosts: &[String], query: &str) -> String {
    let url = server.url();
    let (login, rest) = url.rsplit_once('@').expect("a user");
    let path = rest.split_once('/').map_or("", |(_, path)| path.split('?').next().unwrap_or_default());
    format!("{login}@{}/{path}?{query}", hosts.join(","))
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn open(server: &Server, hosts: &[String], query: &str) -> Connections {
    connections(settings(&url(server, hosts, query)))
}

/// Which of the servers a registry's connection is on.
fn port(connections: &Connections) -> Result<u16, Error> {
    let db = connections.get("default")?;
    let sql = if db.vendor() == "postgresql" { "SELECT inet_server_port()" } else { "SELECT @@port" };
    db.query_value(sql, ())
}

/// Makes all transactions of a server read-only, or not any more.
fn freeze(server: &Server, on: bool) {
    let mut admin = server.admin();
    if server.kind().is_postgres() {
        admin.execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        admin.execute("SELECT pg_reload_conf()");
        admin.wait_until_value(
            "SELECT setting FROM pg_settings WHERE name = 'default_transaction_read_only'",
            if on { "on" } else { "off" },
        );
    } else {
        admin.execute(&format!("SET GLOBAL read_only = {}", u8::from(on)));
    }
}

/// A second server of the same kind, with the same user.
fn second(server: &Server) -> Server {
    Server::start(server.kind())
}

fn the_next_host_is_taken_if_one_is_not_there(server: &Server) {
    let hosts = [at(free_port()), "name.invalid".to_owned(), at(server.port())];
    let registry = open(server, &hosts, "connect_timeout=90s");
    assert_eq!(port(&registry).unwrap(), server.port());

    let none = [at(free_port()), at(free_port())];
    let error = port(&open(server, &none, "connect_timeout=30s")).unwrap_err();
    assert!(error.is_disconnect() && !error.may_have_executed(), "{error:?}");
    let text = error.to_string();
    assert!(none.iter().all(|host| text.matches(host.as_str()).count() >= 2), "each with what it said: {text}");
}

/// Counts the connections that it takes, and ends each at once.
struct Broken {
    port: u16,
    taken: Arc<AtomicUsize>,
}

impl Broken {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, taken) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&taken);
        // It ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                drop(connection);
            }
        });
        Self { port, taken }
    }
}

fn a_host_that_is_not_there_is_not_asked_at_every_connect(server: &Server) {
    let broken = Broken::listen();
    let hosts = [at(broken.port), at(server.port())];
    let registry = open(server, &hosts, "connect_timeout=60s");
    // What is known holds for ten seconds. On a slow machine that may not be enough for the rest of this, the first time.
    for _ in 0..20 {
        assert_eq!(port(&registry).unwrap(), server.port());
        let (asked, since) = (broken.taken.load(Ordering::SeqCst), Instant::now());
        assert!(asked > 0, "it comes first as long as nothing is known");
        for _ in 0..3 {
            let other = registry.clone();
            assert_eq!(std::thread::spawn(move || port(&other).unwrap()).join().unwrap(), server.port());
        }
        registry.get("default").unwrap().close();
        assert_eq!(port(&registry).unwrap(), server.port());
        if broken.taken.load(Ordering::SeqCst) == asked {
            return;
        }
        assert!(
            since.elapsed() > Duration::from_secs(5),
            "it was asked again although that it is broken was just seen"
        );
        registry.get("default").unwrap().close();
    }
    panic!("it was asked again each time");
}

fn a_host_that_is_silent_has_its_share_of_the_time(server: &Server) {
    let other = second(server);
    server.pause();
    let found = port(&open(server, &[at(server.port()), at(other.port())], "connect_timeout=20s"));
    server.resume();
    assert_eq!(found.unwrap(), other.port());
}

fn the_role_is_asked_for(server: &Server) {
    let other = second(server);
    freeze(server, true);
    let hosts = [at(server.port()), at(other.port())];
    let found = |wanted: TargetSessionAttrs| {
        port(&open(server, &hosts, &format!("connect_timeout=60s&target_session_attrs={wanted}")))
    };
    assert_eq!(found(TargetSessionAttrs::Any).unwrap(), server.port());
    assert_eq!(found(TargetSessionAttrs::ReadWrite).unwrap(), other.port());
    assert_eq!(found(TargetSessionAttrs::ReadOnly).unwrap(), server.port());
    let is_postgres = server.kind().is_postgres();
    // A server of PostgreSQL that takes no writes is a primary still; MySQL and MariaDB have no other word for a standby.
    assert_eq!(found(TargetSessionAttrs::Primary).unwrap(), if is_postgres { server.port() } else { other.port() });
    let standby = found(TargetSessionAttrs::Standby);
    if is_postgres {
        let error = standby.unwrap_err();
        assert!(error.message().contains("no host of") && error.message().contains("is read-only"), "{error}");
        assert!(error.message().contains("target_session_attrs = standby"), "{error}");
    } else {
        assert_eq!(standby.unwrap(), server.port());
    }
    assert_eq!(found(TargetSessionAttrs::PreferStandby).unwrap(), server.port());
    // One host is asked, too.
    let one = port(&open(server, &hosts[..1], "target_session_attrs=read-write&connect_timeout=60s"));
    assert!(one.unwrap_err().message().contains("no host of"));
    other.admin().wait_until_connections(0);
}

fn a_primary_that_is_demoted_is_left_for_another(server: &Server) {
    let other = second(server);
    let hosts = [at(server.port()), at(other.port())];
    let registry = open(server, &hosts, "connect_timeout=60s&target_session_attrs=read-write");
    for server in [server, &other] {
        let registry = connections(settings(&server.url()));
        registry.get("default").unwrap().execute("CREATE TABLE written (n INTEGER)", ()).unwrap();
    }
    let db = registry.get("default").unwrap();
    let write = || db.execute("INSERT INTO written VALUES (?)", params![1]);
    write().unwrap();
    assert_eq!(port(&registry).unwrap(), server.port());
    freeze(server, true);
    // The first statement finds out, unless the server has told of it.
    let mut wrote = write();
    if wrote.as_ref().is_err_and(Error::is_read_only) {
        wrote = write();
    }
    wrote.unwrap();
    assert_eq!(port(&registry).unwrap(), other.port());
}

fn a_wrong_password_is_wrong_everywhere(server: &Server) {
    let hosts = [at(server.port()), at(free_port())];
    let registry = connections(settings(&url(server, &hosts, "connect_timeout=60s")).password("guess"));
    let error = port(&registry).unwrap_err();
    assert_eq!(error.code().as_deref(), Some(if server.kind().is_postgres() { "28P01" } else { "1045" }), "{error:?}");
    assert!(!error.is_disconnect() && !error.message().contains("any host"), "{error}");
}

fn connections_are_spread_over_hosts(server: &Server) {
    let other = second(server);
    let hosts = [at(server.port()), at(other.port())];
    let registry = open(server, &hosts, "connect_timeout=60s&load_balance_hosts=random");
    let db = registry.get("default").unwrap();
    let mut seen = BTreeSet::new();
    // That it is the same one two hundred times is out of the question.
    for _ in 0..200 {
        db.close();
        seen.insert(port(&registry).unwrap());
        if seen.len() == 2 {
            return;
        }
    }
    panic!("always the same host: {seen:?}");
}

fn the_password_is_bound_to_the_encrypted_connection(server: &Server) {
    // The shared server has no encryption, so nothing can be bound.
    let with = |binding| {
        let settings: Settings = settings(&server.url()).channel_binding(binding);
        port(&connections(settings))
    };
    assert_eq!(with(ChannelBinding::Disable).unwrap(), server.port());
    assert_eq!(with(ChannelBinding::Prefer).unwrap(), server.port());
    let error = with(ChannelBinding::Require).unwrap_err();
    assert!(error.to_string().contains("channel binding"), "{error}");
    let encrypted = Server::builder(server.kind()).tls(&Certificates::new()).start();
    let bound = connections(settings(&encrypted.url()).channel_binding(ChannelBinding::Require));
    assert_eq!(port(&bound).unwrap(), encrypted.port());
    let url = format!("{}?channel_binding=require", server.url().split('?').next().unwrap());
    assert_eq!(settings(&url).get_channel_binding(), ChannelBinding::Require);
}
