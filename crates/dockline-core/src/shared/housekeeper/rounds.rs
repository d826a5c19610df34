//! What the housekeeper does in a round.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::base::logging::say;
use crate::config::backend::Health;
use crate::config::settings::{Liveness, Settings};
use crate::link::seat::{Link, Seat};
use crate::shared::Shared;
use crate::slot::Desk;
use crate::slot::reason::CloseReason;
use crate::slot::retire::retire_by;

/// The shortest and the longest pause between two rounds.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);
/// How long the goodbyes of one round may take.
const CLOSING_TAKES: Duration = Duration::from_secs(5);

/// Returns how long the next round is to wait: a quarter of the shortest limit. `None` if no alias asks for the housekeeper.
pub(super) fn pause(registries: &[Arc<Shared>]) -> Option<Duration> {
    let mut shortest: Option<Duration> = None;
    for shared in registries {
        for config in shared.table_if_loaded().iter().flat_map(|table| table.values()) {
            if let Some(limit) = limit(&config.settings) {
                shortest = Some(shortest.map_or(limit, |other| other.min(limit)));
            }
        }
    }
    shortest.map(|limit| (limit / 4).clamp(SHORTEST, LONGEST))
}

/// The shortest limit of an alias; `None` if it does not ask for the housekeeper.
fn limit(settings: &Settings) -> Option<Duration> {
    let of_connections = settings.get_housekeeper().then(|| {
        let limits = [settings.get_conn_max_idle(), settings.get_conn_max_age()];
        limits.into_iter().flatten().min().unwrap_or(LONGEST * 4)
    });
    of_connections.into_iter().chain(settings.get_leak_threshold()).min()
}

/// Looks at all connections.
pub(super) fn look_after(registries: &[Arc<Shared>], now: Instant, is_late: bool) {
    for shared in registries {
        let state = shared.state();
        let desk = Arc::clone(shared) as Arc<dyn Desk>;
        let table = shared.table_if_loaded().unwrap_or_default();
        for seat in state.buckets.iter().flat_map(|bucket| bucket.seats()) {
            let threshold = table.get(&seat.alias).and_then(|config| config.settings.get_leak_threshold());
            if let Some(threshold) = threshold.filter(|_| !is_late) {
                report_leak(&seat, now, threshold);
            }
            if let Some((link, reason)) = take_due(&seat, now) {
                let (alias, serial, thread) = (Arc::clone(&link.config.alias), link.serial, &seat.thread);
                retire_by(&desk, link, reason, now.checked_add(CLOSING_TAKES));
                say!(
                    debug,
                    "alias {alias:?}: the housekeeper closed connection {serial} of thread {thread} ({reason})"
                );
            }
        }
    }
}

/// Says once that a hold lasts too long.
fn report_leak(seat: &Seat, now: Instant, threshold: Duration) {
    let Some((elapsed, place)) = seat.watch.report(now, threshold) else { return };
    seat.tally.leaks.fetch_add(1, Relaxed);
    let (alias, thread, serial) = (&seat.alias, &seat.thread, seat.serial().unwrap_or_default());
    let statement = seat.watch.look().1.unwrap_or_default();
    let what = if seat.is_running() { "it runs" } else { "its last statement is" };
    say!(
        warn,
        "alias {alias:?}: connection {serial} has been held for {elapsed:.1?} by thread {thread:?}, longer than leak_threshold \
         ({threshold:.1?}); its hold began at {place}, and {what}: {statement}"
    );
}

/// Takes the connection out if it is due, and nobody would miss it.
fn take_due(seat: &Seat, now: Instant) -> Option<(Link, CloseReason)> {
    // A glance first: who is at work is left alone.
    let is_running = seat.is_running();
    let signs = seat.vitals.look(now, is_running);
    if is_running || signs.in_scope || signs.is_missed() || seat.serial().is_none() || seat.is_inherited() {
        return None;
    }
    let mut guard = seat.visit()?;
    let link = guard.get()?;
    // What the owner says of it before it lets go of the lock is seen under the lock.
    let would_be_missed = link.in_transaction() || seat.vitals.look(now, false).is_missed();
    if would_be_missed || !link.config.settings.get_housekeeper() || link.is_left() || link.is_inherited() {
        return None;
    }
    let reason = due(link, now)?;
    if !link.session.state().is_empty() {
        return None;
    }
    Some((guard.take()?, reason))
}

fn due(link: &mut Link, now: Instant) -> Option<CloseReason> {
    if let Some(poison) = &link.poison {
        // With something that was lost it is the owner's to hear of that.
        return (!poison.lost_something()).then_some(CloseReason::Unusable);
    }
    if let Some(reason) = CloseReason::by_age(&link.ages, now) {
        return Some(reason);
    }
    if link.config.settings.get_liveness() == Liveness::Off {
        return None;
    }
    matches!(link.session.probe(), Health::Gone(_)).then_some(CloseReason::Unusable)
}
