//! Where scenarios run: a fresh database for each, and what a server knows of the connections to it.

mod folder;
mod server;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dockline::Settings;

use super::engine::Engine;
use super::scenario::Sql;
use folder::File;
use server::{Address, Session};

const KILL_LIMIT: Duration = Duration::from_secs(10);
/// What the end of a connection may take to reach the client, once the server no longer lists it.
const FIN_DELAY: Duration = Duration::from_millis(100);

/// A server, or a folder for files of SQLite.
#[derive(Debug)]
pub enum Place {
    Server(Box<Address>),
    Folder(PathBuf),
}

/// A database that only one scenario uses. It stays until it is removed.
pub(super) struct Fresh<'a> {
    name: String,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Server(&'a Address),
    File(File),
}

/// A session beside a scenario's own, which watches and ends those.
pub(super) struct Administrator {
    session: Session,
    database: String,
}

impl Place {
    /// Reads `postgres://user:password@host:port/database`, where the database is for administration only,
    /// `mysql://…` or `sqlite:///directory`.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, without the password.
    pub fn from_url(engine: Engine, url: &str) -> Result<Self, String> {
        let settings = Settings::from_url(url).map_err(|error| error.to_string())?;
        let fits = match (engine, settings.get_engine().unwrap_or_default()) {
            (Engine::Mysql, scheme) => matches!(scheme, "mysql" | "mariadb"),
            (Engine::Postgres, scheme) => matches!(scheme, "postgres" | "postgresql"),
            (Engine::Sqlite, scheme) => scheme == "sqlite",
        };
        if !fits {
            return Err(format!("the URL is none of {engine}; its scheme is that of another engine"));
        }
        if engine == Engine::Sqlite {
            let folder = settings.get_name().ok_or("the URL names no directory: sqlite:///directory")?;
            return Ok(Self::Folder(PathBuf::from(folder)));
        }
        Ok(Self::Server(Box::new(Address::new(engine, url, settings)?)))
    }

    pub fn engine(&self) -> Engine {
        match self {
            Self::Server(address) => address.engine(),
            Self::Folder(_) => Engine::Sqlite,
        }
    }

    /// Makes an empty database. One of its name that another run has left behind goes.
    pub(super) fn create(&self) -> Result<Fresh<'_>, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("conf_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let kind = match self {
            Self::Server(address) => Kind::Server(address),
            Self::Folder(folder) => Kind::File(File::new(folder, &name)),
        };
        let fresh = Fresh { name, kind };
        fresh.remove()?;
        match &fresh.kind {
            Kind::Server(address) => address.session()?.create(&fresh.name)?,
            Kind::File(file) => file.create()?,
        }
        Ok(fresh)
    }
}

impl Fresh<'_> {
    /// The settings that name it.
    pub(super) fn settings(&self) -> Settings {
        match &self.kind {
            Kind::Server(address) => address.settings(&self.name),
            Kind::File(file) => file.settings(),
        }
    }

    /// Runs what a scenario needs to be there.
    pub(super) fn set_up(&self, statements: &[Sql], engine: Engine) -> Result<(), String> {
        let texts = statements.iter().map(|sql| sql.text(engine)).collect::<Result<Vec<_>, _>>()?;
        match &self.kind {
            Kind::Server(address) => {
                let mut session = address.session_in(&self.name)?;
                texts.into_iter().try_for_each(|sql| session.execute(sql).map_err(|reason| format!("{sql}: {reason}")))
            }
            Kind::File(file) => file.set_up(&texts),
        }
    }

    /// None where there is no server.
    pub(super) fn administrator(&self) -> Result<Option<Administrator>, String> {
        match &self.kind {
            Kind::Server(address) => {
                Ok(Some(Administrator { session: address.session()?, database: self.name.clone() }))
            }
            Kind::File(_) => Ok(None),
        }
    }

    /// Removes it, and ends what is still connected to it.
    pub(super) fn remove(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Server(address) => address.session()?.remove(&self.name),
            Kind::File(file) => file.remove(),
        }
    }
}

impl Administrator {
    /// The ids of the connections to the scenario's database.
    pub(super) fn listed(&mut self) -> Result<BTreeSet<u64>, String> {
        self.session.listed(&self.database)
    }

    /// Returns once the server no longer lists the connection, and the client can see that it ended.
    pub(super) fn kill_and_wait(&mut self, id: u64) -> Result<(), String> {
        self.session.kill(id)?;
        let started = Instant::now();
        while self.listed()?.contains(&id) {
            if started.elapsed() > KILL_LIMIT {
                return Err(format!("the server still lists connection {id}, which was ended"));
            }
            sleep(Duration::from_millis(10));
        }
        sleep(FIN_DELAY);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_to_fit_the_engine() {
        let error = |engine, url| Place::from_url(engine, url).unwrap_err();
        assert!(error(Engine::Mysql, "postgres://u:secret@h/d").contains("none of mysql"));
        assert!(error(Engine::Sqlite, "sqlite:").contains("names no directory"));
        let malformed = error(Engine::Postgres, "postgres://u:secret@h:port/d");
        assert!(!malformed.contains("secret"), "{malformed}");
        for url in ["sqlite:///srv/files", "sqlite:/srv/files"] {
            let Place::Folder(folder) = Place::from_url(Engine::Sqlite, url).unwrap() else { panic!("{url}") };
            assert_eq!(folder, PathBuf::from("/srv/files"));
        }
        assert_eq!(Place::from_url(Engine::Mysql, "mariadb://u:p@h:1/d").unwrap().engine(), Engine::Mysql);
    }
}
