//! How a connection is opened.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::logging::say;
use crate::link::ages::Birth;
use crate::link::seat::Link;
use crate::slot::Slot;
use crate::slot::acquire::{Acquired, SeatPermit};
use crate::slot::events::{Event, Failure};

/// Enough for receivers that use the connection that they are told of.
const TELLING: u32 = 4;

/// How a connection is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// As the settings say.
    Fresh,
    /// In place of one that had this autocommit.
    Replacement { autocommit: bool },
    /// In place of one on which an atomic block had been entered, and nothing been done.
    ReplacementInBlock,
}

/// A connection that was opened, or handed over by another thread.
struct Opened {
    link: Link,
    is_new: bool,
}

impl Slot {
    /// Makes sure that there is a connection, without a statement.
    pub(crate) fn ensure_connection(self: &Rc<Self>) -> Result<()> {
        if self.has_for_itself() {
            return Ok(());
        }
        let mut turn = self.turn()?;
        // If somebody else waits, it is his turn.
        let open = self.take_back(&mut turn, false) && turn.link().is_some();
        drop(turn);
        // As in Django, a connection that was closed in a block stays closed until its end, without an error here.
        if open || self.transaction.in_atomic_block() { Ok(()) } else { self.connect(Opening::Fresh, None) }
    }

    /// Whether a connection is open that no thread which waits under a cap can have, told without the lock.
    #[inline]
    fn has_for_itself(&self) -> bool {
        self.serial().is_some()
            && !self.seat().is_parked()
            && !self.is_busy()
            && !self.was_forked()
            && !self.has_ended_for_good()
    }

    /// Opens a connection, where none is (Django's `connect`).
    /// `kept` is the permit of the one that it replaces.
    pub(crate) fn connect(self: &Rc<Self>, opening: Opening, kept: Option<SeatPermit>) -> Result<()> {
        let started = Instant::now();
        if self.serial().is_none() && !self.is_busy() {
            self.tell(|events, source| events.tell(&Event::Connecting { source }));
        }
        let mut turn = self.turn()?;
        if turn.link().is_some() {
            self.take_back(&mut turn, true);
            return Ok(());
        }
        // A receiver that opens what it was told of is told of that, and so on.
        if self.telling.get() > TELLING {
            return Err(self.reopened_for_ever());
        }
        let Opened { mut link, is_new } = match self.open(started, opening, kept) {
            Ok(opened) => opened,
            Err(error) => {
                self.seat().tally.connect_errors.fetch_add(1, Relaxed);
                drop(turn);
                self.tell_wait();
                let (error, elapsed) = (error.with_alias(self.alias_arc()), started.elapsed());
                self.tell(|events, source| {
                    events.tell(&Event::ConnectFailed { source, elapsed, failure: Failure::new(&error) });
                });
                return Err(error);
            }
        };
        let serial = link.serial;
        self.news.connected(link.session.dialect());
        if link.permit.is_some() {
            self.has_taken();
        }
        let left_by = link.left_by.take();
        turn.put(link);
        drop(turn);
        self.tell_wait();
        let elapsed = started.elapsed();
        if !is_new {
            self.seat().tally.handed_over.fetch_add(1, Relaxed);
            let from_thread = left_by.as_deref().unwrap_or_default();
            self.tell(|events, source| events.tell(&Event::HandedOver { source, from_thread }));
            say!(debug, "alias {:?}: was handed connection {serial} in {elapsed:.1?}", self.alias());
            return if self.close_after_shutdown() { Err(self.shut_down()) } else { Ok(()) };
        }
        self.seat().tally.opened.fetch_add(1, Relaxed);
        self.tell(|events, source| events.tell(&Event::Connected { source, elapsed }));
        say!(debug, "alias {:?}: opened connection {serial} ({}) in {elapsed:.1?}", self.alias(), self.vendor());
        self.tell_of(|| self.desk.opened(self, serial, elapsed));
        // Either this sees that the registry was closed meanwhile, or who closed it sees the link.
        if self.close_after_shutdown() { Err(self.shut_down()) } else { Ok(()) }
    }

    fn open(&self, started: Instant, opening: Opening, mut kept: Option<SeatPermit>) -> Result<Opened> {
        let (mut link, is_new) = loop {
            if self.is_shut_down() {
                return Err(self.shut_down());
            }
            self.holds.refuse_another()?;
            let newest = self.desk.newest(self.alias());
            self.set_target(newest.as_ref().ok().cloned());
            let config = newest?;
            // Django sets the flags before it connects; that connecting failed is an error that occurred.
            self.flags.note_error();
            self.flags.take_health_check();
            match self.acquire(&config, started, kept.take())? {
                Acquired::New(session, permit) => {
                    let mut link = Link::new(session, config, Birth::now(started));
                    link.permit = permit;
                    break (link, true);
                }
                Acquired::Taken(link) => break (*link, false),
                Acquired::Outdated(permit) => kept = permit,
            }
        };
        let (config, session) = (Arc::clone(&link.config), &mut link.session);
        let setting = config.settings.get_autocommit();
        let autocommit = match opening {
            Opening::Fresh => {
                self.transaction.connected(setting);
                if !setting {
                    // As Django, which switches it off where a new connection has it on.
                    self.log_statement("BEGIN", Duration::ZERO, None);
                }
                setting
            }
            Opening::Replacement { autocommit } => {
                if autocommit != setting {
                    session.set_autocommit(autocommit)?;
                }
                autocommit
            }
            Opening::ReplacementInBlock => {
                session.begin(self.transaction.options())?;
                false
            }
        };
        self.flags.forget_errors();
        self.flags.set_autocommit(autocommit);
        self.seat().vitals.set_changed(autocommit != setting);
        link.in_block = opening == Opening::ReplacementInBlock && !link.session.begins_lazily();
        self.holds.bind(link.serial);
        Ok(Opened { link, is_new })
    }

    pub(crate) fn reopened_for_ever(&self) -> Error {
        let message = "the connection is closed again each time that it is opened, by a receiver of connection_created \
                       or connection_closed";
        Error::new(ErrorKind::Interface, message).with_alias(self.alias_arc())
    }
}
