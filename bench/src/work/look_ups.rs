//! Requests that look rows up by primary key.

use super::compare::{column, look_ups, tables};
use crate::contestants;
use crate::options::Options;
use crate::place::Places;
use crate::report::Report;

const THREADS: [usize; 4] = [1, 2, 8, 32];

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    for place in &places.all {
        for count in [1, 10] {
            let columns: Vec<_> = options
                .some(&THREADS)
                .iter()
                .map(|threads| {
                    let contestants = contestants::all(place, *threads);
                    column(options, *threads, 50, 15, &look_ups(&contestants, count))
                })
                .collect();
            let what = if count == 1 { "one look-up".to_owned() } else { format!("{count} look-ups") };
            tables(report, place, &what, &columns);
        }
    }
}
