//! What becomes of a registry in a process that was forked.
//!
//! A child has a copy of all that its parent had: descriptors that are the parent's too, and locks whose holders do not
//! exist in it. So it looks at the process id before statements and at boundaries, and where that is another one it
//! leaves behind what it inherited, of all threads: each connection is given up without a word to its server, and
//! the seats, the table and what else hangs on a lock are made anew. A lock of the parent's is only ever tried.

use std::mem::forget;
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::base::process::process;
use crate::config::engines::AliasConfig;
use crate::shared::Shared;
use crate::shared::state::{Inherited, State, Table};

/// All registries of the process: those that nobody uses may have connections all the same.
static REGISTRIES: ArcSwapOption<Vec<Weak<Shared>>> = ArcSwapOption::const_empty();

pub(crate) fn register(shared: &Arc<Shared>) {
    REGISTRIES.rcu(|registries| {
        let others = registries.as_deref().into_iter().flatten().filter(|other| other.strong_count() > 0);
        Some(Arc::new(others.cloned().chain([Arc::downgrade(shared)]).collect()))
    });
}

/// Returns the registries that have not ended.
pub(super) fn registries() -> Vec<Arc<Shared>> {
    let registries = REGISTRIES.load_full();
    let registries = registries.as_deref().into_iter().flatten().filter_map(Weak::upgrade);
    registries.filter(|shared| !shared.hot.is_closed()).collect()
}

/// Leaves to the parent what it had in any registry. A thread that is ending does not ask for state that would be missed: that may
/// take more than a look.
#[cold]
pub(crate) fn leave_all_to_parent(asks_for_state: bool) {
    // Siblings would draw the same numbers.
    fastrand::seed(fastrand::u64(..) ^ u64::from(std::process::id()));
    let registries = REGISTRIES.load_full();
    for shared in registries.as_deref().into_iter().flatten().filter_map(Weak::upgrade) {
        let state = shared.renewed_state();
        if let Some(inherited) = &state.inherited {
            leave(inherited, &shared, &state, asks_for_state);
        }
    }
}

/// Leaves everything to the parent, once; who comes meanwhile waits for that.
fn leave(inherited: &Inherited, shared: &Shared, mine: &State, asks_for_state: bool) {
    inherited.is_left.get_or_init(|| {
        // Dropping it would close what could not be taken out of it.
        forget(Arc::clone(&inherited.parent));
        // Where one is locked, a thread that does not exist here was coming or going.
        for seat in inherited.parent.buckets.iter().filter_map(|bucket| bucket.try_seats()).flatten() {
            seat.leave_to_parent(asks_for_state);
        }
        if let Some(table) = inherited.parent.table.get() {
            let anew = |config: &Arc<AliasConfig>| {
                let config = shared.engines.configure_anew(config);
                (Arc::clone(&config.alias), config)
            };
            let table: Table = table.load().values().map(anew).collect();
            // Nobody else has it yet.
            let _ = mine.table.set(ArcSwap::from_pointee(table));
        }
        shared.hot.advance();
    });
}

impl Shared {
    /// That of this process. One that was forked begins with one of its own, and leaves the other to its parent.
    pub(crate) fn state(&self) -> Arc<State> {
        let state = self.state.load_full();
        let is_mine = state.process == process();
        if is_mine && state.inherited.as_ref().is_none_or(Inherited::is_left) {
            return state;
        }
        leave_all_to_parent(true);
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
}
