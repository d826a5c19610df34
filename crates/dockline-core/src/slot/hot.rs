//! The few words of a registry that every look-up and every statement reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::ids::RegistryId;
use crate::slot::events::Events;

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
    /// Who listens: changed as rarely as the rest.
    pub(crate) events: Events,
}

impl Hot {
    pub(crate) fn new(id: RegistryId) -> Self {
        Self {
            id,
            generation: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            atomic_requests: AtomicBool::new(false),
            warned_of_requests: AtomicBool::new(false),
            warned_of_tasks: AtomicBool::new(false),
            events: Events::default(),
        }
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Remembers that an alias has `atomic_requests`.
    pub(crate) fn set_atomic_requests(&self) {
        self.atomic_requests.store(true, Ordering::Relaxed);
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
