//! Where an event happened.

use std::fmt;

use crate::config::engines::AliasConfig;
use crate::config::statement::Dialect;

/// Where an event happened: the alias, the connection and the server.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    config: &'a AliasConfig,
    serial: Option<u64>,
    dialect: Option<Dialect>,
}

impl<'a> Source<'a> {
    /// `dialect`: that of the session, if one was open.
    pub(crate) fn new(config: &'a AliasConfig, serial: Option<u64>, dialect: Option<Dialect>) -> Self {
        Self { config, serial, dialect }
    }

    /// Returns the alias.
    pub fn alias(&self) -> &'a str {
        &self.config.alias
    }

    /// Returns the number of the physical connection, counted from 1 in this process; `None` if none is open yet.
    pub fn serial(&self) -> Option<u64> {
        self.serial
    }

    /// Returns the kind of database in Django's words: `sqlite`, `mysql` (MariaDB as well), `postgresql`.
    pub fn vendor(&self) -> &'static str {
        self.config.backend.vendor()
    }

    /// Returns the product in OpenTelemetry's words (`db.system.name`): `postgresql`, `mysql`, `mariadb`, `sqlite`. Before the first
    /// connection, MariaDB is told from MySQL by the scheme of the URL alone.
    pub fn system(&self) -> &'static str {
        let is_mariadb = match self.dialect {
            Some(dialect) => dialect.is_mariadb(),
            None => self.config.settings.get_engine() == Some("mariadb"),
        };
        if is_mariadb { "mariadb" } else { self.vendor() }
    }

    /// Returns the name of the database, as the settings have it: a file on SQLite.
    pub fn database(&self) -> Option<&'a str> {
        self.config.settings.get_name()
    }

    /// Returns the server's host, as the settings have it: a name, an address, or the path of a socket.
    pub fn host(&self) -> Option<&'a str> {
        self.config.settings.get_host()
    }

    /// Returns the server's port, if the settings have one.
    pub fn port(&self) -> Option<u16> {
        self.config.settings.get_port()
    }

    /// Returns whose SQL the session reads; `None` if none has been open. With it, an
    /// [`Outline`](crate::statement::Outline) of a text can be made.
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("alias", &self.alias())
            .field("serial", &self.serial)
            .field("system", &self.system())
            .finish_non_exhaustive()
    }
}
