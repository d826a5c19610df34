//! What somebody is told who has waited for a connection in vain: what an operator would ask.
//!
//! That holders are named, the oldest first, is vibur-dbcp's idea.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Fact};
use crate::link::cap::{Stage, Standing};
use crate::link::caps::{self, SeatCap};
use crate::link::seat::Seat;
use crate::link::stages::Stages;

/// So many holders are named.
const NAMED: usize = 10;

/// The error of a wait that was in vain. `within`: how long it may have taken.
pub(crate) fn timed_out(cap: &Arc<SeatCap>, seat: &Arc<Seat>, within: Duration, now: Instant) -> Error {
    let mut text = format!("no connection was free within acquire_timeout ({within:?}); {}", describe(cap, now));
    if let Some(cycle) = cycle(cap, seat) {
        let _ =
            write!(text, "; the threads wait for each other: {cycle}; use the aliases in the same order everywhere");
    } else {
        text.push_str("; raise the cap, or end requests, tasks and blocks sooner");
    }
    Error::new(ErrorKind::Operational, text).with_fact(Fact::Exhausted)
}

/// The error of a thread that would wait for itself.
pub(crate) fn waits_for_itself(cap: &SeatCap, now: Instant) -> Error {
    let text = format!(
        "this thread holds every connection that there may be, and would wait for itself; {}; raise the cap to at least as many as \
         a thread needs at a time",
        describe(cap, now)
    );
    Error::new(ErrorKind::Operational, text).with_fact(Fact::Exhausted)
}

fn describe(cap: &SeatCap, now: Instant) -> String {
    let standing = cap.standing();
    let Stages { in_use, parked, opening, closing } = standing.stages();
    let Standing { max, mut holders, waiting, last_error, .. } = standing;
    let mut text = format!(
        "{} allows {max}: {in_use} in use, {parked} parked, {opening} opening, {closing} closing; {} wait",
        cap.name(),
        waiting.len()
    );
    if let Some(longest) = waiting.iter().map(|(_, since)| now.saturating_duration_since(*since)).max() {
        let _ = write!(text, ", the longest for {longest:.1?}");
    }
    holders.retain(|holder| holder.stage == Stage::Open && !holder.is_parked());
    holders.sort_by_key(|holder| std::cmp::Reverse(holder.place.usage().elapsed(now)));
    for (at, holder) in holders.iter().take(NAMED).enumerate() {
        let _ = write!(text, "{}{}", if at == 0 { "; held by " } else { ", " }, describe_holder(&holder.place, now));
    }
    if holders.len() > NAMED {
        let _ = write!(text, ", and {} more", holders.len() - NAMED);
    }
    if let Some(error) = last_error {
        let _ = write!(text, "; the last error of connecting: {error}");
    }
    text
}

fn describe_holder(seat: &Arc<Seat>, now: Instant) -> String {
    let usage = seat.usage();
    let mut text = format!("thread {} (alias {:?}, for {:.1?}", seat.thread, &*seat.alias, usage.elapsed(now));
    match seat.is_in_transaction() {
        Some(true) => text.push_str(", in a transaction"),
        Some(false) => {}
        None => text.push_str(", in a statement"),
    }
    if seat.vitals.is_held() {
        text.push_str(", on hold");
    }
    if let Some(place) = usage.place() {
        let _ = write!(text, ", from {place}");
    }
    if let Some(statement) = usage.statement() {
        let _ = write!(text, ", last statement: {statement}");
    }
    text.push(')');
    text
}

/// Threads that wait for each other in a circle, from the one that has waited in vain on: what it waits for, and who holds that.
fn cycle(cap: &Arc<SeatCap>, seat: &Arc<Seat>) -> Option<String> {
    // One after the other: two of them are never locked at a time.
    let caps: Vec<Edges> = caps::all().iter().map(Edges::of).collect();
    let first = caps.iter().position(|edges| Arc::ptr_eq(&edges.cap, cap))?;
    let mut path = Vec::new();
    if !walk(&caps, first, seat, &mut vec![false; caps.len()], &mut path) {
        return None;
    }
    let steps: Vec<String> = path
        .iter()
        .map(|(at, holder)| format!("waits for {}, of which thread {} holds one", caps[*at].cap.name(), holder.thread))
        .collect();
    Some(format!("this thread, {}, {}", seat.thread, steps.join(", which ")))
}

/// Whoever waits for a cap waits for each of its holders.
struct Edges {
    cap: Arc<SeatCap>,
    holders: Vec<Arc<Seat>>,
    waiting: Vec<Arc<Seat>>,
}

impl Edges {
    fn of(cap: &Arc<SeatCap>) -> Self {
        let standing = cap.standing();
        let holders = standing.holders.iter().filter(|holder| !holder.is_parked());
        Self {
            cap: Arc::clone(cap),
            holders: holders.map(|holder| Arc::clone(&holder.place)).collect(),
            waiting: standing.waiting.into_iter().map(|(seat, _)| seat).collect(),
        }
    }
}

/// Looks for a way from a cap to a thread that holds something for the thread of `goal`.
fn walk(caps: &[Edges], at: usize, goal: &Arc<Seat>, seen: &mut [bool], path: &mut Vec<(usize, Arc<Seat>)>) -> bool {
    if std::mem::replace(&mut seen[at], true) {
        return false;
    }
    for holder in &caps[at].holders {
        path.push((at, Arc::clone(holder)));
        let waits_for =
            caps.iter().position(|edges| edges.waiting.iter().any(|seat| seat.thread_id() == holder.thread_id()));
        if holder.thread_id() == goal.thread_id() || waits_for.is_some_and(|next| walk(caps, next, goal, seen, path)) {
            return true;
        }
        path.pop();
    }
    false
}
