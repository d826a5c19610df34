//! The five words of the setting tls mean the same for every kind of server, whatever is wrong with the certificates.

use std::path::Path;

use dockline::{Connection, Connections, Databases, Error, ErrorKind, Settings, Tls};
use dockline_tests::certificates::Certificates;
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(each_word_with_a_good_certificate).private(),
        case!(the_wrong_authority_is_found_out).private(),
        case!(a_certificate_for_another_host).private(),
        case!(a_certificate_that_has_expired).private(),
        case!(a_server_without_encryption).private(),
        case!(a_server_that_wants_encryption).private(),
        case!(client_certificates).private(),
        case!(killed_connections_are_noticed_under_encryption).private(),
        case!(wrong_files_are_errors_of_the_configuration).private(),
        case!(a_socket_cannot_be_encrypted).private(),
    ]
}

const CHECKING: [Tls; 2] = [Tls::VerifyCa, Tls::VerifyFull];
const UNCHECKED: [Tls; 2] = [Tls::Prefer, Tls::Require];

fn serving(kind_of: &Server, certificates: &Certificates) -> Server {
    Server::builder(kind_of.kind()).tls(certificates).start()
}

fn path(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Connects, and answers whether the connection is encrypted, by the server's own word and by ours.
fn connect(settings: Settings) -> Result<bool, Error> {
    let connections = dockline_tests::connections(settings);
    let db = connections.get("default")?;
    db.ensure_connection()?;
    let told = says_encrypted(&db);
    assert_eq!(db.server_info()?.encrypted, Some(told));
    Ok(told)
}

fn says_encrypted(db: &Connection) -> bool {
    if db.vendor() == "postgresql" {
        db.query_value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", ()).unwrap()
    } else {
        let (_, cipher): (String, String) =
            db.query_one("SHOW SESSION STATUS LIKE 'Ssl_cipher'", ()).unwrap().decode().unwrap();
        !cipher.is_empty()
    }
}

fn refused(settings: Settings, words: &[&str]) {
    let error = connect(settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Operational, "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

fn each_word_with_a_good_certificate(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = serving(kind_of, &certificates);
    let plain = settings(&server.url());
    assert!(connect(plain.clone()).unwrap(), "without the setting it is encrypted where the server can");
    assert!(!connect(plain.clone().tls(Tls::Disable)).unwrap());
    for word in UNCHECKED {
        assert!(connect(plain.clone().tls(word)).unwrap(), "{word}");
    }
    for word in CHECKING {
        for host in ["127.0.0.1", "localhost"] {
            let checked = plain.clone().tls(word).tls_ca_file(path(&certificates.ca())).host(host);
            assert!(connect(checked).unwrap(), "{word} {host}");
        }
    }
    // The words of a URL are the same.
    let url = format!("{}?tls=verify-full&tls_ca_file={}", server.url(), path(&certificates.ca()));
    assert!(connect(settings(&url)).unwrap());
}

fn the_wrong_authority_is_found_out(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = serving(kind_of, &certificates);
    let plain = settings(&server.url());
    for word in CHECKING {
        refused(plain.clone().tls(word).tls_ca_file(path(&certificates.other_ca())), &["tls_ca_file"]);
        // No authority that is known to everybody has signed it either.
        refused(plain.clone().tls(word), &["tls_ca_file"]);
    }
    for word in UNCHECKED {
        assert!(connect(plain.clone().tls(word).tls_ca_file(path(&certificates.other_ca()))).unwrap(), "{word}");
    }
}

fn a_certificate_for_another_host(kind_of: &Server) {
    let certificates = Certificates::for_another_host();
    let server = serving(kind_of, &certificates);
    let plain = settings(&server.url()).tls_ca_file(path(&certificates.ca()));
    for word in [Tls::Prefer, Tls::Require, Tls::VerifyCa] {
        assert!(connect(plain.clone().tls(word)).unwrap(), "{word}");
    }
    for host in ["127.0.0.1", "localhost"] {
        refused(plain.clone().tls(Tls::VerifyFull).host(host), &["host", "verify-ca"]);
    }
}

fn a_certificate_that_has_expired(kind_of: &Server) {
    let certificates = Certificates::expired();
    let server = serving(kind_of, &certificates);
    let plain = settings(&server.url()).tls_ca_file(path(&certificates.ca()));
    for word in UNCHECKED {
        assert!(connect(plain.clone().tls(word)).unwrap(), "{word}");
    }
    for word in CHECKING {
        refused(plain.clone().tls(word), &["expired", "server"]);
    }
}

fn a_server_without_encryption(server: &Server) {
    let certificates = Certificates::new();
    let plain = settings(&server.url());
    for word in [Tls::Disable, Tls::Prefer] {
        assert!(!connect(plain.clone().tls(word)).unwrap(), "{word}");
    }
    for word in [Tls::Require, Tls::VerifyCa, Tls::VerifyFull] {
        refused(plain.clone().tls(word).tls_ca_file(path(&certificates.ca())), &["the server has no", "setting tls"]);
    }
}

fn a_server_that_wants_encryption(kind_of: &Server) {
    let builder = Server::builder(kind_of.kind()).tls(&Certificates::new());
    let server = if kind_of.kind().is_postgres() {
        builder.hba("hostnossl all all 127.0.0.1/32 reject").start()
    } else {
        builder.setting("require_secure_transport", "ON").start()
    };
    let plain = settings(&server.url());
    for word in UNCHECKED {
        assert!(connect(plain.clone().tls(word)).unwrap(), "{word}");
    }
    // MariaDB does not say why.
    let reason = match kind_of.kind() {
        Kind::Postgres => "no encryption",
        Kind::MariaDb => "Access denied",
        Kind::Mysql => "insecure transport",
    };
    refused(plain.tls(Tls::Disable), &[reason]);
}

fn client_certificates(kind_of: &Server) {
    let certificates = Certificates::new();
    let postgres = kind_of.kind().is_postgres();
    let rules: &[&str] = if postgres {
        &["hostssl app all 127.0.0.1/32 scram-sha-256 clientcert=verify-full", "hostssl postgres all 127.0.0.1/32 cert"]
    } else {
        &[]
    };
    let builder = Server::builder(kind_of.kind()).tls(&certificates);
    let server = rules.iter().fold(builder, |builder, rule| builder.hba(rule)).start();
    if !postgres {
        server.admin().execute("ALTER USER 'app'@'%' REQUIRE X509");
    }
    let plain = settings(&server.url()).tls(Tls::VerifyFull).tls_ca_file(path(&certificates.ca()));
    let ours =
        plain.clone().tls_client_cert(path(&certificates.client())).tls_client_key(path(&certificates.client_key()));
    assert!(connect(ours.clone()).unwrap());
    assert!(connect(ours.clone().tls(Tls::Prefer)).unwrap());

    let none = if postgres { "client certificate" } else { "Access denied" };
    refused(plain.clone(), &[none]);
    let stranger =
        plain.tls_client_cert(path(&certificates.stranger())).tls_client_key(path(&certificates.stranger_key()));
    refused(stranger, &["tls_client_cert"]);
    if postgres {
        // The certificate stands for the password.
        let without_password = Settings::new()
            .engine("postgres")
            .host("127.0.0.1")
            .port(Some(server.port()))
            .name("postgres")
            .user("app")
            .tls(Tls::VerifyFull)
            .tls_ca_file(path(&certificates.ca()))
            .tls_client_cert(path(&certificates.client()))
            .tls_client_key(path(&certificates.client_key()));
        assert!(connect(without_password).unwrap());
    }
}

/// Session tickets that wait to be read are not taken for a death, and a death is not taken for a ticket.
fn killed_connections_are_noticed_under_encryption(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = serving(kind_of, &certificates);
    let Opened { db, database, .. } = &Opened::with(&server, |settings| settings.tls(Tls::Require));
    let mut admin = database.admin();
    let mut before = None;
    for _ in 0..5 {
        assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
        assert!(db.server_info().unwrap().encrypted == Some(true));
        let serial = db.serial();
        assert_ne!(serial, before, "it was killed");
        for _ in 0..20 {
            db.query_value::<i64>("SELECT 1", ()).unwrap();
        }
        assert_eq!(db.serial(), serial, "it is as alive as before");
        admin.kill_and_wait(db.server_connection_id().unwrap());
        before = serial;
    }
}

/// The error of a registry with these settings, at the latest when it connects.
fn fault_of(settings: Settings) -> Error {
    let connections = Connections::new(Databases::new().with("default", settings));
    let opened = connections.and_then(|connections| connections.get("default")?.ensure_connection());
    opened.expect_err("settings that cannot work")
}

fn wrong_files_are_errors_of_the_configuration(kind_of: &Server) {
    let certificates = Certificates::new();
    let server = serving(kind_of, &certificates);
    let plain = settings(&server.url()).tls(Tls::Prefer);
    let (cert, key) = (path(&certificates.client()), path(&certificates.client_key()));
    let missing = "/nonexistent/file.pem";
    for (settings, named) in [
        (plain.clone().tls_ca_file(missing), "tls_ca_file"),
        (plain.clone().tls_client_cert(missing).tls_client_key(&key), "tls_client_cert"),
        (plain.clone().tls_client_cert(&cert).tls_client_key(missing), "tls_client_key"),
        (plain.clone().tls_client_cert(&cert), "tls_client_key"),
        (plain.clone().tls_client_key(&key), "tls_client_cert"),
        // A key is no certificate, nor the other way round.
        (plain.clone().tls(Tls::VerifyCa).tls_ca_file(&key), "tls_ca_file"),
        (plain.clone().tls_client_cert(&key).tls_client_key(&key), "tls_client_cert"),
        (plain.clone().tls_client_cert(&cert).tls_client_key(&cert), "tls_client_key"),
        (plain.tls_client_cert(&cert).tls_client_key(path(&certificates.stranger_key())), "tls_client_key"),
    ] {
        let error = fault_of(settings);
        assert!(error.is_config() && error.message().contains(named), "{named}: {error:?}");
    }
}

fn a_socket_cannot_be_encrypted(server: &Server) {
    let socket = path(&server.socket());
    let over_socket = if server.kind().is_postgres() {
        settings(&server.url()).host(socket)
    } else {
        settings(&server.url()).option("socket", socket)
    };
    assert!(!connect(over_socket.clone().tls(Tls::Prefer)).unwrap());
    for word in [Tls::Require, Tls::VerifyCa, Tls::VerifyFull] {
        let error = fault_of(over_socket.clone().tls(word));
        assert!(error.is_config() && error.message().contains("setting tls"), "{word}: {error:?}");
    }
}
