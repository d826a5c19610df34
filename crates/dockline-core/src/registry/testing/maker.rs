//! Makes databases for tests, and drops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::alike::builder_like;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::DEFAULT_ALIAS;
use crate::config::engines::AliasConfig;
use crate::config::settings::{Databases, Settings};
use crate::config::test_databases::{SqlOfDatabases, TestDatabases};
use crate::handle::connection::Connection;
use crate::registry::Registry;

const PREFIX: &str = "dockline_test_";
/// What is older was left behind by a process that was killed.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);
/// A database cannot be copied while somebody is connected to it, and a server takes a moment to notice that somebody has gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes databases beside that of an alias.
pub(super) struct Maker {
    config: Arc<AliasConfig>,
    /// For connections of the maker's own.
    registry: Registry,
    by: TestDatabases,
}

impl Maker {
    pub(super) fn of(registry: &Registry, alias: &str) -> Result<Self> {
        let config = registry.shared().config(alias)?;
        let Some(by) = config.backend.test_databases() else {
            let message = "this backend makes no databases for tests";
            return Err(Error::new(ErrorKind::NotSupported, message).with_alias(alias));
        };
        let registry = builder_like(registry).build(Databases::new().with(DEFAULT_ALIAS, Settings::new()))?;
        Ok(Self { config, registry, by })
    }

    pub(super) fn alias(&self) -> &str {
        &self.config.alias
    }

    /// Where the databases are, and as whose they are made.
    pub(super) fn place(&self) -> String {
        let settings = &self.config.settings;
        format!(
            "{:?} {:?} {:?} {:?} {:?}",
            settings.get_engine(),
            settings.get_host(),
            settings.get_port(),
            settings.get_user(),
            settings.get_name()
        )
    }

    /// Whether a database can be copied.
    pub(super) fn copies(&self) -> bool {
        match self.by {
            TestDatabases::BySql(sql) => sql.copy.is_some(),
            TestDatabases::ByFiles(_) => true,
        }
    }

    /// Makes an empty database; the answer is what the setting `name` has to be.
    pub(super) fn create(&self) -> Result<String> {
        let name = new_name();
        match self.by {
            TestDatabases::ByFiles(files) => (files.create)(&name),
            TestDatabases::BySql(sql) => {
                self.make(sql, &(sql.create)(&name))?;
                Ok(name)
            }
        }
        .map_err(|error| self.about("making a test database", error))
    }

    /// Makes a copy of a database that this has made, and that nobody is connected to.
    pub(super) fn copy(&self, of: &str) -> Result<String> {
        let name = new_name();
        match self.by {
            TestDatabases::ByFiles(files) => (files.copy)(&name, of),
            TestDatabases::BySql(sql) => match sql.copy {
                Some(copy) => self.make(sql, &copy(&name, of)).map(|()| name),
                None => Err(Error::new(ErrorKind::NotSupported, "this server copies no databases")),
            },
        }
        .map_err(|error| self.about("copying a test database", error))
    }

    /// Drops a database that this has made.
    pub(super) fn drop(&self, name: &str) -> Result<()> {
        match self.by {
            TestDatabases::ByFiles(files) => (files.drop)(name),
            TestDatabases::BySql(sql) => self.on_server(sql, |db| db.execute(&(sql.drop)(name), ()).map(drop)),
        }
        .map_err(|error| self.about("dropping a test database", error))
    }

    /// Drops what processes have left behind that were killed, as far as that goes.
    pub(super) fn sweep(&self) {
        match self.by {
            TestDatabases::ByFiles(files) => {
                (files.named)(PREFIX).iter().filter(|path| is_old(path)).for_each(|path| drop((files.drop)(path)));
            }
            TestDatabases::BySql(sql) => {
                let _ = self.on_server(sql, |db| {
                    let all: Vec<String> =
                        db.query(sql.names, ())?.iter().map(|row| row.get(0)).collect::<Result<_>>()?;
                    for name in all.iter().filter(|name| name.starts_with(PREFIX) && is_old(name)) {
                        let _ = db.execute(&(sql.drop)(name), ());
                    }
                    Ok(())
                });
            }
        }
    }

    /// Runs the statement that makes one, again while the server is busy with the one that is copied.
    fn make(&self, sql: SqlOfDatabases, statement: &str) -> Result<()> {
        let started = Instant::now();
        self.on_server(sql, |db| {
            loop {
                match db.execute(statement, ()) {
                    // 55006: somebody is connected to it.
                    Err(error) if error.code().as_deref() == Some("55006") && started.elapsed() < PATIENCE => {
                        sleep(Duration::from_millis(50));
                    }
                    result => return result.map(drop),
                }
            }
        })
    }

    /// Runs something on a connection of its own, which is closed after it.
    fn on_server<T>(&self, sql: SqlOfDatabases, call: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let settings = self.config.settings.clone().name(sql.maintenance).autocommit(true).init_sql(sql.session);
        self.registry.replace(DEFAULT_ALIAS, settings)?;
        self.registry.get(DEFAULT_ALIAS)?.temporary(call)
    }

    fn about(&self, what: &str, error: Error) -> Error {
        let anew = Error::new(error.kind(), error.message().to_owned()).with_context(what);
        let anew = error.code().into_iter().fold(anew, Error::with_code);
        anew.with_alias(self.alias()).with_source(error)
    }
}

/// A name that no other process, thread or machine has.
fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{seconds:x}_{}_{count}_{:08x}", std::process::id(), fastrand::u32(..))
}

/// Whether a name that this has made was made long ago. A path has it in its last part.
fn is_old(name: &str) -> bool {
    let seconds = name.rsplit_once(PREFIX).and_then(|(_, rest)| u64::from_str_radix(rest.split('_').next()?, 16).ok());
    let Some(made) = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))) else {
        return false;
    };
    SystemTime::now().duration_since(made).is_ok_and(|age| age > OLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_say_when_they_were_made() {
        let name = new_name();
        assert_ne!(name, new_name());
        assert!(
            name.len() < 60 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{name}"
        );
        assert!(!is_old(&name));
        assert!(is_old("dockline_test_5f000000_1_0_abc") && is_old("/tmp/dockline_test_5f000000_1_0_abc.db"));
        assert!(!is_old("dockline_test_x") && !is_old("shop") && !is_old("dockline_test_ffffffffff_1"));
    }
}
