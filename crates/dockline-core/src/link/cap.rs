//! A cap: how many physical connections there may be, who has them, and who waits for one.
//!
//! Two ways lead to a connection when the cap is reached: a *permit*, the right to open one, and a connection that its owner has
//! *parked*, which means that it may be taken. What holds whenever `ledger` is not locked:
//!
//! 1. Each permit has one [`Holder`] in the ledger, from before its connection is opened until after it is closed.
//! 2. Nobody waits while a permit is free, unless the server has refused one a moment ago ([`Ceiling`]). A permit that is given back
//!    is assigned to the head of the queue under the same lock, so no newcomer can come between: first come, first served.
//! 3. Nobody waits for long while a connection is parked. Whoever waits publishes himself (`waiting`) and then scans; whoever parks
//!    parks and then looks at `waiting`. Both do so in sequentially consistent order, so at least one of them sees the other. It
//!    is the owner's duty, after each time that he has locked a place that is parked, to look: see [`Cap::serve_if_any_waits`].
//!    A place may be kept for its owner for a moment ([`Place::kept_until`]). The head of the queue then looks again by himself at that
//!    moment, and says so (`is_looked_after`): he takes that back, and then scans; whoever parks a place that is kept parks, and
//!    then looks whether he has to tell the head.
//! 4. Whoever waits stands in the queue once. He leaves it by being assigned something or by giving up, under the lock. What was
//!    assigned to somebody who gives up is his all the same: [`Waiting::give_up`] hands it over.
//! 5. Under the lock nothing is called that blocks, logs, or is the program's. A place is only ever tried. (What is taken is asked for its
//!    session state, which costs no round trip.)
//! 6. A process that was forked never takes the lock of a cap of its parent's.
//!
//! That a permit is assigned to the head of the queue is the idea of tokio's batch semaphore; parking, of Agroal and HikariCP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::link::sync::{
    AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError, Process, fence, now, stamp,
};
use crate::link::waiter::{self, Woken};

/// Where a connection can be: one thread's, for one alias.
pub(crate) trait Place: Send + Sync {
    /// The connection.
    type Link: Send;

    /// Returns since when a connection is parked here, in any unit; `None` if none is. A glance, without a lock.
    fn parked_since(&self) -> Option<u64>;

    /// Returns until when the owner may take back what is parked here although others wait, as a stamp. A glance, without a lock.
    fn kept_until(&self) -> u64;

    /// Takes the connection, if it is parked and nobody is looking at it.
    fn take_parked(&self) -> Option<Self::Link>;

    /// Whether a connection of the other place would do here as it is.
    fn is_alike(&self, other: &Self) -> bool;

    /// Whether both are of one thread.
    fn is_of_same_thread(&self, other: &Self) -> bool;
}

/// The cap of one alias, or of several.
pub(crate) struct Cap<P: Place> {
    name: String,
    process: Process,
    /// The length of the queue.
    waiting: AtomicUsize,
    /// The head of the queue will look again by himself, for what he has found is still kept for its owner.
    is_looked_after: AtomicBool,
    /// How many connections there are beyond what may be.
    excess: AtomicUsize,
    ledger: Mutex<Ledger<P>>,
}

struct Ledger<P: Place> {
    max: usize,
    ceiling: Option<Ceiling>,
    holders: Vec<Holder<P>>,
    queue: VecDeque<Arc<Waiter<P>>>,
    last_ticket: u64,
    counts: Counts,
    last_error: Option<String>,
}

/// The server had no place for another connection, below the cap: until then, no more are opened than there were.
#[derive(Clone, Copy)]
struct Ceiling {
    max: usize,
    until: Instant,
}

/// Who has a permit.
pub(crate) struct Holder<P> {
    ticket: u64,
    pub(crate) place: Arc<P>,
    pub(crate) stage: Stage,
}

impl<P> Holder<P> {
    fn copy(&self) -> Self {
        Self { ticket: self.ticket, place: Arc::clone(&self.place), stage: self.stage }
    }
}

/// What becomes of a permit's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Opening,
    Open,
    Closing,
}

/// What has happened at a cap since it was made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) handed_over: u64,
    pub(crate) timeouts: u64,
}

/// How a cap stands.
pub(crate) struct Standing<P> {
    pub(crate) max: usize,
    pub(crate) holders: Vec<Holder<P>>,
    pub(crate) waiting: Vec<(Arc<P>, Instant)>,
    pub(crate) counts: Counts,
    pub(crate) last_error: Option<String>,
}

/// What somebody who waits is given.
pub(crate) enum Grant<P: Place> {
    /// The right to open a connection.
    Permit(Permit<P>),
    /// A connection that another thread had parked.
    Link(P::Link),
    /// Nothing: what he waits for is to be thought over, for the registry or the alias has changed.
    Nothing,
}

/// Somebody in the queue.
type Waiter<P> = waiter::Waiter<P, Grant<P>>;

impl<P: Place> Cap<P> {
    /// A cap of `max`, which is at least 1. The name is for messages.
    pub(crate) fn new(name: String, max: usize) -> Self {
        Self {
            name,
            process: Process::current(),
            waiting: AtomicUsize::new(0),
            is_looked_after: AtomicBool::new(false),
            excess: AtomicUsize::new(0),
            ledger: Mutex::new(Ledger {
                max,
                ceiling: None,
                holders: Vec::new(),
                queue: VecDeque::new(),
                last_ticket: 0,
                counts: Counts::default(),
                last_error: None,
            }),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Changes how many there may be. Returns connections that are parked and are now too many, to be closed; others become fewer
    /// as work ends: see [`is_above`](Cap::is_above).
    #[must_use]
    pub(crate) fn set_max(self: &Arc<Self>, max: usize) -> Vec<P::Link> {
        let mut ledger = self.ledger();
        if ledger.max == max {
            return Vec::new();
        }
        ledger.max = max;
        self.serve_all(&mut ledger);
        let excess = ledger.holders.len().saturating_sub(max);
        self.excess.store(excess, Ordering::Relaxed);
        let mut parked: Vec<(u64, &Holder<P>)> =
            ledger.holders.iter().filter_map(|holder| Some((holder.place.parked_since()?, holder))).collect();
        parked.sort_unstable_by_key(|(since, _)| *since);
        parked.into_iter().filter_map(|(_, holder)| holder.place.take_parked()).take(excess).collect()
    }

    /// Whether there are more connections than may be, so that one that is not needed is to be closed. A glance.
    #[inline]
    pub(crate) fn is_above(&self) -> bool {
        self.excess.load(Ordering::Relaxed) > 0
    }

    /// Asks for a connection, behind all who have asked before; or before them, for who was the first already.
    pub(crate) fn claim(self: &Arc<Self>, place: &Arc<P>, since: Instant, order: Order) -> Waiting<P> {
        let waiter = Arc::new(Waiter::new(Arc::clone(place), since));
        let mut ledger = self.ledger();
        match order {
            Order::Last => ledger.queue.push_back(Arc::clone(&waiter)),
            Order::First => ledger.queue.push_front(Arc::clone(&waiter)),
        }
        self.publish(&ledger);
        self.serve_all(&mut ledger);
        drop(ledger);
        Waiting { cap: Arc::clone(self), waiter, is_over: false }
    }

    /// For the owner of a place that is parked, after each time that he has locked it: whoever waits may have tried it in vain just
    /// then.
    #[inline]
    pub(crate) fn serve_if_any_waits(self: &Arc<Self>, place: &P) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.serve_unless_kept(place);
        }
    }

    #[cold]
    fn serve_unless_kept(self: &Arc<Self>, place: &P) {
        let will_be_found = self.is_looked_after.load(Ordering::SeqCst) && place.kept_until() > stamp(now());
        if !will_be_found {
            self.serve();
        }
    }

    /// Whether anybody waits. For the owner of a place who takes back what he has parked: if so, it is not his turn. A glance, without a
    /// fence: an owner who misses somebody that begins to wait at this moment has come before him, and finds him when he parks again.
    #[inline]
    pub(crate) fn any_waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    #[cold]
    fn serve(self: &Arc<Self>) {
        if self.process == Process::current() {
            self.serve_all(&mut self.ledger());
        }
    }

    /// The server has no place for the connection that the permit was for.
    pub(crate) fn refused(self: &Arc<Self>, permit: Permit<P>, until: Instant, error: String) {
        let mut ledger = self.ledger();
        ledger.last_error = Some(error);
        let others = ledger.holders.len().saturating_sub(1);
        ledger.ceiling = Some(Ceiling { max: others, until });
        drop(ledger);
        drop(permit);
    }

    /// Keeps the error of a connection that could not be opened, for those who wait in vain.
    pub(crate) fn failed(&self, error: String) {
        self.ledger().last_error = Some(error);
    }

    /// Counts somebody who has waited in vain.
    pub(crate) fn timed_out(&self) {
        self.ledger().counts.timeouts += 1;
    }

    /// Wakes those who wait for these places: they have to think again.
    pub(crate) fn wake(self: &Arc<Self>, which: impl Fn(&P) -> bool) {
        let mut ledger = self.ledger();
        let (woken, others) = ledger.queue.drain(..).partition(|waiter| which(&waiter.place));
        ledger.queue = others;
        self.publish(&ledger);
        let woken: VecDeque<Arc<Waiter<P>>> = woken;
        woken.iter().for_each(|waiter| waiter.give(Grant::Nothing));
        // Whoever is the head now may have to look at the clock.
        self.serve_all(&mut ledger);
    }

    /// How it stands now.
    pub(crate) fn standing(&self) -> Standing<P> {
        let ledger = self.ledger();
        Standing {
            max: ledger.max,
            holders: ledger.holders.iter().map(Holder::copy).collect(),
            waiting: ledger.queue.iter().map(|waiter| (Arc::clone(&waiter.place), waiter.since)).collect(),
            counts: ledger.counts,
            last_error: ledger.last_error.clone(),
        }
    }

    fn release(self: &Arc<Self>, ticket: u64) {
        let mut ledger = self.ledger();
        if let Some(at) = ledger.holders.iter().position(|holder| holder.ticket == ticket) {
            ledger.holders.swap_remove(at);
        }
        self.excess.store(ledger.holders.len().saturating_sub(ledger.max), Ordering::Relaxed);
        self.serve_all(&mut ledger);
    }

    /// Gives what there is to those who wait, from the head on.
    fn serve_all(self: &Arc<Self>, ledger: &mut Ledger<P>) {
        while let Some(head) = ledger.queue.front().map(Arc::clone) {
            let grant = match ledger.room() {
                Room::Free => None,
                Room::Full(until) => match self.find_parked(ledger, &head.place) {
                    Ok(link) => Some(link),
                    Err(kept_until) => {
                        if let Some(moment) = kept_until.into_iter().chain(until).min() {
                            head.look_at(moment);
                        }
                        return;
                    }
                },
            };
            ledger.queue.pop_front();
            self.publish(ledger);
            let grant = match grant {
                Some(link) => {
                    ledger.counts.handed_over += 1;
                    Grant::Link(link)
                }
                None => {
                    ledger.last_ticket += 1;
                    let ticket = ledger.last_ticket;
                    ledger.holders.push(Holder { ticket, place: Arc::clone(&head.place), stage: Stage::Opening });
                    Grant::Permit(Permit { cap: Arc::clone(self), ticket })
                }
            };
            head.give(grant);
        }
    }

    /// Takes a connection that is parked, for the head of the queue. If there are only such as are kept for their owners, the head has to
    /// look again at the moment that is answered.
    fn find_parked(&self, ledger: &mut Ledger<P>, place: &Arc<P>) -> Result<P::Link, Option<Instant>> {
        // Whoever parks one from now on finds this, or is found.
        self.is_looked_after.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let found = ledger.take_parked(place);
        self.is_looked_after.store(matches!(found, Err(Some(_))), Ordering::SeqCst);
        found
    }

    fn publish(&self, ledger: &Ledger<P>) {
        self.waiting.store(ledger.queue.len(), Ordering::SeqCst);
        // Before the scan that follows.
        fence(Ordering::SeqCst);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<P>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where in the queue somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Last,
    First,
}

/// Whether a permit is free.
enum Room {
    Free,
    /// It is not; the server may have a place then.
    Full(Option<Instant>),
}

impl<P: Place> Ledger<P> {
    fn room(&mut self) -> Room {
        let held = self.holders.len();
        if held >= self.max {
            return Room::Full(None);
        }
        match self.ceiling {
            Some(ceiling) if held >= ceiling.max => {
                if now() < ceiling.until {
                    return Room::Full(Some(ceiling.until));
                }
                self.ceiling = None;
                Room::Free
            }
            _ => Room::Free,
        }
    }

    /// Takes the connection that was parked the longest; one that would do as it is comes first. If all are kept for their owners, the
    /// answer is until when the first of them is.
    fn take_parked(&mut self, place: &Arc<P>) -> Result<P::Link, Option<Instant>> {
        let now = now();
        let stamp = stamp(now);
        let mut kept_until: Option<u64> = None;
        let mut parked: Vec<(bool, u64, usize)> = Vec::new();
        for (at, holder) in self.holders.iter().enumerate().filter(|(_, holder)| holder.stage == Stage::Open) {
            let Some(since) = holder.place.parked_since() else { continue };
            let until = holder.place.kept_until();
            if until <= stamp {
                parked.push((!holder.place.is_alike(place), since, at));
            } else if kept_until.is_none_or(|first| until < first) {
                kept_until = Some(until);
            }
        }
        parked.sort_unstable();
        // One that somebody looks at just now is served by whoever looks.
        let taken = parked.into_iter().find_map(|(_, _, at)| Some((at, self.holders[at].place.take_parked()?)));
        let Some((at, link)) = taken else {
            return Err(kept_until.map(|until| now + Duration::from_nanos(until - stamp)));
        };
        // From this moment on it is the other's, also while he has not woken up yet.
        self.holders[at].place = Arc::clone(place);
        Ok(link)
    }
}

/// The right to have one physical connection. It is passed on when it is dropped.
pub(crate) struct Permit<P: Place> {
    cap: Arc<Cap<P>>,
    ticket: u64,
}

impl<P: Place> Permit<P> {
    pub(crate) fn cap(&self) -> &Arc<Cap<P>> {
        &self.cap
    }

    /// Notes what becomes of its connection.
    pub(crate) fn is(&self, stage: Stage) {
        if self.cap.process != Process::current() {
            return;
        }
        if let Some(holder) = self.cap.ledger().holders.iter_mut().find(|holder| holder.ticket == self.ticket) {
            holder.stage = stage;
        }
    }
}

impl<P: Place> Drop for Permit<P> {
    fn drop(&mut self) {
        if self.cap.process == Process::current() {
            self.cap.release(self.ticket);
        }
    }
}

/// A place in the queue. It is given up when it is dropped.
pub(crate) struct Waiting<P: Place> {
    cap: Arc<Cap<P>>,
    waiter: Arc<Waiter<P>>,
    is_over: bool,
}

impl<P: Place> Waiting<P> {
    /// Returns what was assigned, once.
    pub(crate) fn granted(&mut self) -> Option<Grant<P>> {
        let grant = self.waiter.given();
        // Whoever was assigned something stands in the queue no more.
        self.is_over |= grant.is_some();
        grant
    }

    /// Whether nobody but this thread itself could end the wait.
    pub(crate) fn is_for_itself(&self) -> bool {
        let ledger = self.cap.ledger();
        let mut holders = ledger.holders.iter();
        ledger.ceiling.is_none()
            && !ledger.holders.is_empty()
            && holders.all(|holder| holder.stage == Stage::Open && holder.place.is_of_same_thread(&self.waiter.place))
    }

    /// Waits until something is assigned, up to the deadline.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Option<Grant<P>> {
        loop {
            match self.waiter.sleep(deadline) {
                Woken::Given(grant) => {
                    self.is_over = true;
                    return Some(grant);
                }
                Woken::ToLook => self.cap.serve(),
                Woken::Late => return None,
            }
        }
    }

    /// Leaves the queue. What was assigned meanwhile is returned, for it is this thread's.
    pub(crate) fn give_up(mut self) -> Option<Grant<P>> {
        self.leave()
    }

    fn leave(&mut self) -> Option<Grant<P>> {
        self.is_over = true;
        let mut ledger = self.cap.ledger();
        // Whoever gives up has mostly waited the longest.
        if let Some(at) = ledger.queue.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter)) {
            ledger.queue.remove(at);
            self.cap.publish(&ledger);
            // Whoever is the head now may have to look at the clock.
            self.cap.serve_all(&mut ledger);
        }
        drop(ledger);
        self.granted()
    }
}

impl<P: Place> Drop for Waiting<P> {
    fn drop(&mut self) {
        if !self.is_over && self.cap.process == Process::current() {
            drop(self.leave());
        }
    }
}
