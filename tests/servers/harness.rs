//! What the other tests rely on: that servers start, stop and answer as asked, and that faults are made as told.

use std::io::ErrorKind;
use std::time::Duration;

use dockline_tests::certificates::Certificates;
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, PgBouncer, Server};

use crate::case::{Case, case};
use driver::Client;

mod driver;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(password_is_asked_for).private(),
        case!(databases_are_fresh),
        case!(kill_and_wait),
        case!(sessions_of_other_databases_are_not_seen),
        case!(socket_takes_the_password).private(),
        case!(restart_keeps_data_and_port).own_server(),
        case!(kill9_and_start_again).own_server(),
        case!(pause_is_silence).own_server(),
        case!(limit_of_connections_holds).own_server_with(|builder| builder.setting("max_connections", "10")),
        case!(read_only_holds).own_server(),
        case!(proxy_resets_and_refuses),
        case!(proxy_cuts_in_an_answer),
        case!(proxy_is_silent),
        case!(certificates_are_judged).private(),
        case!(without_certificates_no_tls).private(),
        case!(pooler_forwards).only(&[Kind::Postgres]).private().needs(PgBouncer::available),
    ]
}

fn password_is_asked_for(server: &Server) {
    let mut client = Client::open(&server.url()).unwrap();
    assert_eq!(client.value("SELECT 1 + 1").unwrap(), "2");
    let wrong = server.url().replace("s3cret", "guess");
    assert!(Client::open(&wrong).is_err());
}

fn databases_are_fresh(server: &Server) {
    let (one, other) = (server.database(), server.database());
    for database in [&one, &other] {
        let mut client = Client::open(&database.url()).unwrap();
        client.value("CREATE TABLE t (n int)").unwrap();
        assert_eq!(client.value("SELECT count(*) FROM t").unwrap(), "0");
    }
    let url = one.url();
    drop(one);
    assert!(Client::open(&url).is_err());
}

fn kill_and_wait(server: &Server) {
    let database = server.database();
    let mut admin = database.admin();
    let (mut client, mut other) = (Client::open(&database.url()).unwrap(), Client::open(&database.url()).unwrap());
    admin.wait_until_connections(2);
    admin.kill_and_wait(client.id());
    client.value("SELECT 1").unwrap_err();
    assert_eq!(admin.connections(), [other.id()]);
    drop(other);
    admin.wait_until_connections(0);
}

fn sessions_of_other_databases_are_not_seen(server: &Server) {
    let (one, other) = (server.database(), server.database());
    let _client = Client::open(&one.url()).unwrap();
    one.admin().wait_until_connections(1);
    assert!(other.admin().connections().is_empty());
}

fn socket_takes_the_password(server: &Server) {
    let mut client = Client::over_socket(server).unwrap();
    assert_eq!(client.value("SELECT 1").unwrap(), "1");
}

fn restart_keeps_data_and_port(server: &Server) {
    let (pid, url) = (server.pid(), server.url());
    let mut client = Client::open(&url).unwrap();
    client.value("CREATE TABLE t (n int)").unwrap();
    server.restart();
    client.value("SELECT 1").unwrap_err();
    assert_ne!(server.pid(), pid);
    assert_eq!(Client::open(&url).unwrap().value("SELECT count(*) FROM t").unwrap(), "0");
}

fn kill9_and_start_again(server: &Server) {
    let mut client = Client::open(&server.url()).unwrap();
    client.value("CREATE TABLE t (n int)").unwrap();
    client.value("INSERT INTO t VALUES (1)").unwrap();
    server.kill9();
    client.value("SELECT 1").unwrap_err();
    assert!(Client::open(&server.url()).is_err());
    server.start_again();
    assert_eq!(Client::open(&server.url()).unwrap().value("SELECT count(*) FROM t").unwrap(), "1");
}

fn pause_is_silence(server: &Server) {
    let mut client = Client::open(&server.url()).unwrap();
    server.pause();
    let asking = std::thread::spawn(move || client.value("SELECT 7"));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!asking.is_finished());
    server.resume();
    assert_eq!(asking.join().unwrap().unwrap(), "7");
}

/// The tests' user is bound by it, and the administrator still gets in.
fn limit_of_connections_holds(server: &Server) {
    let mut held = Vec::new();
    let refusal = loop {
        match Client::open(&server.url()) {
            Ok(client) => held.push(client),
            Err(reason) => break reason,
        }
        assert!(held.len() < 12, "more than the limit");
    };
    assert!(refusal.contains("connections") || refusal.contains("connection slots"), "{refusal}");
    server.admin().wait_until_connections(held.len());
}

fn read_only_holds(server: &Server) {
    let mut admin = server.admin();
    if server.kind().is_postgres() {
        admin.execute("ALTER DATABASE app SET default_transaction_read_only = on");
    } else {
        admin.execute("SET GLOBAL read_only = 1");
    }
    let refusal = Client::open(&server.url()).unwrap().value("CREATE TABLE t (n int)").unwrap_err();
    assert!(refusal.contains("read-only") || refusal.contains("read only"), "{refusal}");
}

fn proxy_resets_and_refuses(server: &Server) {
    let proxy = Proxy::start(server.address());
    let url = server.url_via(proxy.port());
    let mut client = Client::open(&url).unwrap();
    assert_eq!(client.value("SELECT 1").unwrap(), "1");
    assert_eq!(proxy.connections(), 1);
    proxy.reset();
    client.value("SELECT 1").unwrap_err();
    proxy.refuse(true);
    assert!(Client::open(&url).is_err());
    proxy.refuse(false);
    assert_eq!(Client::open(&url).unwrap().value("SELECT 1").unwrap(), "1");
}

fn proxy_cuts_in_an_answer(server: &Server) {
    let proxy = Proxy::start(server.address());
    let mut client = Client::open(&server.url_via(proxy.port())).unwrap();
    let before = proxy.bytes_from_server();
    proxy.cut_after(10);
    client.value("SELECT 'a long enough answer'").unwrap_err();
    proxy.wait_until_cuts(1);
    assert_eq!(proxy.bytes_from_server(), before + 10);
}

fn proxy_is_silent(server: &Server) {
    let proxy = Proxy::start(server.address());
    let mut client = Client::open(&server.url_via(proxy.port())).unwrap();
    proxy.swallow(true);
    let asking = std::thread::spawn(move || client.value("SELECT 7"));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!asking.is_finished());
    proxy.swallow(false);
    assert_eq!(asking.join().unwrap().unwrap(), "7");
}

/// Each set of certificates is served and looked at, in the eyes of rustls.
fn certificates_are_judged(server: &Server) {
    for (certificates, good) in
        [(Certificates::new(), true), (Certificates::for_another_host(), false), (Certificates::expired(), false)]
    {
        let own = Server::builder(server.kind()).tls(&certificates).start();
        let with_ours = driver::tls_handshake(&own, &certificates.ca());
        assert_eq!(with_ours.is_ok(), good, "{with_ours:?}");
        assert!(driver::tls_handshake(&own, &certificates.other_ca()).is_err());
    }
}

fn without_certificates_no_tls(server: &Server) {
    let refusal = driver::tls_handshake(server, &Certificates::new().ca()).unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Unsupported);
}

fn pooler_forwards(server: &Server) {
    let pooler = PgBouncer::start(server);
    let mut client = Client::open(&pooler.url()).unwrap();
    assert_eq!(client.value("SELECT 1").unwrap(), "1");
    // Many clients, few sessions.
    let mut clients: Vec<Client> = (0..20).map(|_| Client::open(&pooler.url()).unwrap()).collect();
    let mut sessions: Vec<u64> = clients.iter_mut().map(Client::id).collect();
    sessions.sort_unstable();
    sessions.dedup();
    assert!(sessions.len() <= 5, "{sessions:?}");
}
