//! What all threads of a registry have open, and what has happened in all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::base::ids::RegistryId;
use crate::config::engines::AliasConfig;
use crate::link::caps::cap_of;
use crate::link::seat::Seat;
use crate::link::vitals::{Counted, Signs, Tally};
use crate::shared::Shared;
use crate::shared::state::State;
use crate::slot::reason::CloseReason;

/// What all threads of a registry have open at one moment: see [`Registry::status`](crate::Registry::status).
///
/// With the feature `serde` it can be serialized; durations are seconds then.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// connections.get("default")?.query("SELECT 1", ())?;
/// let status = connections.status();
/// assert_eq!(status.aliases[0].alias, "default");
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// Each alias that is configured, or was and still has connections, by name.
    pub aliases: Vec<AliasStatus>,
}

impl Status {
    /// Returns an alias's part.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// connections.get("default")?.query("SELECT 1", ())?;
    /// let status = connections.status();
    /// assert_eq!(status.alias("default").expect("it is configured").counts.open, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn alias(&self, alias: &str) -> Option<&AliasStatus> {
        self.aliases.iter().find(|status| status.alias == alias)
    }
}

/// What all threads have of one alias.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// for alias in connections.status().aliases {
///     println!("{} ({}): {} statements", alias.alias, alias.vendor, alias.totals.statements);
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AliasStatus {
    /// The alias.
    pub alias: String,
    /// The kind of database, in Django's words: `sqlite`, `mysql`, `postgresql`.
    pub vendor: &'static str,
    /// The cap on connections, if there is one.
    pub max_connections: Option<u32>,
    /// How many connections are in which state now. They are counted from [`connections`](AliasStatus::connections), so the two always
    /// agree.
    pub counts: Counts,
    /// What has happened since the registry was made, or since this process was forked.
    pub totals: Totals,
    /// How long the thread has waited by now that has waited for a connection the longest.
    #[cfg_attr(feature = "serde", serde(serialize_with = "in_seconds"))]
    pub longest_wait: Option<Duration>,
    /// Each connection, the oldest first.
    pub connections: Vec<ConnectionStatus>,
}

/// How many connections are in which state.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// for alias in connections.status().aliases {
///     println!("{}: {} open, {} idle, {} threads wait", alias.alias, alias.counts.open, alias.counts.idle, alias.counts.waiting);
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Counts {
    /// Open: in use, idle or parked.
    pub open: usize,
    /// Open, and running a statement, in a transaction, on hold, or inside a request or task.
    pub in_use: usize,
    /// Open, and doing nothing; their threads keep them.
    pub idle: usize,
    /// Open, and free for other threads.
    pub parked: usize,
    /// Being opened.
    pub opening: usize,
    /// Being closed.
    pub closing: usize,
    /// How many threads wait for a connection.
    pub waiting: usize,
}

/// What has happened on an alias in all.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// for alias in connections.status().aliases {
///     println!("{}: {} opened, {} could not be opened", alias.alias, alias.totals.opened, alias.totals.connect_errors);
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Totals {
    /// Connections that were opened.
    pub opened: u64,
    /// Attempts to open one that failed.
    pub connect_errors: u64,
    /// Requests and tasks that worked on a connection which their thread had from before.
    pub reused: u64,
    /// Connections that went from one thread to another.
    pub handed_over: u64,
    /// Threads that waited for `acquire_timeout` in vain.
    pub timeouts: u64,
    /// Statements that have run.
    pub statements: u64,
    /// Looks at a connection that found it alive, without a round trip.
    pub probes_alive: u64,
    /// Pings that were answered.
    pub probes_answered: u64,
    /// Looks and pings that found the server gone.
    pub probes_gone: u64,
    /// Holds that lasted longer than `leak_threshold`.
    pub leaks: u64,
    /// Connections that were closed, by reason: those that have occurred.
    #[cfg_attr(feature = "serde", serde(serialize_with = "by_reason"))]
    pub closed: Vec<(CloseReason, u64)>,
}

impl Totals {
    /// Returns how many connections were closed for this reason.
    ///
    /// ```
    /// use dockline::signals::CloseReason;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// for alias in connections.status().aliases {
    ///     println!("{}: {} were too old", alias.alias, alias.totals.closed_by(CloseReason::MaxAge));
    /// }
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn closed_by(&self, reason: CloseReason) -> u64 {
        self.closed.iter().find(|(other, _)| *other == reason).map_or(0, |(_, count)| *count)
    }
}

/// One connection, as it shows itself to other threads.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// for alias in connections.status().aliases {
///     for connection in alias.connections {
///         println!("{} of {}: {:?} for {:?}", connection.serial, connection.thread, connection.phase, connection.age);
///     }
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// The number of the physical connection, counted from 1 in this process.
    pub serial: u64,
    /// The name of its thread, or the thread's id.
    pub thread: String,
    /// What it does.
    pub phase: Phase,
    /// How long it has been open.
    #[cfg_attr(feature = "serde", serde(serialize_with = "in_seconds"))]
    pub age: Duration,
    /// For how long it has been unused, at the least. A statement costs no look at the clock: it is counted from the first look (of
    /// [`status`](crate::Registry::status), or of the housekeeper) that found no further statement.
    #[cfg_attr(feature = "serde", serde(serialize_with = "in_seconds"))]
    pub unused: Duration,
    /// How many statements it has run.
    pub statements: u64,
    /// The number by which the server lists it; `None` for an embedded database.
    pub server_id: Option<u64>,
    /// What it holds that a new one would lack, in words: a transaction, the state of its session. What a session holds is left out
    /// while a statement runs, and on an embedded database.
    pub holds: Vec<String>,
    /// For how long its request, task, block, hold or transaction has kept it, if the alias has a
    /// [`leak_threshold`](crate::Settings::leak_threshold) or somebody listens to events.
    #[cfg_attr(feature = "serde", serde(serialize_with = "in_seconds"))]
    pub held_for: Option<Duration>,
    /// Where in the program that began, as `file:line:column`; known if `held_for` is.
    pub held_at: Option<String>,
    /// The beginning of the last statement; known for the same aliases.
    pub last_statement: Option<String>,
}

/// What a connection does.
///
/// ```
/// use dockline::Phase;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// let status = connections.status();
/// let all = status.aliases.iter().flat_map(|alias| &alias.connections);
/// println!("{} transactions are open", all.filter(|connection| connection.phase == Phase::InTransaction).count());
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Phase {
    /// A statement runs.
    Running,
    /// A transaction is open, and no statement runs.
    InTransaction,
    /// It is on hold, or its thread is in a request or task.
    InUse,
    /// Nothing uses it.
    Idle,
    /// Nothing uses it, and another thread may take it.
    Parked,
}

/// What is read of one seat.
struct Found {
    counted: Counted,
    is_opening: bool,
    closing: usize,
    connection: Option<ConnectionStatus>,
}

/// How often seats and tally are read again, because a thread has ended meanwhile. What is a little out of step after that is right at the
/// next look.
const ROUNDS: usize = 8;

impl Shared {
    /// Reads what all threads have.
    pub(crate) fn status(&self) -> Status {
        let state = self.state();
        let table = self.table_if_loaded().unwrap_or_default();
        let mut aliases = Vec::new();
        for _ in 0..ROUNDS {
            let before = state.seats_gone();
            aliases = read(self.hot.id, &state, &table);
            if state.seats_gone() == before {
                break;
            }
        }
        Status { aliases }
    }
}

fn read(registry: RegistryId, state: &State, table: &BTreeMap<Arc<str>, Arc<AliasConfig>>) -> Vec<AliasStatus> {
    let now = Instant::now();
    let mut found: BTreeMap<Arc<str>, Vec<Found>> = BTreeMap::new();
    for bucket in state.buckets.iter() {
        bucket.visit(|seat| match found.get_mut(&seat.alias) {
            Some(of_alias) => of_alias.push(look(seat, now)),
            None => drop(found.insert(Arc::clone(&seat.alias), vec![look(seat, now)])),
        });
    }
    let tallies = state.tallies.load();
    let names: std::collections::BTreeSet<&Arc<str>> = table.keys().chain(found.keys()).collect();
    let read = |alias: &Arc<str>| {
        let config = table.get(alias);
        let waits = config.map(|config| waits(registry, config, now)).unwrap_or_default();
        let seats = found.get(alias).map(Vec::as_slice).unwrap_or_default();
        status_of(alias, config, seats, tallies.get(alias).map(|tally| &**tally), &waits)
    };
    names.into_iter().map(read).collect()
}

fn look(seat: &Seat, now: Instant) -> Found {
    let is_running = seat.is_running();
    let signs = seat.vitals.look(now, is_running);
    let (held, last_statement) = seat.watch.look();
    let connection = seat.serial().map(|serial| ConnectionStatus {
        serial,
        held_for: held.map(|held| now.saturating_duration_since(held.since)),
        held_at: held.map(|held| held.place.to_string()),
        last_statement,
        thread: seat.thread.clone(),
        phase: phase(signs, is_running, seat.is_parked()),
        age: signs.age,
        unused: signs.unused,
        statements: signs.statements,
        server_id: signs.server_id,
        holds: holds(seat, signs),
    });
    let closing = seat.departing_count();
    Found { counted: seat.vitals.counted(), is_opening: signs.is_opening, closing, connection }
}

fn phase(signs: Signs, is_running: bool, is_parked: bool) -> Phase {
    match signs {
        _ if is_parked => Phase::Parked,
        _ if is_running => Phase::Running,
        Signs { in_transaction: true, .. } => Phase::InTransaction,
        Signs { is_held: true, .. } | Signs { in_scope: true, .. } => Phase::InUse,
        _ => Phase::Idle,
    }
}

fn holds(seat: &Seat, signs: Signs) -> Vec<String> {
    let mut holds = Vec::new();
    if signs.in_transaction {
        holds.push("a transaction".to_owned());
    }
    if signs.is_held {
        holds.push("a hold".to_owned());
    }
    // Of a server's session alone: an embedded database is asked by statements.
    if signs.server_id.is_some()
        && let Some(mut guard) = seat.visit()
        && let Some(link) = guard.get()
    {
        let state = link.session.state();
        if !state.is_empty() {
            holds.push(state.to_string());
        }
    }
    holds
}

/// How long each thread has waited by now that waits for a connection of an alias.
fn waits(registry: RegistryId, config: &AliasConfig, now: Instant) -> Vec<Duration> {
    let Some(cap) = cap_of(registry, config) else { return Vec::new() };
    let waiting = cap.standing().waiting.into_iter();
    let mine = waiting.filter(|(seat, _)| seat.registry == registry && seat.alias == config.alias);
    mine.map(|(_, since)| now.saturating_duration_since(since)).collect()
}

fn status_of(
    alias: &str,
    config: Option<&Arc<AliasConfig>>,
    seats: &[Found],
    tally: Option<&Tally>,
    waits: &[Duration],
) -> AliasStatus {
    let mut connections: Vec<ConnectionStatus> = seats.iter().filter_map(|found| found.connection.clone()).collect();
    connections.sort_by_key(|connection| connection.serial);
    let of_phases = |phases: &[Phase]| connections.iter().filter(|each| phases.contains(&each.phase)).count();
    let counts = Counts {
        open: connections.len(),
        in_use: of_phases(&[Phase::Running, Phase::InTransaction, Phase::InUse]),
        idle: of_phases(&[Phase::Idle]),
        parked: of_phases(&[Phase::Parked]),
        opening: seats.iter().filter(|found| found.is_opening).count(),
        closing: seats.iter().map(|found| found.closing).sum(),
        waiting: waits.len(),
    };
    AliasStatus {
        alias: alias.to_owned(),
        vendor: config.map_or("", |config| config.backend.vendor()),
        max_connections: config.and_then(|config| config.settings.get_max_connections()),
        counts,
        totals: totals(seats, tally),
        longest_wait: waits.iter().max().copied(),
        connections,
    }
}

fn totals(seats: &[Found], tally: Option<&Tally>) -> Totals {
    let mut counted = tally.map(Tally::folded).unwrap_or_default();
    seats.iter().for_each(|found| counted.add(found.counted));
    let Counted { statements, reused, alive, answered, gone } = counted;
    let mut totals = Totals {
        reused,
        statements,
        probes_alive: alive,
        probes_answered: answered,
        probes_gone: gone,
        ..Totals::default()
    };
    if let Some(tally) = tally {
        totals.opened = tally.opened.load(Relaxed);
        totals.connect_errors = tally.connect_errors.load(Relaxed);
        totals.handed_over = tally.handed_over.load(Relaxed);
        totals.timeouts = tally.timed_out.load(Relaxed);
        totals.leaks = tally.leaks.load(Relaxed);
        let closed = CloseReason::ALL.iter().map(|reason| (*reason, tally.closed[*reason as usize].load(Relaxed)));
        totals.closed = closed.filter(|(_, count)| *count > 0).collect();
    }
    totals
}

#[cfg(feature = "serde")]
fn by_reason<S: serde::Serializer>(closed: &[(CloseReason, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(closed.iter().map(|(reason, count)| (reason.as_str(), count)))
}

#[cfg(feature = "serde")]
fn in_seconds<S: serde::Serializer>(
    duration: &(impl Copy + Into<Option<Duration>>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let seconds = (*duration).into().map(|duration| duration.as_secs_f64());
    serde::Serialize::serialize(&seconds, serializer)
}
