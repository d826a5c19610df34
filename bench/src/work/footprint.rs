//! Memory and descriptors of connections that nobody uses at the moment, each contestant in a process of its own.

use std::process::Command;
use std::sync::Barrier;
use std::thread;

use crate::contestants;
use crate::options::Options;
use crate::place::{Place, Places};
use crate::report::{Report, Table};

const HELD: u32 = 60;

pub(super) fn run(options: &Options, places: &Places, report: &mut Report) {
    let held = options.amount(HELD * 10).min(HELD);
    report.text(&format!(
        "What a process has more with {held} threads that hold a connection each, after one look-up, than with as many threads that hold none, \
         for one of them: resident memory (the client's alone), and open file descriptors. A pool's connections are the bare driver's."
    ));
    let mut table = Table::new(["", "", "memory", "÷ bare", "descriptors"]);
    for place in &places.all {
        let mut bare = None;
        for contestant in contestants::two(place, 1) {
            // SQLite keeps its connections' memory in the process, and its pool of pages grows with use.
            let figures: Vec<(f64, f64)> =
                (0..options.rounds(3)).filter_map(|_| ask_child(place, contestant.name(), held)).collect();
            let (memory, descriptors) = (
                crate::stats::median(&figures.iter().map(|(memory, _)| *memory).collect::<Vec<_>>()),
                crate::stats::median(&figures.iter().map(|(_, open)| *open).collect::<Vec<_>>()),
            );
            let base = *bare.get_or_insert(memory);
            table.row([
                place.database.to_string(),
                contestant.name().to_owned(),
                format!("{memory:.0} KiB"),
                format!("{:.2}", memory / base),
                format!("{descriptors:.1}"),
            ]);
        }
    }
    report.table(&table);
}

fn ask_child(place: &Place, contestant: &str, held: u32) -> Option<(f64, f64)> {
    let mut child = Command::new(std::env::current_exe().ok()?);
    let said = child.args(["--footprint-of", contestant, place.kind(), &place.url, &held.to_string()]).output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let mut figures = text.split_whitespace().filter_map(|figure| figure.parse().ok());
    Some((figures.next()?, figures.next()?))
}

/// Prints what one connection takes, in KiB and descriptors.
pub(crate) fn be_child(contestant: &str, place: &Place, held: usize) {
    let open = |threads: usize| {
        contestants::two(place, threads).into_iter().find(|one| one.name() == contestant).expect("a contestant")
    };
    // Once before, so that what is made once in a process is there.
    let first = open(1);
    first.on_thread().look_ups(&[1]).expect("a request");
    drop(first);
    let empty = hold(held, || ());
    let one = open(held);
    let full = hold(held, || {
        let mut worker = one.on_thread();
        worker.look_ups(&[1]).expect("a request");
        worker
    });
    println!("{} {}", (full.0 - empty.0) / held as f64, (full.1 - empty.1) / held as f64);
}

/// Memory and descriptors while so many threads each hold what `make` gives.
fn hold<T>(threads: usize, make: impl Fn() -> T + Sync) -> (f64, f64) {
    let (there, measured) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let held = make();
                there.wait();
                measured.wait();
                drop(held);
            });
        }
        there.wait();
        let figures = (resident(), descriptors());
        measured.wait();
        figures
    })
}

/// KiB.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4.0
}

fn descriptors() -> f64 {
    std::fs::read_dir("/proc/self/fd").map_or(0.0, |entries| entries.count() as f64)
}
