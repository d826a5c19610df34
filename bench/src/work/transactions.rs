//! Requests of one transaction, and how evenly threads get on with writing to one file of SQLite.

use super::compare::{Column, column, tables, transactions};
use crate::contestants;
use crate::options::Options;
use crate::place::Places;
use crate::report::{Report, Table};
use crate::stats::median;

const THREADS: [usize; 3] = [1, 8, 32];

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    report.text(
        "Each driver's own way to run a transaction, with its statements prepared. On SQLite all begin as writers, and the \
         bare driver and diesel have a fair mutex that writers hold: without it most of their requests would fail.",
    );
    for place in &places.all {
        let columns: Vec<_> = options
            .some(&THREADS)
            .iter()
            .map(|threads| {
                let contestants = contestants::all(place, *threads);
                column(options, *threads, 60, 15, &transactions(&contestants))
            })
            .collect();
        tables(report, place, "a transaction", &columns);
        if place.database.is_sqlite() {
            fairness(report, &columns);
        }
    }
}

fn fairness(report: &mut Report, columns: &[Column]) {
    report.text("The slowest thread's share of the median thread's requests in a turn:");
    let mut table = Table::new(std::iter::once(String::new()).chain(columns.iter().map(|column| column.head.clone())));
    for at in 0..columns[0].measured.len() {
        let cells = columns.iter().map(|column| format!("{:.2}", median(&column.measured[at].slowest)));
        table.row(std::iter::once(columns[0].measured[at].name.clone()).chain(cells));
    }
    report.table(&table);
}
