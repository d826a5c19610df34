//! One thread and one alias: the flags that Django keeps on a connection, and the way of every statement.
//!
//! The physical connection itself sits in the slot's [`Seat`]. When it is closed is decided in `lifecycle`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::Session;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Fact, Result};
use crate::query_log::QueryLog;
use crate::registry::{AliasConfig, Shared};
use crate::seat::{Link, LinkGuard, Seat};
use crate::signals::{CloseReason, ConnectionClosed, ConnectionCreated, panic_text};

/// What one thread has for one alias. Only that thread touches it.
pub(crate) struct Slot {
    pub(crate) shared: Arc<Shared>,
    seat: Arc<Seat>,
    /// What the connection has, or the next one will have.
    config: RefCell<Arc<AliasConfig>>,
    /// What the alias is configured to now; `None` where it was removed.
    target: RefCell<Option<Arc<AliasConfig>>>,
    /// `target` is none: looked at by every `get`.
    removed: Cell<bool>,
    pub(crate) flags: Flags,
    pub(crate) holds: Holds,
    log: QueryLog,
    /// A statement is running, or the connection is being opened or checked.
    busy: Cell<bool>,
    /// A statement has begun and not come back: where its turn ends all the same, it panicked.
    unfinished: Cell<bool>,
    /// `close` was called in the middle of a statement.
    close_when_free: Cell<bool>,
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
        Self {
            shared,
            seat,
            target: RefCell::new(Some(Arc::clone(&config))),
            removed: Cell::new(false),
            config: RefCell::new(config),
            flags: Flags::default(),
            holds: Holds::default(),
            log: QueryLog::default(),
            busy: Cell::new(false),
            unfinished: Cell::new(false),
            close_when_free: Cell::new(false),
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

    pub(crate) fn vendor(&self) -> &'static str {
        self.config.borrow().backend.vendor()
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    #[inline]
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.get()
    }

    /// Says what the alias is configured to now. A connection that is open keeps what it was opened with.
    pub(crate) fn set_target(&self, target: Option<Arc<AliasConfig>>) {
        if let (Some(target), None) = (&target, self.serial()) {
            *self.config.borrow_mut() = Arc::clone(target);
        }
        self.removed.set(target.is_none());
        *self.target.borrow_mut() = target;
    }

    /// Why a connection that was opened with this configuration is out of date, where it is.
    pub(crate) fn outdated(&self, config: &Arc<AliasConfig>) -> Option<CloseReason> {
        match &*self.target.borrow() {
            None => Some(CloseReason::Removed),
            Some(target) if !Arc::ptr_eq(target, config) => Some(CloseReason::Replaced),
            Some(_) => None,
        }
    }

    /// Runs a statement: makes sure that there is a connection that is fit for it, hands the session to `call`, and
    /// keeps the books. No code of the program runs while the link is locked, except what `call` itself calls.
    /// Without `sql` it is not logged.
    pub(crate) fn statement<R>(
        self: &Rc<Self>,
        sql: Option<&str>,
        call: impl FnOnce(&mut dyn Session) -> Result<R>,
    ) -> Result<R> {
        self.ready()?.run(sql, call)
    }

    /// As [`statement`](Slot::statement), for what needs no connection where none is open.
    pub(crate) fn statement_if_open(&self, sql: &str, call: impl FnOnce(&mut dyn Session) -> Result<()>) -> Result<()> {
        let mut turn = self.turn()?;
        match turn.link() {
            None => Ok(()),
            Some(link) => {
                self.refuse_poisoned(link)?;
                turn.run(Some(sql), call)
            }
        }
    }

    /// Makes sure that there is a connection, without a statement.
    pub(crate) fn ensure_connection(self: &Rc<Self>) -> Result<()> {
        let open = self.turn()?.link().is_some();
        if open { Ok(()) } else { self.connect() }
    }

    /// Opens a connection (Django's `connect`). Only where none is open.
    pub(crate) fn connect(self: &Rc<Self>) -> Result<()> {
        let started = Instant::now();
        let serial = {
            let mut turn = self.turn()?;
            let link = self.open(started).map_err(|error| error.with_alias(self.alias_arc()))?;
            let serial = link.serial;
            turn.put(link);
            // Either this sees that the registry was closed meanwhile, or who closed it sees the link.
            if self.shared.hot.is_closed() {
                let link = turn.take();
                drop(turn);
                self.retire(link, CloseReason::Shutdown);
                return Err(self.shut_down());
            }
            serial
        };
        let elapsed = started.elapsed();
        log::debug!(
            target: "dockline::connection",
            "alias {:?}: opened connection {serial} ({}) in {elapsed:.1?}", self.alias(), self.vendor()
        );
        let event = ConnectionCreated { connection: Connection::new(Rc::clone(self)), serial, elapsed };
        self.shared.signals.connection_created.send(&event);
        Ok(())
    }

    fn open(&self, started: Instant) -> Result<Link> {
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
        let session = config.backend.connect()?;
        self.flags.errors_occurred.set(false);
        self.flags.autocommit.set(config.settings.get_autocommit());
        let link = Link::new(session, config, started);
        self.holds.bind(link.serial);
        Ok(link)
    }

    /// Tells of a connection that was taken out of its seat, and closes it.
    pub(crate) fn retire(&self, link: Option<Link>, reason: CloseReason) {
        if let Some(link) = link {
            retire(&self.shared, link, reason);
        }
    }

    /// Takes the connection out and closes it; in the middle of a statement, when that is over.
    pub(crate) fn close(&self, reason: CloseReason) {
        if self.is_busy() {
            self.close_when_free.set(true);
            return;
        }
        if self.serial().is_none() {
            return;
        }
        let link = self.seat.lock().take();
        self.retire(link, reason);
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

    pub(crate) fn refuse_poisoned(&self, link: &Link) -> Result<()> {
        match &link.poison {
            Some(poison) => Err(poison.error().with_alias(self.alias_arc())),
            None => Ok(()),
        }
    }

    /// Locks the link. While the turn lives, the slot is busy: whoever comes back to it on this thread gets an error
    /// and no deadlock.
    pub(crate) fn turn(&self) -> Result<Turn<'_>> {
        match self.ended.get() {
            None => {}
            Some(CloseReason::ThreadExit) => {
                let message = "this thread is ending: its connections are closed, and it cannot open others";
                return Err(Error::new(ErrorKind::Interface, message).with_alias(self.alias_arc()));
            }
            Some(_) => return Err(self.shut_down()),
        }
        if self.busy.replace(true) {
            let message = "the connection is in the middle of a statement: a row callback, an iterator of parameters or \
                           a closure of native cannot use it";
            return Err(Error::new(ErrorKind::Programming, message).with_alias(self.alias_arc()));
        }
        Ok(Turn { slot: self, link: Some(self.seat.lock()) })
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

/// The slot, busy, with its link locked.
pub(crate) struct Turn<'a> {
    slot: &'a Slot,
    // Some, until the turn is dropped: it goes before the slot is free again.
    link: Option<LinkGuard<'a>>,
}

impl Turn<'_> {
    pub(crate) fn link(&mut self) -> Option<&mut Link> {
        self.link.as_mut()?.get()
    }

    pub(crate) fn take(&mut self) -> Option<Link> {
        self.link.as_mut()?.take()
    }

    fn put(&mut self, link: Link) {
        if let Some(guard) = &mut self.link {
            guard.put(link);
        }
    }

    fn run<R>(mut self, sql: Option<&str>, call: impl FnOnce(&mut dyn Session) -> Result<R>) -> Result<R> {
        let slot = self.slot;
        // `ready` gives no turn without a link.
        let Some(link) = self.link() else { return Err(slot.shut_down()) };
        let settings = &link.config.settings;
        let (slow, keeps_time) = (settings.get_slow_statement(), settings.get_conn_max_idle().is_some());
        let in_transaction = link.session.in_transaction();
        let told = sql.filter(|_| slow.is_some() || slot.log.is_on() || is_query_log_enabled());
        let started = told.map(|sql| (sql, Instant::now()));

        slot.seat.set_running(true);
        slot.unfinished.set(true);
        let result = call(&mut *link.session);
        slot.unfinished.set(false);
        slot.seat.set_running(false);

        let started = started.map(|(sql, started)| (sql, started.elapsed()));
        link.statements += 1;
        if keeps_time {
            link.last_used = Instant::now();
        }
        let result = result.map_err(|error| slot.judge(error, link, in_transaction));
        // After shutdown, what was in a transaction may end it, and nothing more.
        let over = slot.shared.hot.is_closed() && !link.session.in_transaction();
        let asked = slot.close_when_free.take();
        let closing = (asked || over).then(|| self.take());
        drop(self);

        // From here on nothing is locked: loggers and receivers are the program's code.
        if let Some(link) = closing {
            slot.retire(link, if asked { CloseReason::Asked } else { CloseReason::Shutdown });
        }
        if let Some((sql, elapsed)) = started {
            slot.tell(sql, elapsed, slow, result.as_ref().err());
        }
        result
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.slot.unfinished.take() {
            self.slot.seat.set_running(false);
            if let Some(link) = self.link() {
                let in_transaction = link.session.in_transaction();
                link.poison("a statement panicked", None, in_transaction);
            }
        }
        self.link = None;
        self.slot.busy.set(false);
    }
}

impl Slot {
    /// What an error of the session says of the connection.
    fn judge(&self, mut error: Error, link: &mut Link, in_transaction: bool) -> Error {
        if error.questions_the_connection() {
            self.flags.errors_occurred.set(true);
        }
        let lost = error.is_disconnect() || !link.session.in_transaction();
        if in_transaction && lost {
            error = error.with_fact(Fact::WorkLost);
        }
        if error.is_disconnect() {
            link.poison(error.message().to_owned(), error.code(), in_transaction);
        }
        error.with_alias(self.alias_arc())
    }

    /// Logs a statement that has run. Parameters are not logged: they may be secret.
    fn tell(&self, sql: &str, elapsed: Duration, slow: Option<Duration>, error: Option<&Error>) {
        if self.log.is_on() {
            self.log.record(sql, elapsed);
        }
        let alias = self.alias();
        if slow.is_some_and(|slow| elapsed >= slow) {
            log::warn!(target: QUERY_LOG, "alias {alias:?}: slow statement, {elapsed:.1?}: {sql}");
        } else if let Some(error) = error {
            log::debug!(target: QUERY_LOG, "alias {alias:?}: failed after {elapsed:.1?}: {sql}: {}", error.message());
        } else {
            log::debug!(target: QUERY_LOG, "alias {alias:?}: {elapsed:.1?}: {sql}");
        }
    }
}

const QUERY_LOG: &str = "dockline::query";

fn is_query_log_enabled() -> bool {
    log::log_enabled!(target: QUERY_LOG, log::Level::Debug)
}
