//! What becomes of a registry in a process that was forked.
//!
//! A child has a copy of all that its parent had: descriptors that are the parent's too, and locks whose holders do not
//! exist in it. So it looks at the process id before statements and at boundaries, and where that is another one it
//! leaves behind what it inherited, of all threads: each connection is given up without a word to its server, and
//! the seats, the table and what else hangs on a lock are made anew. A lock of the parent's is only ever tried.

use std::mem::forget;
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use once_cell::sync::OnceCell;

use crate::base::error::{Error, ErrorKind, Fact};
use crate::base::process::process;
use crate::config::engines::AliasConfig;
use crate::link::left::LeftSession;
use crate::link::seat::Link;
use crate::shared::{Shared, State, Table};
use crate::slot::Slot;

/// What a child knows of the state of its parent.
pub(crate) struct Inherited {
    parent: Arc<State>,
    is_left: OnceCell<()>,
}

impl Inherited {
    pub(crate) fn new(parent: Arc<State>) -> Self {
        Self { parent, is_left: OnceCell::new() }
    }

    /// Whether [`leave`](Inherited::leave) has been here.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.get().is_some()
    }

    /// Leaves everything to the parent, once; who comes meanwhile waits for that.
    fn leave(&self, shared: &Shared, mine: &State, asks_for_state: bool) {
        self.is_left.get_or_init(|| {
            // Dropping it would close what could not be taken out of it.
            forget(Arc::clone(&self.parent));
            // Where one is locked, a thread that does not exist here was coming or going.
            for seat in self.parent.buckets.iter().filter_map(|bucket| bucket.try_seats()).flatten() {
                seat.leave_to_parent(asks_for_state);
            }
            if let Some(table) = self.parent.table.get() {
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
}

/// All registries of the process: those that nobody uses may have connections all the same.
static REGISTRIES: ArcSwapOption<Vec<Weak<Shared>>> = ArcSwapOption::const_empty();

pub(crate) fn register(shared: &Arc<Shared>) {
    REGISTRIES.rcu(|registries| {
        let others = registries.as_deref().into_iter().flatten().filter(|other| other.strong_count() > 0);
        Some(Arc::new(others.cloned().chain([Arc::downgrade(shared)]).collect()))
    });
}

/// Leaves to the parent what it had in any registry. A thread that is ending does not ask for state that would be missed: that may
/// take more than a look.
#[cold]
pub(crate) fn leave_all_to_parent(asks_for_state: bool) {
    // Siblings would draw the same numbers.
    fastrand::seed(fastrand::u64(..) ^ u64::from(process()));
    let registries = REGISTRIES.load_full();
    for shared in registries.as_deref().into_iter().flatten().filter_map(Weak::upgrade) {
        let state = shared.renewed_state();
        if let Some(inherited) = &state.inherited {
            inherited.leave(&shared, &state, asks_for_state);
        }
    }
}

impl Slot {
    /// This process was forked since the slot was used: what it had is the parent's. A transaction or state that would be missed
    /// is an error of the next statement.
    #[cold]
    pub(crate) fn leave_to_parent(&self) {
        // Where it was in the middle of a statement when the state was left, that has ended by now.
        let left = self.seat().leave_to_parent(false).unwrap_or_default();
        self.renew_seat();
        self.close_when_free.set(None);
        // They are dropped later: that is the program's code.
        self.transaction.hooks.disown();
        if self.transaction.in_atomic_block() {
            self.transaction.lose(|| format!("{FORKED}, and the transaction is the parent's"));
        }
        let in_transaction = left.in_transaction || self.transaction.in_atomic_block();
        if in_transaction || !left.state.is_empty() {
            self.flags.errors_occurred.set(true);
            let session = Box::new(LeftSession { state: left.state });
            let mut link = Link::new(session, self.current_config(), Instant::now());
            link.poison(format!("{FORKED}, and it is the parent's"), None, in_transaction);
            self.seat().lock().put(link);
        }
    }

    /// This process was forked in the middle of a statement, which is the parent's.
    pub(crate) fn forked_inside(&self) -> Error {
        let message = format!("{FORKED} in the middle of this statement, and what remains of it is the parent's");
        Error::new(ErrorKind::Operational, message)
            .with_fact(Fact::Disconnect)
            .with_fact(Fact::MayHaveExecuted)
            .with_alias(self.alias_arc())
    }
}

const FORKED: &str = "the process was forked";
