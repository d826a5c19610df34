//! Connections that the server has ended: by its limit of idleness, and by an operator.

use std::thread;
use std::time::{Duration, Instant};

use crate::contestants::{self, Worker};
use crate::options::Options;
use crate::place::{Place, Places};
use crate::report::{Report, Table};
use crate::stats::median;

/// Longer than the limit of idleness, which is a second.
const PAUSE: Duration = Duration::from_millis(1800);

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    report.text(
        "The first request of a thread after its server has ended the connection: how many failed, and how long those took that did not, \
         connecting included. What is killed is killed while nobody uses it; the pause is longer than the server's limit of idleness. A \
         bare driver has to be told by an error; the pools are told by asking the server for each request, unless their checks are off.",
    );
    for place in places.servers() {
        report.heading(&place.database.to_string());
        let mut table = Table::new(["", "killed: failed", "time", "idle too long: failed", "time"]);
        let contestants = contestants::all(place, 1);
        let mut killed: Vec<Tries> = contestants.iter().map(|_| Tries::default()).collect();
        let mut idle: Vec<Tries> = contestants.iter().map(|_| Tries::default()).collect();
        let rounds = (options.rounds(10), options.rounds(3));
        tries(&mut contestants_of(&contestants), &mut killed, rounds.0, || kill(places, place));
        drop(contestants);
        limit_idleness(places, place, true);
        let contestants = contestants::all(place, 1);
        tries(&mut contestants_of(&contestants), &mut idle, rounds.1, || thread::sleep(PAUSE));
        limit_idleness(places, place, false);
        for (at, contestant) in contestants.iter().enumerate() {
            table.row([
                contestant.name().to_owned(),
                killed[at].failures(),
                killed[at].time(),
                idle[at].failures(),
                idle[at].time(),
            ]);
        }
        report.table(&table);
    }
}

/// How the first requests went.
#[derive(Default)]
struct Tries {
    failed: usize,
    times: Vec<f64>,
}

impl Tries {
    fn failures(&self) -> String {
        format!("{} of {}", self.failed, self.failed + self.times.len())
    }

    fn time(&self) -> String {
        if self.times.is_empty() { "-".to_owned() } else { format!("{:.2} ms", median(&self.times)) }
    }
}

fn contestants_of(contestants: &[Box<dyn contestants::Contestant>]) -> Vec<Box<dyn Worker + '_>> {
    contestants.iter().map(|contestant| contestant.on_thread()).collect()
}

fn tries(workers: &mut [Box<dyn Worker + '_>], tries: &mut [Tries], rounds: usize, interrupt: impl Fn()) {
    for _ in 0..rounds {
        for worker in workers.iter_mut() {
            // Two, because the first may find what the round before has left.
            let _ = worker.look_ups(&[1]);
            let _ = worker.look_ups(&[1]);
        }
        interrupt();
        for (worker, tries) in workers.iter_mut().zip(&mut *tries) {
            let began = Instant::now();
            match worker.look_ups(&[1]) {
                Ok(()) => tries.times.push(began.elapsed().as_secs_f64() * 1e3),
                Err(_) => tries.failed += 1,
            }
        }
    }
}

fn kill(places: &Places, place: &Place) {
    let mut admin = places.admin(place.database).expect("a server");
    for id in admin.connections() {
        // One that is about to end by itself may be gone.
        let command = if place.database.is_postgres() {
            format!("SELECT pg_terminate_backend({id})")
        } else {
            format!("KILL {id}")
        };
        let _ = admin.try_execute(&command);
    }
    admin.wait_until_connections(0);
}

/// A second, for sessions that begin from now on, or the server's own limit again.
fn limit_idleness(places: &Places, place: &Place, on: bool) {
    let mut admin = places.admin(place.database).expect("a server");
    if place.database.is_postgres() {
        let limit = if on { "SET idle_session_timeout = '1s'" } else { "RESET idle_session_timeout" };
        admin.execute(&format!("ALTER ROLE {} {limit}", dockline_tests::servers::USER));
    } else {
        admin.execute(&format!("SET GLOBAL wait_timeout = {}", if on { 1 } else { 28_800 }));
    }
}
