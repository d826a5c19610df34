//! Somebody who stands in the queue of a cap: what he is given, and how he sleeps until then.

use std::sync::Arc;
use std::time::Instant;

use crate::link::sync::{Condvar, Mutex, MutexGuard, PoisonError, now};

/// One who waits for a place, to be given a `G`.
pub(crate) struct Waiter<P, G> {
    pub(crate) place: Arc<P>,
    pub(crate) since: Instant,
    told: Mutex<Told<G>>,
    bell: Condvar,
}

struct Told<G> {
    grant: Option<G>,
    /// He is the head of the queue, and is to look again then.
    look_at: Option<Instant>,
}

/// Why somebody sleeps no more.
pub(crate) enum Woken<G> {
    Given(G),
    /// It is the moment to look again.
    ToLook,
    /// The deadline has passed.
    Late,
}

impl<P, G> Waiter<P, G> {
    pub(crate) fn new(place: Arc<P>, since: Instant) -> Self {
        let told = Mutex::new(Told { grant: None, look_at: None });
        Self { place, since, told, bell: Condvar::new() }
    }

    /// Gives him something, and wakes him.
    pub(crate) fn give(&self, grant: G) {
        self.told().grant = Some(grant);
        self.bell.notify_one();
    }

    /// Has him look again at that moment, or before.
    pub(crate) fn look_at(&self, moment: Instant) {
        let mut told = self.told();
        // If he is to look before that, he finds then that there is more to wait for.
        if told.look_at.is_none_or(|before| moment < before) {
            told.look_at = Some(moment);
            drop(told);
            self.bell.notify_one();
        }
    }

    /// Returns what he was given, once.
    pub(crate) fn given(&self) -> Option<G> {
        self.told().grant.take()
    }

    /// Sleeps until something happens.
    pub(crate) fn sleep(&self, deadline: Instant) -> Woken<G> {
        let mut told = self.told();
        loop {
            if let Some(grant) = told.grant.take() {
                return Woken::Given(grant);
            }
            let now = now();
            if now >= deadline {
                return Woken::Late;
            }
            let until = told.look_at.map_or(deadline, |moment| moment.min(deadline));
            if now >= until {
                told.look_at = None;
                return Woken::ToLook;
            }
            let waited = self.bell.wait_timeout(told, until.saturating_duration_since(now));
            told = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn told(&self) -> MutexGuard<'_, Told<G>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
