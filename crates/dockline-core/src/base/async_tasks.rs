//! Which async task runs on this thread.
//!
//! Tasks of one thread share its connections. A transaction that one of them holds over an `.await` would take in the statements of the
//! others, and commit or undo them. The core knows no runtime, so an adapter tells it which task runs: see [`watch`]. In a program that
//! has none, this costs one load where a transaction is open.

use std::num::NonZeroU64;

use once_cell::sync::OnceCell;

/// What an adapter knows of its runtime.
#[derive(Debug, Clone, Copy)]
pub struct Runtime {
    /// Returns the number of the task that runs on this thread; `None` outside of tasks. It neither blocks nor panics.
    pub current: fn() -> Option<NonZeroU64>,
    /// What a program writes in place of a transaction over an `.await`: the end of an error message, lower case, without a full stop.
    pub advice: &'static str,
}

static RUNTIME: OnceCell<Runtime> = OnceCell::new();

/// Has transactions remember the task that began them, and refuse the statements of other tasks, from now on and for the whole
/// process. For adapters to async runtimes: `dockline-tokio` calls it. Only the first call counts.
pub fn watch(runtime: Runtime) {
    // A second adapter would have to know the tasks of the first.
    let _ = RUNTIME.set(runtime);
}

/// Who runs on this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Runner {
    /// Nobody can tell: no adapter has said how.
    #[default]
    Unknown,
    /// No task: plain code of the thread, or the future of `block_on`.
    NoTask,
    Task(NonZeroU64),
}

impl Runner {
    /// Who runs on this thread now.
    #[inline]
    pub(crate) fn current() -> Self {
        match RUNTIME.get() {
            None => Self::Unknown,
            Some(runtime) => (runtime.current)().map_or(Self::NoTask, Self::Task),
        }
    }

    /// Whether what this one has begun is another one's than `current`'s.
    pub(crate) fn is_other_than(self, current: Self) -> bool {
        self != Self::Unknown && current != Self::Unknown && self != current
    }
}

/// Whether an adapter tells which task runs.
#[inline]
pub(crate) fn are_watched() -> bool {
    RUNTIME.get().is_some()
}

/// What the adapter advises.
pub(crate) fn advice() -> &'static str {
    RUNTIME.get().map_or("begin and end a transaction without an .await between", |runtime| runtime.advice)
}
