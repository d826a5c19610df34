//! Why a connection is closed, and what is told of it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::engines::AliasConfig;
use crate::config::statement::Dialect;
use crate::link::ages::Ages;

/// What `connection_closed` tells.
pub struct ConnectionClosed {
    pub(crate) alias: Arc<str>,
    pub(crate) serial: u64,
    pub(crate) reason: CloseReason,
    pub(crate) thread: String,
    pub(crate) age: Duration,
    pub(crate) statements: u64,
    pub(crate) config: Arc<AliasConfig>,
    pub(crate) dialect: Dialect,
}

impl ConnectionClosed {
    /// The alias.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The number of the physical connection, as `connection_created` gave it.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Why it was closed.
    pub fn reason(&self) -> CloseReason {
        self.reason
    }

    /// The name of the thread that closed it, in quotes, or its id if it has none. For [`CloseReason::ThreadExit`] that is the
    /// thread that ended; receivers are then told on another one.
    pub fn thread(&self) -> &str {
        &self.thread
    }

    /// How long it was open.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// How many statements it ran.
    pub fn statements(&self) -> u64 {
        self.statements
    }
}

impl fmt::Debug for ConnectionClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionClosed")
            .field("alias", &self.alias)
            .field("serial", &self.serial)
            .field("reason", &self.reason)
            .field("thread", &self.thread)
            .field("age", &self.age)
            .field("statements", &self.statements)
            .finish_non_exhaustive()
    }
}

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The program asked for it: `close`, `close_all`.
    Asked,
    /// It was older than `conn_max_age`.
    MaxAge,
    /// It was unused for longer than `conn_max_idle`.
    MaxIdle,
    /// It failed, or did not answer when it was checked.
    Unusable,
    /// Autocommit was changed and not restored.
    Autocommit,
    /// A result was left early, with more to come than was worth reading.
    Unread,
    /// The alias has got other settings.
    Replaced,
    /// The alias was removed.
    Removed,
    /// It made room under a cap: for another alias, or because the cap was lowered.
    MadeRoom,
    /// Its thread has ended.
    ThreadExit,
    /// The registry was shut down or dropped.
    Shutdown,
}

impl CloseReason {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Asked,
        Self::MaxAge,
        Self::MaxIdle,
        Self::Unusable,
        Self::Autocommit,
        Self::Unread,
        Self::Replaced,
        Self::Removed,
        Self::MadeRoom,
        Self::ThreadExit,
        Self::Shutdown,
    ];

    /// Returns why a connection of these ages is due by time alone, if it is.
    pub(crate) fn by_age(ages: &Ages, now: Instant) -> Option<Self> {
        if ages.is_too_old(now) {
            return Some(Self::MaxAge);
        }
        ages.is_idle_too_long(now).then_some(Self::MaxIdle)
    }

    /// Returns one word for it, as labels of metrics have it: `asked`, `max_age`, `thread_exit` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::MaxAge => "max_age",
            Self::MaxIdle => "max_idle",
            Self::Unusable => "unusable",
            Self::Autocommit => "autocommit",
            Self::Unread => "unread",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::MadeRoom => "made_room",
            Self::ThreadExit => "thread_exit",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked by close",
            Self::MaxAge => "conn_max_age",
            Self::MaxIdle => "conn_max_idle",
            Self::Unusable => "unusable",
            Self::Autocommit => "autocommit not restored",
            Self::Unread => "result left unread",
            Self::Replaced => "alias replaced",
            Self::Removed => "alias removed",
            Self::MadeRoom => "made room under the cap",
            Self::ThreadExit => "thread exit",
            Self::Shutdown => "shutdown",
        })
    }
}

/// What is rolled back where a request or task has left it open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOpen {
    /// Where autocommit is off, the boundary closes the connection, or Django's rule keeps it.
    WithAutocommit,
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::vitals::REASONS;

    #[test]
    fn each_reason_has_a_number_of_its_own() {
        for (number, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number, "{reason}");
            assert!(number < REASONS, "{reason}");
        }
    }
}
