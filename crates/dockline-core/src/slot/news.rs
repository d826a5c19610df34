//! What a slot keeps until it can be told to the listeners of events: nothing is told while the link is locked.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::config::statement::Dialect;
use crate::slot::events::{Seen, WaitOutcome};

/// What is kept until it can be told, while somebody listens.
#[derive(Default)]
pub(crate) struct News {
    /// That of the last session.
    pub(super) dialect: Cell<Option<Dialect>>,
    pub(super) seen: Cell<Option<(u64, Seen)>>,
    pub(super) ran: Cell<Option<Ran>>,
    pub(super) rows: Cell<Option<u64>>,
    /// How long the thread has waited for its turn under the cap.
    pub(super) waited: Cell<Option<(Duration, WaitOutcome)>>,
    /// The transaction of which the beginning was told, and on which connection.
    pub(super) transaction: Cell<Option<(u64, Instant)>>,
    /// The connection is held, and that is watched.
    pub(super) is_watched: Cell<bool>,
    /// Which one.
    pub(super) held: Cell<Option<u64>>,
}

/// A statement that a session has run.
#[derive(Clone, Copy)]
pub(super) struct Ran {
    pub(super) serial: u64,
    pub(super) elapsed: Duration,
}

impl News {
    /// Whether the connection is held, and that is watched.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched.get()
    }

    /// How many rows the statement has given or changed.
    #[inline]
    pub(crate) fn rows(&self, rows: u64) {
        self.rows.set(Some(rows));
    }

    pub(super) fn connected(&self, dialect: Dialect) {
        self.dialect.set(Some(dialect));
    }

    pub(super) fn saw(&self, serial: u64, seen: Seen) {
        self.seen.set(Some((serial, seen)));
    }

    /// In a process that was forked: what was begun is the parent's.
    pub(super) fn forget(&self) {
        self.seen.set(None);
        self.ran.set(None);
        self.transaction.set(None);
        self.is_watched.set(false);
    }
}
