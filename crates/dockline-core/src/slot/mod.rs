//! One thread and one alias: the flags that Django keeps on a connection, and how it is opened and closed.
//!
//! The physical connection itself sits in the slot's [`Seat`]. When it is closed is decided in `lifecycle`, and what runs
//! on it is in `turn`.

pub(crate) mod lifecycle;
pub(crate) mod query_log;
pub(crate) mod reason;
pub(crate) mod transaction;
pub(crate) mod turn;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Fact, Result, ending};
use crate::base::logging::{panic_text, say};
use crate::base::row::Heading;
use crate::config::backend::{Backend, Session};
use crate::config::engines::AliasConfig;
use crate::config::settings::Liveness;
use crate::handle::connection::Connection;
use crate::handle::execute_wrapper::Wrappers;
use crate::link::seat::{Link, Seat};
use crate::shared::Shared;
use crate::shared::signals::ConnectionCreated;
use crate::slot::query_log::QueryLog;
use crate::slot::reason::{CloseReason, ConnectionClosed};
use crate::slot::transaction::Transaction;
use crate::slot::turn::{Turn, Work};

/// Enough for receivers that use the connection that they are told of.
const TELLING: u32 = 4;

/// What one thread has for one alias. Only that thread touches it.
pub(crate) struct Slot {
    pub(crate) shared: Arc<Shared>,
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
    /// A statement is running, or the connection is being opened or checked.
    pub(crate) busy: Cell<bool>,
    /// The connection was to be closed in the middle of a statement.
    pub(crate) close_when_free: Cell<Option<CloseReason>>,
    /// Something has run since it was last looked whether a transaction was left open.
    pub(crate) used: Cell<bool>,
    /// How many statements have run, on whichever connection.
    pub(crate) statements: Cell<u64>,
    /// Where the program has called last.
    pub(crate) called_from: Cell<&'static Location<'static>>,
    /// Where the transaction began that is open, or was last.
    pub(crate) began_at: Cell<&'static Location<'static>>,
    /// How many receivers are being told of this slot's connections, one inside the other.
    telling: Cell<u32>,
    /// The thread is ending, or the registry has gone.
    ended: Cell<Option<CloseReason>>,
}

/// Django's flags of a connection. They outlive the physical connection, and are set anew by the next one.
#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) errors_occurred: Cell<bool>,
    pub(crate) autocommit: Cell<bool>,
    pub(crate) health_check_done: Cell<bool>,
}

/// How a connection is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// As the settings say.
    Fresh,
    /// In place of one that had this autocommit.
    Instead { autocommit: bool },
    /// In place of one on which an atomic block had been entered, and nothing been done.
    InsteadInBlock,
}

/// How many [`Hold`](crate::Hold)s there are, and on which physical connection.
#[derive(Default)]
pub(crate) struct Holds {
    pub(crate) count: Cell<u32>,
    pub(crate) serial: Cell<Option<u64>>,
}

impl Slot {
    pub(crate) fn new(shared: Arc<Shared>, seat: Arc<Seat>, config: Arc<AliasConfig>) -> Self {
        let heading = Heading { alias: Some(Arc::clone(&seat.alias)), columns: Arc::default() };
        Self {
            shared,
            first_seat: seat,
            later_seat: Cell::new(None),
            heading: RefCell::new(Arc::new(heading)),
            target: RefCell::new(Some(Arc::clone(&config))),
            config: RefCell::new(config),
            flags: Flags::default(),
            holds: Holds::default(),
            transaction: Transaction::default(),
            wrappers: Wrappers::default(),
            log: QueryLog::default(),
            busy: Cell::new(false),
            close_when_free: Cell::new(None),
            used: Cell::new(false),
            statements: Cell::new(0),
            called_from: Cell::new(Location::caller()),
            began_at: Cell::new(Location::caller()),
            telling: Cell::new(0),
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

    /// A seat of this process's own. It is leaked: others may hold guards of the earlier one, and it is one for each fork.
    pub(crate) fn renew_seat(&self) {
        let seat = Box::new(Arc::new(Seat::new(self.alias_arc())));
        self.later_seat.set(Some(Box::leak(seat)));
    }

    /// Whether the process was forked since the seat was made. In the middle of a statement, that is asked after it.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.was_forked() && !self.is_busy()
    }

    pub(crate) fn was_forked(&self) -> bool {
        self.seat().is_inherited()
    }

    /// As [`was_forked`](Slot::was_forked), after code of the program in the middle of a statement: what comes next leaves the
    /// connection alone.
    pub(crate) fn was_forked_inside(&self) -> bool {
        let was_forked = self.was_forked();
        if was_forked {
            self.seat().set_forked_inside();
        }
        was_forked
    }

    /// Leaves what there is to the parent, where this process was forked.
    #[inline]
    pub(crate) fn notice_fork(&self) {
        if self.is_inherited() {
            crate::thread::local::leave_to_parent(self);
        }
    }

    pub(crate) fn serial(&self) -> Option<u64> {
        self.seat().serial()
    }

    pub(crate) fn current_config(&self) -> Arc<AliasConfig> {
        Arc::clone(&self.config.borrow())
    }

    pub(crate) fn log(&self) -> &QueryLog {
        &self.log
    }

    pub(crate) fn last_heading(&self) -> Arc<Heading> {
        Arc::clone(&self.heading.borrow())
    }

    pub(crate) fn new_heading(&self, columns: &Arc<[String]>) -> Arc<Heading> {
        let heading = Arc::new(Heading { alias: Some(self.alias_arc()), columns: Arc::clone(columns) });
        self.heading.replace(Arc::clone(&heading));
        heading
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
        self.busy.get()
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
    }

    /// Why a connection that was opened with this configuration is out of date, where it is.
    pub(crate) fn outdated(&self, config: &Arc<AliasConfig>) -> Option<CloseReason> {
        match &*self.target.borrow() {
            None => Some(CloseReason::Removed),
            Some(target) if !Arc::ptr_eq(target, config) => Some(CloseReason::Replaced),
            Some(_) => None,
        }
    }

    /// Runs something: makes sure that there is a connection that is fit for it, hands the session to `call`, and keeps
    /// the books. No code of the program runs while the link is locked, except what `call` itself calls.
    pub(crate) fn run<R>(
        self: &Rc<Self>,
        work: Work<'_>,
        call: impl FnOnce(&mut dyn Session) -> Result<R>,
    ) -> Result<R> {
        self.ready()?.run(work, call)
    }

    /// As [`run`](Slot::run), for what needs no connection where none is open.
    pub(crate) fn run_if_open(&self, work: Work<'_>, call: impl FnOnce(&mut dyn Session) -> Result<()>) -> Result<()> {
        let mut turn = self.turn()?;
        let Some(link) = turn.link() else {
            // Where one is held, there was something to end.
            return self.holds.refuse_another().map_err(|error| error.with_alias(self.alias_arc()));
        };
        if let Some(poison) = &mut link.poison {
            let error = poison.error();
            let lost_work = std::mem::take(&mut poison.in_transaction);
            // Who ends the transaction has been told that it is gone.
            link.in_block = false;
            drop(turn);
            if lost_work {
                self.transaction.hooks.clear();
            }
            self.flags.errors_occurred.set(true);
            let error = error.with_alias(self.alias_arc());
            if let Some(sql) = work.sql() {
                self.tell(sql, Duration::ZERO, Some(&error));
            }
            return Err(error);
        }
        turn.run(work, call)
    }

    /// Makes sure that there is a connection, without a statement.
    pub(crate) fn ensure_connection(self: &Rc<Self>) -> Result<()> {
        let open = self.turn()?.link().is_some();
        // As in Django, a connection that was closed in a block stays closed until its end, without an error here.
        if open || self.transaction.in_atomic_block() { Ok(()) } else { self.connect(Opening::Fresh) }
    }

    /// Opens a connection, where none is (Django's `connect`).
    pub(crate) fn connect(self: &Rc<Self>, opening: Opening) -> Result<()> {
        let started = Instant::now();
        let mut turn = self.turn()?;
        if turn.link().is_some() {
            return Ok(());
        }
        // A receiver that opens what it was told of is told of that, and so on.
        if self.telling.get() > TELLING {
            return Err(self.reopened_for_ever());
        }
        let link = self.open(started, opening).map_err(|error| error.with_alias(self.alias_arc()))?;
        let serial = link.serial;
        turn.put(link);
        drop(turn);
        let elapsed = started.elapsed();
        say!(debug, "alias {:?}: opened connection {serial} ({}) in {elapsed:.1?}", self.alias(), self.vendor());
        let event = ConnectionCreated { connection: Connection::new(Rc::clone(self)), serial, elapsed };
        self.tell_of(|| self.shared.signals.connection_created.send(&event));
        // Either this sees that the registry was closed meanwhile, or who closed it sees the link.
        if self.close_after_shutdown() { Err(self.shut_down()) } else { Ok(()) }
    }

    /// Receivers do not panic out of a signal, but loggers may: then it is as if they had not been told.
    fn tell_of(&self, send: impl FnOnce()) {
        let outer = self.telling.get();
        self.telling.set(outer + 1);
        let told = catch_unwind(AssertUnwindSafe(send));
        self.telling.set(outer);
        if let Err(panic) = told {
            resume_unwind(panic);
        }
    }

    pub(crate) fn reopened_for_ever(&self) -> Error {
        let message = "the connection is closed again each time that it is opened, by a receiver of connection_created \
                       or connection_closed";
        Error::new(ErrorKind::Interface, message).with_alias(self.alias_arc())
    }

    fn open(&self, started: Instant, opening: Opening) -> Result<Link> {
        if self.shared.hot.is_closed() {
            return Err(self.shut_down());
        }
        self.holds.refuse_another()?;
        let newest = self.shared.config(self.alias());
        self.set_target(newest.as_ref().ok().cloned());
        let config = newest?;
        // Django sets the flags before it connects; that connecting failed is an error that occurred.
        self.flags.errors_occurred.set(true);
        self.flags.health_check_done.set(true);
        let mut session = config.backend.connect()?;
        if !crate::registry::check::warn_once(&config, &mut *session, self.shared.threads_of(self.alias())) {
            let _ = session.close();
            session = config.backend.connect()?;
        }
        let setting = config.settings.get_autocommit();
        let autocommit = match opening {
            Opening::Fresh => {
                self.transaction.reset(setting);
                if !setting {
                    // As Django, which switches it off where a new connection has it on.
                    self.tell("BEGIN", Duration::ZERO, None);
                }
                setting
            }
            Opening::Instead { autocommit } => {
                if autocommit != setting {
                    session.set_autocommit(autocommit)?;
                }
                autocommit
            }
            Opening::InsteadInBlock => {
                session.begin(self.transaction.options())?;
                false
            }
        };
        self.flags.errors_occurred.set(false);
        self.flags.autocommit.set(autocommit);
        let mut link = Link::new(session, config, started);
        link.in_block = opening == Opening::InsteadInBlock && !link.session.begins_lazily();
        self.holds.bind(link.serial);
        Ok(link)
    }

    /// Tells of a connection that was taken out of its seat, and closes it.
    pub(crate) fn retire(&self, link: Option<Link>, reason: CloseReason) {
        if let Some(link) = link {
            self.tell_of(|| retire(&self.shared, link, reason));
        }
    }

    /// Takes the connection out and closes it; in the middle of a statement, when that is over.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.notice_fork();
        if self.is_busy() {
            self.close_when_free.set(Some(reason));
            return;
        }
        // One that is being replaced in a block leaves it its hooks.
        if self.serial().is_some() || !self.transaction.in_atomic_block() {
            self.transaction.hooks.clear();
        }
        if self.serial().is_some() {
            let link = self.seat().lock().take();
            self.transaction.closed(reason);
            self.retire(link, reason);
        }
    }

    /// After shutdown, closes what is in no transaction. Whether the registry is shut down.
    pub(crate) fn close_after_shutdown(&self) -> bool {
        if !self.shared.hot.is_closed() {
            return false;
        }
        if let Ok(mut turn) = self.turn() {
            let idles = turn.link().is_some_and(|link| !link.in_transaction());
            let link = if idles { turn.take() } else { None };
            drop(turn);
            if link.is_some() {
                self.transaction.closed(CloseReason::Shutdown);
            }
            self.retire(link, CloseReason::Shutdown);
        }
        true
    }

    /// Closes the connection for good: nothing opens one here again.
    pub(crate) fn end(&self, reason: CloseReason) {
        if let Some(began_at) = self.transaction.began_at() {
            let alias = self.alias();
            say!(
                warn,
                "alias {alias:?}: an atomic block is open on a thread that ends ({reason}); it is rolled back (it began at {began_at})"
            );
        }
        self.ended.set(Some(reason));
        self.close(reason);
        // They may hold this connection, and so keep the slot alive for ever.
        self.wrappers.clear();
    }

    /// As [`end`](Slot::end), where all that was open is the parent's: in silence, for a logger's locks are the parent's too.
    pub(crate) fn end_in_child(&self, reason: CloseReason) {
        self.ended.set(Some(reason));
        self.wrappers.clear();
    }

    /// A statement in a block whose connection was closed.
    pub(crate) fn closed_in_block(&self) -> Error {
        self.flags.errors_occurred.set(true);
        let error = self.backend(Backend::closed).with_context("inside an atomic block");
        error.with_fact(Fact::Disconnect).with_fact(Fact::WorkLost).with_alias(self.alias_arc())
    }

    pub(crate) fn shut_down(&self) -> Error {
        let message = "the registry has been shut down, and opens and runs nothing any more";
        Error::new(ErrorKind::Interface, message).with_alias(self.alias_arc())
    }

    /// Locks the link. While the turn lives, the slot is busy: whoever comes back to it on this thread gets an error
    /// and no deadlock.
    pub(crate) fn turn(&self) -> Result<Turn<'_>> {
        self.notice_fork();
        self.begin_turn()?;
        Ok(Turn::new(self, self.seat().lock()))
    }

    /// As [`turn`](Slot::turn), for a boundary that mostly finds nothing to do: it does not ask for the process before it waits for
    /// the lock. Who then does something to the connection asks.
    pub(crate) fn boundary_turn(&self) -> Result<Turn<'_>> {
        self.begin_turn()?;
        if let Some(guard) = self.seat().try_lock() {
            return Ok(Turn::new(self, guard));
        }
        self.busy.set(false);
        self.turn()
    }

    fn begin_turn(&self) -> Result<()> {
        match self.ended.get() {
            None => {}
            Some(CloseReason::ThreadExit) => return Err(ending(self.alias())),
            Some(_) => return Err(self.shut_down()),
        }
        if self.busy.replace(true) {
            let message = "the connection is in the middle of a statement: a row callback, an iterator of parameters or \
                           a closure of native cannot use it";
            return Err(Error::new(ErrorKind::Programming, message).with_alias(self.alias_arc()));
        }
        Ok(())
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

/// Closes a connection, and tells of it. Never under a lock.
pub(crate) fn retire(shared: &Shared, link: Link, reason: CloseReason) {
    // It lives on in the parent.
    if link.is_left() {
        return;
    }
    // Whoever took it out was on the way to close it when the process was forked, as in a receiver.
    if link.is_inherited() {
        return link.session.abandon();
    }
    let alias = Arc::clone(&link.config.alias);
    let event = ConnectionClosed {
        alias: Arc::clone(&alias),
        serial: link.serial,
        reason,
        age: link.age(),
        statements: link.statements,
    };
    // A driver that panics here may be on a thread that is ending, where that would end the process.
    let Link { session, departing, .. } = link;
    let closed = catch_unwind(AssertUnwindSafe(|| session.close()));
    // Receivers may wait for the end of the registry.
    drop(departing);
    match closed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            say!(warn, "alias {alias:?}: closing connection {}: {error}", event.serial);
        }
        Err(panic) => {
            let text = panic_text(&*panic);
            say!(error, "alias {alias:?}: closing connection {}: the driver panicked: {text}", event.serial);
        }
    }
    say!(
        debug,
        "alias {alias:?}: closed connection {} ({reason}) after {:.1?} and {} statements",
        event.serial,
        event.age,
        event.statements
    );
    shared.signals.connection_closed.send(&event);
}
