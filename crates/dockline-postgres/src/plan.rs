//! How the connections of one alias are made: its settings, read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dockline_core::{Error, Result, Settings, Tls};
use dockline_net::{Server, application_name, client_config};
use rustls::ClientConfig;

pub(crate) struct Plan {
    pub(crate) place: Place,
    pub(crate) port: u16,
    pub(crate) server: Arc<Server>,
    pub(crate) user: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) application_name: String,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Without encryption there is to be no connection.
    pub(crate) needs_tls: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) tcp_keepalive: Option<Duration>,
    pub(crate) tcp_user_timeout: Option<Duration>,
    pub(crate) prepares: bool,
    pub(crate) statement_cache: u32,
    pub(crate) autocommit: bool,
    /// What a new session is told, in one round trip; empty if there is nothing to tell.
    pub(crate) set_up: String,
    /// It is set to UTC, unless it is there already.
    pub(crate) at_utc: bool,
    pub(crate) init_sql: Option<String>,
    /// For the password, which is asked for at every connect.
    pub(crate) settings: Settings,
}

pub(crate) enum Place {
    Host(String),
    /// The folder of a Unix socket.
    Folder(PathBuf),
}

impl Plan {
    pub(crate) fn new(alias: &str, settings: &Settings) -> Result<Self> {
        let host = settings.get_host().unwrap_or("localhost");
        let port = settings.get_port().unwrap_or(5432);
        let place = if host.starts_with('/') { Place::Folder(host.into()) } else { Place::Host(host.to_owned()) };
        if cfg!(not(unix)) && matches!(place, Place::Folder(_)) {
            return Err(Error::config(format!("setting host: {host:?} is a Unix socket, which this system has not")));
        }
        if let (Place::Folder(_), Tls::Require | Tls::VerifyCa | Tls::VerifyFull) = (&place, settings.get_tls()) {
            let message = format!("setting tls: a Unix socket has no encryption, so {} cannot be", settings.get_tls());
            return Err(Error::config(message));
        }
        // A URL without a host leaves the slash with the name.
        let name = settings.get_name().map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
        if settings.get_host().is_none() && name.is_some_and(|name| name.contains('/')) {
            return Err(Error::config(
                "setting name: it has a / and there is no host; is // missing? Write postgres://host/name, and a / of the name as %2F",
            ));
        }
        for (setting, value) in [
            ("name", name),
            ("user", settings.get_user()),
            ("host", Some(host)),
            ("options.options", settings.get_option("options")),
        ] {
            if value.is_some_and(|value| value.contains('\0')) {
                return Err(Error::config(format!("setting {setting}: it has a NUL character")));
            }
        }
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Self {
            place,
            port,
            server: Server::named(&address),
            user: settings.get_user().map(str::to_owned),
            name: name.map(str::to_owned),
            application_name: application_name(settings.get_application_name(), alias),
            tls: client_config(settings)?,
            needs_tls: !matches!(settings.get_tls(), Tls::Disable | Tls::Prefer),
            connect_timeout: settings.get_connect_timeout(),
            read_timeout: settings.get_read_timeout(),
            statement_timeout: settings.get_statement_timeout(),
            tcp_keepalive: settings.get_tcp_keepalive(),
            tcp_user_timeout: settings.get_tcp_user_timeout(),
            prepares: settings.get_prepared_statements(),
            statement_cache: settings.get_statement_cache(),
            autocommit: settings.get_autocommit(),
            set_up: set_up(settings),
            at_utc: settings.get_time_zone().is_none(),
            init_sql: settings.get_init_sql().map(str::to_owned),
            settings: settings.clone(),
        })
    }

    /// Where it is, for messages.
    pub(crate) fn address(&self) -> &str {
        self.server.name()
    }
}

/// The time zone that leaves a session with that of the server.
const SERVERS_OWN: &str = "server";

fn set_up(settings: &Settings) -> String {
    let mut sql = String::new();
    if let Some(level) = settings.get_isolation_level() {
        sql.push_str(&format!("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level};"));
    }
    if let Some(zone) = settings.get_time_zone().filter(|zone| *zone != SERVERS_OWN) {
        // As a bare text, an offset would have the sign of POSIX: west of Greenwich is more.
        if is_offset(zone) {
            sql.push_str(&format!("SET TIME ZONE INTERVAL '{zone}' HOUR TO MINUTE;"));
        } else {
            sql.push_str(&format!("SET TIME ZONE {};", literal(zone)));
        }
    }
    if let Some(limit) = settings.get_statement_timeout() {
        // Its counter has 31 bits, and 0 is no limit.
        let limit = limit.as_millis().clamp(1, i32::MAX as u128);
        sql.push_str(&format!("SET statement_timeout = {limit};"));
    }
    sql
}

/// `+05:30`, as every other database reads it.
fn is_offset(zone: &str) -> bool {
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = zone.strip_prefix(['+', '-']).and_then(|rest| rest.split_once(':'));
    parts.is_some_and(|(hours, minutes)| digits(hours) && digits(minutes))
}

/// Text in quotes, right whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''").replace('\\', "\\\\");
    if text.contains('\\') { format!(" E'{escaped}'") } else { format!("'{escaped}'") }
}

#[cfg(test)]
mod tests {
    use dockline_core::IsolationLevel;

    use super::*;

    #[test]
    fn a_session_is_set_up_in_one_text() {
        assert_eq!(set_up(&Settings::new()), "");
        assert_eq!(set_up(&Settings::new().time_zone("server")), "");
        let settings = Settings::new()
            .isolation_level(Some(IsolationLevel::RepeatableRead))
            .time_zone("O'Higgins")
            .statement_timeout(Some(Duration::from_micros(1)));
        assert_eq!(
            set_up(&settings),
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL repeatable read;SET TIME ZONE 'O''Higgins';\
             SET statement_timeout = 1;"
        );
        assert_eq!(set_up(&Settings::new().time_zone("+05:30")), "SET TIME ZONE INTERVAL '+05:30' HOUR TO MINUTE;");
        assert!(is_offset("-3:00") && !is_offset("UTC") && !is_offset("+05:30'") && !is_offset("+5"));
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
    }

    #[cfg(unix)]
    #[test]
    fn a_host_may_be_a_folder() {
        let plan = Plan::new("default", &Settings::from_url("postgres://%2Frun%2Fpg/app").unwrap()).unwrap();
        assert!(matches!(plan.place, Place::Folder(_)));
        let plan = Plan::new("default", &Settings::from_url("postgres:///app").unwrap()).unwrap();
        assert_eq!((plan.address(), plan.name.as_deref()), ("localhost:5432", Some("app")));
        let settings = Settings::from_url("postgres://%2Frun%2Fpg/app?tls=require").unwrap();
        assert!(Plan::new("default", &settings).is_err());
    }
}
