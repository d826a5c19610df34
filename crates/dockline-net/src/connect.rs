//! Connecting: every address of a host, and again if the server has no place just now, within one deadline.
//!
//! Both backends connect in the same way; what they know of their drivers' errors they say by a [`Failure`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use dockline_core::backend::is_out_of_descriptors;
use dockline_core::{Error, Fact, Result};

use crate::deadline::Deadline;
use crate::resolve::addresses;
use crate::server::Server;

/// Why an attempt to connect has failed, and what that means for the next one.
#[derive(Debug)]
pub struct Failure {
    /// The error for the caller, if there is no next one.
    pub error: Error,
    /// What it means.
    pub why: Why,
}

/// What a failed attempt says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is nobody at this address, or nobody who answers. Another address of the host may answer.
    Unreachable,
    /// The server has no place left. If connections of ours are still closing, it is asked again.
    Full,
    /// The server starts up, or shuts down. It is asked again.
    Starting,
    /// The server has answered, and would answer the same again; or the fault is on this side.
    Final,
}

impl Failure {
    /// A failure that another attempt would not change.
    pub fn last(error: Error) -> Self {
        Self { error, why: Why::Final }
    }

    /// Nobody answers at this address.
    pub fn unreachable(error: Error) -> Self {
        Self { error: error.with_fact(Fact::Disconnect), why: Why::Unreachable }
    }
}

/// The pauses between two attempts: the first, and the longest.
const FIRST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(500);

/// Connects to a server. While it starts up, or counts connections that this process has closed a moment ago, it is asked again, as
/// long as the deadline allows.
///
/// # Errors
///
/// That of the last attempt.
pub fn connect<T>(
    server: &Arc<Server>,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T> {
    server.await_turn(deadline);
    let mut pause = FIRST;
    loop {
        let Failure { error, why } = match attempt() {
            Ok(connected) => {
                server.accepted();
                return Ok(connected);
            }
            Err(failure) => failure,
        };
        let asks_again = match why {
            Why::Starting => true,
            // Under a cap the thread takes its turn with those that wait for a connection of another thread.
            Why::Full if deadline.is_under_cap() => return Err(error),
            Why::Full => server.closed_lately(),
            Why::Unreachable | Why::Final => false,
        };
        // Others may be waiting for the same: each sleeps another time.
        let next = pause.mul_f64(0.5 + fastrand::f64());
        if !asks_again || deadline.remaining().is_none_or(|left| left <= next) {
            if why != Why::Final {
                server.refused();
            }
            return Err(error);
        }
        sleep(next);
        pause = (pause * 2).min(LONGEST);
    }
}

/// Tries one after the other of the places where a server may be, each within its share of the time. `weight`: for how many
/// addresses a place counts.
///
/// # Errors
///
/// The first failure that is not [`Why::Unreachable`], or the last; and that the time is over.
pub fn each_place<P, T>(
    places: &[P],
    weight: impl Fn(&P) -> usize,
    deadline: Deadline,
    late: impl FnOnce() -> Error,
    mut attempt: impl FnMut(&P, Deadline) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut left: usize = places.iter().map(&weight).sum();
    let mut last = None;
    for place in places {
        let Some(share) = deadline.share(left) else { break };
        left -= weight(place);
        match attempt(place, deadline.sooner(share)) {
            Err(failure) if failure.why == Why::Unreachable => last = Some(failure),
            result => return result,
        }
    }
    Err(last.unwrap_or_else(|| Failure::unreachable(late())))
}

/// The addresses of a host, or the failure to find them. `error` makes an error of what went wrong.
///
/// # Errors
///
/// If the name cannot be resolved, or not in time. That is no refusal of the server's.
pub fn resolve(
    host: &str,
    port: u16,
    deadline: Deadline,
    error: impl FnOnce(fmt::Arguments<'_>) -> Error,
) -> Result<Vec<SocketAddr>, Failure> {
    addresses(host, port, deadline).map_err(|cause| {
        let fact = if is_out_of_descriptors(&cause) { Fact::Exhausted } else { Fact::Disconnect };
        let limit = deadline.limit();
        let error = if cause.kind() == io::ErrorKind::TimedOut {
            let setting = deadline.setting();
            error(format_args!("the host name was not resolved within {limit:?} ({setting}): {cause}"))
        } else {
            error(format_args!("the host name cannot be resolved: {cause}"))
        };
        Failure::last(error.with_fact(fact).with_source(cause))
    })
}

/// The text for a server that did not answer in time.
pub fn no_answer(deadline: Deadline) -> String {
    format!("no answer within {:?} ({})", deadline.limit(), deadline.setting())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use dockline_core::ErrorKind;

    use super::*;

    fn error(text: &'static str) -> Error {
        Error::new(ErrorKind::Operational, text)
    }

    fn failing(why: Why) -> impl Fn() -> Result<(), Failure> {
        move || Err(Failure { error: error("x"), why })
    }

    #[test]
    fn a_server_that_starts_is_asked_until_the_time_is_over() {
        let server = Server::named("starting.example:1");
        let tries = Cell::new(0);
        let starts = |after: u32| {
            tries.set(tries.get() + 1);
            if tries.get() > after { Ok(()) } else { failing(Why::Starting)() }
        };
        connect(&server, Deadline::after(Duration::from_secs(30)), || starts(2)).unwrap();
        assert_eq!(tries.get(), 3);
        assert!(connect(&server, Deadline::after(Duration::from_millis(80)), || starts(u32::MAX)).is_err());
        assert!(tries.get() > 4);
    }

    #[test]
    fn a_server_that_is_full_is_asked_again_only_while_it_counts_ours() {
        let server = Server::named("full.example:1");
        let tries = Cell::new(0);
        let full = || {
            tries.set(tries.get() + 1);
            failing(Why::Full)()
        };
        assert!(connect(&server, Deadline::after(Duration::from_secs(1)), full).is_err());
        assert_eq!(tries.get(), 1);
        server.gave_up();
        assert!(connect(&server, Deadline::after(Duration::from_secs(1)), full).is_err());
        assert!(tries.get() > 2);
        tries.set(0);
        let under_cap =
            Deadline::after(Duration::from_secs(1)).under_cap(std::time::Instant::now() + Duration::from_secs(1));
        assert!(connect(&server, under_cap, full).is_err());
        assert_eq!(tries.get(), 1, "under a cap the core waits");
    }

    #[test]
    fn what_would_be_the_same_again_is_not_tried_again() {
        let server = Server::named("final.example:1");
        for why in [Why::Final, Why::Unreachable] {
            let tries = Cell::new(0);
            let attempt = || {
                tries.set(tries.get() + 1);
                failing(why)()
            };
            assert!(connect(&server, Deadline::after(Duration::from_secs(5)), attempt).is_err());
            assert_eq!(tries.get(), 1, "{why:?}");
        }
    }

    #[test]
    fn another_place_is_tried_only_if_the_first_does_not_answer() {
        let deadline = Deadline::after(Duration::from_secs(10));
        let tried = |first: Why| {
            let tried = Cell::new(0);
            let attempt = |place: &u8, share: Deadline| {
                assert!(share.remaining().is_some());
                tried.set(tried.get() + 1);
                if *place == 1 { failing(first)() } else { Ok(()) }
            };
            let result = each_place(&[1, 2], |_| 1, deadline, || error("late"), attempt);
            (tried.get(), result.is_ok())
        };
        assert_eq!(tried(Why::Unreachable), (2, true));
        assert_eq!(tried(Why::Final), (1, false));
        assert_eq!(tried(Why::Full), (1, false));
        let over = Deadline::after(Duration::ZERO);
        let late = each_place(&[1], |_| 1, over, || error("late"), |_, _| Ok(())).unwrap_err();
        assert!(late.error.message() == "late" && late.error.is_disconnect());
    }

    #[test]
    fn a_name_that_is_not_known_says_so() {
        let deadline = Deadline::after(Duration::from_secs(30));
        let failure = resolve("name.invalid", 1, deadline, |what| {
            Error::new(ErrorKind::Operational, format!("cannot connect: {what}"))
        });
        let failure = failure.unwrap_err();
        assert_eq!(failure.why, Why::Final);
        assert!(failure.error.is_disconnect() && failure.error.message().contains("resolved"), "{}", failure.error);
    }
}
