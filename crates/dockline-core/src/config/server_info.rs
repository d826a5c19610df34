//! What a server says of itself.

use std::time::Duration;

/// What a server is, and what its limits are, as [`Connection::server_info`](crate::Connection::server_info) found them.
///
/// What a server does not have, or does not tell this user, is `None`.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// let info = db.server_info()?;
/// println!("{} {}", info.product, info.version);
/// assert_eq!(info.max_connections, None); // SQLite has no limit
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The product: `MySQL`, `MariaDB`, `PostgreSQL`, `SQLite`.
    pub product: String,
    /// The version, as the server writes it.
    pub version: String,
    /// The oldest version that Dockline is tested with, where this one is older.
    pub older_than: Option<&'static str>,
    /// After what pause the server closes a connection like this one (MySQL's `wait_timeout` of this session).
    pub wait_timeout: Option<Duration>,
    /// The same for interactive clients, as a shell is one (MySQL's `interactive_timeout`).
    pub interactive_timeout: Option<Duration>,
    /// After what pause outside a transaction PostgreSQL closes this connection. `None`: never.
    pub idle_session_timeout: Option<Duration>,
    /// After what pause inside a transaction the server closes this connection. `None`: never.
    pub idle_in_transaction_session_timeout: Option<Duration>,
    /// How many connections the server takes.
    pub max_connections: Option<u64>,
    /// How many are in use, this one included.
    pub connections_in_use: Option<u64>,
    /// How many more this user can open now.
    pub connections_left: Option<u64>,
    /// How many prepared statements the server holds, those of all its clients together (MySQL's `max_prepared_stmt_count`).
    pub max_prepared_statements: Option<u64>,
    /// Whether the server takes no writes.
    pub read_only: Option<bool>,
    /// Whether values that do not fit are refused instead of cut (MySQL's strict mode).
    pub strict: Option<bool>,
    /// The character set of this connection.
    pub charset: Option<String>,
    /// The time zone in which the server puts sessions that do not choose one.
    pub time_zone: Option<String>,
    /// Whether this connection is encrypted.
    pub encrypted: Option<bool>,
    /// Whether this connection leaves this machine.
    pub over_network: bool,
    /// How many bytes of SQLite's write-ahead log a reader keeps from being reused, where they are many.
    pub log_held_back: Option<u64>,
}

impl ServerInfo {
    /// Begins one, as a backend fills it.
    pub fn new(product: impl Into<String>, version: impl Into<String>) -> Self {
        Self { product: product.into(), version: version.into(), ..Self::default() }
    }

    /// After what pause outside a transaction the server closes this connection.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.wait_timeout.or(self.idle_session_timeout)
    }
}
