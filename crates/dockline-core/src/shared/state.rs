//! What hangs on locks, so that a process that was forked can leave it all behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use once_cell::sync::OnceCell;
use thread_local::ThreadLocal;

use crate::base::process::{Process, process};
use crate::config::engines::AliasConfig;
use crate::link::seat::Bucket;
use crate::link::vitals::Tally;

/// What hangs on locks, of one process.
pub(crate) struct State {
    pub(crate) table: OnceCell<ArcSwap<Table>>,
    /// What each thread shows the others. `thread_local` drops none of it when a thread ends, and hands it to the next
    /// thread with that id: see [`Bucket`].
    pub(crate) buckets: ThreadLocal<Arc<Bucket>>,
    /// What has happened on each alias, also on one that was removed.
    pub(crate) tallies: ArcSwap<BTreeMap<Arc<str>, Arc<Tally>>>,
    pub(super) process: Process,
    pub(crate) inherited: Option<Inherited>,
}

impl State {
    pub(super) fn new(inherited: Option<Inherited>) -> Self {
        Self {
            table: OnceCell::new(),
            buckets: ThreadLocal::new(),
            tallies: ArcSwap::default(),
            process: process(),
            inherited,
        }
    }

    /// Returns how many seats have gone, of all aliases.
    pub(super) fn seats_gone(&self) -> u64 {
        self.tallies.load().values().map(|tally| tally.seats_gone()).sum()
    }
}

/// The aliases.
pub(crate) type Table = BTreeMap<Arc<str>, Arc<AliasConfig>>;

/// What a child knows of the state of its parent.
pub(crate) struct Inherited {
    pub(super) parent: Arc<State>,
    pub(super) is_left: OnceCell<()>,
}

impl Inherited {
    pub(crate) fn new(parent: Arc<State>) -> Self {
        Self { parent, is_left: OnceCell::new() }
    }

    /// Whether [`leave`](Inherited::leave) has been here.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.get().is_some()
    }
}
