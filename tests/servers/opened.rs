//! A registry on an empty database of a server: where most tests begin.

use dockline::{Connection, Connections, Settings};
use dockline_tests::servers::{FreshDatabase, Server};

/// The alias default on a database of its own. What is open is closed before the database goes.
pub(crate) struct Opened<'server> {
    pub(crate) db: Connection,
    pub(crate) connections: Connections,
    pub(crate) database: FreshDatabase<'server>,
}

impl<'server> Opened<'server> {
    pub(crate) fn new(server: &'server Server) -> Self {
        Self::with(server, |settings| settings)
    }

    pub(crate) fn with(server: &'server Server, change: impl FnOnce(Settings) -> Settings) -> Self {
        Self::on(server.database(), change)
    }

    pub(crate) fn on(database: FreshDatabase<'server>, change: impl FnOnce(Settings) -> Settings) -> Self {
        let connections = dockline_tests::connections(change(settings(&database.url())));
        let db = connections.get("default").expect("an alias");
        Self { db, connections, database }
    }
}

/// The settings of a URL.
pub(crate) fn settings(url: &str) -> Settings {
    Settings::from_url(url).expect("a URL")
}
