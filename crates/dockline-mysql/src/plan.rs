//! How the connections of one alias are made: its settings, read.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dockline_core::{Error, IsolationLevel, Result, Settings, Tls};
use dockline_net::{application_name, check_client_certificate, check_tls_files};

use crate::tracking::TRACKED;
use crate::uuids::Uuids;

pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) database: Option<String>,
    pub(crate) options_file: Option<PathBuf>,
    pub(crate) options_group: Option<String>,
    pub(crate) application_name: String,
    pub(crate) uuids: Uuids,
    /// The first round trip of every connection: one SET.
    pub(crate) set_up: String,
    /// The part of it that is about the character set.
    pub(crate) names: String,
    /// When the server was seen to have no TLS.
    pub(crate) without_tls: Mutex<Option<Instant>>,
    /// The log has it that the server holds as many prepared statements as it may.
    pub(crate) said_full: AtomicBool,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16 },
    Socket(String),
}

pub(crate) const DEFAULT_PORT: u16 = 3306;

impl Endpoint {
    /// A socket is not encrypted: where that is asked for, it is no place to go.
    pub(crate) fn allows(&self, tls: Tls) -> Result<()> {
        match (self, tls) {
            (Self::Socket(path), Tls::Require | Tls::VerifyCa | Tls::VerifyFull) => Err(Error::config(format!(
                "setting tls: the socket {path:?} has no encryption, so {tls} cannot be; connect to a host, or set it to prefer"
            ))),
            _ => Ok(()),
        }
    }

    /// A host that is an absolute path is a socket.
    pub(crate) fn of(host: &str, port: Option<u16>) -> Self {
        if host.starts_with('/') {
            Self::Socket(host.to_owned())
        } else {
            Self::Tcp { host: host.to_owned(), port: port.unwrap_or(DEFAULT_PORT) }
        }
    }

    /// The name by which the process knows the server, and errors call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Socket(path) => path.clone(),
        }
    }
}

/// After what time `prefer` looks again whether the server has TLS by now.
const ASKS_AGAIN: Duration = Duration::from_secs(60);

impl Plan {
    pub(crate) fn read(alias: &str, settings: &Settings) -> Result<Self> {
        check_tls_files(settings)?;
        check_client_certificate(settings)?;
        let endpoint = endpoint(settings)?;
        if let Some(endpoint) = &endpoint {
            endpoint.allows(settings.get_tls())?;
        }
        let names = names(settings)?;
        Ok(Self {
            endpoint,
            database: database(settings)?,
            options_file: settings.get_option("read_default_file").map(PathBuf::from),
            options_group: settings.get_option("read_default_group").map(str::to_owned),
            uuids: Uuids::read(settings)?,
            application_name: application_name(settings.get_application_name(), alias),
            set_up: set_up(settings, &names)?,
            names,
            settings: settings.clone(),
            without_tls: Mutex::new(None),
            said_full: AtomicBool::new(false),
        })
    }

    /// Where it is, for messages.
    pub(crate) fn name(&self) -> String {
        self.endpoint.as_ref().map_or_else(|| "the server of the option file".to_owned(), Endpoint::name)
    }

    /// The server has no TLS: for a while, `prefer` need not ask again, which costs a connection each time.
    pub(crate) fn note_without_tls(&self) {
        *self.without_tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn was_without_tls(&self) -> bool {
        let noted = *self.without_tls.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_some_and(|noted| noted.elapsed() < ASKS_AGAIN)
    }

    /// How long a ping, a rollback and a KILL may take.
    pub(crate) fn short(&self) -> Duration {
        dockline_net::short(self.settings.get_read_timeout())
    }

    pub(crate) fn encrypts(&self) -> bool {
        self.settings.get_tls() != Tls::Disable
    }
}

fn endpoint(settings: &Settings) -> Result<Option<Endpoint>> {
    if let Some(socket) = settings.get_option("socket") {
        if socket.is_empty() {
            return Err(Error::config("setting options.socket: it is empty; write the path of the server's socket"));
        }
        return Ok(Some(Endpoint::Socket(socket.to_owned())));
    }
    let Some(host) = settings.get_host() else {
        return Ok(settings.get_port().map(|port| Endpoint::Tcp { host: "127.0.0.1".to_owned(), port }));
    };
    if host.contains(char::is_whitespace) || host.contains('\0') || (host.contains('/') && !host.starts_with('/')) {
        return Err(Error::config(
            "setting host: write a name or an address alone, or the path of a socket, which starts with /",
        ));
    }
    Ok(Some(Endpoint::of(host, settings.get_port())))
}

fn database(settings: &Settings) -> Result<Option<String>> {
    let name = settings.get_name().unwrap_or_default();
    // Where a URL has no host, its path stands as it was written.
    let name = if settings.get_host().is_none() { name.strip_prefix('/').unwrap_or(name) } else { name };
    if settings.get_host().is_none() && name.contains('/') {
        return Err(Error::config(
            "setting name: it has a / and there is no host; is // missing? Write mysql://host/name, and a / of the name as %2F",
        ));
    }
    // In the handshake, a NUL is the end of it.
    for (setting, text) in [("name", name), ("user", settings.get_user().unwrap_or_default())] {
        if text.contains('\0') {
            return Err(Error::config(format!("setting {setting}: it has a NUL character")));
        }
    }
    Ok(Some(name.to_owned()).filter(|name| !name.is_empty()))
}

/// The time zone that leaves a session with that of the server.
pub(crate) const SERVERS_OWN: &str = "server";

/// What tells a server from others of the same name.
pub(crate) const IDENTITY: &str = "CONCAT_WS(':', @@hostname, @@port, @@server_id)";

/// One SET for all that has to be set. Each server skips the comment that is meant for the other.
fn set_up(settings: &Settings, names: &str) -> Result<String> {
    let mut sql = String::from(names);
    sql += &format!(", {TRACKED}");
    if let Some(mode) = word(settings, "sql_mode", "_, ")? {
        sql += &format!(", sql_mode='{mode}'");
    }
    match settings.get_time_zone() {
        Some(SERVERS_OWN) => {}
        // As Django with USE_TZ, so that an instant is the same one in every column and on every server.
        zone => sql += &format!(", time_zone='{}'", checked("time_zone", zone.unwrap_or("+00:00"), "_/+:-")?),
    }
    if let Some(limit) = settings.get_statement_timeout() {
        // 0 would be no limit.
        let millis = limit.as_millis().clamp(1, u128::from(u32::MAX));
        let seconds = limit.as_secs_f64().clamp(0.001, 31_536_000.0);
        sql += &format!("/*M!100101 , max_statement_time={seconds:.6}*//*!50708 , max_execution_time={millis}*/");
    }
    let isolation = settings.get_isolation_level().unwrap_or(IsolationLevel::ReadCommitted);
    let level = isolation.to_string().to_ascii_uppercase().replace(' ', "-");
    sql += &format!("/*M!100000 , tx_isolation='{level}'*//*!50720 , transaction_isolation='{level}'*/");
    // The last: the server tells of it, which shows that it tells of anything.
    sql += if settings.get_autocommit() { ", autocommit=1" } else { ", autocommit=0" };
    Ok(sql)
}

/// The character set of every session.
fn names(settings: &Settings) -> Result<String> {
    if settings.get_option("charset").is_some_and(|charset| !charset.eq_ignore_ascii_case("utf8mb4")) {
        return Err(Error::config("setting options.charset: Dockline speaks utf8mb4 alone; leave it out"));
    }
    let mut sql = String::from("SET NAMES utf8mb4");
    if let Some(collation) = word(settings, "collation", "_")? {
        sql += &format!(" COLLATE {collation}");
    }
    Ok(sql)
}

fn word<'s>(settings: &'s Settings, option: &str, also: &str) -> Result<Option<&'s str>> {
    settings.get_option(option).map(|text| checked(&format!("options.{option}"), text, also)).transpose()
}

/// What is put into a statement as it is: letters, digits, and a few more.
fn checked<'s>(setting: &str, text: &'s str, also: &str) -> Result<&'s str> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c)) {
        Ok(text)
    } else {
        Err(Error::config(format!("setting {setting}: {text:?} has characters that it cannot have")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(url: &str) -> Result<Plan> {
        Plan::read("default", &Settings::from_url(url).unwrap())
    }

    #[test]
    fn a_host_a_socket_and_a_path() {
        let tcp = |host: &str, port| Some(Endpoint::Tcp { host: host.to_owned(), port });
        assert_eq!(plan("mysql://db.example/app").unwrap().endpoint, tcp("db.example", 3306));
        assert_eq!(plan("mysql://[::1]:3307/app").unwrap().endpoint.unwrap().name(), "[::1]:3307");
        let socket = Some(Endpoint::Socket("/run/s.sock".to_owned()));
        assert_eq!(plan("mysql:///app?options.socket=/run/s.sock").unwrap().endpoint, socket);
        assert_eq!(plan("mysql:///app?host=/run/s.sock").unwrap().endpoint, socket);
        let plan = plan("mysql:///app").unwrap();
        assert_eq!((plan.endpoint, plan.database.as_deref()), (None, Some("app")));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_name() {
        for (url, name) in [
            ("mysql://h/app?options.charset=latin1", "options.charset"),
            ("mysql://h/app?options.collation=x'y", "options.collation"),
            ("mysql://h/app?options.sql_mode=a';", "options.sql_mode"),
            ("mysql://h/app?time_zone=x'", "time_zone"),
            ("mysql:///app?host=a/b", "host"),
            ("mysql://h/app?options.socket=", "options.socket"),
            ("mysql://h/app?options.uuid=hex", "options.uuid"),
            ("mysql://h/app?tls_ca_file=/nowhere/ca.pem", "tls_ca_file"),
        ] {
            let error = plan(url).err().unwrap_or_else(|| panic!("{url}"));
            assert!(error.is_config() && error.message().contains(name), "{url}: {error}");
        }
    }

    #[test]
    fn set_up_is_one_statement() {
        let sql = plan("mysql://h/app?statement_timeout=1500ms&time_zone=Europe/Vienna&isolation_level=serializable")
            .unwrap()
            .set_up;
        assert!(sql.contains("time_zone='Europe/Vienna'"), "{sql}");
        assert!(plan("mysql://h/app").unwrap().set_up.contains("time_zone='+00:00'"));
        assert!(!plan("mysql://h/app?time_zone=server").unwrap().set_up.contains(", time_zone='"));
        assert!(sql.contains("max_statement_time=1.500000*/") && sql.contains("max_execution_time=1500*/"), "{sql}");
        assert!(sql.contains("transaction_isolation='SERIALIZABLE'"), "{sql}");
        assert!(!sql.contains(';'), "{sql}");
    }
}
