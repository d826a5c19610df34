//! The registry: the interface that programs use, with its requests, tasks, checks and its end.
//!
//! It is the uppermost layer: it may know all others, and none of them may know it.

pub(crate) mod cap;
pub(crate) mod check;
pub(crate) mod scope;
pub(crate) mod shutdown;
pub(crate) mod task;
pub mod testing;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::ids::TaskPolicy;
use crate::config::backend::Engine;
use crate::config::engines::Engines;
use crate::config::settings::{Databases, Settings};
use crate::handle::connection::Connection;
use crate::shared::signals::Signals;
use crate::shared::status::Status;
use crate::shared::{Shared, does_not_exist, housekeeper, inherit};
use crate::slot::events::Events;
use crate::thread::desk::RECEIVERS;
use crate::thread::local::{self, ThreadRegistry};

/// A registry of per-thread connections (Django's `ConnectionHandler`).
///
/// It is `Clone`, `Send` and `Sync`, and usually lives for the whole process; several can live side by side. When the
/// last clone is dropped, the connections that are idle are closed, in every thread, as by
/// [`shutdown`](Registry::shutdown).
///
/// This is the registry without any driver. The crate `dockline` has one with the engines that are built in.
///
/// ```
/// use dockline::{Connections, Databases, Registry, Settings};
///
/// let connections = Connections::new(Databases::new().with("default", Settings::from_url("sqlite::memory:")?))?;
/// let registry: &Registry = &connections; // what libraries take
/// assert_eq!(registry.aliases()?, ["default"]);
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    owner: Arc<Owner>,
}

/// Makes a [`Registry`]: which engines it has, and where its configuration comes from.
///
/// ```
/// use dockline::{Connections, Databases, Settings, TaskPolicy};
///
/// let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// let registry = Connections::builder().task_policy(TaskPolicy::CloseAll).build(databases)?;
/// # drop(registry);
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Default)]
pub struct RegistryBuilder {
    engines: Engines,
    task_policy: TaskPolicy,
}

impl RegistryBuilder {
    /// Adds an engine. One that is added later goes before an earlier one with the same scheme.
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings, Sqlite};
    ///
    /// // A backend of your own goes where Sqlite stands here, and before the one that is built in.
    /// let registry = Connections::builder().engine(Sqlite).build(
    ///     Databases::new().with("default", Settings::from_url("sqlite::memory:")?),
    /// )?;
    /// assert_eq!(registry.get("default")?.vendor(), "sqlite");
    /// # Ok::<_, dockline::Error>(())
    /// ```
    #[must_use]
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engines.present.insert(0, Arc::new(engine));
        self
    }

    /// Says why schemes are not available, for the error that a URL with one of them gets: which feature they need, say.
    ///
    /// ```
    /// use dockline::{Databases, Registry, Settings};
    ///
    /// let builder = Registry::builder().unavailable(&["sqlite"], "this program has servers only");
    /// let error = builder.build(Databases::new().with("default", Settings::from_url("sqlite::memory:")?)).unwrap_err();
    /// assert!(error.to_string().contains("this program has servers only"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    #[must_use]
    pub fn unavailable(mut self, schemes: &'static [&'static str], reason: &'static str) -> Self {
        self.engines.absent.push((schemes, reason));
        self
    }

    /// What becomes of a thread's connections when a [`task`](Registry::task) on it has ended, where the task does not say it
    /// itself. Default: those that are due are closed.
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings, TaskPolicy};
    ///
    /// let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
    /// let registry = Connections::builder().task_policy(TaskPolicy::CloseAll).build(databases)?;
    /// registry.task(|| println!("nothing stays open after this"))();
    /// # Ok::<_, dockline::Error>(())
    /// ```
    #[must_use]
    pub fn task_policy(mut self, policy: TaskPolicy) -> Self {
        self.task_policy = policy;
        self
    }

    /// Makes the registry of a configuration that is at hand.
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings};
    ///
    /// let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
    /// let connections = Connections::from(Connections::builder().build(databases)?);
    /// assert_eq!(connections.aliases()?, ["default"]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured), naming the alias and the setting, where the
    /// configuration is wrong.
    pub fn build(self, databases: Databases) -> Result<Registry> {
        let registry = self.build_lazily(|| Ok(Databases::new()));
        registry.configure(databases)?;
        Ok(registry)
    }

    /// Makes a registry whose configuration is loaded by the first call that needs it. Where that fails, the call
    /// has its error, and the next one tries again.
    ///
    /// A `load` that uses the registry that it loads gets an error from it. It must not wait for another thread that does.
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings};
    ///
    /// let registry = Connections::builder()
    ///     .build_lazily(|| Ok(Databases::new().with("default", Settings::from_url("sqlite::memory:")?)));
    /// assert_eq!(registry.get("default")?.alias(), "default"); // it is loaded now
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn build_lazily(self, load: impl Fn() -> Result<Databases> + Send + Sync + 'static) -> Registry {
        let shared = Arc::new(Shared::new(self.engines, self.task_policy, RECEIVERS, load));
        inherit::register(&shared);
        Registry { owner: Arc::new(Owner { shared }) }
    }
}

impl Registry {
    /// Begins a registry.
    ///
    /// ```
    /// use dockline::{Databases, Registry, Settings, Sqlite};
    ///
    /// // Without the engines that are built in, which Connections::builder has.
    /// let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
    /// let registry = Registry::builder().engine(Sqlite).build(databases)?;
    /// assert_eq!(registry.aliases()?, ["default"]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// Gives a lazy registry its configuration, before anything has loaded it.
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings};
    ///
    /// let connections = Connections::lazy(Databases::from_env);
    /// // The arguments of the program say otherwise:
    /// connections.configure(Databases::new().with("default", Settings::from_url("sqlite::memory:")?))?;
    /// assert!(connections.configure(Databases::new()).is_err()); // it has one
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where the configuration is wrong (and the registry
    /// has none still), or the registry has one already.
    pub fn configure(&self, databases: Databases) -> Result<()> {
        self.shared().configure(databases)
    }

    /// The connection of this thread for an alias (Django's `connections[alias]`). It is not opened: the first
    /// statement does that.
    ///
    /// For an alias that this thread has used it takes no lock, allocates nothing, and asks neither kernel nor clock.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let db = connections.get("default")?;
    /// let again = connections.get("default")?;
    /// db.execute("CREATE TEMPORARY TABLE seen (id INTEGER)", ())?;
    /// again.execute("INSERT INTO seen VALUES (1)", ())?; // it is the same connection
    ///
    /// let error = connections.get("defualt").unwrap_err();
    /// assert!(error.is_config()); // "did you mean default"
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectionDoesNotExist`](crate::ErrorKind::ConnectionDoesNotExist) where the alias is not configured, naming those
    /// that are; [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where the configuration cannot be loaded;
    /// [`Interface`](crate::ErrorKind::Interface) on a thread that is ending.
    #[inline]
    pub fn get(&self, alias: &str) -> Result<Connection> {
        local::slot(self.shared(), alias).map(Connection::new)
    }

    /// The aliases that are configured, sorted.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// assert_eq!(connections.aliases()?, ["default"]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where the configuration cannot be loaded.
    pub fn aliases(&self) -> Result<Vec<String>> {
        Ok(self.shared().table()?.keys().map(ToString::to_string).collect())
    }

    /// The aliases that this thread has used, sorted (Django's `connections.all(initialized_only=True)`).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// assert!(connections.initialized().is_empty());
    /// connections.get("default")?;
    /// assert_eq!(connections.initialized(), ["default"]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn initialized(&self) -> Vec<String> {
        let mut aliases = self.of_this_thread().map(|registry| registry.aliases()).unwrap_or_default();
        aliases.sort();
        aliases
    }

    /// Closes the connections of this thread that are due (Django's `close_old_connections`): too old or unused for
    /// too long, no longer usable after an error, with autocommit changed and not restored, or of an alias that was
    /// replaced or removed.
    ///
    /// It walks what this thread has, not what is configured. A connection that is in the middle of a statement is
    /// left alone. Inside a request or task, one is left alone too that has an open transaction, changed autocommit or
    /// state of its own: the code around would not notice that it has another. Elsewhere an open transaction is rolled
    /// back with its connection, as in Django, and the log says so at warn.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let db = connections.get("default")?;
    /// loop {
    ///     db.query("SELECT 1", ())?; // one round of a program without requests and tasks
    ///     connections.close_old_connections();
    /// #   break;
    /// }
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn close_old_connections(&self) {
        if let Some(registry) = self.of_this_thread() {
            registry.close_old_connections();
        }
    }

    /// Closes every connection of this thread (Django's `connections.close_all`).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let db = connections.get("default")?;
    /// db.query("SELECT 1", ())?;
    /// connections.close_all();
    /// assert!(!db.is_connected());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn close_all(&self) {
        if let Some(registry) = self.of_this_thread() {
            registry.close_all();
        }
    }

    /// Empties the query logs of this thread (Django's `reset_queries`).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let db = connections.get("default")?;
    /// db.force_query_log(true);
    /// db.query("SELECT 1", ())?;
    /// connections.reset_queries();
    /// assert!(db.queries().is_empty());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn reset_queries(&self) {
        if let Some(registry) = self.of_this_thread() {
            registry.reset_queries();
        }
    }

    /// The signals of this registry.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let id = connections.signals().connection_created.connect(|event| println!("{} is open", event.alias()));
    /// connections.get("default")?.query("SELECT 1", ())?;
    /// connections.signals().connection_created.disconnect(id);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn signals(&self) -> &Signals {
        &self.shared().signals
    }

    /// Reads what all threads have open: how many connections of each alias are in which state, each of them with its thread, and what
    /// has happened in all. It opens nothing, asks no server, and never makes a statement wait. With 1,000 threads it takes less than a
    /// millisecond.
    ///
    /// The counts of an alias are those of its list of connections, so they agree with each other. Threads go on while it reads.
    ///
    /// ```
    /// # fn show(registry: &dockline::Registry) {
    /// for alias in registry.status().aliases {
    ///     println!("{}: {} open, {} in use", alias.alias, alias.counts.open, alias.counts.in_use);
    /// }
    /// # }
    /// ```
    pub fn status(&self) -> Status {
        self.shared().status()
    }

    /// The events of this registry: who listens hears every statement and every connection of all of its threads. See
    /// [`events`](crate::events).
    ///
    /// ```
    /// use dockline::events::Event;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let id = connections.events().listen(|event| {
    ///     if let Event::StatementDone { source, elapsed, .. } = event {
    ///         println!("{}: {elapsed:?}", source.alias());
    ///     }
    /// });
    /// connections.get("default")?.query("SELECT 1", ())?;
    /// connections.events().remove(id);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn events(&self) -> &Events {
        &self.shared().hot.events
    }

    /// Adds an alias at run time.
    ///
    /// ```
    /// use dockline::Settings;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// connections.add("reports", Settings::from_url("sqlite::memory:")?)?;
    /// let one: i64 = connections.get("reports")?.query_value("SELECT 1", ())?;
    /// assert_eq!(one, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where there is such an alias, or its settings are
    /// wrong.
    pub fn add(&self, alias: &str, settings: Settings) -> Result<()> {
        self.shared().change(alias, Some(settings), |before| match before {
            Some(config) if config.is_configured() => {
                Err(Error::config("the alias exists already; replace gives it other settings"))
            }
            _ => Ok(()),
        })
    }

    /// Gives an alias other settings, of the same backend or of another. A thread that has a connection for it keeps
    /// that until its next boundary (`close_old_connections`, a request, a task), and its next connection has the new
    /// settings.
    ///
    /// ```
    /// use dockline::Settings;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// // The password was changed, say; threads take the new settings at their next boundary.
    /// connections.replace("default", Settings::from_url("sqlite::memory:?conn_max_age=5m")?)?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectionDoesNotExist`](crate::ErrorKind::ConnectionDoesNotExist) where there is no such alias;
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where the settings are wrong: the alias keeps its own.
    pub fn replace(&self, alias: &str, settings: Settings) -> Result<()> {
        self.shared().change(alias, Some(settings), |before| before.map(drop).ok_or_else(|| self.unknown(alias)))
    }

    /// Removes an alias. [`get`](Registry::get) fails from now on; a thread that has a connection for it keeps that
    /// until its next boundary.
    ///
    /// ```
    /// use dockline::Settings;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// connections.add("tenant_7", Settings::from_url("sqlite::memory:")?)?;
    /// connections.remove("tenant_7")?;
    /// assert!(connections.get("tenant_7").is_err());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectionDoesNotExist`](crate::ErrorKind::ConnectionDoesNotExist) where there is no such alias.
    pub fn remove(&self, alias: &str) -> Result<()> {
        self.shared().change(alias, None, |before| before.map(drop).ok_or_else(|| self.unknown(alias)))
    }

    /// What this thread has of the registry, where it has used it.
    fn of_this_thread(&self) -> Option<Rc<ThreadRegistry>> {
        local::find(self.shared().hot.id)
    }

    fn unknown(&self, alias: &str) -> Error {
        match self.shared().table() {
            Ok(table) => does_not_exist(alias, &table),
            Err(error) => error,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("id", &self.shared().hot.id).finish_non_exhaustive()
    }
}

/// What the clones of a [`Registry`] have in common. Threads hold the [`Shared`] inside it, and so do not keep the
/// registry alive.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close_idle();
        local::forget_registry(self.shared.hot.id);
        housekeeper::registry_ended();
    }
}
