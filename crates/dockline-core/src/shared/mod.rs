//! What the clones of a registry and its threads share.

pub(crate) mod inherit;
pub mod signals;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use once_cell::sync::OnceCell;
use thread_local::ThreadLocal;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{DEFAULT_ALIAS, RegistryId, TaskPolicy};
use crate::base::process::process;
use crate::config::engines::{AliasConfig, Engines};
use crate::config::settings::{Databases, Settings};
use crate::link::seat::Bucket;
use crate::shared::inherit::Inherited;
use crate::shared::signals::Signals;

/// A registry, as its threads see it.
pub(crate) struct Shared {
    pub(crate) hot: Hot,
    pub(crate) engines: Engines,
    load: Box<dyn Fn() -> Result<Databases> + Send + Sync>,
    // What threads share behind locks hangs on this one pointer, so that a process that forked can leave it all behind: the
    // table is read without one, and can be copied.
    state: ArcSwap<State>,
    pub(crate) signals: Signals,
    pub(crate) task_policy: TaskPolicy,
}

/// What every `get` reads. It has cache lines of its own, for what stands beside it is written.
#[repr(align(128))]
pub(crate) struct Hot {
    pub(crate) id: RegistryId,
    /// Advances when the aliases change; a thread compares it with what it saw last.
    generation: AtomicU64,
    closed: AtomicBool,
    /// An alias has, or had, `atomic_requests`.
    atomic_requests: AtomicBool,
    /// The log says what a request without a block does with that.
    warned_of_requests: AtomicBool,
    /// The log says what becomes of a task inside a block.
    warned_of_tasks: AtomicBool,
}

impl Hot {
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn advance(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn has_atomic_requests(&self) -> bool {
        self.atomic_requests.load(Ordering::Relaxed)
    }

    /// Whether nobody has asked before.
    pub(crate) fn warns_of_requests(&self) -> bool {
        !self.warned_of_requests.swap(true, Ordering::Relaxed)
    }

    /// Whether nobody has asked before.
    pub(crate) fn warns_of_tasks(&self) -> bool {
        !self.warned_of_tasks.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// What hangs on locks, of one process.
pub(crate) struct State {
    pub(crate) table: OnceCell<ArcSwap<Table>>,
    /// What each thread shows the others. `thread_local` drops none of it when a thread ends, and hands it to the next
    /// thread with that id: see [`Bucket`].
    pub(crate) buckets: ThreadLocal<Arc<Bucket>>,
    process: u32,
    pub(crate) inherited: Option<Inherited>,
}

impl State {
    fn new(inherited: Option<Inherited>) -> Self {
        Self { table: OnceCell::new(), buckets: ThreadLocal::new(), process: process(), inherited }
    }
}

pub(crate) type Table = BTreeMap<Arc<str>, Arc<AliasConfig>>;

impl Shared {
    pub(crate) fn new(
        engines: Engines,
        task_policy: TaskPolicy,
        load: impl Fn() -> Result<Databases> + Send + Sync + 'static,
    ) -> Self {
        let id = RegistryId::next();
        Self {
            hot: Hot {
                id,
                generation: AtomicU64::new(1),
                closed: AtomicBool::new(false),
                atomic_requests: AtomicBool::new(false),
                warned_of_requests: AtomicBool::new(false),
                warned_of_tasks: AtomicBool::new(false),
            },
            engines,
            load: Box::new(load),
            state: ArcSwap::from_pointee(State::new(None)),
            signals: Signals::new(id),
            task_policy,
        }
    }

    /// Gives the configuration, where none has been loaded yet.
    pub(crate) fn configure(&self, databases: Databases) -> Result<()> {
        let mut ours = false;
        let _loading = Loading::begin(self.hot.id)?;
        self.state().table.get_or_try_init(|| {
            ours = true;
            self.table_of(databases)
        })?;
        if ours {
            self.hot.advance();
            Ok(())
        } else {
            let message = "the registry is configured already; call init once, before the first connection";
            Err(Error::config(message))
        }
    }

    /// That of this process. One that was forked begins with one of its own, and leaves the other to its parent.
    pub(crate) fn state(&self) -> Arc<State> {
        let state = self.state.load_full();
        let is_mine = state.process == process();
        if is_mine && state.inherited.as_ref().is_none_or(Inherited::is_left) {
            return state;
        }
        inherit::leave_all_to_parent(true);
        self.renewed_state()
    }

    /// That of this process, before anything is left to the parent.
    pub(crate) fn renewed_state(&self) -> Arc<State> {
        let state = self.state.load_full();
        if state.process == process() {
            return state;
        }
        let fresh = Arc::new(State::new(Some(Inherited::new(Arc::clone(&state)))));
        self.state.compare_and_swap(&state, fresh);
        // Ours, or that of another thread, which was faster.
        self.state.load_full()
    }

    /// The aliases as they are now; loads the configuration where that has not been done.
    pub(crate) fn table(&self) -> Result<Arc<Table>> {
        let state = self.state();
        if let Some(table) = state.table.get() {
            return Ok(table.load_full());
        }
        let loading = Loading::begin(self.hot.id)?;
        let table = state.table.get_or_try_init(|| self.table_of((self.load)()?))?;
        drop(loading);
        Ok(table.load_full())
    }

    pub(crate) fn table_if_loaded(&self) -> Option<Arc<Table>> {
        self.state().table.get().map(ArcSwap::load_full)
    }

    /// How many threads have used an alias, and live.
    pub(crate) fn threads_of(&self, alias: &str) -> usize {
        let state = self.state();
        state.buckets.iter().flat_map(|bucket| bucket.seats()).filter(|seat| &*seat.alias == alias).count()
    }

    pub(crate) fn config(&self, alias: &str) -> Result<Arc<AliasConfig>> {
        let table = self.table()?;
        table.get(alias).cloned().ok_or_else(|| does_not_exist(alias, &table))
    }

    /// The aliases whose requests are atomic, sorted. It loads the configuration; where that fails, there is nothing that a
    /// request could use, and [`get`](crate::Registry::get) says why.
    pub(crate) fn atomic_aliases(&self) -> Vec<Arc<str>> {
        if !self.hot.has_atomic_requests() && self.state.load().table.get().is_some() {
            return Vec::new();
        }
        let Ok(table) = self.table() else { return Vec::new() };
        let is_atomic = |config: &&Arc<AliasConfig>| config.settings.get_atomic_requests();
        table.values().filter(is_atomic).map(|config| Arc::clone(&config.alias)).collect()
    }

    fn configured(&self, alias: &str, settings: Settings) -> Result<Arc<AliasConfig>> {
        let config = self.engines.configure(alias, settings)?;
        if config.settings.get_atomic_requests() {
            self.hot.atomic_requests.store(true, Ordering::Relaxed);
        }
        Ok(config)
    }

    fn table_of(&self, databases: Databases) -> Result<ArcSwap<Table>> {
        let mut table = Table::new();
        for (alias, settings) in databases.into_iter() {
            let config = self.configured(&alias, settings)?;
            table.insert(Arc::clone(&config.alias), config);
        }
        // As Django: nothing at all is the alias default, which says so when it is used; anything needs a default.
        if table.is_empty() {
            let config = self.configured(DEFAULT_ALIAS, Settings::new())?;
            table.insert(Arc::clone(&config.alias), config);
        } else if !table.contains_key(DEFAULT_ALIAS) {
            let aliases = join(&table);
            return Err(Error::config(format!("the alias \"default\" is missing; configured are: {aliases}"))
                .with_alias(DEFAULT_ALIAS));
        }
        Ok(ArcSwap::from_pointee(table))
    }

    /// Puts an alias into the table, or takes it out, where `allowed` says yes to what is there.
    pub(crate) fn change(
        &self,
        alias: &str,
        settings: Option<Settings>,
        allowed: impl Fn(Option<&Arc<AliasConfig>>) -> Result<()>,
    ) -> Result<()> {
        let allowed = |table: &Table| allowed(table.get(alias)).map_err(|error| error.with_alias(alias));
        allowed(&*self.table()?)?;
        let config = settings.map(|settings| self.configured(alias, settings)).transpose()?;
        let state = self.state();
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

pub(crate) fn does_not_exist(alias: &str, table: &Table) -> Error {
    let message = format!("the alias does not exist; configured are: {}", join(table));
    Error::new(ErrorKind::ConnectionDoesNotExist, message).with_alias(alias)
}

fn join(table: &Table) -> String {
    table.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
}
