//! Real Django on the same databases, if it is there.

use std::process::Command;

use super::compare::{column, look_ups};
use crate::contestants;
use crate::options::Options;
use crate::place::{Database, Place, Places};
use crate::report::{Report, Table};
use crate::stats::median;

/// The script beside this package.
const SCRIPT: &str = include_str!("../../django_requests.py");

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    report.text(
        "Requests of one look-up a second, with Django's request signals around each: with its default, which closes the connection after \
         each request, and with `CONN_MAX_AGE = 600`. Django runs its threads under Python's global lock.",
    );
    let threads: &[usize] = if options.smoke { &[1] } else { &[1, 8] };
    let mut measured = false;
    let mut table = Table::new([
        "",
        "threads",
        "Django, its default",
        "Django, CONN_MAX_AGE = 600",
        "Dockline",
        "Dockline ÷ Django kept",
    ]);
    for place in &places.all {
        for count in threads {
            let seconds = options.slice(2_000).as_secs_f64();
            let ask = |age: u32| requests_per_second(place, *count, age, seconds);
            let (default, kept) = match (ask(0), ask(600)) {
                (Ok(default), Ok(kept)) => (default, kept),
                (Err(reason), _) | (_, Err(reason)) => {
                    report.text(&format!("{}: not measured: {reason}", place.database));
                    break;
                }
            };
            let contestants = contestants::two(place, *count);
            let ours = column(options, *count, 200, 5, &look_ups(&contestants, 1));
            let ours = median(&ours.measured[1].per_second);
            measured = true;
            table.row([
                place.database.to_string(),
                count.to_string(),
                format!("{default:.0}/s"),
                format!("{kept:.0}/s"),
                format!("{ours:.0}/s"),
                format!("{:.1}", ours / kept),
            ]);
        }
    }
    if measured {
        report.table(&table);
    }
}

fn requests_per_second(place: &Place, threads: usize, age: u32, seconds: f64) -> Result<f64, String> {
    let engine = match place.database {
        Database::Sqlite => "sqlite3",
        database if database.is_postgres() => "postgresql",
        Database::Server(_) => "mysql",
    };
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT, engine, &place.url, &threads.to_string(), &age.to_string(), &seconds.to_string()]);
    let said = python.output().map_err(|error| format!("python3 cannot be started: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !said.status.success() {
        return Err(text(&said.stderr).lines().last().unwrap_or("python3 failed").to_owned());
    }
    text(&said.stdout).parse().map_err(|_| format!("it said {:?}", text(&said.stdout)))
}
