//! Who chooses the TLS provider of the process (rustls): the program, if it does before Dockline connects. PostgreSQL has a
//! configuration of its own and leaves the process alone; the driver of MySQL and MariaDB needs one for the process.

#![cfg(unix)]

use dockline::{Settings, Tls};
use dockline_tests::certificates::Certificates;
use dockline_tests::servers::{Kind, Server};
use dockline_tests::{connections, log_capture};
use rustls::crypto::{CryptoProvider, ring};

fn connect_encrypted(kind: Kind) {
    let server = Server::builder(kind).tls(&Certificates::new()).start();
    let registry = connections(Settings::from_url(&server.url()).unwrap().tls(Tls::Require));
    assert_eq!(registry.get("default").unwrap().server_info().unwrap().encrypted, Some(true));
}

/// One test, for what one does to the process the others would see.
#[test]
fn the_first_to_need_one_chooses() {
    log_capture::start();
    let said = || log_capture::lines("dockline::connection", "the TLS provider of this process").len();
    connect_encrypted(Kind::Postgres);
    assert!(CryptoProvider::get_default().is_none(), "PostgreSQL needs none");
    assert_eq!(said(), 0);

    connect_encrypted(Kind::MariaDb);
    assert!(CryptoProvider::get_default().is_some());
    assert_eq!(said(), 1);
    // A program that comes later is told so, and can go on.
    let found = ring::default_provider().install_default().unwrap_err();
    assert!(!found.cipher_suites.is_empty());
    connect_encrypted(Kind::MariaDb);
    assert_eq!(said(), 1, "it is said once");
}
