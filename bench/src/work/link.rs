//! Requests through a proxy that holds each piece back: what counts is how often a contestant waits for the server.

use std::time::Duration;

use dockline_tests::proxy::Proxy;

use super::compare::{Column, failures, look_ups, transactions};
use crate::contestants;
use crate::options::Options;
use crate::place::Places;
use crate::report::{Report, Table};
use crate::rounds::{Entry, Plan, interleave};
use crate::stats::median;

const DELAYS: [u64; 2] = [200, 1000];

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    report.text(
        "One thread, through a proxy that holds what comes back for so long each way that the round trip is longer by the delay \
         given. Throughput beside the bare driver's; the first row has the time of one request.",
    );
    for place in places.servers() {
        let mut columns = Vec::new();
        for delay in DELAYS {
            let proxy = Proxy::start(places.address(place.database).expect("a server"));
            let via = places.via(place, proxy.port()).expect("a server");
            let contestants = contestants::all(&via, 1);
            let works: [(&str, Vec<Entry<'_>>); 3] = [
                ("1 look-up", look_ups(&contestants, 1)),
                ("10 look-ups", look_ups(&contestants, 10)),
                ("transaction", transactions(&contestants)),
            ];
            proxy.delay(Duration::from_micros(delay / 2));
            for (what, entries) in works {
                let plan = Plan { threads: 1, rounds: options.rounds(3), slice: options.slice(120), calls_a_look: 1 };
                let head = format!("{what}, {} ms", delay as f64 / 1000.0);
                columns.push(Column { head, x: delay as f64, measured: interleave(&entries, &plan) });
            }
            proxy.delay(Duration::ZERO);
        }
        report.heading(&place.database.to_string());
        let mut table =
            Table::new(std::iter::once(String::new()).chain(columns.iter().map(|column| column.head.clone())));
        let time = |column: &Column| format!("{:.2} ms", 1e3 / median(&column.measured[0].per_second));
        table.row(std::iter::once("bare driver".to_owned()).chain(columns.iter().map(time)));
        for at in 1..columns[0].measured.len() {
            let ratio = |column: &Column| column.measured[at].rate_beside(&column.measured[0]).to_string();
            table.row(std::iter::once(columns[0].measured[at].name.clone()).chain(columns.iter().map(ratio)));
        }
        report.table(&table);
        failures(report, &columns);
    }
}
