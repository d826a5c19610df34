//! Who listens to a registry's events.
//!
//! The list is replaced as a whole when it changes, and read without a lock. A flag beside it says whether it has anybody: that is all
//! that a statement reads where nobody listens.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::event::Event;
use crate::base::logging::{guarded, panic_text};

type Listener = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// The events of a registry: who listens to them. See [the module](crate::events).
#[derive(Default)]
pub struct Events {
    has_listeners: AtomicBool,
    listeners: ArcSwapOption<Vec<(ListenerId, Listener)>>,
}

/// A listener, to remove it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

thread_local! {
    // Without a destructor, so that it can be read to the very end of a thread.
    static LISTENING: Cell<bool> = const { Cell::new(false) };
}

impl Events {
    /// Adds a listener, behind those that there are. It hears every thread of the registry, from the next event on.
    ///
    /// A listener that captures a clone of its registry keeps that alive until it is removed.
    ///
    /// ```
    /// use dockline::events::Event;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// connections.events().listen(|event| {
    ///     if let Event::StatementDone { source, sql, elapsed, .. } = event {
    ///         println!("{}: {elapsed:?} {sql}", source.alias());
    ///     }
    /// });
    /// connections.get("default")?.query("SELECT 1", ())?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn listen(&self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> ListenerId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = ListenerId(NEXT.fetch_add(1, Ordering::Relaxed));
        let listener: Listener = Arc::new(listener);
        self.listeners.rcu(|listeners| {
            let mut listeners = listeners.as_deref().cloned().unwrap_or_default();
            listeners.push((id, Arc::clone(&listener)));
            Some(Arc::new(listeners))
        });
        // After the list: who sees the flag finds the listener. It stays set, for another thread may add one while this one removes
        // another; a list that is empty costs one look more.
        self.has_listeners.store(true, Ordering::Release);
        id
    }

    /// Removes a listener. Returns false if it was not there. A thread on which something happens at this moment may still
    /// call it.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let id = connections.events().listen(|event| println!("{}", event.source().alias()));
    /// assert!(connections.events().remove(id));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn remove(&self, id: ListenerId) -> bool {
        let before = self.listeners.rcu(|listeners| {
            let others = listeners.iter().flat_map(|listeners| listeners.iter()).filter(|(other, _)| *other != id);
            Some(Arc::new(others.cloned().collect::<Vec<_>>()))
        });
        before.is_some_and(|before| before.iter().any(|(other, _)| *other == id))
    }

    /// Returns whether anybody may be listening.
    #[inline]
    pub(crate) fn are_heard(&self) -> bool {
        self.has_listeners.load(Ordering::Relaxed)
    }

    /// Tells everybody who listens, on this thread, which holds no lock and is not ending.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        let listeners = self.listeners.load();
        let Some(listeners) = listeners.as_deref().filter(|listeners| !listeners.is_empty()) else { return };
        // What a listener does is not told, or it would be told of that as well, and so on.
        if LISTENING.replace(true) {
            return;
        }
        for (_, listener) in listeners {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(event))) {
                guarded(
                    || log::error!(target: "dockline::events", "a listener of events panicked: {}", panic_text(&*panic)),
                );
                // What was thrown may panic again when it is dropped.
                std::mem::forget(panic);
            }
        }
        LISTENING.set(false);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners = self.listeners.load();
        f.debug_struct("Events").field("listeners", &listeners.as_deref().map_or(0, Vec::len)).finish_non_exhaustive()
    }
}
