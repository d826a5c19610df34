//! Signals: what a registry tells of, and who listens (Django's `django.dispatch`).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::base::ids::RegistryId;
use crate::base::logging::{guarded, panic_text};
use crate::handle::connection::Connection;
pub use crate::slot::reason::{CloseReason, ConnectionClosed};

/// The signals of a registry.
///
/// A receiver runs on the thread that sends, when it sends. One that panics is logged at level error, and the others
/// run all the same.
///
/// The registry listens to three of them itself: `request_started` empties the query log and closes old connections,
/// before any other receiver; `request_finished` and `task_done` close old connections (after a task, as its
/// [`TaskPolicy`](crate::TaskPolicy) says), after every other receiver, so that nothing that a receiver opened stays. [`ReceiverId::RESET_QUERIES`] and
/// [`ReceiverId::CLOSE_OLD_CONNECTIONS`] can be disconnected like others.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// let signals = connections.signals();
/// signals.connection_created.connect(|event| println!("{} after {:?}", event.alias(), event.elapsed()));
/// signals.task_done.connect(|report| println!("{} statements", report.statements()));
/// connections.get("default")?.query("SELECT 1", ())?;
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Signals {
    /// A request begins (Django's `request_started`).
    pub request_started: Signal<RequestStarted>,
    /// A request has ended, or unwinds (Django's `request_finished`).
    pub request_finished: Signal<RequestFinished>,
    /// A task has ended, or unwinds.
    pub task_done: Signal<TaskReport>,
    /// A connection was opened (Django's `connection_created`).
    pub connection_created: Signal<ConnectionCreated>,
    /// A connection was closed. For one that was closed because its thread ended, receivers are called on another thread: see
    /// [`ConnectionClosed::thread`].
    pub connection_closed: Signal<ConnectionClosed>,
}

impl Signals {
    pub(crate) fn new(registry: RegistryId, own: OwnReceivers) -> Self {
        let reset_queries = Own { id: ReceiverId::RESET_QUERIES, run: own.reset_queries };
        let close = |run| Own { id: ReceiverId::CLOSE_OLD_CONNECTIONS, run };
        let close_before = close(own.close_before_request);
        let close_after = close(own.close_after_request);
        let close_after_task = close(own.close_after_task);
        Self {
            request_started: Signal::new("request_started", registry, vec![reset_queries, close_before], vec![]),
            request_finished: Signal::new("request_finished", registry, vec![], vec![close_after]),
            task_done: Signal::new("task_done", registry, vec![], vec![close_after_task]),
            connection_created: Signal::new("connection_created", registry, vec![], vec![]),
            connection_closed: Signal::new("connection_closed", registry, vec![], vec![]),
        }
    }
}

/// One signal, with its receivers.
pub struct Signal<E> {
    name: &'static str,
    registry: RegistryId,
    /// The registry's own receivers, which are all that there are until somebody connects or disconnects one.
    own: Receivers<E>,
    is_changed: AtomicBool,
    // Read without a lock at every request, and replaced as a whole when someone connects.
    receivers: ArcSwap<Receivers<E>>,
}

struct Receivers<E> {
    first: Vec<Own>,
    connected: Vec<(ReceiverId, Receiver<E>)>,
    last: Vec<Own>,
}

type Receiver<E> = Arc<dyn Fn(&E) + Send + Sync>;

/// What a registry does itself when it sends: each works on what the sending thread has of the registry. They are pointers, because
/// signals stand below threads.
#[derive(Clone, Copy)]
pub(crate) struct OwnReceivers {
    pub(crate) reset_queries: fn(RegistryId),
    pub(crate) close_before_request: fn(RegistryId),
    pub(crate) close_after_request: fn(RegistryId),
    pub(crate) close_after_task: fn(RegistryId),
}

/// One of them, as a signal has it.
#[derive(Clone, Copy)]
struct Own {
    id: ReceiverId,
    run: fn(RegistryId),
}

// Not derived: that would ask for `E: Clone`.
impl<E> Clone for Receivers<E> {
    fn clone(&self) -> Self {
        Self { first: self.first.clone(), connected: self.connected.clone(), last: self.last.clone() }
    }
}

impl<E: 'static> Signal<E> {
    fn new(name: &'static str, registry: RegistryId, first: Vec<Own>, last: Vec<Own>) -> Self {
        let receivers = Receivers { first, connected: Vec::new(), last };
        let (own, is_changed) = (receivers.clone(), AtomicBool::new(false));
        Self { name, registry, own, is_changed, receivers: ArcSwap::from_pointee(receivers) }
    }

    /// Connects a receiver, behind those that are connected already. What it returns disconnects it.
    ///
    /// A receiver that captures a clone of its registry keeps that alive until it is disconnected.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let id = connections.signals().connection_closed.connect(|event| {
    ///     println!("{} closed after {:?}: {}", event.alias(), event.age(), event.reason());
    /// });
    /// connections.signals().connection_closed.disconnect(id);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn connect(&self, receiver: impl Fn(&E) + Send + Sync + 'static) -> ReceiverId {
        static NEXT: AtomicU64 = AtomicU64::new(ReceiverId::FIRST_OF_USERS);
        let id = ReceiverId(NEXT.fetch_add(1, Ordering::Relaxed));
        let receiver: Receiver<E> = Arc::new(receiver);
        self.is_changed.store(true, Ordering::SeqCst);
        self.receivers.rcu(|receivers| {
            let mut receivers = Receivers::clone(receivers);
            receivers.connected.push((id, Arc::clone(&receiver)));
            receivers
        });
        id
    }

    /// Disconnects a receiver. False where it was not connected. A thread that is sending at this moment may still call
    /// it.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// let created = &connections.signals().connection_created;
    /// let id = created.connect(|event| println!("{} is open", event.alias()));
    /// assert!(created.disconnect(id));
    /// assert!(!created.disconnect(id)); // it is gone
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn disconnect(&self, id: ReceiverId) -> bool {
        self.is_changed.store(true, Ordering::SeqCst);
        let before = self.receivers.rcu(|receivers| {
            let mut receivers = Receivers::clone(receivers);
            receivers.first.retain(|own| own.id != id);
            receivers.connected.retain(|(connected, _)| *connected != id);
            receivers.last.retain(|own| own.id != id);
            receivers
        });
        before.ids().any(|known| known == id)
    }

    /// Returns whether anybody listens.
    pub(crate) fn has_receivers(&self) -> bool {
        self.receivers.load().ids().next().is_some()
    }

    /// Calls the receivers, on this thread, one after the other.
    ///
    /// ```
    /// use dockline::signals::RequestStarted;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// // An adapter that cannot use request() sends what it would:
    /// connections.signals().request_started.send(&RequestStarted::new());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn send(&self, event: &E) {
        if self.is_changed.load(Ordering::SeqCst) {
            return self.send_to_all(event);
        }
        self.run_own(&self.own.first);
        self.run_own(&self.own.last);
    }

    /// As [`send`](Signal::send), for a sender that has at hand what the registry's own receivers look up: `own` are those receivers, which are
    /// all that there are until somebody connects or disconnects one.
    #[inline]
    pub(crate) fn send_at<R>(&self, event: &E, here: &R, own: &[fn(&R)]) {
        if self.is_changed.load(Ordering::SeqCst) {
            return self.send_to_all(event);
        }
        for receiver in own {
            self.guard(|| receiver(here));
        }
    }

    fn send_to_all(&self, event: &E) {
        let receivers = self.receivers.load();
        self.run_own(&receivers.first);
        for (_, receiver) in &receivers.connected {
            self.guard(|| receiver(event));
        }
        self.run_own(&receivers.last);
    }

    fn run_own(&self, own: &[Own]) {
        for own in own {
            self.guard(|| (own.run)(self.registry));
        }
    }

    fn guard(&self, receiver: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(receiver)) {
            guarded(
                || log::error!(target: "dockline::signals", "a receiver of {} panicked: {}", self.name, panic_text(&*panic)),
            );
            // What was thrown may panic again when it is dropped.
            std::mem::forget(panic);
        }
    }
}

impl<E> Receivers<E> {
    fn ids(&self) -> impl Iterator<Item = ReceiverId> {
        let own = self.first.iter().chain(&self.last).map(|own| own.id);
        own.chain(self.connected.iter().map(|(id, _)| *id))
    }
}

impl<E> fmt::Debug for Signal<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<ReceiverId> = self.receivers.load().ids().collect();
        f.debug_struct("Signal").field("name", &self.name).field("receivers", &ids).finish()
    }
}

/// A receiver that is connected, to disconnect it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiverId(u64);

impl ReceiverId {
    /// The registry's own receiver that empties the query log when a request starts.
    pub const RESET_QUERIES: Self = Self(1);
    /// The registry's own receiver that closes old connections, at both ends of a request and at the end of a task.
    pub const CLOSE_OLD_CONNECTIONS: Self = Self(2);

    const FIRST_OF_USERS: u64 = 16;
}

/// What `request_started` tells.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RequestStarted {}

impl RequestStarted {
    /// The event, for an adapter that sends the signal itself.
    pub fn new() -> Self {
        Self::default()
    }
}

/// What `request_finished` tells.
#[derive(Debug, Default)]
pub struct RequestFinished {
    panicked: bool,
}

impl RequestFinished {
    /// The event, for an adapter that sends the signal itself.
    pub fn new(panicked: bool) -> Self {
        Self { panicked }
    }

    /// Whether the request ended by a panic.
    pub fn panicked(&self) -> bool {
        self.panicked
    }
}

/// What `task_done` tells.
#[derive(Debug)]
pub struct TaskReport {
    elapsed: Duration,
    panicked: bool,
    statements: u64,
}

impl TaskReport {
    /// The event, for an adapter that sends the signal itself.
    pub fn new(elapsed: Duration, panicked: bool) -> Self {
        Self { elapsed, panicked, statements: 0 }
    }

    /// Adds how many statements the task has run.
    #[must_use]
    pub fn with_statements(mut self, statements: u64) -> Self {
        self.statements = statements;
        self
    }

    /// How long the task ran.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Whether it ended by a panic.
    pub fn panicked(&self) -> bool {
        self.panicked
    }

    /// How many statements it ran on connections of the registry, on its thread; those that begin and end transactions count.
    pub fn statements(&self) -> u64 {
        self.statements
    }
}

/// What `connection_created` tells.
#[derive(Debug)]
pub struct ConnectionCreated {
    pub(crate) connection: Connection,
    pub(crate) serial: u64,
    pub(crate) elapsed: Duration,
}

impl ConnectionCreated {
    /// The alias.
    pub fn alias(&self) -> &str {
        self.connection.alias()
    }

    /// The connection; a receiver may run statements on it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The number of the physical connection, counted from 1 in this process.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// How long connecting took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}
