//! The half of a slot that other threads may see, and take from: one seat for each thread and alias.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use once_cell::sync::OnceCell;

use crate::base::error::{Error, ErrorKind, Fact, Result};
use crate::base::ids::RegistryId;
use crate::base::process::{Process, process};
use crate::config::backend::{Cancel, Session, SessionState};
use crate::config::engines::AliasConfig;
use crate::link::ages::{Ages, Birth};
use crate::link::cap::{Permit, Place, Stage};
use crate::link::stint::Stint;
use crate::link::usage::Usage;
use crate::link::vitals::{Presence, Tally, Vitals};
use crate::link::watch::Watch;

/// Where the physical connection of one thread and alias sits.
///
/// The owner locks the link for one statement or one boundary; others only try to, so they never make it wait for
/// longer than it takes to close a connection. The atomics are written by the owner, and by who takes the link.
pub(crate) struct Seat {
    pub(crate) alias: Arc<str>,
    /// The name of the owner, or its id where it has none.
    pub(crate) thread: String,
    thread_id: ThreadId,
    pub(crate) registry: RegistryId,
    link: Mutex<Sitting>,
    /// Since when the link is parked, as a stamp; 0 if it is not. Written under the lock.
    parked_since: AtomicU64,
    /// How long the owner may go on with the link although others wait.
    pub(crate) stint: Stint,
    usage: Usage,
    /// The link's number, 0 where there is none: what the owner can ask in the middle of a statement.
    serial: AtomicU64,
    running: AtomicBool,
    /// How many connections have been taken out and are being closed.
    departing: Arc<AtomicUsize>,
    cancel: Mutex<Option<Arc<dyn Cancel>>>,
    /// The process in which it was made, and the only one in which its locks are waited for.
    process: Process,
    left: OnceCell<Left>,
    /// The process was forked in the middle of a statement, and this is the child.
    forked_inside: AtomicBool,
    /// What the owner shows of it.
    pub(crate) vitals: Vitals,
    /// For how long the owner has held it, if somebody asks for that.
    pub(crate) watch: Watch,
    /// What has happened on the alias.
    pub(crate) tally: Arc<Tally>,
}

/// What sits in a seat.
#[derive(Default)]
struct Sitting {
    link: Option<Link>,
    /// The owner does not need it now: whoever waits for a connection may take it.
    is_parked: bool,
}

/// What was left to the parent, in a process that was forked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    pub(crate) in_transaction: bool,
    pub(crate) state: SessionState,
}

impl Seat {
    pub(crate) fn new(alias: Arc<str>, registry: RegistryId, presence: Arc<Presence>, tally: Arc<Tally>) -> Self {
        let thread = std::thread::current();
        Self {
            alias,
            thread: thread.name().map_or_else(|| format!("{:?}", thread.id()), str::to_owned),
            thread_id: thread.id(),
            registry,
            link: Mutex::default(),
            parked_since: AtomicU64::new(0),
            stint: Stint::default(),
            usage: Usage::default(),
            serial: AtomicU64::new(0),
            running: AtomicBool::new(false),
            departing: Arc::default(),
            cancel: Mutex::new(None),
            process: process(),
            left: OnceCell::new(),
            forked_inside: AtomicBool::new(false),
            vitals: Vitals::new(presence),
            watch: Watch::default(),
            tally,
        }
    }

    /// In a process that was forked: gives the connection up without a word. `None` where a statement was running.
    pub(crate) fn leave_to_parent(&self, asks_for_state: bool) -> Option<Left> {
        let mut guard = self.try_lock()?;
        let left = self.left.get_or_init(|| {
            // Not `LinkGuard::take`, which takes another lock.
            let Some(mut link) = guard.sitting.link.take() else { return Left::default() };
            let forked_inside = self.forked_inside.load(Ordering::Relaxed);
            let left = Left {
                in_transaction: forked_inside || link.in_transaction(),
                state: if asks_for_state && !forked_inside { link.session.state() } else { SessionState::default() },
            };
            link.session.abandon();
            left
        });
        self.serial.store(0, Ordering::Relaxed);
        Some(left.clone())
    }

    pub(crate) fn serial(&self) -> Option<u64> {
        Some(self.serial.load(Ordering::Relaxed)).filter(|serial| *serial != 0)
    }

    pub(crate) fn thread_id(&self) -> ThreadId {
        self.thread_id
    }

    /// What the owner is doing with the connection.
    #[inline]
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether a connection sits here that may be taken. A glance.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked_since.load(Ordering::Relaxed) != 0
    }

    /// Whether a transaction is open here; `None` in the middle of a statement.
    pub(crate) fn is_in_transaction(&self) -> Option<bool> {
        Some(self.visit()?.get().is_some_and(|link| link.in_transaction()))
    }

    pub(crate) fn lock(&self) -> LinkGuard<'_> {
        LinkGuard { seat: self, sitting: lock(&self.link) }
    }

    /// For who is not the owner: locks it, if the owner is not busy with it.
    pub(crate) fn visit(&self) -> Option<Visit<'_>> {
        self.try_lock().map(|guard| Visit { seat: self, guard: Some(guard) })
    }

    /// `None` where the owner is busy with it.
    pub(crate) fn try_lock(&self) -> Option<LinkGuard<'_>> {
        let sitting = match self.link.try_lock() {
            Ok(sitting) => sitting,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return None,
        };
        Some(LinkGuard { seat: self, sitting })
    }

    /// Whether the process was forked since it was made.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.process != process()
    }

    pub(crate) fn set_forked_inside(&self) {
        self.forked_inside.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_forked_inside(&self) -> bool {
        self.forked_inside.load(Ordering::Relaxed)
    }

    /// Whether somebody is closing what sat here.
    pub(crate) fn is_departing(&self) -> bool {
        self.departing_count() > 0
    }

    /// How many connections that sat here are being closed.
    pub(crate) fn departing_count(&self) -> usize {
        self.departing.load(Ordering::Acquire)
    }

    /// Whether a statement runs here.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Release);
    }

    /// Cancels the statement that runs here; false where none does.
    pub(crate) fn cancel(&self) -> Result<bool> {
        // What runs in the parent is the parent's to cancel.
        if !self.running.load(Ordering::Acquire) || self.is_inherited() {
            return Ok(false);
        }
        // Not under the lock: asking a server takes time.
        let cancel = lock(&self.cancel).clone();
        let Some(cancel) = cancel else { return Ok(false) };
        cancel.cancel().map_err(|error| error.with_alias(Arc::clone(&self.alias)))?;
        Ok(true)
    }
}

impl Place for Seat {
    type Link = Link;

    fn parked_since(&self) -> Option<u64> {
        Some(self.parked_since.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    fn kept_until(&self) -> u64 {
        self.stint.kept_until(self.parked_since.load(Ordering::Relaxed))
    }

    fn take_parked(&self) -> Option<Link> {
        let mut guard = self.try_lock()?;
        if !guard.is_parked() {
            return None;
        }
        // Asked here and not when it is parked: some sessions have to look, and below the cap nobody needs to know.
        if guard.get().is_some_and(|link| !link.session.state().is_empty()) {
            guard.unpark();
            return None;
        }
        let mut link = guard.lift()?;
        link.left_by = Some(self.thread.clone());
        Some(link)
    }

    fn is_alike(&self, other: &Self) -> bool {
        self.registry == other.registry && self.alias == other.alias
    }

    fn is_of_same_thread(&self, other: &Self) -> bool {
        self.thread_id == other.thread_id
    }
}

/// The link of a seat, locked.
pub(crate) struct LinkGuard<'a> {
    seat: &'a Seat,
    sitting: MutexGuard<'a, Sitting>,
}

impl LinkGuard<'_> {
    #[inline]
    pub(crate) fn get(&mut self) -> Option<&mut Link> {
        self.sitting.link.as_mut()
    }

    /// Whether whoever waits for a connection may take this one.
    #[inline]
    pub(crate) fn is_parked(&self) -> bool {
        self.sitting.is_parked
    }

    /// Lets whoever waits for a connection take this one. `since`: a stamp.
    pub(crate) fn park(&mut self, since: u64) {
        self.sitting.is_parked = true;
        self.seat.parked_since.store(since, Ordering::Relaxed);
    }

    /// The owner needs it again.
    pub(crate) fn unpark(&mut self) {
        self.sitting.is_parked = false;
        self.seat.parked_since.store(0, Ordering::Relaxed);
    }

    pub(crate) fn put(&mut self, mut link: Link) {
        link.tally = Some(Arc::clone(&self.seat.tally));
        self.seat.vitals.put(link.ages.opened_at(), link.statements, link.session.server_connection_id());
        *lock(&self.seat.cancel) = link.session.canceller();
        self.seat.serial.store(link.serial, Ordering::Relaxed);
        if link.permit.is_some() {
            self.seat.stint.begin();
        }
        self.unpark();
        self.sitting.link = Some(link);
    }

    /// Takes the connection out, to be closed.
    pub(crate) fn take(&mut self) -> Option<Link> {
        let mut link = self.lift()?;
        // Under the lock: who finds the seat empty sees it.
        link.departing = Some(Departing::from(&self.seat.departing));
        if let Some(permit) = &link.permit {
            permit.is(Stage::Closing);
        }
        Some(link)
    }

    /// Takes the connection out, to be put into another seat.
    fn lift(&mut self) -> Option<Link> {
        let link = self.sitting.link.take()?;
        self.unpark();
        self.seat.vitals.taken();
        self.seat.serial.store(0, Ordering::Relaxed);
        lock(&self.seat.cancel).take();
        Some(link)
    }
}

/// A seat, locked by somebody who is not its owner.
///
/// Whoever waits under a cap may have tried the lock of a parked connection in vain meanwhile, so he is served when this is dropped.
pub(crate) struct Visit<'a> {
    seat: &'a Seat,
    /// Some, until it is dropped.
    guard: Option<LinkGuard<'a>>,
}

impl Visit<'_> {
    pub(crate) fn get(&mut self) -> Option<&mut Link> {
        self.guard.as_mut()?.get()
    }

    pub(crate) fn take(&mut self) -> Option<Link> {
        self.guard.as_mut()?.take()
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        let permit = if guard.is_parked() { guard.get().and_then(|link| link.permit.as_ref()) } else { None };
        let cap = permit.map(|permit| Arc::clone(permit.cap()));
        drop(guard);
        if let Some(cap) = cap {
            cap.serve_if_any_waits(self.seat);
        }
    }
}

/// A connection is between its seat and its end, while this lives.
pub(crate) struct Departing(Arc<AtomicUsize>);

impl Departing {
    fn from(seat: &Arc<AtomicUsize>) -> Self {
        seat.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(seat))
    }
}

impl Drop for Departing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A physical connection, with what belongs to it and not to the thread that has it.
pub(crate) struct Link {
    pub(crate) session: Box<dyn Session>,
    pub(crate) config: Arc<AliasConfig>,
    pub(crate) serial: u64,
    pub(crate) ages: Ages,
    pub(crate) statements: u64,
    /// The transaction of an atomic block has begun on it, whatever the server says of transactions since.
    pub(crate) in_block: bool,
    /// After an error that makes the connection untrustworthy, whatever a check would say.
    pub(crate) poison: Option<Poison>,
    pub(crate) departing: Option<Departing>,
    /// That of the seat that it sat in.
    pub(crate) tally: Option<Arc<Tally>>,
    /// The process that opened it: in another one it is the parent's.
    process: Process,
    /// It stands for one that was left to the parent.
    pub(super) is_left: bool,
    /// The thread that had it before, if that had parked it.
    pub(crate) left_by: Option<String>,
    /// The right to have it, if there is a cap. It comes last: what stands before it is gone when it is given back.
    pub(crate) permit: Option<Permit<Seat>>,
}

/// Why a connection can no longer be trusted.
pub(crate) struct Poison {
    message: String,
    code: Option<String>,
    /// There was a transaction, so replacing the connection would hide that its work is gone.
    pub(crate) in_transaction: bool,
    /// What it held that a new connection would lack.
    state: SessionState,
}

impl Link {
    pub(crate) fn new(session: Box<dyn Session>, config: Arc<AliasConfig>, birth: Birth) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let ages = Ages::new(&config.settings, session.can_probe(), birth);
        Self {
            session,
            config,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            ages,
            statements: 0,
            in_block: false,
            poison: None,
            departing: None,
            tally: None,
            process: process(),
            is_left: false,
            left_by: None,
            permit: None,
        }
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.process != process()
    }

    /// Whether there is work that would be gone with the connection: by the server's word, or an atomic block's.
    pub(crate) fn in_transaction(&self) -> bool {
        self.in_block || self.session.outcome().transaction.may_be_open()
    }

    pub(crate) fn is_usable(&mut self) -> bool {
        self.poison.is_none() && self.session.is_usable()
    }

    /// After this, every statement answers with the same error, without touching the connection.
    pub(crate) fn poison(&mut self, message: impl Into<String>, code: Option<String>, in_transaction: bool) {
        if self.poison.is_none() {
            let state = self.session.state();
            self.poison = Some(Poison { message: message.into(), code, in_transaction, state });
        }
    }
}

impl Poison {
    /// Whether something went with the connection, so that another in its place would hide it.
    pub(crate) fn lost_something(&self) -> bool {
        self.in_transaction || !self.state.is_empty()
    }

    pub(crate) fn error(&self) -> Error {
        let mut message = format!("the connection was lost: {}", self.message);
        if self.in_transaction {
            message.insert_str(0, "the transaction is gone: ");
        } else if !self.state.is_empty() {
            message += &format!(
                "; with it went {}; call close(), or end the request or task, to continue on a new connection",
                self.state
            );
        }
        let mut error = Error::new(ErrorKind::Operational, message).with_fact(Fact::Disconnect);
        if let Some(code) = &self.code {
            error = error.with_code(code.clone());
        }
        if self.in_transaction { error.with_fact(Fact::WorkLost) } else { error }
    }
}

/// The seats of one thread, as other threads find them. A thread that gets the id of one that has ended shares its
/// bucket, so each removes exactly its own seats.
#[derive(Default)]
pub(crate) struct Bucket {
    seats: Mutex<Vec<Arc<Seat>>>,
}

impl Bucket {
    pub(crate) fn add(&self, seat: Arc<Seat>) {
        lock(&self.seats).push(seat);
    }

    pub(crate) fn remove(&self, seat: &Arc<Seat>) {
        let mut seats = lock(&self.seats);
        if let Some(at) = seats.iter().position(|other| Arc::ptr_eq(other, seat)) {
            seats.remove(at);
            // Under the lock, so that who visits the seats finds what it counted in one place or in the other.
            seat.tally.fold(seat.vitals.counted());
        }
    }

    /// Calls with each seat, under the lock: for a look, which may not wait for anything.
    pub(crate) fn visit(&self, call: impl FnMut(&Arc<Seat>)) {
        lock(&self.seats).iter().for_each(call);
    }

    pub(crate) fn seats(&self) -> Vec<Arc<Seat>> {
        lock(&self.seats).clone()
    }

    /// `None` where they are locked: for a process that was forked, in which their holder may not exist.
    pub(crate) fn try_seats(&self) -> Option<Vec<Arc<Seat>>> {
        Some(self.seats.try_lock().ok()?.clone())
    }
}

/// A panic in a driver leaves nothing half-done here: what it was doing is poisoned by its slot.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
