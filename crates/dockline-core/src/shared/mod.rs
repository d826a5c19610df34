//! What the clones of a registry and its threads share: the table of aliases, signals, and what each thread shows the others.
//!
//! It may not know what one thread has (`thread`), nor the registry's interface. What a signal has to do on a thread is handed in as
//! pointers ([`OwnReceivers`]).

pub(crate) mod housekeeper;
pub(crate) mod inherit;
pub mod signals;
pub(crate) mod state;
pub(crate) mod status;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{DEFAULT_ALIAS, RegistryId, TaskPolicy};
use crate::base::logging::say;
use crate::config::engines::{AliasConfig, Engines};
use crate::config::settings::{Databases, Settings, nearest};
use crate::link::caps;
use crate::link::vitals::Tally;
use crate::shared::signals::{OwnReceivers, Signals};
use crate::shared::state::{State, Table};
use crate::slot::Desk;
use crate::slot::hot::Hot;
use crate::slot::reason::CloseReason;
use crate::slot::retire::retire;

/// A registry, as its threads see it.
pub(crate) struct Shared {
    pub(crate) hot: Arc<Hot>,
    pub(crate) engines: Engines,
    load: Box<dyn Fn() -> Result<Databases> + Send + Sync>,
    // What threads share behind locks hangs on this one pointer, so that a process that forked can leave it all behind: the
    // table is read without one, and can be copied.
    pub(super) state: ArcSwap<State>,
    pub(crate) signals: Signals,
    pub(crate) task_policy: TaskPolicy,
}

impl Shared {
    pub(crate) fn new(
        engines: Engines,
        task_policy: TaskPolicy,
        receivers: OwnReceivers,
        load: impl Fn() -> Result<Databases> + Send + Sync + 'static,
    ) -> Self {
        let id = RegistryId::next();
        Self {
            hot: Arc::new(Hot::new(id)),
            engines,
            load: Box::new(load),
            state: ArcSwap::from_pointee(State::new(None)),
            signals: Signals::new(id, receivers),
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

    /// What has happened on an alias in all.
    pub(crate) fn tally(&self, alias: &str) -> Arc<Tally> {
        let state = self.state();
        if let Some(tally) = state.tallies.load().get(alias) {
            return Arc::clone(tally);
        }
        let (alias, tally) = (Arc::from(alias), Arc::new(Tally::default()));
        state.tallies.rcu(|tallies| {
            let mut tallies = BTreeMap::clone(tallies);
            tallies.entry(Arc::clone(&alias)).or_insert_with(|| Arc::clone(&tally));
            tallies
        });
        // Ours, or that of another thread, which was faster.
        let tallies = state.tallies.load();
        tallies.get(&alias).map_or(tally, Arc::clone)
    }

    fn configured(&self, alias: &str, settings: Settings) -> Result<Arc<AliasConfig>> {
        let config = self.engines.configure(alias, settings)?;
        if config.settings.get_atomic_requests() {
            self.hot.set_atomic_requests();
        }
        Ok(config)
    }

    fn table_of(&self, databases: Databases) -> Result<ArcSwap<Table>> {
        let mut table = Table::new();
        for (alias, settings) in databases.into_iter() {
            // `DATABASE_URL_CACHE=redis://…` is meant for somebody else.
            if let (Some(variable), Some(scheme)) = (settings.variable(), settings.get_engine())
                && !self.engines.knows(scheme)
            {
                say!(info, "{variable} is ignored: no backend has the scheme {scheme:?}");
                continue;
            }
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
        refuse_two_numbers_of_a_cap(&table)?;
        Ok(ArcSwap::from_pointee(table))
    }

    /// Puts an alias into the table, or takes it out, where `allowed` says yes to what is there.
    pub(crate) fn change(
        self: &Arc<Self>,
        alias: &str,
        settings: Option<Settings>,
        allowed: impl Fn(Option<&Arc<AliasConfig>>) -> Result<()>,
    ) -> Result<()> {
        let allowed = |table: &Table| allowed(table.get(alias)).map_err(|error| error.with_alias(alias));
        let before = self.table()?;
        allowed(&before)?;
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
        self.change_cap(before.get(alias), config.as_ref().filter(|_| outcome.is_ok()));
        outcome
    }

    /// Lets those who wait for a connection of an alias know that it has another cap, or is gone; and closes connections that are
    /// parked, if the cap was lowered.
    fn change_cap(self: &Arc<Self>, before: Option<&Arc<AliasConfig>>, after: Option<&Arc<AliasConfig>>) {
        let id = self.hot.id;
        let excess = after.map(|config| caps::set_max(id, config)).unwrap_or_default();
        let desk = Arc::clone(self) as Arc<dyn Desk>;
        for link in excess {
            retire(&desk, link, CloseReason::MadeRoom);
        }
        let Some(before) = before else { return };
        let Some(cap) = caps::cap_of(id, before) else { return };
        let stays = after.and_then(|config| caps::cap_of(id, config)).is_some_and(|other| Arc::ptr_eq(&cap, &other));
        if !stays {
            cap.wake(|seat| seat.registry == id && seat.alias == before.alias);
        }
    }

    /// Lets those who wait for a connection know that the registry is closed.
    pub(crate) fn wake_all(&self) {
        for cap in caps::all() {
            cap.wake(|seat| seat.registry == self.hot.id);
        }
    }
}

/// Aliases that share a cap have to agree how many connections it allows.
fn refuse_two_numbers_of_a_cap(table: &Table) -> Result<()> {
    let mut caps: BTreeMap<&str, &Arc<AliasConfig>> = BTreeMap::new();
    for config in table.values() {
        let Some(name) = config.settings.get_cap() else { continue };
        let first = caps.entry(name).or_insert(config);
        let (one, other) = (first.settings.get_max_connections(), config.settings.get_max_connections());
        if one != other {
            let number = |max: Option<u32>| max.map_or("none".to_owned(), |max| max.to_string());
            let message = format!(
                "setting max_connections: it is {}, and {} for the alias {:?}, and both have the cap {name:?}; write one number \
                 for both",
                number(other),
                number(one),
                first.alias
            );
            return Err(Error::config(message).with_alias(Arc::clone(&config.alias)));
        }
    }
    Ok(())
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
    let meant = match nearest(alias, table.keys().map(AsRef::as_ref)) {
        Some(meant) => format!("; did you mean {meant:?}?"),
        None => String::new(),
    };
    let message = format!("the alias does not exist{meant}; configured are: {}", join(table));
    Error::new(ErrorKind::ConnectionDoesNotExist, message).with_alias(alias)
}

fn join(table: &Table) -> String {
    table.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
}
