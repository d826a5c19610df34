//! One thread and one alias: the flags that Django keeps on a connection, and how it is opened and closed.
//!
//! The physical connection itself sits in the slot's [`Seat`]. When it is closed is decided in `lifecycle`, and what runs
//! on it is in `turn`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::backend::{Rest, Session};
use crate::connection::Connection;
use crate::engines::AliasConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::query_log::QueryLog;
use crate::row::Heading;
use crate::seat::{Link, Seat};
use crate::shared::Shared;
use crate::signals::{CloseReason, ConnectionClosed, ConnectionCreated, panic_text};
use crate::turn::{Turn, Work};

/// Enough for receivers that use the connection that they are told of.
const TELLING: u32 = 4;

/// What one thread has for one alias. Only that thread touches it.
pub(crate) struct Slot {
    pub(crate) shared: Arc<Shared>,
    seat: Arc<Seat>,
    /// What the connection has, or the next one will have.
    config: RefCell<Arc<AliasConfig>>,
    /// What the alias is configured to now; `None` where it was removed.
    target: RefCell<Option<Arc<AliasConfig>>>,
    pub(crate) flags: Flags,
    pub(crate) holds: Holds,
    log: QueryLog,
    /// That of the last result.
    heading: RefCell<Arc<Heading>>,
    /// A statement is running, or the connection is being opened or checked.
    pub(crate) busy: Cell<bool>,
    /// The connection was to be closed in the middle of a statement.
    pub(crate) close_when_free: Cell<Option<CloseReason>>,
    /// Something has run since it was last looked whether a transaction was left open.
    pub(crate) used: Cell<bool>,
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
            seat,
            heading: RefCell::new(Arc::new(heading)),
            target: RefCell::new(Some(Arc::clone(&config))),
            config: RefCell::new(config),
            flags: Flags::default(),
            holds: Holds::default(),
            log: QueryLog::default(),
            busy: Cell::new(false),
            close_when_free: Cell::new(None),
            used: Cell::new(false),
            telling: Cell::new(0),
            ended: Cell::new(None),
        }
    }

    #[inline]
    pub(crate) fn alias(&self) -> &str {
        &self.seat.alias
    }

    pub(crate) fn alias_arc(&self) -> Arc<str> {
        Arc::clone(&self.seat.alias)
    }

    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    pub(crate) fn serial(&self) -> Option<u64> {
        self.seat.serial()
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

    pub(crate) fn vendor(&self) -> &'static str {
        self.config.borrow().backend.vendor()
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

    /// As [`run`](Slot::run), for a result that may be left before its end.
    pub(crate) fn stream(
        self: &Rc<Self>,
        work: Work<'_>,
        call: impl FnOnce(&mut dyn Session) -> Result<Rest>,
    ) -> Result<()> {
        self.ready()?.stream(work, |session| call(session).map(|rest| ((), rest)))
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
            // Who ends the transaction has been told that it is gone.
            poison.in_transaction = false;
            return Err(error.with_alias(self.alias_arc()));
        }
        turn.run(work, call)
    }

    /// Makes sure that there is a connection, without a statement.
    pub(crate) fn ensure_connection(self: &Rc<Self>) -> Result<()> {
        let open = self.turn()?.link().is_some();
        if open { Ok(()) } else { self.connect(None) }
    }

    /// Opens a connection, where none is (Django's `connect`). `autocommit` is what it has instead of the setting: what
    /// the one had that it replaces.
    pub(crate) fn connect(self: &Rc<Self>, autocommit: Option<bool>) -> Result<()> {
        let started = Instant::now();
        let mut turn = self.turn()?;
        if turn.link().is_some() {
            return Ok(());
        }
        // A receiver that opens what it was told of is told of that, and so on.
        if self.telling.get() > TELLING {
            return Err(self.reopened_for_ever());
        }
        let link = self.open(started, autocommit).map_err(|error| error.with_alias(self.alias_arc()))?;
        let serial = link.serial;
        turn.put(link);
        drop(turn);
        let elapsed = started.elapsed();
        log::debug!(
            target: "dockline::connection",
            "alias {:?}: opened connection {serial} ({}) in {elapsed:.1?}", self.alias(), self.vendor()
        );
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

    fn open(&self, started: Instant, autocommit: Option<bool>) -> Result<Link> {
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
        let setting = config.settings.get_autocommit();
        let autocommit = autocommit.unwrap_or(setting);
        if autocommit != setting {
            session.set_autocommit(autocommit)?;
        }
        if !crate::check::warn_once(&config, &mut *session, self.shared.threads_of(self.alias())) {
            let _ = session.close();
            session = config.backend.connect()?;
            if autocommit != setting {
                session.set_autocommit(autocommit)?;
            }
        }
        self.flags.errors_occurred.set(false);
        self.flags.autocommit.set(autocommit);
        let link = Link::new(session, config, started);
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
        if self.is_busy() {
            self.close_when_free.set(Some(reason));
        } else if self.serial().is_some() {
            let link = self.seat.lock().take();
            self.retire(link, reason);
        }
    }

    /// After shutdown, closes what is in no transaction. Whether the registry is shut down.
    pub(crate) fn close_after_shutdown(&self) -> bool {
        if !self.shared.hot.is_closed() {
            return false;
        }
        if let Ok(mut turn) = self.turn() {
            let idles = turn.link().is_some_and(|link| !link.session.in_transaction());
            let link = if idles { turn.take() } else { None };
            drop(turn);
            self.retire(link, CloseReason::Shutdown);
        }
        true
    }

    /// Closes the connection for good: nothing opens one here again.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.ended.set(Some(reason));
        self.close(reason);
    }

    pub(crate) fn shut_down(&self) -> Error {
        let message = "the registry has been shut down, and opens and runs nothing any more";
        Error::new(ErrorKind::Interface, message).with_alias(self.alias_arc())
    }

    /// Locks the link. While the turn lives, the slot is busy: whoever comes back to it on this thread gets an error
    /// and no deadlock.
    pub(crate) fn turn(&self) -> Result<Turn<'_>> {
        match self.ended.get() {
            None => {}
            Some(CloseReason::ThreadExit) => return Err(crate::thread::ending(self.alias())),
            Some(_) => return Err(self.shut_down()),
        }
        if self.busy.replace(true) {
            let message = "the connection is in the middle of a statement: a row callback, an iterator of parameters or \
                           a closure of native cannot use it";
            return Err(Error::new(ErrorKind::Programming, message).with_alias(self.alias_arc()));
        }
        Ok(Turn::new(self, self.seat.lock()))
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
    let alias = Arc::clone(&link.config.alias);
    let event = ConnectionClosed {
        alias: Arc::clone(&alias),
        serial: link.serial,
        reason,
        age: link.age(),
        statements: link.statements,
    };
    // A driver that panics here may be on a thread that is ending, where that would end the process.
    let session = link.session;
    match catch_unwind(AssertUnwindSafe(|| session.close())) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            log::warn!(target: "dockline::connection", "alias {alias:?}: closing connection {}: {error}", event.serial);
        }
        Err(panic) => {
            let text = panic_text(&*panic);
            log::error!(target: "dockline::connection", "alias {alias:?}: closing connection {}: the driver panicked: {text}", event.serial);
        }
    }
    log::debug!(
        target: "dockline::connection",
        "alias {alias:?}: closed connection {} ({reason}) after {:.1?} and {} statements",
        event.serial, event.age, event.statements
    );
    shared.signals.connection_closed.send(&event);
}
