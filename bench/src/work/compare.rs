//! Tables of contestants by numbers of threads.

use crate::contestants::{Contestant, Worker};
use crate::options::Options;
use crate::place::{Place, ROWS};
use crate::report::{Axis, Plot, Report, Table};
use crate::rounds::{Call, Entry, Measured, Plan, interleave};
use crate::stats::median;

/// What each contestant's figures are for one number of threads.
pub(super) struct Column {
    pub(super) head: String,
    pub(super) x: f64,
    pub(super) measured: Vec<Measured>,
}

/// Runs requests of so many look-ups each.
pub(super) fn look_ups<'a>(contestants: &'a [Box<dyn Contestant>], count: u32) -> Vec<Entry<'a>> {
    entries(contestants, move |worker, thread, n| {
        let ids: Vec<u32> = (0..count).map(|at| (thread * 7 + n * count + at) % ROWS).collect();
        worker.look_ups(&ids)
    })
}

/// Runs requests of one transaction each; no two threads write the same row.
pub(super) fn transactions(contestants: &[Box<dyn Contestant>]) -> Vec<Entry<'_>> {
    entries(contestants, |worker, thread, n| worker.read_and_write((thread + 64 * n) % (ROWS / 64 * 64)))
}

fn entries<'a>(
    contestants: &'a [Box<dyn Contestant>],
    call: impl Fn(&mut dyn Worker, u32, u32) -> crate::rounds::Outcome + Copy + Send + Sync + 'a,
) -> Vec<Entry<'a>> {
    let entry = |contestant: &'a dyn Contestant| {
        Entry::new(contestant.name(), move |thread| -> Call<'a> {
            let mut worker = contestant.on_thread();
            Box::new(move |n| call(&mut *worker, thread, n))
        })
    };
    contestants.iter().map(|contestant| entry(&**contestant)).collect()
}

/// Measures these contestants with so many threads.
pub(super) fn column(options: &Options, threads: usize, slice: u64, rounds: usize, entries: &[Entry<'_>]) -> Column {
    let plan = Plan { threads, rounds: options.rounds(rounds), slice: options.slice(slice), calls_a_look: 1 };
    Column {
        head: format!("{threads} {}", if threads == 1 { "thread" } else { "threads" }),
        x: threads as f64,
        measured: interleave(entries, &plan),
    }
}

/// Writes the tables of a database, and the plot of its throughput.
pub(super) fn tables(report: &mut Report, place: &Place, what: &str, columns: &[Column]) {
    report.heading(&format!("{}: {what}", place.database));
    report.text("Throughput beside the bare driver's, of which the first row has the number a second:");
    let mut table = head(columns);
    let plain = |column: &Column| format!("{:.0}/s", median(&column.measured[0].per_second));
    table.row(std::iter::once("bare driver".to_owned()).chain(columns.iter().map(plain)));
    rows(&mut table, columns, |one, base| one.rate_beside(base).to_string());
    report.table(&table);

    report.text("Processor time of a request beside the bare driver's, of which the first row has the microseconds:");
    let mut table = head(columns);
    let plain = |column: &Column| format!("{:.1} µs", median(&column.measured[0].processor));
    table.row(std::iter::once("bare driver".to_owned()).chain(columns.iter().map(plain)));
    rows(&mut table, columns, |one, base| one.processor_beside(base).to_string());
    report.table(&table);

    report.text("p99 of a request beside the bare driver's, of which the first row has the microseconds:");
    let mut table = head(columns);
    let plain = |column: &Column| format!("{:.1} µs", median(&column.measured[0].p99));
    table.row(std::iter::once("bare driver".to_owned()).chain(columns.iter().map(plain)));
    rows(&mut table, columns, |one, base| one.p99_beside(base).to_string());
    report.table(&table);

    let mut plot = Plot::new(
        format!("{}: {what}, throughput beside the bare driver", place.database),
        Axis { title: "threads", logarithmic: true },
        Axis { title: "bare driver = 1", logarithmic: false },
    );
    for (at, one) in columns[0].measured.iter().enumerate() {
        let ratio = |column: &Column| column.measured[at].rate_beside(&column.measured[0]).median;
        plot.line(one.name.clone(), columns.iter().map(|column| (column.x, ratio(column))).collect());
    }
    report.plot(&format!("{} {what}", place.database), &plot);
    failures(report, columns);
}

fn head(columns: &[Column]) -> Table {
    Table::new(std::iter::once(String::new()).chain(columns.iter().map(|column| column.head.clone())))
}

fn rows(table: &mut Table, columns: &[Column], cell: impl Fn(&Measured, &Measured) -> String) {
    for at in 1..columns[0].measured.len() {
        let name = columns[0].measured[at].name.clone();
        let cells = columns.iter().map(|column| cell(&column.measured[at], &column.measured[0]));
        table.row(std::iter::once(name).chain(cells));
    }
}

/// Says which requests failed. None should.
pub(super) fn failures(report: &mut Report, columns: &[Column]) {
    for column in columns {
        for one in column.measured.iter().filter(|one| one.failures > 0) {
            let reason = one.reason.as_deref().unwrap_or_default();
            report.text(&format!(
                "{}, {}: {} of {} requests failed: {reason}",
                one.name, column.head, one.failures, one.calls
            ));
        }
    }
}
