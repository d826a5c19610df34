//! Servers, through the bare drivers.

use std::collections::BTreeSet;

use dockline::Settings;
use url::Url;

use crate::conformance::engine::Engine;
use crate::servers::{self, Kind, Target};

/// A server, and the database of it that nothing but administration uses.
#[derive(Debug)]
pub struct Address {
    engine: Engine,
    url: Url,
    settings: Settings,
}

/// A session of a bare driver.
pub(super) struct Session {
    engine: Engine,
    bare: servers::Session,
}

impl Address {
    pub(super) fn new(engine: Engine, url: &str, settings: Settings) -> Result<Self, String> {
        let url = url.parse().map_err(|error| format!("malformed URL: {error}"))?;
        Ok(Self { engine, url, settings })
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    pub(super) fn settings(&self, database: &str) -> Settings {
        self.settings.clone().name(database)
    }

    pub(super) fn session(&self) -> Result<Session, String> {
        self.open(None)
    }

    pub(super) fn session_in(&self, database: &str) -> Result<Session, String> {
        self.open(Some(database))
    }

    fn open(&self, database: Option<&str>) -> Result<Session, String> {
        // What MySQL and MariaDB do differently is nothing that a driver minds.
        let kind = if self.engine == Engine::Postgres { Kind::Postgres } else { Kind::Mysql };
        let target = Target::from_url(kind, &self.url, database);
        Ok(Session { engine: self.engine, bare: servers::Session::try_open(&target)? })
    }
}

impl Session {
    pub(super) fn execute(&mut self, sql: &str) -> Result<(), String> {
        self.bare.execute(sql)
    }

    pub(super) fn create(&mut self, database: &str) -> Result<(), String> {
        self.execute(&format!("CREATE DATABASE {database}"))
    }

    pub(super) fn remove(&mut self, database: &str) -> Result<(), String> {
        if self.engine == Engine::Postgres {
            return self.execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
        }
        // A session with a lock in it would hold up the statement.
        for id in self.listed(database)? {
            self.kill(id)?;
        }
        self.execute(&format!("DROP DATABASE IF EXISTS {database}"))
    }

    pub(super) fn listed(&mut self, database: &str) -> Result<BTreeSet<u64>, String> {
        let sql = if self.engine == Engine::Postgres {
            format!("SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend'")
        } else {
            format!("SELECT id FROM information_schema.processlist WHERE db = '{database}'")
        };
        let ids = self.bare.column(&sql)?;
        ids.iter().map(|id| id.parse().map_err(|_| format!("the server lists a connection {id:?}"))).collect()
    }

    pub(super) fn kill(&mut self, id: u64) -> Result<(), String> {
        if self.engine == Engine::Postgres {
            return self.execute(&format!("SELECT pg_terminate_backend({id})"));
        }
        match self.execute(&format!("KILL {id}")) {
            // It has ended by itself.
            Err(reason) if reason.contains("ERROR 1094 ") => Ok(()),
            result => result,
        }
    }
}
