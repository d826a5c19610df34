//! Names that settings have elsewhere: in libpq, in MySQL's programs, in Django, and in the URLs that hosting services hand out.
//! A URL's query takes them in their own spelling, and they mean what they mean there.

use super::Settings;
use crate::base::error::{Error, Result};

/// The names, for suggestions.
pub(super) const NAMES: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "ssl-mode",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "pgbouncer",
    "connection_limit",
    "pool_timeout",
    "keepalives_idle",
    "charset",
    "collation",
    "sql_mode",
    "unix_socket",
    "dbname",
    "CONN_MAX_AGE",
    "CONN_HEALTH_CHECKS",
    "ATOMIC_REQUESTS",
    "AUTOCOMMIT",
    "TIME_ZONE",
];

/// The setting that a name stands for elsewhere; `None` if it is no such name.
pub(super) fn stands_for(name: &str) -> Option<&'static str> {
    // MySQL's programs take a dash for an underscore, and libpq has neither.
    Some(match name.replace('_', "-").as_str() {
        "sslmode" | "ssl-mode" | "sslaccept" => "tls",
        "sslrootcert" | "ssl-ca" | "sslca" => "tls_ca_file",
        "sslcert" | "ssl-cert" => "tls_client_cert",
        "sslkey" | "ssl-key" => "tls_client_key",
        "pgbouncer" => "prepared_statements",
        "connection-limit" => "max_connections",
        "pool-timeout" => "acquire_timeout",
        "keepalives-idle" => "tcp_keepalive",
        "charset" | "character-set" => "options.charset",
        "collation" => "options.collation",
        "sql-mode" => "options.sql_mode",
        "socket" | "unix-socket" => "options.socket",
        // libpq's, for what the server is to be told when a session begins.
        "options" => "options.options",
        "mode" => "options.mode",
        // PlanetScale's, as the drivers of JavaScript take it.
        "ssl" => "tls",
        "dbname" => "name",
        "CONN-MAX-AGE" => "conn_max_age",
        "CONN-HEALTH-CHECKS" => "conn_health_checks",
        "ATOMIC-REQUESTS" => "atomic_requests",
        "AUTOCOMMIT" => "autocommit",
        "TIME-ZONE" => "time_zone",
        "connect-timeout" => "connect_timeout",
        _ => return None,
    })
}

/// Sets what a name means elsewhere; `None` if it is no such name.
pub(super) fn set(settings: &mut Settings, name: &str, value: &str) -> Option<Result<()>> {
    let setting = stands_for(name)?;
    Some(match setting {
        "tls" if name.eq_ignore_ascii_case("ssl") => ssl(settings, value),
        "tls" => tls(settings, name, value),
        // The system's list of authorities is not read: Mozilla's is, which is the default.
        "tls_ca_file" if name == "sslrootcert" && value == "system" => settings.set("tls", "verify-full"),
        "prepared_statements" => {
            flag(name, value).and_then(|pooled| if pooled { settings.set(setting, "false") } else { Ok(()) })
        }
        // Theirs are whole seconds, without a unit.
        "connect_timeout" | "conn_max_age" | "acquire_timeout" | "tcp_keepalive" if is_number(value) => {
            settings.set(setting, &format!("{value}s"))
        }
        "conn_health_checks" | "atomic_requests" | "autocommit" => {
            flag(name, value).and_then(|on| settings.set(setting, if on { "true" } else { "false" }))
        }
        _ => settings.set(setting, value),
    })
}

/// The words of libpq, of MySQL's `--ssl-mode` and of Prisma.
fn tls(settings: &mut Settings, name: &str, value: &str) -> Result<()> {
    let word = match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => "disable",
        // Without encryption if the server likes; `prefer` tries encryption first.
        "allow" | "prefer" | "preferred" | "accept-invalid-certs" => "prefer",
        "require" | "required" | "no-verify" => "require",
        "verify-ca" => "verify-ca",
        "verify-full" | "verify-identity" | "strict" => "verify-full",
        _ => {
            let message = "write disable, prefer, require, verify-ca or verify-full";
            return Err(Error::config(format!("setting {name} = {value:?}: not one of its words; {message}")));
        }
    };
    settings.set("tls", word)
}

/// A document of JSON, whose one word says whether the certificate is verified.
fn ssl(settings: &mut Settings, value: &str) -> Result<()> {
    let document: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    match document.as_str() {
        r#"{"rejectUnauthorized":true}"# => settings.set("tls", "verify-full"),
        r#"{"rejectUnauthorized":false}"# => settings.set("tls", "require"),
        "false" | "0" => settings.set("tls", "disable"),
        _ => Err(Error::config(
            "setting ssl: its words differ from driver to driver; write sslmode=require to encrypt, or sslmode=verify-full to verify the \
             server's certificate and name as well",
        )),
    }
}

fn flag(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Error::config(format!("setting {name} = {value:?}: not a boolean; write true or false"))),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::settings::{Settings, Tls};

    fn read(query: &str) -> Settings {
        Settings::from_url(&format!("postgres://h/d?{query}")).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    #[test]
    fn encryption_in_the_words_of_libpq_and_of_mysql() {
        for (query, tls) in [
            ("sslmode=disable", Tls::Disable),
            ("sslmode=allow", Tls::Prefer),
            ("sslmode=prefer", Tls::Prefer),
            ("sslmode=require", Tls::Require),
            ("sslmode=verify-ca", Tls::VerifyCa),
            ("sslmode=verify-full", Tls::VerifyFull),
            ("ssl-mode=DISABLED", Tls::Disable),
            ("ssl-mode=PREFERRED", Tls::Prefer),
            ("ssl_mode=REQUIRED", Tls::Require),
            ("ssl-mode=VERIFY_CA", Tls::VerifyCa),
            ("ssl-mode=VERIFY_IDENTITY", Tls::VerifyFull),
            ("sslaccept=strict", Tls::VerifyFull),
            ("sslrootcert=system", Tls::VerifyFull),
        ] {
            assert_eq!(read(query).get_tls(), tls, "{query}");
        }
        let settings = read("sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem");
        assert_eq!(settings.get_tls_ca_file(), Some("/ca.pem"));
        assert_eq!((settings.get_tls_client_cert(), settings.get_tls_client_key()), (Some("/c.pem"), Some("/k.pem")));
        assert_eq!(read("ssl-ca=/ca.pem").get_tls_ca_file(), Some("/ca.pem"));
    }

    #[test]
    fn seconds_without_a_unit_where_they_have_none_elsewhere() {
        assert_eq!(read("connect_timeout=10").get_connect_timeout(), Duration::from_secs(10));
        assert_eq!(read("connect_timeout=2500ms").get_connect_timeout(), Duration::from_millis(2500));
        assert_eq!(read("CONN_MAX_AGE=600").get_conn_max_age(), Some(Duration::from_secs(600)));
        assert_eq!(read("CONN_MAX_AGE=None").get_conn_max_age(), None);
        assert_eq!(read("CONN_MAX_AGE=0").get_conn_max_age(), Some(Duration::ZERO));
        let error = Settings::from_url("postgres://h/d?conn_max_age=600").unwrap_err();
        assert!(error.message().contains("\"600s\""), "Dockline's own name has a unit: {error}");
    }

    #[test]
    fn urls_of_hosting_services_mean_what_they_mean_there() {
        let pooled = read("pgbouncer=true&connection_limit=5&pool_timeout=20&sslmode=no-verify");
        assert_eq!((pooled.get_max_connections(), pooled.get_acquire_timeout()), (Some(5), Duration::from_secs(20)));
        assert_eq!((pooled.get_prepared_statements(), pooled.get_tls()), (false, Tls::Require));
        for (query, option, value) in [
            ("unix_socket=/cloudsql/a:b:c", "socket", "/cloudsql/a:b:c"),
            ("socket=/run/s.sock", "socket", "/run/s.sock"),
            ("collation=utf8mb4_bin", "collation", "utf8mb4_bin"),
            ("sql_mode=ANSI", "sql_mode", "ANSI"),
            ("options=endpoint%3Dep-x", "options", "endpoint=ep-x"),
            ("mode=ro", "mode", "ro"),
        ] {
            assert_eq!(read(query).get_option(option), Some(value), "{query}");
        }
        assert_eq!(read("ssl={\"rejectUnauthorized\":true}").get_tls(), Tls::VerifyFull);
        assert_eq!(read("ssl=%7B%22rejectUnauthorized%22%3A%20false%7D").get_tls(), Tls::Require);
        let error = Settings::from_url("mysql://h/d?ssl=true").unwrap_err();
        assert!(error.message().contains("sslmode=require"), "{error}");
        assert_eq!(read("keepalives_idle=30").get_tcp_keepalive(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn poolers_character_sets_and_djangos_flags() {
        assert!(!read("pgbouncer=true").get_prepared_statements());
        assert!(read("pgbouncer=false").get_prepared_statements());
        assert_eq!(read("charset=utf8mb4").get_option("charset"), Some("utf8mb4"));
        let settings = read("CONN_HEALTH_CHECKS=True&ATOMIC_REQUESTS=True&AUTOCOMMIT=False&TIME_ZONE=UTC");
        assert!(settings.get_conn_health_checks() && settings.get_atomic_requests() && !settings.get_autocommit());
        assert_eq!(settings.get_time_zone(), Some("UTC"));
    }

    #[test]
    fn what_no_word_means_is_refused_with_its_name() {
        for (query, name) in
            [("sslmode=on", "sslmode"), ("pgbouncer=maybe", "pgbouncer"), ("CONN_MAX_AGE=x", "conn_max_age")]
        {
            let error = Settings::from_url(&format!("postgres://h/d?{query}")).unwrap_err();
            assert!(error.is_config() && error.message().contains(name), "{query}: {error}");
        }
    }

    #[test]
    fn a_name_that_is_nearly_one_of_theirs_is_suggested() {
        let error = Settings::from_url("postgres://h/d?sslmod=require").unwrap_err();
        assert!(error.message().contains("did you mean \"sslmode\""), "{error}");
    }

    #[test]
    fn the_same_setting_by_two_names_is_refused() {
        let error = Settings::from_url("postgres://h/d?sslmode=require&tls=disable").unwrap_err();
        assert!(error.message().contains("twice"), "{error}");
    }
}
