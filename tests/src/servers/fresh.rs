//! A database of its own for one test, in a server that tests share.

use std::sync::atomic::{AtomicU32, Ordering};

use super::admin::Session;
use super::server::via;
use super::{Admin, Kind, Server};

/// An empty database that belongs to the tests' user, dropped when this is.
#[derive(Debug)]
pub struct FreshDatabase<'a> {
    server: &'a Server,
    name: String,
}

impl<'a> FreshDatabase<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // A server of the environment may have databases of other processes.
        let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = server.admin();
        match server.kind() {
            Kind::Postgres => admin.execute(&format!("CREATE DATABASE {name} OWNER {}", server.user())),
            Kind::MariaDb | Kind::Mysql => admin.execute(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")),
        }
        Self { server, name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn server(&self) -> &'a Server {
        self.server
    }

    pub fn url(&self) -> String {
        self.server.url_for(&self.name)
    }

    /// The same through a port of 127.0.0.1 where a proxy listens.
    pub fn url_via(&self, port: u16) -> String {
        via(self.url().parse().expect("a URL"), port)
    }

    /// An administrative session in this database, which counts and ends only the sessions in it: those of the other
    /// tests are not seen.
    pub fn admin(&self) -> Admin {
        let session = Session::open(&self.server.admin_target(Some(&self.name)));
        Admin::new(self.server.kind(), session, self.server.user(), Some(self.name.clone()))
    }

    /// Best effort: the server may be gone by then, and its data with it.
    fn drop_database(&self) -> Result<(), String> {
        let name = &self.name;
        let mut session = Session::try_open(&self.server.admin_target(None))?;
        match self.server.kind() {
            Kind::Postgres => session.execute(&format!("DROP DATABASE {name} WITH (FORCE)")),
            Kind::MariaDb | Kind::Mysql => {
                // A session with a lock in it would hold up the statement.
                for id in self.admin().connections() {
                    let _ = session.execute(&format!("KILL {id}"));
                }
                session.execute(&format!("DROP DATABASE {name}"))
            }
        }
    }
}

impl Drop for FreshDatabase<'_> {
    fn drop(&mut self) {
        if self.server.runs() {
            let _ = self.drop_database();
        }
    }
}
