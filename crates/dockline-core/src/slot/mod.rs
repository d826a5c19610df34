//! One thread and one alias: the flags that Django keeps on a connection, and how it is opened, used and closed.
//!
//! [`Slot`] is made of parts that do not know it (`flags`, `occupancy`, `trace`, `holds`, `hooks`, `standing`, `blocks`, `wrappers`,
//! `query_log`, `hot`, `events`, `news`, `touched`). What is done with them stands in files of its own: a statement (`turn`), opening (`connect`), checking and
//! replacing (`lifecycle`), closing (`retire`), blocks (`transaction`), a fork (`forked`), what listeners are told (`tell`), how long it
//! is held (`hold`), the async tasks of its thread (`other_task`). The physical connection itself sits in the
//! slot's [`Seat`].
//!
//! This layer may not know handles, signals, the thread's other slots or the registry: what it needs of them is [`Desk`].

pub(crate) mod acquire;
pub(crate) mod blocks;
pub(crate) mod connect;
pub mod events;
pub(crate) mod flags;
pub(crate) mod forked;
pub(crate) mod hold;
pub(crate) mod holds;
pub(crate) mod hooks;
pub(crate) mod hot;
pub(crate) mod lifecycle;
pub(crate) mod news;
pub(crate) mod occupancy;
pub(crate) mod other_task;
pub(crate) mod query_log;
pub(crate) mod reason;
pub(crate) mod retire;
pub(crate) mod savepoint_sql;
mod shown;
pub(crate) mod standing;
pub(crate) mod tell;
pub(crate) mod touched;
pub(crate) mod trace;
pub(crate) mod transaction;
pub(crate) mod turn;
pub(crate) mod work;
pub(crate) mod wrappers;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::{Error, ErrorKind, Fact, Result};
use crate::base::heading::Heading;
use crate::base::spare;
use crate::config::backend::Backend;
use crate::config::engines::AliasConfig;
use crate::config::settings::Liveness;
use crate::link::caps::SeatCap;
use crate::link::seat::Seat;
use crate::link::vitals::Tally;
use crate::slot::blocks::Transaction;
use crate::slot::flags::Flags;
use crate::slot::holds::Holds;
use crate::slot::hot::Hot;
use crate::slot::news::News;
use crate::slot::occupancy::Occupancy;
use crate::slot::query_log::QueryLog;
use crate::slot::reason::{CloseReason, ConnectionClosed};
use crate::slot::touched::Mark;
use crate::slot::trace::Trace;
use crate::slot::wrappers::Wrappers;

/// What one thread has for one alias. Only that thread touches it.
pub(crate) struct Slot {
    /// What every statement reads of the registry.
    hot: Arc<Hot>,
    desk: Arc<dyn Desk>,
    first_seat: Arc<Seat>,
    /// The seat in a process that was forked since: the first has locks of the parent's.
    later_seat: Cell<Option<&'static Arc<Seat>>>,
    /// What the connection has, or the next one will have.
    config: RefCell<Arc<AliasConfig>>,
    /// What the alias is configured to now; `None` where it was removed.
    target: RefCell<Option<Arc<AliasConfig>>>,
    pub(crate) flags: Flags,
    pub(crate) holds: Holds,
    pub(crate) transaction: Transaction,
    pub(crate) wrappers: Wrappers,
    log: QueryLog,
    /// That of the last result.
    heading: RefCell<Arc<Heading>>,
    pub(crate) occupancy: Occupancy,
    pub(crate) trace: Trace,
    pub(crate) news: News,
    /// How many receivers are being told of this slot's connections, one inside the other.
    telling: Cell<u32>,
    /// The cap on the connections of a configuration, if that has one.
    cap: RefCell<Option<(Arc<AliasConfig>, Arc<SeatCap>)>>,
    /// A connection that counts under a cap was used since the last boundary.
    is_taken: Cell<bool>,
    /// The thread is ending, or the registry has gone.
    ended: Cell<Option<CloseReason>>,
}

/// What a slot asks of the registry that it belongs to, and what it tells it: nothing of it on the way of a statement on a connection
/// that is well. The registry, its signals and the handles that they carry stand above the slot; this is all that it knows of them.
pub(crate) trait Desk: Send + Sync {
    /// Returns the alias as it is configured now.
    fn newest(&self, alias: &str) -> Result<Arc<AliasConfig>>;

    /// Returns how many threads have used the alias, and live.
    fn threads_of(&self, alias: &str) -> usize;

    /// Returns what has happened on the alias in all, in this process.
    fn tally(&self, alias: &str) -> Arc<Tally>;

    /// Tells of a connection that was opened.
    fn opened(&self, slot: &Rc<Slot>, serial: u64, elapsed: Duration);

    /// Tells of a connection that was closed.
    fn closed(&self, event: &ConnectionClosed);

    /// Returns whether anybody is told of connections that are closed.
    fn is_told_of_closing(&self) -> bool;

    /// Leaves to the parent what this thread has of the registry: this process was forked since the slot was used.
    fn leave_to_parent(&self, slot: &Slot);
}

impl Slot {
    pub(crate) fn new(
        hot: Arc<Hot>,
        desk: Arc<dyn Desk>,
        seat: Arc<Seat>,
        config: Arc<AliasConfig>,
        mark: Mark,
    ) -> Self {
        let heading = Heading::new(Some(Arc::clone(&seat.alias)), Arc::default());
        Self {
            hot,
            desk,
            first_seat: seat,
            later_seat: Cell::new(None),
            heading: RefCell::new(Arc::new(heading)),
            target: RefCell::new(Some(Arc::clone(&config))),
            config: RefCell::new(config),
            flags: Flags::new(mark),
            holds: Holds::default(),
            transaction: Transaction::default(),
            wrappers: Wrappers::default(),
            log: QueryLog::default(),
            occupancy: Occupancy::default(),
            trace: Trace::new(),
            news: News::default(),
            telling: Cell::new(0),
            cap: RefCell::new(None),
            is_taken: Cell::new(false),
            ended: Cell::new(None),
        }
    }

    #[inline]
    pub(crate) fn alias(&self) -> &str {
        &self.first_seat.alias
    }

    pub(crate) fn alias_arc(&self) -> Arc<str> {
        Arc::clone(&self.first_seat.alias)
    }

    #[inline]
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        self.later_seat.get().unwrap_or(&self.first_seat)
    }

    /// Whether the registry was shut down or dropped.
    #[inline]
    pub(crate) fn is_shut_down(&self) -> bool {
        self.hot.is_closed()
    }

    /// Returns in how many requests and tasks of the registry this thread is, one inside the other; one that is ending counts.
    pub(crate) fn depth(&self) -> u32 {
        self.flags.depth()
    }

    pub(crate) fn serial(&self) -> Option<u64> {
        self.seat().serial()
    }

    pub(crate) fn current_config(&self) -> Arc<AliasConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// The configurations that it holds.
    pub(crate) fn configs(&self) -> impl Iterator<Item = Arc<AliasConfig>> + use<> {
        self.target.borrow().clone().into_iter().chain([self.current_config()])
    }

    pub(crate) fn log(&self) -> &QueryLog {
        &self.log
    }

    /// Returns the heading of the last result that began.
    #[inline]
    pub(crate) fn heading(&self) -> Arc<Heading> {
        spare::heading_as(&self.heading.borrow())
    }

    /// A result begins, with these columns: mostly those of the one before.
    #[inline]
    pub(crate) fn begin_result(&self, columns: &Arc<[String]>) {
        if !Arc::ptr_eq(&self.heading.borrow().columns, columns) {
            let heading = Heading::new(Some(self.alias_arc()), Arc::clone(columns));
            self.heading.replace(Arc::new(heading));
        }
    }

    pub(crate) fn liveness(&self) -> Liveness {
        self.config.borrow().settings.get_liveness()
    }

    pub(crate) fn backend<R>(&self, ask: impl FnOnce(&dyn Backend) -> R) -> R {
        let config = Arc::clone(&self.config.borrow());
        ask(&*config.backend)
    }

    pub(crate) fn slow_statement(&self) -> Option<Duration> {
        self.config.borrow().settings.get_slow_statement()
    }

    pub(crate) fn vendor(&self) -> &'static str {
        self.backend(Backend::vendor)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.occupancy.is_busy()
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.target.borrow().is_none()
    }

    /// Says what the alias is configured to now. A connection that is open keeps what it was opened with.
    pub(crate) fn set_target(&self, target: Option<Arc<AliasConfig>>) {
        // Not assigned: what was there is dropped after the borrow, for it may be the last of its kind, and holds closures
        // of the program.
        let before = match (&target, self.serial()) {
            (Some(target), None) => Some(self.config.replace(Arc::clone(target))),
            _ => None,
        };
        drop((before, self.target.replace(target)));
        self.flags.unsettle();
    }

    /// Why a connection that was opened with this configuration is out of date, where it is.
    pub(crate) fn outdated(&self, config: &Arc<AliasConfig>) -> Option<CloseReason> {
        match &*self.target.borrow() {
            None => Some(CloseReason::Removed),
            Some(target) if !Arc::ptr_eq(target, config) => Some(CloseReason::Replaced),
            Some(_) => None,
        }
    }

    /// A statement in a block whose connection was closed.
    pub(crate) fn closed_in_block(&self) -> Error {
        self.flags.note_error();
        let error = self.backend(Backend::closed).with_context("inside an atomic block");
        error.with_fact(Fact::Disconnect).with_fact(Fact::WorkLost).with_alias(self.alias_arc())
    }

    pub(crate) fn shut_down(&self) -> Error {
        let message = "the registry has been shut down, and opens and runs nothing any more";
        Error::new(ErrorKind::Interface, message).with_alias(self.alias_arc())
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("alias", &self.alias())
            .field("vendor", &self.vendor())
            .field("serial", &self.serial())
            .finish_non_exhaustive()
    }
}
