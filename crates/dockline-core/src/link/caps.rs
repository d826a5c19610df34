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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::link::cap::{Grant, Order, Permit, Waiting};

    fn permit(waiting: &mut Waiting<Seat>) -> Option<Permit<Seat>> {
        match waiting.granted() {
            Some(Grant::Permit(permit)) => Some(permit),
            Some(Grant::Link(_) | Grant::Nothing) => panic!("nobody has parked or woken anything"),
            None => None,
        }
    }

    #[test]
    fn ten_thousand_who_wait_are_served_in_the_order_in_which_they_came() {
        let seat = Arc::new(Seat::new("default".into(), RegistryId::next(), Arc::default(), Arc::default()));
        let cap = Arc::new(SeatCap::new("a cap".to_owned(), 1));
        let claim = || cap.claim(&seat, Instant::now(), Order::Last);
        let mut held = permit(&mut claim());
        let mut queue: Vec<Option<Waiting<Seat>>> = (0..10_000).map(|_| Some(claim())).collect();
        assert_eq!(cap.standing().waiting.len(), 10_000);
        // A third gives up, from the end and from the middle of the queue.
        for at in (0..10_000).rev().filter(|at| at % 3 == 1) {
            assert!(queue[at].take().unwrap().give_up().is_none());
        }
        for at in (0..10_000).filter(|at| at % 3 != 1) {
            let waiting = queue[at].as_mut().unwrap();
            assert!(permit(waiting).is_none(), "it is not the turn of {at}");
            drop(held);
            held = permit(waiting);
            assert!(held.is_some(), "it is the turn of {at}");
        }
        drop(held);
        let standing = cap.standing();
        assert!(standing.holders.is_empty() && standing.waiting.is_empty());
    }

    #[test]
    fn a_wait_ends_at_its_deadline_though_others_are_served_meanwhile() {
        let seat = Arc::new(Seat::new("default".into(), RegistryId::next(), Arc::default(), Arc::default()));
        let cap = Arc::new(SeatCap::new("a cap".to_owned(), 1));
        let mut held = permit(&mut cap.claim(&seat, Instant::now(), Order::Last));
        let mut last = cap.claim(&seat, Instant::now(), Order::Last);
        let deadline = Instant::now() + Duration::from_millis(50);
        // Newcomers that come before it, as whoever was refused by the server does.
        while Instant::now() < deadline {
            let mut first = cap.claim(&seat, Instant::now(), Order::First);
            drop(held);
            held = permit(&mut first);
        }
        assert!(last.wait(deadline).is_none());
        drop(held);
        assert!(permit(&mut last).is_some(), "what comes before it gives up is its own");
    }
}
