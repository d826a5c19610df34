//! Private servers for tests: PostgreSQL, MariaDB and MySQL, each with a data folder and a port of its own.
//!
//! A server dies with the process that started it, however that ends, and its folder goes with it.

mod admin;
mod builder;
mod external;
mod fresh;
mod keeper;
mod limited;
mod mariadb;
mod mysql;
mod pgbouncer;
mod ports;
mod postgres;
mod server;
mod template;
mod user;

pub use admin::Admin;
pub(crate) use admin::{Session, Target};
pub use builder::Builder;
pub use fresh::FreshDatabase;
pub use limited::LimitedUser;
pub use pgbouncer::PgBouncer;
pub use ports::free_port;
pub use server::{Server, end_shared};

/// The user that tests connect as. It may do what an application may do, and is bound by the server's limits.
pub const USER: &str = "app";
/// Its password, with characters that a URL has to encode.
pub const PASSWORD: &str = "s3cret/@:";
/// The database that `Server::url` names.
pub const DATABASE: &str = "app";

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Postgres,
    MariaDb,
    Mysql,
}

impl Kind {
    pub const ALL: &'static [Self] = &[Self::Postgres, Self::MariaDb, Self::Mysql];
    /// The two that speak MySQL's protocol.
    pub const MYSQLS: &'static [Self] = &[Self::MariaDb, Self::Mysql];

    /// The scheme of its URLs, which is also its name in the names of tests.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::Mysql => "mysql",
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::Mysql => "MySQL",
        }
    }

    pub fn is_postgres(self) -> bool {
        self == Self::Postgres
    }

    /// Whether there is a server of this kind to test with, without starting one.
    ///
    /// # Errors
    ///
    /// What is missing, and how to get it.
    pub fn available(self) -> Result<(), String> {
        if external::url(self)?.is_some() {
            return Ok(());
        }
        match self {
            Self::Postgres => postgres::Programs::find().map(drop),
            Self::MariaDb => mariadb::Programs::find().map(drop),
            Self::Mysql => mysql::Programs::find().map(drop),
        }
    }

    /// Whether tests use a server that they may not stop, restart or configure.
    pub fn is_external(self) -> bool {
        matches!(external::url(self), Ok(Some(_)))
    }

    fn port(self) -> u16 {
        if self.is_postgres() { 5432 } else { 3306 }
    }
}
