//! A schema that is made once, and copied for each test.

use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::alike::registry_on;
use super::database::TestDatabase;
use super::maker::Maker;
use crate::base::error::Result;
use crate::handle::connection::Connection;
use crate::registry::Registry;

/// The schema of test databases: migrations that run once in a process, and the databases that are made of it.
///
/// On PostgreSQL the first test makes a database, runs the migrations there, and every test gets a copy of it; on SQLite a copy of the
/// file. MySQL and MariaDB cannot copy a database: there the migrations run for each test. The database that is copied stays on the
/// server when the process ends, and is removed a day later, by the next template there.
///
/// ```
/// use dockline::{Registry, Result, testing::Template};
///
/// static SCHEMA: Template = Template::new(|db| db.execute_script("CREATE TABLE job (name TEXT);").map(drop));
///
/// fn test_of_a_handler(connections: &Registry) -> Result<()> {
///     let test = SCHEMA.database(connections, "default")?;
///     test.get("default")?.execute("INSERT INTO job VALUES ('resize')", ())?;
///     Ok(())
/// }
/// ```
pub struct Template {
    migrate: fn(&Connection) -> Result<()>,
    made: Mutex<Vec<Made>>,
}

/// A database that is copied.
struct Made {
    place: String,
    name: String,
}

impl Template {
    /// A template whose migrations are run on a connection to an empty database. It is for a `static`.
    ///
    /// ```
    /// use dockline::testing::Template;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// static SCHEMA: Template = Template::new(|db| db.execute_script("CREATE TABLE job (name TEXT);").map(drop));
    ///
    /// let test = SCHEMA.database(&connections, "default")?;
    /// assert!(test.get("default")?.query("SELECT name FROM job", ())?.is_empty());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub const fn new(migrate: fn(&Connection) -> Result<()>) -> Self {
        Self { migrate, made: Mutex::new(Vec::new()) }
    }

    /// Makes a database with this schema, and a registry whose `alias` leads to it: see [`TestDatabase`]. Tests that ask while the
    /// migrations run wait for them.
    ///
    /// ```
    /// use dockline::testing::Template;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// static SCHEMA: Template = Template::new(|db| db.execute_script("CREATE TABLE job (name TEXT);").map(drop));
    ///
    /// // Each test has one of its own; the migrations have run.
    /// let (one, other) = (SCHEMA.database(&connections, "default")?, SCHEMA.database(&connections, "default")?);
    /// one.get("default")?.execute("INSERT INTO job VALUES ('resize')", ())?;
    /// assert!(other.get("default")?.query("SELECT name FROM job", ())?.is_empty());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TestDatabase::create`], and those of the migrations. After an error the next test tries again.
    #[track_caller]
    pub fn database(&self, registry: &Registry, alias: &str) -> Result<TestDatabase> {
        let at = Location::caller();
        let maker = Maker::of(registry, alias)?;
        if !maker.copies() {
            self.sweep_once(&maker);
            let name = maker.create()?;
            let test = TestDatabase::of(registry, maker, name, at)?;
            (self.migrate)(&test.get(alias)?)?;
            return Ok(test);
        }
        let template = self.template(registry, &maker)?;
        let name = maker.copy(&template)?;
        TestDatabase::of(registry, maker, name, at)
    }

    /// The name of the database that is copied, which is made if it is not there yet.
    fn template(&self, registry: &Registry, maker: &Maker) -> Result<String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let place = maker.place();
        if let Some(found) = made.iter().find(|made| made.place == place) {
            return Ok(found.name.clone());
        }
        maker.sweep();
        let name = maker.create()?;
        if let Err(error) = self.fill(registry, maker.alias(), &name) {
            let _ = maker.drop(&name);
            return Err(error);
        }
        made.push(Made { place, name: name.clone() });
        Ok(name)
    }

    fn fill(&self, registry: &Registry, alias: &str, name: &str) -> Result<()> {
        let registry = registry_on(registry, alias, name)?;
        let filled = registry.get(alias).and_then(|db| (self.migrate)(&db));
        // What is copied has nobody connected to it.
        registry.shutdown(Duration::from_secs(5));
        filled
    }

    /// Sweeps when the first database is made there.
    fn sweep_once(&self, maker: &Maker) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let place = maker.place();
        if made.iter().all(|made| made.place != place) {
            maker.sweep();
            made.push(Made { place, name: String::new() });
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}
