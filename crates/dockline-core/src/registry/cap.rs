//! How the cap of an alias stands.

use std::time::{Duration, Instant};

use crate::base::error::Result;
use crate::link::caps::cap_of;
use crate::link::stages::Stages;
use crate::registry::Registry;

/// How the cap of an alias stands: see [`Registry::cap_status`].
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// if let Some(status) = connections.cap_status("default")? {
///     println!("{} of {} in use, {} threads wait", status.in_use, status.max, status.waiting);
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapStatus {
    /// How many connections there may be.
    pub max: usize,
    /// How many are in a request, a task or a block, or have been used outside of these since the last boundary.
    pub in_use: usize,
    /// How many are open and may be taken by a thread that waits.
    pub parked: usize,
    /// How many are being opened.
    pub opening: usize,
    /// How many are being closed.
    pub closing: usize,
    /// How many threads wait.
    pub waiting: usize,
    /// For how long the first of them has waited.
    pub longest_wait: Option<Duration>,
    /// How often a connection went from one thread to another.
    pub handed_over: u64,
    /// How often a thread has waited in vain.
    pub timeouts: u64,
}

impl Registry {
    /// Says how the cap of an alias stands ([`max_connections`](crate::Settings::max_connections)); `None` if it has none. Aliases that
    /// share a cap have the same answer. It is a glance: the numbers may have changed when it returns.
    ///
    /// ```
    /// use dockline::{Connections, Databases, Settings};
    ///
    /// let settings = Settings::from_url("sqlite::memory:?max_connections=4")?;
    /// let connections = Connections::new(Databases::new().with("default", settings))?;
    /// let status = connections.cap_status("default")?.expect("the alias has a cap");
    /// assert_eq!((status.max, status.in_use, status.waiting), (4, 0, 0));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the configuration, and [`ConnectionDoesNotExist`](crate::ErrorKind::ConnectionDoesNotExist).
    pub fn cap_status(&self, alias: &str) -> Result<Option<CapStatus>> {
        let shared = self.shared();
        let config = shared.config(alias)?;
        let Some(cap) = cap_of(shared.hot.id, &config) else { return Ok(None) };
        let standing = cap.standing();
        let now = Instant::now();
        let Stages { in_use, parked, opening, closing } = standing.stages();
        let waits = standing.waiting.iter().map(|(_, since)| now.saturating_duration_since(*since));
        Ok(Some(CapStatus {
            max: standing.max,
            in_use,
            parked,
            opening,
            closing,
            waiting: standing.waiting.len(),
            longest_wait: waits.max(),
            handed_over: standing.counts.handed_over,
            timeouts: standing.counts.timeouts,
        }))
    }
}
