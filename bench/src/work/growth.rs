//! How the cost of one thing grows with the number of another: a table, and the exponent of the power that fits best.

use super::acquire;
use super::compare::{column, look_ups};
use crate::contestants::{self, Bare};
use crate::options::Options;
use crate::place::{Place, Places};
use crate::report::{Axis, Plot, Report, Table};
use crate::rounds::{Call, Entry, Measured, Plan, interleave};
use crate::stats::{exponent, median};

const THREADS: [usize; 6] = [1, 2, 4, 8, 32, 64];
const ALIASES: [usize; 5] = [1, 4, 16, 100, 1_000];
const LENGTHS: [usize; 5] = [50, 500, 5_000, 50_000, 200_000];
const ROWS: [u32; 5] = [1, 10, 100, 300, 1_000];

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    report.text(
        "Processor time of the client for one call, in microseconds, as the median of the rounds. The last row has the exponent k of the \
         n^k that fits best: 0 is a cost that stays the same, 1 one that grows in proportion.",
    );
    aliases(options, report);
    for place in &places.all {
        threads(options, place, report);
        lengths(options, place, report);
        rows(options, place, report);
    }
}

fn aliases(options: &Options, report: &mut Report) {
    let points = options.some(&ALIASES).iter().map(|aliases| {
        let measured = acquire::measure(options, 1, *aliases).measured;
        (*aliases as f64, measured)
    });
    write(report, "get", "aliases", points.collect());
}

fn threads(options: &Options, place: &Place, report: &mut Report) {
    let points = options.some(&THREADS).iter().map(|threads| {
        let contestants = contestants::two(place, *threads);
        let column = column(options, *threads, 40, 5, &look_ups(&contestants, 1));
        (*threads as f64, column.measured)
    });
    write(report, &format!("{}, a request of one look-up", place.database), "threads", points.collect());
}

/// The text is prepared once, and has to be found again for each statement.
fn lengths(options: &Options, place: &Place, report: &mut Report) {
    let points = options.some(&LENGTHS).iter().map(|length| {
        let sql = format!("SELECT name FROM item WHERE id = ? /* {} */", "x".repeat(*length));
        (*length as f64, run_text(options, place, &sql, "SELECT name FROM item WHERE id = ?", 1))
    });
    write(report, &format!("{}, a look-up", place.database), "characters of the statement", points.collect());
}

fn rows(options: &Options, place: &Place, report: &mut Report) {
    let points = options.some(&ROWS).iter().map(|rows| {
        let sql = "SELECT id, name FROM item WHERE id < ?";
        (f64::from(*rows), run_text(options, place, sql, sql, *rows))
    });
    write(report, &format!("{}, a query", place.database), "rows", points.collect());
}

/// Dockline with a text, beside the bare driver with a statement.
fn run_text(options: &Options, place: &Place, sql: &str, bare_sql: &str, parameter: u32) -> Vec<Measured> {
    let registry = place.connections();
    let entries = [
        Entry::new("bare driver", |_| -> Call<'_> {
            let mut bare = Bare::open(place).expect("a connection");
            let mut query = bare.prepare_rows(&place.database.sql(bare_sql)).expect("a statement");
            Box::new(move |_| query.run(&mut bare, parameter))
        }),
        Entry::new("Dockline", |_| -> Call<'_> {
            let db = registry.get("default").expect("an alias");
            Box::new(move |_| {
                let rows = db.query(sql, dockline::params![parameter]).map_err(contestants::text)?;
                std::hint::black_box(rows);
                Ok(())
            })
        }),
    ];
    let plan = Plan { threads: 1, rounds: options.rounds(5), slice: options.slice(30), calls_a_look: 1 };
    interleave(&entries, &plan)
}

fn write(report: &mut Report, what: &str, of: &'static str, points: Vec<(f64, Vec<Measured>)>) {
    report.heading(&format!("{what}, by {of}"));
    let names: Vec<String> = points[0].1.iter().map(|one| one.name.clone()).collect();
    let mut table = Table::new(std::iter::once(of.to_owned()).chain(names.iter().cloned()));
    let time = |measured: &Measured| median(&measured.processor);
    for (n, measured) in &points {
        let cells = measured.iter().map(|one| format!("{:.3}", time(one)));
        table.row(std::iter::once(format!("{n:.0}")).chain(cells));
    }
    let mut plot = Plot::new(
        format!("{what}, by {of}"),
        Axis { title: of, logarithmic: true },
        Axis { title: "processor time, µs", logarithmic: true },
    );
    let mut exponents = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let line: Vec<(f64, f64)> = points.iter().map(|(n, measured)| (*n, time(&measured[at]))).collect();
        exponents.push(format!("{:.2}", exponent(&line)));
        plot.line(name.clone(), line);
    }
    table.row(std::iter::once("exponent".to_owned()).chain(exponents));
    report.table(&table);
    report.plot(&format!("{} {of}", what.replace(", ", " ")), &plot);
}
