//! A client of the bare drivers, so that the harness is judged without what it is there to test.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use dockline_tests::servers::{DATABASE, PASSWORD, Server, USER};
use mysql::prelude::Queryable;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

pub(super) enum Client {
    Postgres(Box<postgres::Client>),
    Mysql(Box<mysql::Conn>),
}

impl Client {
    /// Connects to the URL, and nowhere else.
    pub(super) fn open(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres:") {
            let client = postgres::Client::connect(url, postgres::NoTls);
            return client.map(Box::new).map(Self::Postgres).map_err(|error| format!("{error:?}"));
        }
        // The driver knows one of the two schemes.
        let options =
            mysql::Opts::from_url(&url.replacen("mariadb:", "mysql:", 1)).map_err(|error| error.to_string())?;
        Self::mysql(mysql::OptsBuilder::from_opts(options).prefer_socket(false))
    }

    pub(super) fn over_socket(server: &Server) -> Result<Self, String> {
        let socket = server.socket();
        if server.kind().is_postgres() {
            let mut config = postgres::Config::new();
            config.host_path(socket).port(server.port()).user(USER).password(PASSWORD).dbname(DATABASE);
            return config
                .connect(postgres::NoTls)
                .map(Box::new)
                .map(Self::Postgres)
                .map_err(|error| format!("{error:?}"));
        }
        let options = mysql::OptsBuilder::new().socket(socket.to_str()).user(Some(USER)).pass(Some(PASSWORD));
        Self::mysql(options.db_name(Some(DATABASE)))
    }

    fn mysql(options: mysql::OptsBuilder) -> Result<Self, String> {
        mysql::Conn::new(options).map(|conn| Self::Mysql(Box::new(conn))).map_err(|error| error.to_string())
    }

    /// The first value of the answer as text, or nothing.
    pub(super) fn value(&mut self, sql: &str) -> Result<String, String> {
        match self {
            Self::Postgres(client) => {
                let messages = client.simple_query(sql).map_err(|error| format!("{error:?}"))?;
                let row = messages.iter().find_map(|message| match message {
                    postgres::SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                });
                Ok(row.unwrap_or_default().to_owned())
            }
            Self::Mysql(conn) => {
                let value: Option<String> = conn.query_first(sql).map_err(|error| error.to_string())?;
                Ok(value.unwrap_or_default())
            }
        }
    }

    /// The id by which the server lists it.
    pub(super) fn id(&mut self) -> u64 {
        let sql = if matches!(self, Self::Postgres(_)) { "SELECT pg_backend_pid()" } else { "SELECT connection_id()" };
        self.value(sql).unwrap().parse().unwrap()
    }
}

/// Asks the server for TLS in the way of its protocol, and checks its certificate for the name localhost.
pub(super) fn tls_handshake(server: &Server, authority: &Path) -> Result<(), Error> {
    let mut stream = TcpStream::connect(server.address())?;
    let offered = if server.kind().is_postgres() { ask_postgres(&mut stream)? } else { ask_mysql(&mut stream)? };
    if !offered {
        return Err(Error::new(ErrorKind::Unsupported, "the server speaks no TLS"));
    }
    let mut roots = rustls::RootCertStore::empty();
    let mut file = File::open(authority)?;
    for certificate in CertificateDer::pem_reader_iter(&mut file) {
        roots.add(certificate.expect("a certificate in PEM")).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(())
}

/// The SSLRequest of PostgreSQL; S is yes.
fn ask_postgres(stream: &mut TcpStream) -> Result<bool, Error> {
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"S")
}

/// The greeting of MySQL says what the server can do; the client answers with a packet that is cut short.
fn ask_mysql(stream: &mut TcpStream) -> Result<bool, Error> {
    const CLIENT_SSL: u32 = 0x800;
    const CLIENT_PROTOCOL_41_AND_SECURE: u32 = 0x8200;
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut greeting = vec![0; usize::from(head[0]) + (usize::from(head[1]) << 8)];
    stream.read_exact(&mut greeting)?;
    // After the version's text: the thread's id, 8 bytes, a zero.
    let end = greeting.iter().position(|byte| *byte == 0).expect("a version") + 1;
    let low = u16::from_le_bytes([greeting[end + 13], greeting[end + 14]]);
    if u32::from(low) & CLIENT_SSL == 0 {
        return Ok(false);
    }
    let mut request = vec![32, 0, 0, 1];
    request.extend((CLIENT_SSL | CLIENT_PROTOCOL_41_AND_SECURE).to_le_bytes());
    request.extend([0, 0, 0, 1, 45]);
    request.resize(4 + 32, 0);
    stream.write_all(&request)?;
    Ok(true)
}
