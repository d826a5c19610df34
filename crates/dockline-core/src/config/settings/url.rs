//! Settings from a URL. No error repeats the URL: it may hold a password.

use std::collections::BTreeSet;

use super::uri::{self, Authority, Host};
use super::{Settings, hosts, spellings, unknown_setting};
use crate::base::error::{Error, Result};

const FORM: &str = "a database URL is scheme://user:password@host:port/name, or sqlite:path; \
                    special characters in its parts are percent-encoded";

impl Settings {
    /// Reads a URL: `sqlite:path`, `sqlite::memory:`, or `scheme://user:password@host:port/name`, each with settings
    /// by name in its query: `?conn_max_age=10m&options.busy_timeout=10s`. Special characters are percent-encoded. Where
    /// there is no host, as in `scheme:///path`, the name is the path with its slash.
    ///
    /// ```
    /// use dockline::Settings;
    ///
    /// let settings = Settings::from_url("postgres://app:secret@db.example:5433/shop?tls=verify-full&conn_max_age=5m")?;
    /// assert_eq!((settings.get_host(), settings.get_port()), (Some("db.example"), Some(5433)));
    /// assert!(Settings::from_url("postgres://db.example/shop?conn_max_aeg=5m").is_err()); // it names conn_max_age
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) for what is no URL, an unknown setting (naming the
    /// nearest), and a value that the setting cannot have. No error shows the URL, for it may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        read(url)
    }
}

fn read(text: &str) -> Result<Settings> {
    if text.chars().any(char::is_control) {
        return Err(Error::config(format!("malformed URL: it has a tab, a line break or the like; {FORM}")));
    }
    if text.starts_with([' ', '"', '\'']) {
        return Err(Error::config(format!(
            "malformed URL: it begins with a space or a quotation mark, which a file of variables may have left there; {FORM}"
        )));
    }
    let memory = in_memory(text);
    let url = uri::parse(memory.as_deref().unwrap_or(text))
        .map_err(|why| Error::config(format!("malformed URL: {why}; {FORM}")))?;
    // A / in a password ends the part with the host, and the rest of it would be taken for the name.
    if url.path.contains('@') {
        return Err(Error::config(match url.authority {
            Some(_) => format!("malformed URL: there is an @ behind the host; {FORM} (/ as %2F, @ as %40)"),
            None => format!("malformed URL: there is an @ and no host; is // missing? {FORM} (@ as %40)"),
        }));
    }
    let mut settings = Settings::new().engine(&url.scheme);
    let Authority { user, password, hosts } = url.authority.unwrap_or_default();
    // Where there is no host, the path stands as it was written, for it may be that of a file.
    let path = if hosts.is_empty() { url.path } else { url.path.strip_prefix('/').unwrap_or(url.path) };
    settings.text.name = not_empty(decode("name", path)?);
    settings.text.user = not_empty(decode("user", user.unwrap_or_default())?);
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        settings = settings.password(decode("password", password)?);
    }
    set_hosts(&mut settings, &hosts)?;
    let path_is_name = settings.text.host.is_none();
    read_query(&mut settings, url.query)?;
    // `mysql:///app?host=db`: the path is the name behind a host that comes later.
    if let (true, Some(_), Some(name)) = (path_is_name, &settings.text.host, &mut settings.text.name)
        && let Some(rest) = name.strip_prefix('/')
    {
        *name = rest.to_owned();
    }
    settings.check()?;
    Ok(settings)
}

/// A database in memory, as SQLAlchemy and Django's tools write it: it would be a file of that name.
fn in_memory(text: &str) -> Option<String> {
    let rest = text.strip_prefix("sqlite:///").or_else(|| text.strip_prefix("sqlite://"))?;
    rest.starts_with(":memory:").then(|| format!("sqlite:{rest}"))
}

/// One host is a name and a port; several are a list in one text.
fn set_hosts(settings: &mut Settings, hosts: &[Host<'_>]) -> Result<()> {
    match hosts {
        [] => {}
        [host] => {
            settings.text.host = not_empty(decode("host", host.name)?);
            settings.plain.port = host.port;
        }
        several => settings.text.host = Some(hosts::list(several, |name| decode("host", name))?),
    }
    Ok(())
}

fn read_query(settings: &mut Settings, query: &str) -> Result<()> {
    // Behind an @, what looks like the query is the rest of a password with a ? in it.
    if query.contains('@') {
        return Err(Error::config(format!("malformed URL: there is an @ behind the ?; {FORM} (? as %3F, @ as %40)")));
    }
    let mut seen = BTreeSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::config("malformed URL: settings behind the ? are written name=value, with & between"));
        };
        let (name, value) = (decode("a setting's name", name)?, decode("a setting", value)?);
        match spellings::set(settings, &name, &value) {
            Some(set) => set?,
            None => settings.set(&name, &value).map_err(|error| suggest(error, &name))?,
        }
        // By its own name, so that it is not given twice by two.
        let meaning = spellings::stands_for(&name).map_or_else(|| name.to_ascii_lowercase(), str::to_owned);
        if !seen.insert(meaning) {
            return Err(Error::config(format!("setting {name}: it is given twice; write it once")));
        }
    }
    Ok(())
}

/// An unknown name may nearly be one that settings have elsewhere.
fn suggest(error: Error, name: &str) -> Error {
    let unknown = error.message().starts_with("unknown setting") && !error.message().contains("did you mean");
    let elsewhere = unknown.then(|| unknown_setting("setting", name, spellings::NAMES));
    elsewhere.filter(|other| other.message().contains("did you mean")).unwrap_or(error)
}

fn decode(part: &str, text: &str) -> Result<String> {
    match String::from_utf8(uri::decode(text)) {
        Ok(decoded) => Ok(decoded),
        Err(_) => Err(Error::config(format!("malformed URL: {part} is not UTF-8 after percent-decoding"))),
    }
}

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::settings::{TargetSessionAttrs, Tls};

    #[test]
    fn a_url_of_a_server_has_all_its_parts() {
        let settings = read("postgres://ap%40p:s%2Fec%3Fret@db.example:6432/my%20app?tls=require").unwrap();
        assert_eq!(settings.get_engine(), Some("postgres"));
        assert_eq!(settings.get_user(), Some("ap@p"));
        assert_eq!(settings.get_password().unwrap().expose_secret(), "s/ec?ret");
        assert_eq!(settings.get_host(), Some("db.example"));
        assert_eq!(settings.get_port(), Some(6432));
        assert_eq!(settings.get_name(), Some("my app"));
        assert_eq!(settings.get_tls(), Tls::Require);
    }

    #[test]
    fn a_url_of_a_file_has_a_path() {
        for (url, name) in [
            ("sqlite:app.db", "app.db"),
            ("sqlite:data/my%20app.db", "data/my app.db"),
            ("sqlite:/srv/app.db", "/srv/app.db"),
            ("sqlite:///srv/app.db", "/srv/app.db"),
            ("sqlite::memory:", ":memory:"),
            ("sqlite:/a/../b.db", "/a/../b.db"),
            ("sqlite:a%40b.db", "a@b.db"),
        ] {
            let settings = read(url).unwrap();
            assert_eq!((settings.get_name(), settings.get_host()), (Some(name), None), "{url}");
        }
        assert_eq!(read("sqlite:").unwrap().get_name(), None);
    }

    #[test]
    fn hosts_may_be_sockets_and_ipv6() {
        assert_eq!(read("postgres://%2Frun%2Fpg/app").unwrap().get_host(), Some("/run/pg"));
        assert_eq!(read("mysql://[::1]:3306/app").unwrap().get_host(), Some("::1"));
    }

    #[test]
    fn a_host_may_come_with_the_query() {
        for url in
            ["postgres:///app?host=/run/pg", "postgres://ann@/app?host=/run/pg", "postgres://ann:x@/app?host=/run/pg"]
        {
            let settings = read(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((settings.get_name(), settings.get_host()), (Some("app"), Some("/run/pg")), "{url}");
        }
        assert_eq!(read("postgres://ann@/app").unwrap().get_host(), None);
        assert_eq!(read("postgres://ann@/app").unwrap().get_user(), Some("ann"));
        let settings = read("mysql:///app?host=db.example").unwrap();
        assert_eq!((settings.get_name(), settings.get_host()), (Some("app"), Some("db.example")));
    }

    #[test]
    fn several_hosts_are_a_list() {
        let settings =
            read("postgres://ann:hunter2@one:5432,[::1]:5433,%2Frun%2Fpg/app?target_session_attrs=read-write").unwrap();
        assert_eq!(settings.get_host(), Some("one:5432,[::1]:5433,/run/pg"));
        assert_eq!((settings.get_port(), settings.get_user()), (None, Some("ann")));
        assert_eq!(settings.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(read("mysql:///app?host=a,b:2&port=1").unwrap().get_host(), Some("a,b:2"));
        for url in [
            "postgres://a,b:x/d",
            "postgres://a,/d",
            "postgres:///d?host=a,b:x",
            "postgres:///d?host=a,,b",
            "postgres://a%2Cb,c/d",
        ] {
            let error = read(url).unwrap_err();
            assert!(
                error.is_config() && error.message().contains("host") | error.message().contains("port"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn the_query_sets_settings_by_name() {
        let settings = read("sqlite:a.db?conn_max_age=none&statement_timeout=5s&options.busy_timeout=10s").unwrap();
        assert_eq!(settings.get_conn_max_age(), None);
        assert_eq!(settings.get_statement_timeout(), Some(Duration::from_secs(5)));
        assert_eq!(settings.get_option("busy_timeout"), Some("10s"));
        // A plus is a plus: it is no form that is read here.
        assert_eq!(read("mysql://h/d?time_zone=+02:00").unwrap().get_time_zone(), Some("+02:00"));
    }

    #[test]
    fn malformed_urls_are_refused_without_their_secrets() {
        for url in [
            "",
            "app.db",
            "//user:hunter2@host/db",
            "postgres://user:hunter2@host:port/db",
            "postgres://user:hunter2@host:99999/db",
            "postgres://user:hun#ter2@host/db",
            "postgres://user:12?hunter2@host/db",
            "postgres://user:12/hunter2@host/db",
            "postgres://user:/hunter2@host/db",
            "postgres://user:12?hunter2=1@host/db",
            "postgres://user:hunter2@host/db?conn_max_agee=1s",
            "postgres://user:hunter2@host/db?conn_max_age=1",
            "postgres://user:hunter2@host/db?conn_max_age=1s&conn_max_age=2s",
            "postgres://user:hunter2@host/db?autocommit",
            "postgres://user:hunter2@host/db?port=0",
            "postgres://user:hunter2@host/%ff",
            "postgres://user:hunter2@h1:1,h2:x/db",
            "sqlite:a.db#b",
            "sqlite:a\tb.db",
            "sqlite:a\n.db",
            "postgres:user:hunter2@host/db",
        ] {
            let error = read(url).unwrap_err();
            assert!(error.is_config(), "{url}: {error}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter") && !shown.contains("ter2"), "{url}: {shown}");
        }
    }
}
