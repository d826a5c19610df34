//! Connecting keeps its limit, whatever the server does meanwhile, and says which limit it was.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dockline::{Error, ErrorKind, Settings, Tls};
use dockline_tests::certificates::Certificates;
use dockline_tests::connections;
use dockline_tests::proxy::Proxy;
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_server_that_drips_in_the_handshake),
        case!(a_server_that_drips_under_encryption).private(),
        case!(a_server_that_drips_in_the_set_up),
        case!(a_server_that_falls_silent_in_the_set_up),
        case!(a_host_that_is_not_known),
        case!(a_server_that_starts_up).only(&[Kind::Postgres]),
        case!(another_connection_in_the_place_of_ours),
        case!(many_idle_connections_to_a_silent_server).own_server(),
        case!(cancel_requests_are_encrypted_as_the_session_is).only(&[Kind::Postgres]).private(),
        case!(nobody_in_the_middle_can_use_the_password).only(&[Kind::Postgres]).private(),
    ]
}

/// Each byte takes that long: an answer of a few hundred takes minutes.
const PAUSE: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(3);
/// For what has to work, also on a busy machine.
const PATIENT: Duration = Duration::from_secs(120);

fn fails(settings: Settings) -> Error {
    connections(settings).get("default").unwrap().ensure_connection().unwrap_err()
}

fn names_the_limit(error: &Error) {
    assert!(error.message().contains("no answer within 3s (connect_timeout)"), "{error}");
    assert!(!error.message().contains("read_timeout"), "{error}");
    assert!(error.is_disconnect() && !error.may_have_executed() && !error.is_exhausted(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Operational);
}

fn a_server_that_drips_in_the_handshake(server: &Server) {
    let proxy = Proxy::start(server.address());
    proxy.drip_after(0, PAUSE);
    let dripping = settings(&server.url_via(proxy.port())).connect_timeout(LIMIT);
    for tls in [Tls::Disable, Tls::Prefer] {
        names_the_limit(&fails(dripping.clone().tls(tls)));
    }
    // The socket is closed, and not just left.
    proxy.wait_until_connections(0);
    proxy.pass();
    connections(dripping.connect_timeout(PATIENT)).get("default").unwrap().ensure_connection().unwrap();
}

fn a_server_that_drips_under_encryption(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = Server::builder(kind_of.kind()).tls(&certificates).start();
    let proxy = Proxy::start(server.address());
    proxy.drip_after(0, PAUSE);
    let encrypted = settings(&server.url_via(proxy.port())).connect_timeout(LIMIT);
    names_the_limit(&fails(encrypted.clone().tls(Tls::Require)));
    let ca = certificates.ca();
    let checked = encrypted.tls(Tls::VerifyFull).tls_ca_file(ca.to_str().unwrap());
    // By name, the driver of MySQL does more by itself.
    for host in ["127.0.0.1", "localhost"] {
        names_the_limit(&fails(checked.clone().host(host)));
    }
    proxy.wait_until_connections(0);
}

/// A proxy, settings that lead there, and how many bytes the server sends until a connection is set up.
fn measured(server: &Server) -> (Proxy, Settings, u64) {
    let proxy = Proxy::start(server.address());
    let settings =
        settings(&server.url_via(proxy.port())).tls(Tls::Disable).time_zone("+00:00").connect_timeout(PATIENT);
    let registry = connections(settings.clone());
    let db = registry.get("default").unwrap();
    let mut bytes = 0;
    // MySQL says more to the first, whose password it does not know yet.
    for _ in 0..2 {
        let before = proxy.bytes_from_server();
        db.ensure_connection().unwrap();
        bytes = proxy.bytes_from_server() - before;
        db.close();
        proxy.wait_until_connections(0);
    }
    (proxy, settings, bytes)
}

fn a_server_that_drips_in_the_set_up(server: &Server) {
    let (proxy, settings, bytes) = measured(server);
    proxy.drip_after(bytes - 16, PAUSE);
    names_the_limit(&fails(settings.connect_timeout(LIMIT)));
    proxy.wait_until_connections(0);
}

fn a_server_that_falls_silent_in_the_set_up(server: &Server) {
    let (proxy, settings, bytes) = measured(server);
    proxy.drip_after(bytes - 16, Duration::from_secs(600));
    // A read_timeout has nothing to do with connecting.
    let settings = settings.connect_timeout(LIMIT).read_timeout(Some(Duration::from_secs(300)));
    names_the_limit(&fails(settings));
}

fn a_host_that_is_not_known(server: &Server) {
    let error = fails(settings(&server.url()).host("name.invalid"));
    assert!(error.is_disconnect() && error.message().contains("host name cannot be resolved"), "{error:?}");
}

/// A server that says for ever that it starts up.
fn starting() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4];
            if stream.read_exact(&mut head).is_err() {
                continue;
            }
            let _ = stream.read(&mut [0; 1024]);
            counter.fetch_add(1, Ordering::Relaxed);
            let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
            let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
            let _ = stream.write_all(&[b"E", &length[..], fields].concat());
        }
    });
    (address, asked)
}

fn a_server_that_starts_up(_: &Server) {
    let (address, asked) = starting();
    let url = format!("postgres://app:secret@{address}/app?tls=disable");
    let error = fails(settings(&url).connect_timeout(LIMIT));
    assert_eq!(error.code().as_deref(), Some("57P03"), "{error:?}");
    assert!(error.is_disconnect() && !error.may_have_executed(), "{error:?}");
    assert!(asked.load(Ordering::Relaxed) > 2, "it is asked again until the time is over");
}

/// A closure of `native` that puts another connection into the place of Dockline's: what Dockline knows of its own is not believed of
/// the other, and nothing is done to a socket that is somebody else's by then.
fn another_connection_in_the_place_of_ours(server: &Server) {
    let Opened { db, database, .. } = &Opened::with(server, |settings| settings.tls(Tls::Disable));
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    let ours = db.serial();
    let url = database.url();
    if server.kind().is_postgres() {
        db.native::<dockline::postgres::Client, _>(|client| {
            *client = dockline::postgres::Client::connect(&url, dockline::postgres::NoTls).unwrap();
        })
        .unwrap();
    } else {
        let options = dockline::mysql::Opts::from_url(&url.replacen("mariadb:", "mysql:", 1)).unwrap();
        db.native::<dockline::mysql::Conn, _>(|conn| *conn = dockline::mysql::Conn::new(options).unwrap()).unwrap();
    }
    // The number of our socket's descriptor is free now, and the next socket gets it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let others: Vec<(TcpStream, TcpStream)> = (0..8)
        .map(|_| {
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (near, listener.accept().unwrap().0)
        })
        .collect();
    db.close();
    for (mut near, mut far) in others {
        near.write_all(b"alive").unwrap();
        let mut buffer = [0; 5];
        far.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"alive");
    }
    assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    assert_ne!(db.serial(), ours);
}

/// What a busy machine may add. Without one deadline for all, it takes a second for each of them.
const SLACK: Duration = Duration::from_secs(15);

fn many_idle_connections_to_a_silent_server(server: &Server) {
    // A busy machine takes its time until all are connected.
    let patient = |settings: Settings| settings.connect_timeout(PATIENT);
    let opened = Opened::with(server, patient);
    let others = connections(patient(settings(&opened.database.url())));
    let idle = 20;
    let ready = std::sync::Barrier::new(idle + 1);
    std::thread::scope(|scope| {
        for _ in 0..idle {
            let (ready, shut_down, dropped) = (&ready, opened.connections.clone(), others.clone());
            scope.spawn(move || {
                for registry in [shut_down, dropped] {
                    registry.get("default").unwrap().ensure_connection().unwrap();
                }
                ready.wait();
                ready.wait();
            });
        }
        ready.wait();
        server.pause();
        let started = std::time::Instant::now();
        let report = opened.connections.shutdown(Duration::from_millis(500));
        drop(others);
        let took = started.elapsed();
        server.resume();
        ready.wait();
        assert_eq!(report.left, []);
        assert!(report.closed >= idle, "{report:?}");
        assert!(took < SLACK, "{took:?}");
    });
}

/// The number that makes a message a cancel request.
const CANCEL: [u8; 4] = 80_877_102_i32.to_be_bytes();

fn cancel_requests_are_encrypted_as_the_session_is(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = Server::builder(kind_of.kind()).tls(&certificates).start();
    let ca = certificates.ca();
    for tls in [Tls::Disable, Tls::Prefer, Tls::Require, Tls::VerifyFull] {
        let proxy = Proxy::start(server.address());
        proxy.listen();
        let connections =
            connections(settings(&server.url_via(proxy.port())).tls(tls).tls_ca_file(ca.to_str().unwrap()));
        let db = connections.get("default").unwrap();
        db.ensure_connection().unwrap();
        let canceller = db.canceller();
        let cancelling = std::thread::spawn(move || while !canceller.cancel().unwrap() {});
        let error = db.query_value::<String>("SELECT pg_sleep(60)::text", ()).unwrap_err();
        cancelling.join().unwrap();
        assert!(error.is_cancelled(), "{tls}: {error:?}");
        db.close();
        let heard = proxy.heard();
        assert!(heard.len() > 1, "the request has a connection of its own");
        let in_plain = heard.iter().any(|bytes| bytes.windows(4).any(|word| word == CANCEL));
        assert_eq!(in_plain, tls == Tls::Disable, "{tls}");
    }
}

/// It answers with a certificate of its own, and passes on what it reads: with `tls=require` nobody looks at the certificate, but the
/// proof of the password is bound to it.
fn nobody_in_the_middle_can_use_the_password(kind_of: &Server) {
    let theirs = Certificates::new();
    let server = Server::builder(kind_of.kind()).tls(&theirs).start();
    let port = man_in_the_middle(&server, &theirs, &Certificates::new());
    let error = fails(settings(&server.url_via(port)).tls(Tls::Require).connect_timeout(Duration::from_secs(20)));
    assert!(error.message().contains("channel binding"), "{error:?}");
    connections(settings(&server.url()).tls(Tls::Require)).get("default").unwrap().ensure_connection().unwrap();
}

fn man_in_the_middle(server: &Server, theirs: &Certificates, own: &Certificates) -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(own.server()).unwrap()];
    let key = PrivateKeyDer::from_pem_file(own.server_key()).unwrap();
    let to_client = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(theirs.ca()).unwrap()).unwrap();
    let to_server = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (to_client, to_server, upstream) = (Arc::new(to_client), Arc::new(to_server), server.address());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let Ok((mut client, _)) = listener.accept() else { return };
        let mut server = TcpStream::connect(upstream).unwrap();
        let mut request = [0; 8];
        client.read_exact(&mut request).unwrap();
        server.write_all(&request).unwrap();
        let mut answer = [0];
        server.read_exact(&mut answer).unwrap();
        client.write_all(&answer).unwrap();
        let client_tls = rustls::ServerConnection::new(to_client).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let server_tls = rustls::ClientConnection::new(to_server, name).unwrap();
        let mut near = rustls::StreamOwned::new(client_tls, client);
        let mut far = rustls::StreamOwned::new(server_tls, server);
        // The two take turns: message and answer, as while a password is asked for.
        let mut buffer = [0; 4096];
        while let Ok(length) = near.read(&mut buffer) {
            if length == 0 || far.write_all(&buffer[..length]).is_err() {
                return;
            }
            let Ok(length) = far.read(&mut buffer) else { return };
            if near.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    });
    port
}
