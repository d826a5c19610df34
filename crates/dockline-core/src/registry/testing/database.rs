//! Databases that live as long as a test.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::time::Duration;

use super::alike::registry_on;
use super::maker::Maker;
use crate::base::error::Result;
use crate::base::logging::say;
use crate::registry::Registry;

/// How long the end of a test waits for connections of other threads that are in the middle of something.
const AT_THE_END: Duration = Duration::from_secs(5);

/// A database that was made for a test, and a registry whose alias leads to it. Both go when this is dropped.
///
/// It is for tests of which [`TestCase`](super::TestCase) cannot take the work back: those whose handlers run on other threads, that
/// look at what was committed, or that change the schema (Django's `TransactionTestCase`). Every thread that asks the
/// [`registry`](TestDatabase::registry) gets a connection to the same database, which no other test sees: tests run side by side, as
/// threads of one process (`cargo test`) and as processes (`cargo nextest`).
///
/// The database stands beside the one that the alias is configured to, on the same server, and its name begins with `dockline_test_`.
/// The user has to be allowed to make databases. On SQLite it is a file in the system's folder for temporary files. What a test process
/// that was killed has left behind is removed a day later, by the next [`Template`](super::Template) on that server.
///
/// ```
/// use dockline::{Registry, Result, testing::TestDatabase};
///
/// fn test_of_a_handler(connections: &Registry) -> Result<()> {
///     let test = TestDatabase::create(connections, "default")?;
///     test.get("default")?.execute("CREATE TABLE job (name TEXT)", ())?;
///     let registry = test.registry().clone();
///     let handler = std::thread::spawn(move || registry.get("default")?.execute("INSERT INTO job VALUES ('resize')", ()));
///     handler.join().unwrap()?;
///     assert_eq!(test.get("default")?.query_value::<i64>("SELECT count(*) FROM job", ())?, 1);
///     Ok(()) // and the database is dropped
/// }
/// ```
#[must_use = "the database is dropped when this is"]
pub struct TestDatabase {
    registry: Registry,
    maker: Maker,
    /// What the setting `name` of the alias is.
    name: String,
    made_at: &'static Location<'static>,
}

impl TestDatabase {
    /// Makes an empty database, and a registry like this one whose `alias` leads to it. The other aliases lead where they led.
    ///
    /// ```
    /// use dockline::testing::TestDatabase;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let test = TestDatabase::create(&connections, "default")?;
    /// test.get("default")?.execute("CREATE TABLE job (name TEXT)", ())?;
    /// drop(test); // and the database is gone
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Registry::get`], of connecting and of the database; [`NotSupported`](crate::ErrorKind::NotSupported) if the backend
    /// makes no databases.
    #[track_caller]
    pub fn create(registry: &Registry, alias: &str) -> Result<Self> {
        let maker = Maker::of(registry, alias)?;
        let name = maker.create()?;
        Self::of(registry, maker, name, Location::caller())
    }

    /// `name`: a database that was made.
    pub(super) fn of(
        registry: &Registry,
        maker: Maker,
        name: String,
        made_at: &'static Location<'static>,
    ) -> Result<Self> {
        match registry_on(registry, maker.alias(), &name) {
            Ok(registry) => Ok(Self { registry, maker, name, made_at }),
            Err(error) => {
                let _ = maker.drop(&name);
                Err(error)
            }
        }
    }

    /// The registry of the test: for handlers, on whichever thread.
    ///
    /// ```
    /// use dockline::testing::TestDatabase;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let test = TestDatabase::create(&connections, "default")?;
    /// let registry = test.registry().clone(); // for handlers on other threads
    /// let handler = std::thread::spawn(move || registry.get("default")?.execute("CREATE TABLE job (name TEXT)", ()));
    /// handler.join().unwrap()?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the setting [`name`](crate::Settings::name) of the alias is: the name of the database, or the path of the file.
    ///
    /// ```
    /// use dockline::testing::TestDatabase;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let test = TestDatabase::create(&connections, "default")?;
    /// println!("the test runs in {}", test.name());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// As [`registry`](TestDatabase::registry).
impl Deref for TestDatabase {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // What a test that panicked left open on its own thread is not waited for.
        self.registry.close_all();
        for left in self.registry.shutdown(AT_THE_END).left {
            let Self { name, made_at, .. } = self;
            say!(
                warn,
                "the test database {name:?} (made at {made_at}): thread {:?} is in the middle of a statement or a transaction of alias \
                 {:?} at the end of the test",
                left.thread,
                left.alias
            );
        }
        if let Err(error) = self.maker.drop(&self.name) {
            say!(warn, "the test database {:?} cannot be dropped: {}", self.name, error.brief());
        }
    }
}

impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabase")
            .field("name", &self.name)
            .field("alias", &self.maker.alias())
            .finish_non_exhaustive()
    }
}
