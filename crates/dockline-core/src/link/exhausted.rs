//! What somebody is told who has waited for a connection in vain: what an operator would ask.
//!
//! That holders are named, the oldest first, is vibur-dbcp's idea.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Fact};
use crate::link::cap::{Holder, Stage, Standing};
use crate::link::caps::{self, SeatCap};
use crate::link::seat::Seat;

/// So many holders are named.
const NAMED: usize = 10;

/// The error of a wait that was in vain. `within`: how long it may have taken.
pub(crate) fn timed_out(cap: &SeatCap, seat: &Arc<Seat>, within: Duration, now: Instant) -> Error {
    let mut text = format!("no connection was free within acquire_timeout ({within:?}); {}", describe(cap, now));
    if let Some(cycle) = cycle(cap, seat) {
        let _ = write!(text, "; the threads wait for each other: {cycle}; use the aliases in the same order everywhere");
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
    let Standing { max, mut holders, waiting, last_error, .. } = cap.standing();
    let count = |which: &dyn Fn(&Holder<Seat>) -> bool| holders.iter().filter(|holder| which(holder)).count();
    let parked = count(&|holder| is_parked(holder));
    let opening = count(&|holder| holder.stage == Stage::Opening);
    let closing = count(&|holder| holder.stage == Stage::Closing);
    let in_use = holders.len() - parked - opening - closing;
    let mut text = format!(
        "{} allows {max}: {in_use} in use, {parked} parked, {opening} opening, {closing} closing; {} more wait",
        cap.name(),
        waiting.len()
    );
    if let Some(longest) = waiting.iter().map(|(_, since)| now.saturating_duration_since(*since)).max() {
        let _ = write!(text, ", the longest for {longest:.1?}");
    }
    holders.retain(|holder| holder.stage == Stage::Open && !is_parked(holder));
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
    if usage.is_held() {
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

fn is_parked(holder: &Holder<Seat>) -> bool {
    holder.stage == Stage::Open && holder.place.is_parked()
}

/// Threads that wait for each other in a circle, from the one that has waited in vain on: what it waits for, and who holds that.
fn cycle(cap: &SeatCap, seat: &Arc<Seat>) -> Option<String> {
    struct Edges {
        name: String,
        holders: Vec<Arc<Seat>>,
        waiting: Vec<Arc<Seat>>,
    }
    let all: Vec<Edges> = caps::all()
        .iter()
        .map(|cap| {
            let standing = cap.standing();
            let holders = standing.holders.iter().filter(|holder| !is_parked(holder));
            Edges {
                name: cap.name().to_owned(),
                holders: holders.map(|holder| Arc::clone(&holder.place)).collect(),
                waiting: standing.waiting.into_iter().map(|(seat, _)| seat).collect(),
            }
        })
        .collect();
    // Whoever waits for a cap waits for each of its holders.
    let mut path: Vec<(String, Arc<Seat>)> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    fn walk<'a>(
        all: &'a [Edges],
        name: &str,
        goal: &Seat,
        seen: &mut Vec<String>,
        path: &mut Vec<(String, Arc<Seat>)>,
    ) -> bool {
        if seen.iter().any(|other| other == name) {
            return false;
        }
        seen.push(name.to_owned());
        let Some(edges) = all.iter().find(|edges| edges.name == name) else { return false };
        for holder in &edges.holders {
            path.push((name.to_owned(), Arc::clone(holder)));
            if holder.thread_id() == goal.thread_id() {
                return true;
            }
            let next = all.iter().find(|edges| edges.waiting.iter().any(|seat| seat.thread_id() == holder.thread_id()));
            if let Some(next) = next
                && walk(all, &next.name, goal, seen, path)
            {
                return true;
            }
            path.pop();
        }
        false
    }
    if !walk(&all, cap.name(), seat, &mut seen, &mut path) {
        return None;
    }
    let mut text = format!("this thread, {},", seat.thread);
    for (at, (name, holder)) in path.iter().enumerate() {
        if at > 0 {
            text.push_str(" which");
        }
        let _ = write!(text, " waits for {name}, of which thread {} holds one,", holder.thread);
    }
    text.pop();
    Some(text)
}
