//! Administrative sessions, through the bare drivers: what they report does not depend on what is tested.

use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use percent_encoding::percent_decode_str;
use url::Url;

use super::Kind;

const LIMIT: Duration = Duration::from_secs(30);

/// A session that sees and ends the sessions of the tests' user: all of them, or those in one database.
#[derive(Debug)]
pub struct Admin {
    kind: Kind,
    session: Session,
    user: String,
    database: Option<String>,
}

impl Admin {
    pub(super) fn new(kind: Kind, session: Session, user: String, database: Option<String>) -> Self {
        Self { kind, session, user, database }
    }

    /// The same session, which sees and ends the sessions of that user instead.
    pub(super) fn of_user(self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self }
    }

    /// Runs a statement, and panics with the server's words where it fails.
    pub fn execute(&mut self, sql: &str) {
        self.try_execute(sql).unwrap_or_else(|reason| panic!("{sql}: {reason}"));
    }

    /// # Errors
    ///
    /// What the server says.
    pub fn try_execute(&mut self, sql: &str) -> Result<(), String> {
        self.session.execute(sql)
    }

    /// The first column of the first row as text; None is NULL or no row.
    pub fn value(&mut self, sql: &str) -> Option<String> {
        self.session.value(sql).unwrap_or_else(|reason| panic!("{sql}: {reason}"))
    }

    /// The ids of the sessions, in order: process ids of PostgreSQL, connection ids of the others.
    pub fn connections(&mut self) -> Vec<u64> {
        let (user, database) = if self.kind.is_postgres() { ("usename", "datname") } else { ("user", "db") };
        let only = self.database.as_ref().map(|name| format!(" AND {database} = '{name}'")).unwrap_or_default();
        self.listed(&format!("{user} = '{}'{only}", self.user))
    }

    /// The ids of the sessions of which this is true, in order; never that of this one.
    fn listed(&mut self, condition: &str) -> Vec<u64> {
        let (list, own) = if self.kind.is_postgres() {
            ("pg_stat_activity", "pg_backend_pid()")
        } else {
            ("information_schema.processlist", "connection_id()")
        };
        let id = self.id_column();
        let sql = format!("SELECT {id} FROM {list} WHERE {id} <> {own} AND {condition} ORDER BY {id}");
        let ids = self.session.column(&sql).unwrap_or_else(|reason| panic!("{sql}: {reason}"));
        ids.iter().map(|id| id.parse().expect("a number")).collect()
    }

    fn id_column(&self) -> &'static str {
        if self.kind.is_postgres() { "pid" } else { "id" }
    }

    /// Ends a session. It is gone a moment later: `kill_and_wait` waits for it.
    pub fn kill(&mut self, id: u64) {
        if self.kind.is_postgres() {
            self.execute(&format!("SELECT pg_terminate_backend({id})"));
        } else {
            self.execute(&format!("KILL {id}"));
        }
    }

    /// Ends a session, and waits until the server no longer lists it.
    pub fn kill_and_wait(&mut self, id: u64) {
        self.kill(id);
        self.wait_gone(id);
    }

    /// Ends what a session is doing, and leaves the session.
    pub fn cancel(&mut self, id: u64) {
        if self.kind.is_postgres() {
            self.execute(&format!("SELECT pg_cancel_backend({id})"));
        } else {
            self.execute(&format!("KILL QUERY {id}"));
        }
    }

    /// Waits until the server does not list this session, whoever has it, and wherever it is.
    pub fn wait_gone(&mut self, id: u64) {
        let column = self.id_column();
        self.wait(
            &format!("session {id} is gone"),
            |admin| admin.listed(&format!("{column} = {id}")),
            |ids| ids.is_empty(),
        );
    }

    /// Waits until there are exactly so many sessions.
    pub fn wait_until_connections(&mut self, count: usize) {
        self.wait(&format!("{count} sessions are there"), Self::connections, |ids| ids.len() == count);
    }

    /// Waits until the statement returns this text, such as the state of another session.
    pub fn wait_until_value(&mut self, sql: &str, wanted: &str) {
        let started = Instant::now();
        loop {
            let seen = self.value(sql);
            if seen.as_deref() == Some(wanted) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "waited 30 s until {sql} is {wanted:?}; it is {seen:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn wait(&mut self, what: &str, list: impl Fn(&mut Self) -> Vec<u64>, is_so: impl Fn(&[u64]) -> bool) {
        let started = Instant::now();
        loop {
            let ids = list(self);
            if is_so(&ids) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "waited 30 s until {what}; the server lists {ids:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Whom to connect to, and as whom. A host that begins with a slash is a Unix socket.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(super) kind: Kind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
}

impl Target {
    pub(crate) fn from_url(kind: Kind, url: &Url, database: Option<&str>) -> Self {
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Self {
            kind,
            host: url.host_str().unwrap_or("127.0.0.1").trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(kind.port()),
            user: plain(url.username()),
            password: plain(url.password().unwrap_or_default()),
            database: database.map_or_else(|| plain(url.path().trim_start_matches('/')), str::to_owned),
        }
    }
}

/// A connection of a bare driver.
pub(crate) enum Session {
    Postgres(Box<postgres::Client>),
    Mysql(Box<mysql::Conn>),
}

impl Session {
    /// Connects, and waits for a place where the server is full.
    pub(super) fn open(target: &Target) -> Self {
        let started = Instant::now();
        loop {
            match Self::try_open(target) {
                Ok(session) => return session,
                Err(reason) => {
                    assert!(started.elapsed() < LIMIT, "no administrative session within 30 s: {reason}");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    pub(crate) fn try_open(target: &Target) -> Result<Self, String> {
        if target.kind.is_postgres() {
            let mut config = postgres::Config::new();
            config.host(&target.host).port(target.port).user(&target.user).dbname(&target.database);
            config.password(&target.password).connect_timeout(Duration::from_secs(10));
            return config
                .connect(postgres::NoTls)
                .map(Box::new)
                .map(Self::Postgres)
                .map_err(|error| full_text(&error));
        }
        let mut options = mysql::OptsBuilder::new().user(Some(&target.user)).pass(Some(&target.password));
        options = options.db_name(Some(&target.database).filter(|name| !name.is_empty()));
        // A connection over TCP stays there, or it would go past a proxy.
        options = options.prefer_socket(false).read_timeout(Some(LIMIT));
        options = if target.host.starts_with('/') {
            options.socket(Some(&target.host))
        } else {
            options.ip_or_hostname(Some(&target.host)).tcp_port(target.port)
        };
        mysql::Conn::new(options).map(|conn| Self::Mysql(Box::new(conn))).map_err(|error| full_text(&error))
    }

    pub(crate) fn execute(&mut self, sql: &str) -> Result<(), String> {
        match self {
            Self::Postgres(client) => client.batch_execute(sql).map_err(|error| full_text(&error)),
            Self::Mysql(conn) => conn.query_drop(sql).map_err(|error| full_text(&error)),
        }
    }

    pub(super) fn value(&mut self, sql: &str) -> Result<Option<String>, String> {
        patiently(|| self.try_value(sql))
    }

    fn try_value(&mut self, sql: &str) -> Result<Option<String>, String> {
        match self {
            Self::Postgres(client) => {
                let messages = client.simple_query(sql).map_err(|error| full_text(&error))?;
                let row = messages.iter().find_map(row);
                Ok(row.and_then(|row| row.get(0)).map(str::to_owned))
            }
            Self::Mysql(conn) => {
                let value: Option<Option<String>> = conn.query_first(sql).map_err(|error| full_text(&error))?;
                Ok(value.flatten())
            }
        }
    }

    pub(crate) fn column(&mut self, sql: &str) -> Result<Vec<String>, String> {
        patiently(|| self.try_column(sql))
    }

    fn try_column(&mut self, sql: &str) -> Result<Vec<String>, String> {
        match self {
            Self::Postgres(client) => {
                let messages = client.simple_query(sql).map_err(|error| full_text(&error))?;
                Ok(messages.iter().filter_map(row).filter_map(|row| row.get(0)).map(str::to_owned).collect())
            }
            Self::Mysql(conn) => conn.query(sql).map_err(|error| full_text(&error)),
        }
    }
}

/// MySQL cannot list its sessions while one runs a statement with a character of four bytes (3854).
fn patiently<T>(mut ask: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let started = Instant::now();
    loop {
        match ask() {
            Err(reason) if reason.contains("ERROR 3854 ") && started.elapsed() < LIMIT => {
                std::thread::sleep(Duration::from_millis(2));
            }
            result => return result,
        }
    }
}

// The drivers' own would print the password.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

fn row(message: &postgres::SimpleQueryMessage) -> Option<&postgres::SimpleQueryRow> {
    match message {
        postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }
}

/// An error with its sources: what PostgreSQL says is a level below.
fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
