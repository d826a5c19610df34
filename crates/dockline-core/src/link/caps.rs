//! The caps of this process, by whose connections they count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::ids::RegistryId;
use crate::base::per_process::{OfProcess, PerProcess};
use crate::config::engines::AliasConfig;
use crate::link::cap::Cap;
use crate::link::seat::{Link, Seat};

/// The cap on the connections of seats.
pub(crate) type SeatCap = Cap<Seat>;

/// Which connections a cap counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// Those of all aliases, of all registries, that name it.
    Named(String),
    /// Those of one alias.
    Alias(RegistryId, Arc<str>),
}

/// A process that was forked counts its own connections.
static CAPS: PerProcess<Mutex<BTreeMap<Key, Arc<SeatCap>>>> = PerProcess::new();

/// Returns the cap that counts the connections of an alias, if one does.
pub(crate) fn cap_of(registry: RegistryId, config: &AliasConfig) -> Option<Arc<SeatCap>> {
    let max = usize::try_from(config.settings.get_max_connections()?).unwrap_or(usize::MAX);
    let (key, name) = match config.settings.get_cap() {
        Some(name) => (Key::Named(name.to_owned()), format!("cap {name:?}")),
        None => {
            (Key::Alias(registry, Arc::clone(&config.alias)), format!("max_connections of alias {:?}", config.alias))
        }
    };
    let caps = CAPS.get();
    let mut caps = lock(&caps);
    Some(Arc::clone(caps.entry(key).or_insert_with(|| Arc::new(Cap::new(name, max)))))
}

/// Sets the cap of an alias to what its settings say. Returns connections that are now too many, to be closed.
#[must_use]
pub(crate) fn set_max(registry: RegistryId, config: &AliasConfig) -> Vec<Link> {
    match (cap_of(registry, config), config.settings.get_max_connections()) {
        (Some(cap), Some(max)) => cap.set_max(usize::try_from(max).unwrap_or(usize::MAX)),
        _ => Vec::new(),
    }
}

/// All that there are.
pub(crate) fn all() -> Vec<Arc<SeatCap>> {
    lock(&CAPS.get()).values().cloned().collect()
}

/// Forgets those of a registry that is gone.
pub(crate) fn forget(registry: RegistryId) {
    lock(&CAPS.get()).retain(|key, _| !matches!(key, Key::Alias(of, _) if *of == registry));
}

fn lock(caps: &OfProcess<Mutex<BTreeMap<Key, Arc<SeatCap>>>>) -> MutexGuard<'_, BTreeMap<Key, Arc<SeatCap>>> {
    caps.value.lock().unwrap_or_else(PoisonError::into_inner)
}
