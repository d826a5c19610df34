//! The databases: a file of SQLite and private servers, each with the same tables.

use std::fmt;
use std::net::SocketAddr;

use dockline::{Connections, Databases, Settings, params};
use dockline_tests::servers::{Admin, Kind, Server};
use tempfile::TempDir;

use crate::options::Options;

/// How many rows the tables `item` and `counter` have.
pub(crate) const ROWS: u32 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Server(Kind),
}

impl Database {
    pub(crate) const ALL: [Self; 4] =
        [Self::Server(Kind::Postgres), Self::Server(Kind::Mysql), Self::Server(Kind::MariaDb), Self::Sqlite];

    pub(crate) fn is_postgres(self) -> bool {
        self == Self::Server(Kind::Postgres)
    }

    pub(crate) fn is_sqlite(self) -> bool {
        self == Self::Sqlite
    }

    pub(crate) fn is_mysql(self) -> bool {
        !self.is_postgres() && !self.is_sqlite()
    }

    /// The text, with the placeholders of the driver.
    pub(crate) fn sql(self, text: &str) -> String {
        if !self.is_postgres() {
            return text.to_owned();
        }
        let mut parts = text.split('?');
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for (at, part) in parts.enumerate() {
            sql.push_str(&format!("${}{part}", at + 1));
        }
        sql
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Server(kind) => kind.name(),
        })
    }
}

/// Where a database can be reached.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) database: Database,
    pub(crate) url: String,
}

impl Place {
    pub(crate) fn settings(&self) -> Settings {
        Settings::from_url(&self.url).expect("a URL")
    }

    pub(crate) fn connections(&self) -> Connections {
        Connections::new(Databases::new().with("default", self.settings())).expect("a registry")
    }

    /// A word for the kind of database, which [`Place::of`] reads.
    pub(crate) fn kind(&self) -> &'static str {
        match self.database {
            Database::Sqlite => "sqlite",
            Database::Server(kind) => kind.scheme(),
        }
    }

    /// The place that another process has named to this one.
    pub(crate) fn of(kind: &str, url: &str) -> Option<Self> {
        let place = |database| Self { database, url: url.to_owned() };
        Database::ALL.into_iter().map(place).find(|place| place.kind() == kind)
    }

    /// The path of a file of SQLite.
    pub(crate) fn path(&self) -> &str {
        self.url.trim_start_matches("sqlite:")
    }

    fn fill(&self) {
        let registry = self.connections();
        let db = registry.get("default").expect("an alias");
        let run = |sql: &str| db.execute(sql, ()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        run("CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(40))");
        run("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)");
        run("CREATE TABLE bulk (id INTEGER PRIMARY KEY, name VARCHAR(40))");
        let items = (0..ROWS).map(|id| params![id, format!("name {id}")]);
        db.atomic(|| db.execute_many("INSERT INTO item VALUES (?, ?)", items)).expect("rows");
        let counters = (0..ROWS).map(|id| params![id, 0]);
        db.atomic(|| db.execute_many("INSERT INTO counter VALUES (?, ?)", counters)).expect("rows");
        registry.close_all();
    }
}

/// What there is to run on.
pub(crate) struct Places {
    servers: Vec<Server>,
    folder: TempDir,
    pub(crate) all: Vec<Place>,
    /// Servers that are missing, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) versions: Vec<String>,
}

impl Places {
    pub(crate) fn start(options: &Options) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut places =
            Self { servers: Vec::new(), folder, all: Vec::new(), missing: Vec::new(), versions: Vec::new() };
        for database in Database::ALL {
            let url = match database {
                Database::Sqlite => format!("sqlite:{}", places.folder.path().join("bench.db").display()),
                Database::Server(kind) => match kind.available() {
                    Err(reason) => {
                        places.missing.push(format!("{database}: {reason}"));
                        continue;
                    }
                    Ok(()) => places.start_server(kind, options),
                },
            };
            let place = Place { database, url };
            place.fill();
            places.versions.push(version(&place));
            places.all.push(place);
        }
        places
    }

    /// More room than the servers of tests have.
    fn start_server(&mut self, kind: Kind, options: &Options) -> String {
        let mut builder = Server::builder(kind);
        if !options.smoke {
            builder = match kind {
                Kind::Postgres => builder.setting("max_connections", "600").setting("shared_buffers", "256MB"),
                _ => builder.setting("max-connections", "600").setting("innodb-buffer-pool-size", "256M"),
            };
        }
        if kind != Kind::Postgres {
            builder = builder.setting("local-infile", "1");
        }
        let server = builder.start();
        let url = server.url();
        self.servers.push(server);
        url
    }

    fn server(&self, database: Database) -> Option<&Server> {
        self.servers.iter().find(|server| Database::Server(server.kind()) == database)
    }

    /// Where the server listens, for a proxy before it.
    pub(crate) fn address(&self, database: Database) -> Option<SocketAddr> {
        self.server(database).map(Server::address)
    }

    /// The same database through another port.
    pub(crate) fn via(&self, place: &Place, port: u16) -> Option<Place> {
        let server = self.server(place.database)?;
        Some(Place { database: place.database, url: server.url_via(port) })
    }

    pub(crate) fn admin(&self, database: Database) -> Option<Admin> {
        self.server(database).map(Server::admin)
    }

    /// Those that are servers.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Place> {
        self.all.iter().filter(|place| !place.database.is_sqlite())
    }
}

fn version(place: &Place) -> String {
    if place.database.is_sqlite() {
        return format!("SQLite {}", rusqlite::version());
    }
    let registry = place.connections();
    let db = registry.get("default").expect("an alias");
    let info = db.server_info().expect("a server that answers");
    registry.close_all();
    format!("{} {}", place.database, info.version)
}
