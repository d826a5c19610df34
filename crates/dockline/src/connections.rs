//! The registry with the engines that are built in.

use std::ops::Deref;

use dockline_core::{Databases, Registry, RegistryBuilder, Result};

/// A [`Registry`] with the engines that are built in, by feature. Everything that it does is the [`Registry`]'s.
///
/// ```
/// use dockline::{Connections, Databases, Settings};
///
/// let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// let connections = Connections::new(databases)?;
/// assert_eq!(connections.aliases()?, ["default"]);
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Connections {
    registry: Registry,
}

impl Connections {
    /// Makes the registry of a configuration. Opens nothing.
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings};
    ///
    /// let connections = Connections::new(Databases::new().with("default", Settings::from_url("sqlite::memory:")?))?;
    /// let one: i64 = connections.get("default")?.query_value("SELECT 1", ())?;
    /// assert_eq!(one, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured), naming the alias and the setting, where the
    /// configuration is wrong: an unknown scheme or one whose feature is off, an impossible value, no alias `default`.
    pub fn new(databases: Databases) -> Result<Self> {
        Self::builder().build(databases).map(Self::from)
    }

    /// Makes a registry whose configuration is loaded by the first call that needs it: see
    /// [`RegistryBuilder::build_lazily`].
    ///
    /// ```
    /// use dockline::{Connections, Databases};
    ///
    /// let connections = Connections::lazy(Databases::from_env); // the first get reads the environment
    /// # drop(connections);
    /// ```
    pub fn lazy(load: impl Fn() -> Result<Databases> + Send + Sync + 'static) -> Self {
        Self::from(Self::builder().build_lazily(load))
    }

    /// Begins a registry that has the engines that are built in, to add others to; what it builds becomes a
    /// `Connections` by [`From`].
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings, TaskPolicy};
    ///
    /// let registry = Connections::builder()
    ///     .task_policy(TaskPolicy::CloseAll)
    ///     .build(Databases::new().with("default", Settings::from_url("sqlite::memory:")?))?;
    /// let connections = Connections::from(registry);
    /// # drop(connections);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn builder() -> RegistryBuilder {
        let builder = Registry::builder();
        #[cfg(feature = "sqlite")]
        let builder = builder.engine(dockline_sqlite::Sqlite);
        #[cfg(not(feature = "sqlite"))]
        let builder = builder.unavailable(
            &["sqlite"],
            "it needs the feature \"sqlite\" of the crate dockline, which is off in this program",
        );
        #[cfg(feature = "mysql")]
        let builder = builder.engine(dockline_mysql::Mysql);
        #[cfg(not(feature = "mysql"))]
        let builder = builder.unavailable(
            &["mysql", "mariadb"],
            "it needs the feature \"mysql\" of the crate dockline, which is off in this program",
        );
        #[cfg(feature = "postgres")]
        let builder = builder.engine(dockline_postgres::Postgres);
        #[cfg(not(feature = "postgres"))]
        let builder = builder.unavailable(
            &["postgres", "postgresql"],
            "it needs the feature \"postgres\" of the crate dockline, which is off in this program",
        );
        builder
    }
}

impl From<Registry> for Connections {
    fn from(registry: Registry) -> Self {
        Self { registry }
    }
}

impl Deref for Connections {
    type Target = Registry;

    #[inline]
    fn deref(&self) -> &Registry {
        &self.registry
    }
}
