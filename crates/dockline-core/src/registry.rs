//! The registry: aliases and their settings, shared by all threads.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use once_cell::sync::OnceCell;
use thread_local::ThreadLocal;

use crate::backend::{Backend, Engine, Session};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::seat::Bucket;
use crate::settings::{Databases, Settings, unknown_setting};
use crate::signals::Signals;
use crate::thread::{self, RegistryId};

/// The alias that [`connection`](https://docs.rs/dockline/latest/dockline/fn.connection.html) means, and that every
/// configuration has (Django's `DEFAULT_DB_ALIAS`).
pub const DEFAULT_ALIAS: &str = "default";

/// A registry of per-thread connections (Django's `ConnectionHandler`).
///
/// It is `Clone`, `Send` and `Sync`, and usually lives for the whole process; several can live side by side. When the
/// last clone is dropped, the connections that are idle are closed, in every thread, as by
/// [`shutdown`](Registry::shutdown).
///
/// This is the registry without any driver. The crate `dockline` has one with the engines that are built in.
#[derive(Clone)]
pub struct Registry {
    owner: Arc<Owner>,
}

/// Makes a [`Registry`]: which engines it has, and where its configuration comes from.
#[derive(Default)]
pub struct RegistryBuilder {
    engines: Engines,
}

impl RegistryBuilder {
    /// Adds an engine. One that is added later goes before an earlier one with the same scheme.
    #[must_use]
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engines.present.insert(0, Arc::new(engine));
        self
    }

    /// Says which feature a scheme needs, `"name" of the crate x`, for the error that a URL with that scheme gets.
    #[must_use]
    pub fn feature_off(mut self, schemes: &'static [&'static str], feature: &'static str) -> Self {
        self.engines.absent.push((schemes, feature));
        self
    }

    /// Makes the registry of a configuration that is at hand.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured), naming the alias and the setting, where the
    /// configuration is wrong.
    pub fn build(self, databases: Databases) -> Result<Registry> {
        let registry = self.build_lazily(|| Ok(Databases::new()));
        registry.configure(databases)?;
        Ok(registry)
    }

    /// Makes a registry whose configuration is loaded by the first call that needs it. Where that fails, the call
    /// has its error, and the next one tries again.
    ///
    /// A `load` that uses the registry that it loads gets an error from it.
    pub fn build_lazily(self, load: impl Fn() -> Result<Databases> + Send + Sync + 'static) -> Registry {
        let id = RegistryId::next();
        let shared = Arc::new(Shared {
            hot: Hot { id, generation: AtomicU64::new(1), closed: AtomicBool::new(false) },
            engines: self.engines,
            load: Box::new(load),
            state: ArcSwap::from_pointee(State::default()),
            signals: Signals::new(id),
        });
        Registry { owner: Arc::new(Owner { shared }) }
    }
}

impl Registry {
    /// Begins a registry.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// Gives a lazy registry its configuration, before anything has loaded it.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where the configuration is wrong (and the registry
    /// has none still), or the registry has one already.
    pub fn configure(&self, databases: Databases) -> Result<()> {
        let shared = self.shared();
        let mut ours = false;
        shared.state.load().table.get_or_try_init(|| {
            ours = true;
            shared.table_of(databases)
        })?;
        if ours {
            shared.hot.advance();
            Ok(())
        } else {
            let message = "the registry is configured already; call init once, before the first connection";
            Err(Error::config(message))
        }
    }

    /// The connection of this thread for an alias (Django's `connections[alias]`). It is not opened: the first
    /// statement does that.
    ///
    /// For an alias that this thread has used it takes no lock, allocates nothing, and asks neither kernel nor clock.
    ///
    /// # Errors
    ///
    /// [`ConnectionDoesNotExist`](ErrorKind::ConnectionDoesNotExist) where the alias is not configured, naming those
    /// that are; [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where the configuration cannot be loaded;
    /// [`Interface`](ErrorKind::Interface) on a thread that is ending.
    #[inline]
    pub fn get(&self, alias: &str) -> Result<Connection> {
        thread::slot(self.shared(), alias).map(Connection::new)
    }

    /// The aliases that are configured, sorted.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where the configuration cannot be loaded.
    pub fn aliases(&self) -> Result<Vec<String>> {
        Ok(self.shared().table()?.keys().map(ToString::to_string).collect())
    }

    /// The aliases that this thread has used, sorted (Django's `connections.all(initialized_only=True)`).
    pub fn initialized(&self) -> Vec<String> {
        let registry = thread::find(self.shared().hot.id);
        let mut aliases = registry.map(|registry| registry.aliases()).unwrap_or_default();
        aliases.sort();
        aliases
    }

    /// Closes the connections of this thread that are due (Django's `close_old_connections`): too old or unused for
    /// too long, no longer usable after an error, with autocommit changed and not restored, or of an alias that was
    /// replaced or removed.
    ///
    /// It walks what this thread has, not what is configured. A connection that is in the middle of a statement is
    /// left alone.
    pub fn close_old_connections(&self) {
        if let Some(registry) = thread::find(self.shared().hot.id) {
            registry.close_old_connections();
        }
    }

    /// Closes every connection of this thread (Django's `connections.close_all`).
    pub fn close_all(&self) {
        if let Some(registry) = thread::find(self.shared().hot.id) {
            registry.close_all();
        }
    }

    /// Empties the query logs of this thread (Django's `reset_queries`).
    pub fn reset_queries(&self) {
        if let Some(registry) = thread::find(self.shared().hot.id) {
            registry.reset_queries();
        }
    }

    /// The signals of this registry.
    pub fn signals(&self) -> &Signals {
        &self.shared().signals
    }

    /// Adds an alias at run time.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where there is such an alias, or its settings are
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
    /// # Errors
    ///
    /// [`ConnectionDoesNotExist`](ErrorKind::ConnectionDoesNotExist) where there is no such alias;
    /// [`ImproperlyConfigured`](ErrorKind::ImproperlyConfigured) where the settings are wrong: the alias keeps its own.
    pub fn replace(&self, alias: &str, settings: Settings) -> Result<()> {
        self.shared().change(alias, Some(settings), |before| before.map(drop).ok_or_else(|| self.unknown(alias)))
    }

    /// Removes an alias. [`get`](Registry::get) fails from now on; a thread that has a connection for it keeps that
    /// until its next boundary.
    ///
    /// # Errors
    ///
    /// [`ConnectionDoesNotExist`](ErrorKind::ConnectionDoesNotExist) where there is no such alias.
    pub fn remove(&self, alias: &str) -> Result<()> {
        self.shared().change(alias, None, |before| before.map(drop).ok_or_else(|| self.unknown(alias)))
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
        thread::forget(self.shared.hot.id);
    }
}

/// A registry, as its threads see it.
pub(crate) struct Shared {
    pub(crate) hot: Hot,
    engines: Engines,
    load: Box<dyn Fn() -> Result<Databases> + Send + Sync>,
    // What threads share behind locks hangs on this one pointer, so that a process that forked can leave it all behind: the
    // table is read without one, and can be copied.
    state: ArcSwap<State>,
    pub(crate) signals: Signals,
}

/// What every `get` reads. It has cache lines of its own, for what stands beside it is written.
#[repr(align(128))]
pub(crate) struct Hot {
    pub(crate) id: RegistryId,
    /// Advances when the aliases change; a thread compares it with what it saw last.
    generation: AtomicU64,
    closed: AtomicBool,
}

impl Hot {
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn advance(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

#[derive(Default)]
pub(crate) struct State {
    table: OnceCell<ArcSwap<Table>>,
    /// What each thread shows the others. `thread_local` drops none of it when a thread ends, and hands it to the next
    /// thread with that id: see [`Bucket`].
    pub(crate) buckets: ThreadLocal<Arc<Bucket>>,
}

type Table = BTreeMap<Arc<str>, Arc<AliasConfig>>;

/// An alias, configured.
pub(crate) struct AliasConfig {
    pub(crate) alias: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) backend: Box<dyn Backend>,
}

impl AliasConfig {
    fn is_configured(&self) -> bool {
        self.settings.get_engine().is_some()
    }
}

impl Shared {
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The aliases as they are now; loads the configuration where that has not been done.
    pub(crate) fn table(&self) -> Result<Arc<Table>> {
        let state = self.state.load();
        if let Some(table) = state.table.get() {
            return Ok(table.load_full());
        }
        let loading = Loading::begin(self.hot.id)?;
        let table = state.table.get_or_try_init(|| self.table_of((self.load)()?))?;
        drop(loading);
        Ok(table.load_full())
    }

    pub(crate) fn table_if_loaded(&self) -> Option<Arc<Table>> {
        self.state.load().table.get().map(ArcSwap::load_full)
    }

    pub(crate) fn config(&self, alias: &str) -> Result<Arc<AliasConfig>> {
        let table = self.table()?;
        table.get(alias).cloned().ok_or_else(|| does_not_exist(alias, &table))
    }

    fn table_of(&self, databases: Databases) -> Result<ArcSwap<Table>> {
        let mut table = Table::new();
        for (alias, settings) in databases.into_iter() {
            let config = self.engines.configure(&alias, settings)?;
            table.insert(Arc::clone(&config.alias), config);
        }
        // As Django: nothing at all is the alias default, which says so when it is used; anything needs a default.
        if table.is_empty() {
            let config = self.engines.configure(DEFAULT_ALIAS, Settings::new())?;
            table.insert(Arc::clone(&config.alias), config);
        } else if !table.contains_key(DEFAULT_ALIAS) {
            let aliases = join(&table);
            return Err(Error::config(format!("the alias \"default\" is missing; configured are: {aliases}"))
                .with_alias(DEFAULT_ALIAS));
        }
        Ok(ArcSwap::from_pointee(table))
    }

    /// Puts an alias into the table, or takes it out, where `allowed` says yes to what is there.
    fn change(
        &self,
        alias: &str,
        settings: Option<Settings>,
        allowed: impl Fn(Option<&Arc<AliasConfig>>) -> Result<()>,
    ) -> Result<()> {
        let allowed = |table: &Table| allowed(table.get(alias)).map_err(|error| error.with_alias(alias));
        allowed(&*self.table()?)?;
        let config = settings.map(|settings| self.engines.configure(alias, settings)).transpose()?;
        let state = self.state.load();
        let Some(table) = state.table.get() else { return Ok(()) };
        let mut outcome = Ok(());
        table.rcu(|table| {
            // Another thread may have been faster.
            outcome = allowed(table);
            let mut table = Table::clone(table);
            match (&outcome, &config) {
                (Err(_), _) => {}
                (Ok(()), Some(config)) => drop(table.insert(Arc::clone(&config.alias), Arc::clone(config))),
                (Ok(()), None) => drop(table.remove(alias)),
            }
            table
        });
        self.hot.advance();
        outcome
    }
}

thread_local! {
    static LOADING: Cell<Option<RegistryId>> = const { Cell::new(None) };
}

/// This thread loads the configuration of a registry. A loader that uses its own registry, be it by way of a logger,
/// would wait for itself.
struct Loading(Option<RegistryId>);

impl Loading {
    fn begin(id: RegistryId) -> Result<Self> {
        let outer = LOADING.get();
        if outer == Some(id) {
            return Err(Error::config(
                "the configuration is being loaded, and its loader uses the registry that it loads",
            ));
        }
        LOADING.set(Some(id));
        Ok(Self(outer))
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        LOADING.set(self.0);
    }
}

fn does_not_exist(alias: &str, table: &Table) -> Error {
    let message = format!("the alias does not exist; configured are: {}", join(table));
    Error::new(ErrorKind::ConnectionDoesNotExist, message).with_alias(alias)
}

fn join(table: &Table) -> String {
    table.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
}

/// The engines of a registry.
#[derive(Default)]
struct Engines {
    present: Vec<Arc<dyn Engine>>,
    absent: Vec<(&'static [&'static str], &'static str)>,
}

impl Engines {
    fn configure(&self, alias: &str, settings: Settings) -> Result<Arc<AliasConfig>> {
        let backend = self.open(alias, &settings).map_err(|error| error.with_alias(alias))?;
        Ok(Arc::new(AliasConfig { alias: alias.into(), settings, backend }))
    }

    fn open(&self, alias: &str, settings: &Settings) -> Result<Box<dyn Backend>> {
        settings.check()?;
        refuse_what_is_not_there(settings)?;
        let Some(scheme) = settings.get_engine() else {
            let parts = [settings.get_name(), settings.get_host(), settings.get_user()];
            if parts.iter().any(Option::is_some) {
                return Err(Error::config("setting engine: it is missing; write it, or a url"));
            }
            return Ok(Box::new(Unconfigured));
        };
        let engine = self.find(scheme)?;
        for option in settings.option_names() {
            if !engine.options().contains(&option) {
                return Err(unknown_setting(&format!("option of {scheme}"), option, engine.options()));
            }
        }
        engine.open(alias, settings)
    }

    fn find(&self, scheme: &str) -> Result<&dyn Engine> {
        if let Some(engine) = self.present.iter().find(|engine| engine.schemes().contains(&scheme)) {
            return Ok(&**engine);
        }
        if let Some((_, feature)) = self.absent.iter().find(|(schemes, _)| schemes.contains(&scheme)) {
            return Err(Error::config(format!("{scheme}: needs the feature {feature}, which is off in this program")));
        }
        let known: Vec<&str> = self.present.iter().flat_map(|engine| engine.schemes()).copied().collect();
        Err(unknown_setting("scheme", scheme, &known))
    }
}

/// A setting that promises something must not be taken and then not kept.
fn refuse_what_is_not_there(settings: &Settings) -> Result<()> {
    if settings.get_atomic_requests() {
        return Err(Error::config("setting atomic_requests: this version has no atomic blocks; leave it false"));
    }
    if settings.get_max_connections().is_some() {
        return Err(Error::config("setting max_connections: this version has no cap; leave it none"));
    }
    Ok(())
}

/// The backend of an alias without an engine (Django's dummy backend).
struct Unconfigured;

impl Backend for Unconfigured {
    fn vendor(&self) -> &'static str {
        "unknown"
    }

    fn connect(&self) -> Result<Box<dyn Session>> {
        Err(Error::config(
            "no database is configured: set DATABASE_URL, write a dockline.toml, or call init with Databases",
        ))
    }
}
