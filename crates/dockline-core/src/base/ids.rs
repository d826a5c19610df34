//! Names and numbers that registries are told apart by, and what a task asks of one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The alias that [`connection`](https://docs.rs/dockline/latest/dockline/fn.connection.html) means, and that every
/// configuration has (Django's `DEFAULT_DB_ALIAS`).
///
/// ```
/// use dockline::DEFAULT_ALIAS;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// assert_eq!(connections.get(DEFAULT_ALIAS)?.alias(), "default");
/// # Ok::<_, dockline::Error>(())
/// ```
pub const DEFAULT_ALIAS: &str = "default";

/// Tells registries apart, also those that have gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegistryId(u64);

impl RegistryId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What becomes of a thread's connections when a task on it has ended.
///
/// ```
/// use dockline::{Task, TaskPolicy};
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// let work = connections.task_with(Task::new().policy(TaskPolicy::CloseAll), || 1 + 1);
/// assert_eq!(work(), 2);
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TaskPolicy {
    /// Those that are due are closed, as by [`close_old_connections`](crate::Registry::close_old_connections); the others wait for
    /// the thread's next task.
    #[default]
    CloseDue,
    /// All are closed: for pools with many more threads than tasks at a time.
    CloseAll,
    /// None is closed: for tasks so short that even the look at them is too much. Something else has to close what is due. A
    /// transaction that was left open is rolled back all the same.
    Keep,
}
