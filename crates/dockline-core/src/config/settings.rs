//! The settings of one alias. Names that Django has keep Django's meaning.

mod databases;
mod file;
mod hosts;
mod not_offered;
mod parse;
mod spellings;
#[cfg(test)]
mod tests;
mod uri;
mod url;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use databases::Databases;
pub use words::{
    ChannelBinding, IsolationLevel, Liveness, LoadBalanceHosts, ResetOnHandover, TargetSessionAttrs, Tls,
    TransactionMode,
};

use crate::base::error::{Error, ErrorKind, Result};

/// The settings of one alias: where its database is, and how its connections live.
///
/// A setting can be given in a URL's query, in a TOML file or by the method of its name; the getter is the name with
/// `get_` before it. Durations are text with a unit there, `"600s"`, `"10m"`, `"1h 30m"`, or `"none"` where the
/// setting can be none.
///
/// ```
/// use std::time::Duration;
/// use dockline::Settings;
///
/// let settings = Settings::from_url("postgres://app:secret@db.example/app?conn_max_age=10m")?
///     .conn_health_checks(true);
/// assert_eq!(settings.get_conn_max_age(), Some(Duration::from_secs(600)));
/// assert_eq!(settings.get_host(), Some("db.example"));
/// assert!(!format!("{settings:?}").contains("secret"));
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Clone)]
pub struct Settings {
    plain: Plain,
    text: Text,
    password: Option<SecretString>,
    password_provider: Option<PasswordProvider>,
    options: BTreeMap<String, String>,
    /// The variable of the environment that named the alias, unless it is that of the alias default.
    variable: Option<String>,
}

type PasswordProvider = Arc<dyn Fn() -> Result<SecretString, BoxError> + Send + Sync>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes, from one line a setting, its field, its setter, its getter and its place among the names that URLs and files
/// can use.
macro_rules! settings {
    (
        plain { $( $(#[$doc:meta])* $name:ident, $get:ident: $type:ty = $default:expr, $parse:path; )* }
        text { $( $(#[$text_doc:meta])* $text_name:ident, $text_get:ident; )* }
    ) => {
        #[derive(Debug, Clone)]
        struct Plain { $($name: $type,)* }

        #[derive(Debug, Clone, Default)]
        struct Text { $($text_name: Option<String>,)* }

        impl Default for Plain {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Settings {
            /// The names that URLs and files can set, besides `password` and `options.NAME`.
            const NAMES: &'static [&'static str] = &[$(stringify!($text_name),)* $(stringify!($name),)*];

            /// Sets a setting from text; `None` where there is none of that name.
            fn set_by_name(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
                match name {
                    $(stringify!($name) => Some($parse(text).map(|value| self.plain.$name = value)),)*
                    $(stringify!($text_name) => {
                        self.text.$text_name = parse::optional_text(text);
                        Some(Ok(()))
                    })*
                    _ => None,
                }
            }

            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, value: $type) -> Self {
                    self.plain.$name = value;
                    self
                }

                #[doc = concat!("What [`", stringify!($name), "`](Settings::", stringify!($name), ") is set to.")]
                pub fn $get(&self) -> $type {
                    self.plain.$name
                }
            )*

            $(
                $(#[$text_doc])*
                #[must_use]
                pub fn $text_name(mut self, value: impl Into<String>) -> Self {
                    self.text.$text_name = Some(value.into());
                    self
                }

                #[doc = concat!("What [`", stringify!($text_name), "`](Settings::", stringify!($text_name), ") is set to.")]
                pub fn $text_get(&self) -> Option<&str> {
                    self.text.$text_name.as_deref()
                }
            )*
        }
    };
}

settings! {
    plain {
        /// The port of the server. Default: the server's usual one. Not 0.
        port, get_port: Option<u16> = None, parse::optional_number;
        /// How old a connection may grow, from when it was opened: it is closed at the end of the request or task that
        /// finds it older. Zero closes after every request, `None` never. Default: 10 minutes (Django's
        /// `CONN_MAX_AGE` is 0, which costs a new connection a request).
        conn_max_age, get_conn_max_age: Option<Duration> = Some(Duration::from_secs(600)), parse::limit;
        /// A round trip to the server before the first statement of each request, which replaces the connection where
        /// it fails (Django's `CONN_HEALTH_CHECKS`). Default: false.
        conn_health_checks, get_conn_health_checks: bool = false, parse::flag;
        /// Whether statements outside a transaction commit by themselves (Django's `AUTOCOMMIT`). Default: true.
        autocommit, get_autocommit: bool = true, parse::flag;
        /// Whether every request is one transaction (Django's `ATOMIC_REQUESTS`). Default: false.
        /// [`in_request`](crate::Registry::in_request) keeps it; [`request`](crate::Registry::request) cannot.
        atomic_requests, get_atomic_requests: bool = false, parse::flag;
        /// Whether the socket is looked at before statements outside a transaction. Default: probe. An embedded
        /// database has no socket; there, `off` keeps a connection that failed until it is closed, as Django does.
        liveness, get_liveness: Liveness = Liveness::Probe, parse::word;
        /// Where only a round trip can tell whether the server is there: how long a pause has to be before one is
        /// made. Default: 1 s.
        liveness_after, get_liveness_after: Duration = Duration::from_secs(1), parse::duration;
        /// How long a connection may be unused: it is closed before the next statement or at the next boundary,
        /// whichever comes first. `None`: for ever. Default: none. Not zero.
        conn_max_idle, get_conn_max_idle: Option<Duration> = None, parse::limit;
        /// By how many percent, drawn anew for each connection, `conn_max_age` is shortened, so that threads that
        /// started together do not reconnect together. 0 to 100; default: 10. In text: `"10%"`.
        max_age_jitter, get_max_age_jitter: u8 = 10, parse::percent;
        /// How many connections this alias may have at a time, over all threads of the process: those that are being opened and
        /// closed count. When they are all in use, threads wait for their turn, first come, first served. `None`: one for each
        /// thread that uses the alias. Default: none. Not 0. See the guide's chapter on more threads than connections.
        max_connections, get_max_connections: Option<u32> = None, parse::optional_number;
        /// How long a thread may take to get a connection when `max_connections` is set: waiting for its turn, and then connecting.
        /// Default: 30 s. Not zero, and never without a limit: threads that wait for each other would wait for ever.
        acquire_timeout, get_acquire_timeout: Duration = Duration::from_secs(30), parse::duration;
        /// What is done to the session of a connection that goes from one thread to another at the cap: `none`, or `server`, which
        /// has the server reset it and sets it up anew, at the cost of a round trip or a few. A thread that takes its own back
        /// pays nothing. Default: none, for what a session is known to hold keeps its connection from other threads. Servers only, and
        /// only with [`max_connections`](Settings::max_connections).
        reset_on_handover, get_reset_on_handover: ResetOnHandover = ResetOnHandover::None, parse::word;
        /// How long connecting may take, over all addresses of the host. Default: 10 s. Not zero. Servers only.
        connect_timeout, get_connect_timeout: Duration = Duration::from_secs(10), parse::duration;
        /// How long an answer may take. `None`: for ever. Default: none. Not zero. Servers only.
        read_timeout, get_read_timeout: Option<Duration> = None, parse::limit;
        /// How long a statement may run before the database ends it, with the time that its row callbacks take. `None`:
        /// for ever. Default: none. Not zero. It does not limit `native` and `init_sql`.
        statement_timeout, get_statement_timeout: Option<Duration> = None, parse::limit;
        /// After what pause the kernel asks the other side whether it is there. `None`: never. Default: 60 s. Servers
        /// only.
        tcp_keepalive, get_tcp_keepalive: Option<Duration> = Some(Duration::from_secs(60)), parse::limit;
        /// How long sent data may stay unacknowledged before the kernel gives the connection up. `None`: the kernel's
        /// own limit. Default: 30 s. Servers only.
        tcp_user_timeout, get_tcp_user_timeout: Option<Duration> = Some(Duration::from_secs(30)), parse::limit;
        /// Whether statements are prepared and kept; false for poolers in transaction mode. Default: true.
        prepared_statements, get_prepared_statements: bool = true, parse::flag;
        /// How many prepared statements a connection keeps. 0 keeps none. Default: 100.
        statement_cache, get_statement_cache: u32 = 100, parse::number;
        /// From what duration on a statement is logged at level warn. `None`: never; zero: each one. Default: none.
        slow_statement, get_slow_statement: Option<Duration> = None, parse::limit;
        /// How long a request, a task, an atomic block, a hold or a transaction may keep a connection before the log says so, at warn, once:
        /// with the place where it began and the last statement. Another line follows when it ends. `None`: nobody looks. Default: none.
        /// Not zero.
        leak_threshold, get_leak_threshold: Option<Duration> = None, parse::limit;
        /// Whether a thread in the background closes idle connections that are too old, unused for too long, or that the server has
        /// ended, also if their own threads sleep. It leaves alone what is in a request, a task, a transaction or on hold. There is one
        /// such thread for the process. Default: false.
        housekeeper, get_housekeeper: bool = false, parse::flag;
        /// Whether the line of a slow statement has its parameters, shortened. They may be secret, and those who read logs are often
        /// more than those who may read the data. Default: false.
        slow_statement_params, get_slow_statement_params: bool = false, parse::flag;
        /// How a transaction begins on SQLite that may write. Default: immediate, as a writer, which waits for its turn. With
        /// `deferred`, which is Django's default, a block that has read cannot write once another connection has
        /// written: it fails, whatever `busy_timeout` is. What only reads begins deferred in any case:
        /// [`Atomic::read_only`](crate::Atomic::read_only), `options.mode=ro`.
        transaction_mode, get_transaction_mode: TransactionMode = TransactionMode::Immediate, parse::word;
        /// The isolation level of every new connection. `None`: read committed on MySQL and MariaDB, as Django; else
        /// the server's. Default: none. SQLite is always serializable.
        isolation_level, get_isolation_level: Option<IsolationLevel> = None, parse::optional_word;
        /// Whether the connection is encrypted. Default: prefer. Servers only.
        tls, get_tls: Tls = Tls::Prefer, parse::word;
        /// Whether the proof of the password is bound to the encrypted connection. Default: prefer. PostgreSQL only.
        channel_binding, get_channel_binding: ChannelBinding = ChannelBinding::Prefer, parse::word;
        /// Which of several hosts is fit: each that answers is asked what it is. Default: any. Servers only.
        target_session_attrs, get_target_session_attrs: TargetSessionAttrs = TargetSessionAttrs::Any, parse::word;
        /// In which order several hosts are tried. Default: disable, which is as they are written. Servers only.
        load_balance_hosts, get_load_balance_hosts: LoadBalanceHosts = LoadBalanceHosts::Disable, parse::word;
    }
    text {
        /// Which backend: `sqlite`, or the scheme of another. A URL's scheme sets it.
        engine, get_engine;
        /// The name of the database; on SQLite the path of its file, or `:memory:`.
        name, get_name;
        /// The user. Servers only.
        user, get_user;
        /// The host, or the folder of a Unix socket. Several are written with commas between, each with its own port if it is not
        /// [`port`](Settings::port): `"db1:5432,db2:5433"`. They are tried in that order, within
        /// [`connect_timeout`](Settings::connect_timeout) for all. Servers only.
        host, get_host;
        /// A file that holds the password; it is read at every connect, and a line break at its end does not count.
        /// Goes before [`password`](Settings::password).
        password_file, get_password_file;
        /// The time zone of every new connection (Django's `TIME_ZONE`). Default: UTC; `server` leaves it to the server. Servers only.
        time_zone, get_time_zone;
        /// What the server lists as the client's name. Default: the program and the alias. Servers only.
        application_name, get_application_name;
        /// The name of a cap that several aliases share, of any registry of the process, for servers that count the connections
        /// of a user over all databases. All of them set `max_connections` to the same number. Default: the alias has its
        /// own.
        cap, get_cap;
        /// SQL that runs once on every new connection. It may be several statements. Default: none.
        init_sql, get_init_sql;
        /// A PEM file with the authorities to trust. Default: Mozilla's list, which is compiled in; MySQL and MariaDB trust
        /// that list besides the file. It counts with `verify-ca` and `verify-full`. Servers only.
        tls_ca_file, get_tls_ca_file;
        /// A PEM file with the client's certificate. Servers only.
        tls_client_cert, get_tls_client_cert;
        /// A PEM file with the key of the client's certificate. Servers only.
        tls_client_key, get_tls_client_key;
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// Settings with their defaults, and no engine yet.
    pub fn new() -> Self {
        Self {
            plain: Plain::default(),
            text: Text::default(),
            password: None,
            password_provider: None,
            options: BTreeMap::new(),
            variable: None,
        }
    }

    /// The variable of the environment that named the alias: it may be meant for another program, or another library.
    pub(crate) fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// The password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(SecretString::from(password.into()));
        self
    }

    /// What [`password`](Settings::password) is set to.
    pub fn get_password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// A function that is asked for the password at every connect, for tokens that expire. Goes before
    /// [`password_file`](Settings::password_file) and [`password`](Settings::password).
    #[must_use]
    pub fn password_provider<F>(mut self, provider: F) -> Self
    where
        F: Fn() -> Result<SecretString, BoxError> + Send + Sync + 'static,
    {
        self.password_provider = Some(Arc::new(provider));
        self
    }

    /// Whether there is a [`password_provider`](Settings::password_provider).
    pub fn has_password_provider(&self) -> bool {
        self.password_provider.is_some()
    }

    /// A setting that only one backend has, as Django's `OPTIONS`; the backend's page lists them. In a URL
    /// `options.NAME=value`, in a file a table `options`.
    ///
    /// ```
    /// use dockline::Settings;
    ///
    /// let settings = Settings::from_url("sqlite:app.db")?.option("busy_timeout", "10s");
    /// assert_eq!(settings.get_option("busy_timeout"), Some("10s"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// What an [`option`](Settings::option) is set to.
    pub fn get_option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// The names of the [`option`](Settings::option)s that are set.
    pub fn option_names(&self) -> impl Iterator<Item = &str> {
        self.options.keys().map(String::as_str)
    }

    /// An [`option`](Settings::option) that is a duration.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where it is something else.
    pub fn duration_option(&self, name: &str) -> Result<Option<Duration>> {
        self.parsed_option(name, parse::duration)
    }

    /// An [`option`](Settings::option) that is `true` or `false`.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where it is something else.
    pub fn flag_option(&self, name: &str) -> Result<Option<bool>> {
        self.parsed_option(name, parse::flag)
    }

    /// An [`option`](Settings::option) that is one of these words.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where it is something else.
    pub fn word_option(&self, name: &str, words: &[&'static str]) -> Result<Option<&'static str>> {
        self.parsed_option(name, |text| {
            let found = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
            found.copied().ok_or_else(|| parse::not_a_word(words))
        })
    }

    fn parsed_option<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>> {
        let parsed = self.get_option(name).map(parse).transpose();
        parsed.map_err(|why| Error::config(format!("setting options.{name}: {why}")))
    }

    /// The password for a connect: from the provider, else from the file, else the one that is set. A backend calls
    /// it each time that it connects.
    ///
    /// # Errors
    ///
    /// [`Operational`](ErrorKind::Operational) where the provider fails or the file cannot be read.
    pub fn resolve_password(&self) -> Result<Option<SecretString>> {
        if let Some(provider) = &self.password_provider {
            let password = provider().map_err(|error| {
                Error::new(ErrorKind::Operational, "the password provider failed").with_source(error)
            })?;
            return Ok(Some(password));
        }
        if let Some(path) = self.get_password_file() {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let message = format!("the password file {path:?} cannot be read: {error}");
                Error::new(ErrorKind::Operational, message).with_source(error)
            })?;
            return Ok(Some(SecretString::from(text.trim_end_matches(['\n', '\r']))));
        }
        Ok(self.password.clone())
    }

    /// Sets one setting from text, as a URL's query and a file do: by its name, `password`, or `options.NAME`.
    ///
    /// ```
    /// use dockline::Settings;
    ///
    /// let mut settings = Settings::from_url("sqlite:app.db")?;
    /// settings.set("conn_max_age", "5m")?;
    /// assert!(settings.set("conn_max_aeg", "5m").is_err());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) for an unknown name (with the nearest one), and for a
    /// value that the setting cannot have.
    pub fn set(&mut self, name: &str, text: &str) -> Result<()> {
        if name == "password" {
            self.password = Some(SecretString::from(text));
            return Ok(());
        }
        if let Some(option) = name.strip_prefix("options.") {
            self.options.insert(option.to_owned(), text.to_owned());
            return Ok(());
        }
        match self.set_by_name(name, text) {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(Error::config(format!("setting {name} = {text:?}: {why}"))),
            None => {
                Err(not_offered::not_offered(name).unwrap_or_else(|| unknown_setting("setting", name, Self::NAMES)))
            }
        }
    }

    /// Refuses values that no backend can work with.
    pub(crate) fn check(&self) -> Result<()> {
        let plain = &self.plain;
        let never_zero = [
            ("conn_max_idle", plain.conn_max_idle),
            ("leak_threshold", plain.leak_threshold),
            ("connect_timeout", Some(plain.connect_timeout)),
            ("acquire_timeout", Some(plain.acquire_timeout)),
            ("read_timeout", plain.read_timeout),
            ("statement_timeout", plain.statement_timeout),
            ("tcp_keepalive", plain.tcp_keepalive),
            ("tcp_user_timeout", plain.tcp_user_timeout),
        ];
        for (name, value) in never_zero {
            if value == Some(Duration::ZERO) {
                return Err(Error::config(format!(
                    "setting {name}: it cannot be zero; leave it out or write a duration"
                )));
            }
        }
        if plain.port == Some(0) {
            return Err(Error::config("setting port: it cannot be 0; write 1 to 65535, or leave it out"));
        }
        if plain.max_connections == Some(0) {
            return Err(Error::config("setting max_connections: it cannot be 0; write 1 or more, or leave it out"));
        }
        self.one_per_host()?;
        if self.get_cap().is_some() && plain.max_connections.is_none() {
            return Err(Error::config(
                "setting cap: it names a cap, and max_connections, which says how many it allows, is missing",
            ));
        }
        if plain.reset_on_handover != ResetOnHandover::None && plain.max_connections.is_none() {
            return Err(Error::config(
                "setting reset_on_handover: connections go from thread to thread only under a cap; set max_connections, or leave it out",
            ));
        }
        if plain.max_age_jitter > 100 {
            let message = format!("setting max_age_jitter: {} is more than 100 percent", plain.max_age_jitter);
            return Err(Error::config(message));
        }
        Ok(())
    }
}

/// What was probably meant by a name that is none.
pub(crate) fn nearest<'known>(name: &str, known: impl IntoIterator<Item = &'known str>) -> Option<&'known str> {
    let near = known.into_iter().map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate)).min();
    near.filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3)).map(|(_, candidate)| candidate)
}

/// The error for a name that is none, with the nearest that is one.
///
/// What does not look like a name is not repeated: it may be a piece of a password that was not percent-encoded.
pub(crate) fn unknown_setting(what: &str, name: &str, known: &[&str]) -> Error {
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return Error::config(format!(
            "unknown {what}, whose name has characters that no name has; is a ?, & or # in a password not percent-encoded?"
        ));
    }
    Error::config(match nearest(name, known.iter().copied()) {
        Some(candidate) => format!("unknown {what} {name:?}; did you mean {candidate:?}?"),
        None if known.is_empty() => format!("unknown {what} {name:?}; none is known"),
        None => format!("unknown {what} {name:?}; known: {}", known.join(", ")),
    })
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its statements may set a key.
        let text = Text { init_sql: self.text.init_sql.as_ref().map(|_| "***".to_owned()), ..self.text.clone() };
        f.debug_struct("Settings")
            .field("text", &text)
            .field("plain", &self.plain)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("password_provider", &self.password_provider.as_ref().map(|_| "***"))
            // Names only: a backend's option may be a secret.
            .field("options", &self.options.keys())
            .finish()
    }
}
