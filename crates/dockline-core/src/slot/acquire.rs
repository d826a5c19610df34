//! How a connection is had under a cap: a permit to open one, or one that another thread has parked.
//!
//! Below the cap nothing here is on the way of a statement or a request, except that a connection is parked at a boundary and taken
//! back by the next statement. Both happen under the lock that the owner takes anyway.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result};
use crate::base::logging::say;
use crate::base::moment::{stamp, stamp_of_coarse};
use crate::base::now::Now;
use crate::config::backend::{Health, Session};
use crate::config::engines::AliasConfig;
use crate::config::findings::warn_once;
use crate::config::full::explain;
use crate::config::settings::ResetOnHandover;
use crate::link::cap::{Grant, Order, Permit, Stage, Waiting};
use crate::link::caps::{SeatCap, cap_of};
use crate::link::exhausted;
use crate::link::seat::{Link, Seat};
use crate::slot::Slot;
use crate::slot::events::{Event, WaitOutcome};
use crate::slot::reason::CloseReason;
use crate::slot::turn::Turn;

/// After the server had no place for another connection, it is asked again so much later, unless one of ours is closed before.
const SERVER_FULL_PAUSE: Duration = Duration::from_millis(100);
/// A connection that has less time than this to be opened is not begun.
const TOO_SHORT: Duration = Duration::from_millis(1);
/// How long the reset of a session may take.
const RESETTING_TAKES: Duration = Duration::from_secs(5);
/// What stands for a limit beyond what the clock can tell.
const AGES: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The permit of a connection.
pub(crate) type SeatPermit = Permit<Seat>;

/// What came of asking for a connection.
pub(super) enum Acquired {
    /// A new one.
    New(Box<dyn Session>, Option<SeatPermit>),
    /// One that another thread had parked.
    Taken(Box<Link>),
    /// The alias has got other settings meanwhile. The permit counts for those too, if they have the same cap.
    Outdated(Option<SeatPermit>),
}

impl Slot {
    /// Gets a connection: opens one, if the cap allows it, or waits for its turn. `kept` is the permit of one that this replaces.
    pub(super) fn acquire(
        &self,
        config: &Arc<AliasConfig>,
        started: Instant,
        kept: Option<SeatPermit>,
    ) -> Result<Acquired> {
        let Some(cap) = self.cap(config) else {
            return self.connect_session(config, None).map(|session| Acquired::New(session, None));
        };
        let timeout = config.settings.get_acquire_timeout();
        let deadline = started.checked_add(timeout).unwrap_or(started + AGES);
        let mut kept = kept.filter(|permit| Arc::ptr_eq(permit.cap(), &cap));
        let mut order = Order::Last;
        loop {
            let grant = match kept.take() {
                Some(permit) => Grant::Permit(permit),
                None => self.wait_for(&cap, started, deadline, timeout, order)?,
            };
            match grant {
                Grant::Nothing => {
                    if self.is_shut_down() {
                        return Err(self.shut_down());
                    }
                    return Ok(Acquired::Outdated(None));
                }
                Grant::Link(link) => match self.make_fit(link, config, deadline) {
                    Ok(link) => return Ok(Acquired::Taken(Box::new(link))),
                    Err(permit) => kept = permit,
                },
                Grant::Permit(permit) => {
                    permit.is(Stage::Opening);
                    if !self.is_newest(config) {
                        return Ok(Acquired::Outdated(Some(permit)));
                    }
                    if left(deadline) < TOO_SHORT {
                        drop(permit);
                        return Err(self.timed_out(&cap, timeout));
                    }
                    match self.connect_session(config, Some(deadline)) {
                        Ok(session) => {
                            permit.is(Stage::Open);
                            return Ok(Acquired::New(session, Some(permit)));
                        }
                        Err(error) if error.is_server_full() && !self.is_shut_down() => {
                            cap.refused(permit, Instant::now() + SERVER_FULL_PAUSE, error.brief());
                            // It was this one's turn.
                            order = Order::First;
                        }
                        // It was full before, and the last attempt was cut short.
                        Err(_) if order == Order::First && left(deadline) < TOO_SHORT => {
                            drop(permit);
                            return Err(self.timed_out(&cap, timeout));
                        }
                        Err(error) => {
                            cap.failed(error.brief());
                            drop(permit);
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    fn wait_for(
        &self,
        cap: &Arc<SeatCap>,
        started: Instant,
        deadline: Instant,
        timeout: Duration,
        order: Order,
    ) -> Result<Grant<Seat>> {
        let mut waiting = cap.claim(self.seat(), started, order);
        if let Some(grant) = waiting.granted() {
            return Ok(grant);
        }
        let began = Instant::now();
        let result = self.wait_in_line(cap, waiting, deadline, timeout);
        let outcome = match &result {
            Ok(Grant::Permit(_)) => WaitOutcome::MayOpen,
            Ok(Grant::Link(_)) => WaitOutcome::GotParked,
            Err(error) if error.is_exhausted() => WaitOutcome::TimedOut,
            Ok(Grant::Nothing) | Err(_) => WaitOutcome::GaveUp,
        };
        self.news.waited.set(Some((began.elapsed(), outcome)));
        result
    }

    fn wait_in_line(
        &self,
        cap: &Arc<SeatCap>,
        mut waiting: Waiting<Seat>,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Grant<Seat>> {
        if waiting.is_for_itself() {
            return match waiting.give_up() {
                Some(grant) => Ok(grant),
                None => Err(exhausted::waits_for_itself(cap, Instant::now())),
            };
        }
        if self.is_shut_down() {
            // Else whoever shuts down sees that it waits.
            return waiting.give_up().ok_or_else(|| self.shut_down());
        }
        if let Some(grant) = waiting.wait(deadline) {
            return Ok(grant);
        }
        // Described before it leaves: threads that wait for each other are seen by who waits.
        let error = self.timed_out(cap, timeout);
        waiting.give_up().ok_or(error)
    }

    #[cold]
    fn timed_out(&self, cap: &Arc<SeatCap>, timeout: Duration) -> Error {
        cap.timed_out();
        self.seat().tally.timed_out.fetch_add(1, Ordering::Relaxed);
        exhausted::timed_out(cap, self.seat(), timeout, Instant::now())
    }

    /// Makes sure that a connection of another thread's does here. If it does not, it is closed, and what is left is its permit.
    fn make_fit(
        &self,
        mut link: Link,
        config: &Arc<AliasConfig>,
        deadline: Instant,
    ) -> Result<Link, Option<SeatPermit>> {
        let reason = self.unfit(&mut link, config).or_else(|| self.unclean(&mut link, deadline));
        let Some(reason) = reason else { return Ok(link) };
        let permit = link.permit.take();
        self.retire(Some(link), reason);
        Err(permit)
    }

    fn unfit(&self, link: &mut Link, config: &Arc<AliasConfig>) -> Option<CloseReason> {
        if !Arc::ptr_eq(&link.config, config) {
            let is_same_alias = link.config.alias == config.alias;
            return Some(if is_same_alias { CloseReason::Replaced } else { CloseReason::MadeRoom });
        }
        // Whoever has waited while the alias was replaced gets what it is now.
        if !self.is_newest(config) {
            return Some(CloseReason::Replaced);
        }
        let now = Instant::now();
        if let Some(reason) = CloseReason::by_age(&link.ages, now) {
            return Some(reason);
        }
        let is_there = match link.session.probe() {
            Health::Alive => !link.ages.has_to_ask(|| now) || link.is_usable(),
            Health::Ask => link.is_usable(),
            Health::Gone(_) => false,
        };
        // What is known to be gone is nobody's to find out, whatever liveness is: this thread has never had it.
        (!is_there).then_some(CloseReason::Unusable)
    }

    fn is_newest(&self, config: &Arc<AliasConfig>) -> bool {
        self.desk.newest(self.alias()).is_ok_and(|newest| Arc::ptr_eq(&newest, config))
    }

    /// Has the session reset, if the settings ask for that.
    fn unclean(&self, link: &mut Link, deadline: Instant) -> Option<CloseReason> {
        if link.config.settings.get_reset_on_handover() == ResetOnHandover::None {
            return None;
        }
        let limit = Instant::now() + RESETTING_TAKES;
        let error = link.session.reset(deadline.min(limit)).err()?;
        let (alias, serial) = (self.alias(), link.serial);
        say!(warn, "alias {alias:?}: connection {serial} cannot be reset, and is replaced: {}", error.brief());
        Some(CloseReason::Unusable)
    }

    /// Connects, and warns once of what speaks against the alias.
    fn connect_session(&self, config: &Arc<AliasConfig>, deadline: Option<Instant>) -> Result<Box<dyn Session>> {
        let _opening = IsOpening::begin(self.seat());
        let threads = || self.desk.threads_of(self.alias());
        let connect = || {
            let session = match deadline {
                Some(deadline) => config.backend.connect_by(deadline),
                None => config.backend.connect(),
            };
            session.map_err(|error| explain(config, error, threads()))
        };
        let mut session = connect()?;
        if !warn_once(config, &mut *session, threads()) {
            let _ = session.close();
            session = connect()?;
        }
        Ok(session)
    }

    /// The cap on connections of this configuration, remembered for as long as it stays the same.
    fn cap(&self, config: &Arc<AliasConfig>) -> Option<Arc<SeatCap>> {
        config.settings.get_max_connections()?;
        if let Some((known, cap)) = &*self.cap.borrow()
            && Arc::ptr_eq(known, config)
        {
            return Some(Arc::clone(cap));
        }
        let cap = cap_of(self.hot.id, config)?;
        // What was there is dropped after the borrow: settings may hold closures of the program.
        let before = self.cap.replace(Some((Arc::clone(config), Arc::clone(&cap))));
        drop(before);
        Some(cap)
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A connection is being opened for a seat, while this lives.
struct IsOpening<'a>(&'a Seat);

impl<'a> IsOpening<'a> {
    fn begin(seat: &'a Seat) -> Self {
        seat.vitals.set_opening(true);
        Self(seat)
    }
}

impl Drop for IsOpening<'_> {
    fn drop(&mut self) {
        self.0.vitals.set_opening(false);
    }
}

/// Parking.
impl Slot {
    /// Lets whoever waits for a connection take this one, if there is a cap and nothing would be missed with it.
    #[inline]
    pub(super) fn park(&self, mut turn: Turn<'_>, now: &Now) {
        if !self.park_unheard(&mut turn, now) {
            return;
        }
        if !self.is_heard() {
            return;
        }
        let serial = turn.link().map(|link| link.serial);
        drop(turn);
        self.tell_of_serial(serial, |events, source| events.tell(&Event::Parked { source }));
    }

    /// Whether it is parked now, and was not before.
    fn park_unheard(&self, turn: &mut Turn<'_>, now: &Now) -> bool {
        let Some(link) = turn.link().filter(|link| link.permit.is_some()) else { return false };
        if !self.may_be_taken(link) {
            return false;
        }
        self.settle(link, now);
        if turn.is_parked() {
            return false;
        }
        self.is_taken.set(false);
        // The exact moment counts only if somebody waits: then who was parked first is taken first, and kept for its owner for a moment.
        turn.park(if self.any_waits() { stamp(now.get()) } else { stamp_of_coarse(now.coarse()) });
        true
    }

    /// The owner's thread ends: whoever waits gets the connection as it is, so that none is opened in its place.
    pub(super) fn leave_to_who_waits(&self) {
        if self.is_busy() || self.was_forked() || !self.any_waits() {
            return;
        }
        self.seat().stint.end();
        if let Ok(mut turn) = self.boundary_turn() {
            // Nobody is told: on a thread that ends, no code of the program may run. The end of the turn serves who waits.
            self.park_unheard(&mut turn, &Now::default());
        }
    }

    /// Tells how long the thread has waited for its turn.
    pub(super) fn tell_wait(&self) {
        if let Some((waited, outcome)) = self.news.waited.take() {
            self.tell(|events, source| events.tell(&Event::Waited { source, waited, outcome }));
        }
    }

    /// Whether the owner has used a connection that counts under a cap since the last boundary.
    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken.get()
    }

    /// Parks what the owner has used since the last boundary.
    pub(crate) fn park_if_taken(&self) {
        if !self.is_taken.get() || self.is_busy() || self.was_forked() {
            return;
        }
        if let Ok(turn) = self.boundary_turn() {
            self.park(turn, &Now::default());
        }
    }

    /// Whether nothing of the owner's would be missed with it. What the session holds is asked by whoever wants to take it.
    fn may_be_taken(&self, link: &Link) -> bool {
        link.poison.is_none()
            && !self.holds.any()
            && self.telling.get() == 0
            && !self.transaction.in_atomic_block()
            && !link.in_transaction()
            && self.flags.autocommit() == link.config.settings.get_autocommit()
    }

    /// Takes back what is parked, for its owner needs it again. If somebody else waits and the owner's stint is over, it is the other's
    /// turn: then this does nothing, and the answer is false. `in_turn`: he has been let before.
    pub(super) fn take_back(&self, turn: &mut Turn<'_>, in_turn: bool) -> bool {
        if !turn.is_parked() {
            return true;
        }
        turn.unpark();
        if !in_turn && self.any_waits() {
            let now = stamp(Instant::now());
            if !self.seat().stint.is_on(now) {
                turn.park(now);
                return false;
            }
        }
        self.has_taken();
        true
    }

    /// Nobody may take the connection from now on, until the next boundary.
    pub(crate) fn keep_from_others(&self) {
        if !self.is_busy()
            && let Ok(mut turn) = self.turn()
        {
            self.take_back(&mut turn, true);
        }
    }

    /// The owner has a connection that counts.
    pub(super) fn has_taken(&self) {
        self.is_taken.set(true);
        self.seat().usage().began(self.trace.place());
    }

    fn any_waits(&self) -> bool {
        self.cap.borrow().as_ref().is_some_and(|(_, cap)| cap.any_waits())
    }

    /// After each time that the owner has locked what is parked: whoever waits may have tried it in vain just then.
    #[inline]
    pub(super) fn serve_waiters(&self) {
        if let Some((_, cap)) = &*self.cap.borrow() {
            cap.serve_if_any_waits(self.seat());
        }
    }
}
