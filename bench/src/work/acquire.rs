//! Taking a connection and giving it back, without any statement.

use std::cell::Cell;
use std::hint::black_box;

use dockline::{Connections, Databases, Settings};

use super::compare::Column;
use crate::contestants::r2d2_of_nothing;
use crate::options::Options;
use crate::place::Places;
use crate::report::{Axis, Plot, Report, Table};
use crate::rounds::{Call, Entry, Plan, interleave};
use crate::stats::{Ratio, median};

const THREADS: [usize; 4] = [1, 2, 8, 64];
const ALIASES: [usize; 4] = [1, 4, 100, 1_000];
/// So many of a thread's connections are open; the others are looked up, which opens nothing.
const OPEN: usize = 4;

pub(super) fn run(options: &Options, _: &Places, report: &mut Report) {
    report.text(
        "Processor time in nanoseconds, over all threads: it does not depend on how many threads wait for a processor, and waiting for a \
         lock costs none, which is to a pool's advantage. Each thread goes through all aliases in turn; at the most four of its connections \
         are open. `cell` is a bare `thread_local!` cell. r2d2 has a place for each thread, no checks, and connections that are nothing, so \
         that what remains is the pool; with several aliases it has a pool for each.",
    );
    for aliases in options.some(&ALIASES) {
        let columns: Vec<Column> =
            options.some(&THREADS).iter().map(|threads| measure(options, *threads, *aliases)).collect();
        let title = if *aliases == 1 { "1 alias".to_owned() } else { format!("{aliases} aliases") };
        report.heading(&title);
        let mut table =
            Table::new(std::iter::once(String::new()).chain(columns.iter().map(|column| column.head.clone())));
        for at in 0..columns[0].measured.len() {
            let time = |column: &Column| format!("{:.0} ns", median(&column.measured[at].processor) * 1e3);
            table.row(std::iter::once(columns[0].measured[at].name.clone()).chain(columns.iter().map(time)));
        }
        for (name, at) in [("r2d2 ÷ get", 1), ("r2d2 ÷ get in a request", 2)] {
            let ratio =
                |column: &Column| Ratio::of(&column.measured[3].processor, &column.measured[at].processor).to_string();
            table.row(std::iter::once(name.to_owned()).chain(columns.iter().map(ratio)));
        }
        report.table(&table);
        plot(report, &title, &columns);
    }
}

fn plot(report: &mut Report, title: &str, columns: &[Column]) {
    let mut plot = Plot::new(
        format!("Taking and giving back, {title}"),
        Axis { title: "threads", logarithmic: true },
        Axis { title: "processor time, ns", logarithmic: true },
    );
    for (at, one) in columns[0].measured.iter().enumerate() {
        let time = |column: &Column| (column.x, median(&column.measured[at].processor) * 1e3);
        plot.line(one.name.clone(), columns.iter().map(time).collect());
    }
    report.plot(title, &plot);
}

pub(super) fn measure(options: &Options, threads: usize, aliases: usize) -> Column {
    let registry = registry(aliases);
    let names: Vec<String> = registry.aliases().expect("aliases");
    let pools = r2d2_of_nothing(aliases, threads);
    let open = || {
        for name in names.iter().take(OPEN) {
            registry.get(name).and_then(|db| db.ensure_connection()).expect("a connection");
        }
    };
    let at = |n: u32| n as usize % aliases;
    let entries = [
        Entry::new("cell", |_| -> Call<'_> {
            Box::new(|_| {
                cell();
                Ok(())
            })
        }),
        Entry::new("get", |_| -> Call<'_> {
            open();
            Box::new(|n| {
                black_box(registry.get(black_box(&names[at(n)]))).expect("an alias");
                Ok(())
            })
        }),
        Entry::new("get in a request", |_| -> Call<'_> {
            open();
            Box::new(|n| {
                let _request = registry.request();
                black_box(registry.get(black_box(&names[at(n)]))).expect("an alias");
                Ok(())
            })
        }),
        Entry::new("r2d2", |_| -> Call<'_> {
            Box::new(|n| {
                black_box(pools[at(n)].get()).expect("a place");
                Ok(())
            })
        }),
    ];
    let plan = Plan { threads, rounds: options.rounds(15), slice: options.slice(15), calls_a_look: 256 };
    Column {
        head: format!("{threads} {}", if threads == 1 { "thread" } else { "threads" }),
        x: threads as f64,
        measured: interleave(&entries, &plan),
    }
}

fn cell() {
    thread_local! { static CELL: Cell<u64> = const { Cell::new(0) }; }
    // The inner black box keeps the look-up of the cell in the loop.
    black_box(CELL.with(|cell| black_box(cell).get()));
}

fn registry(aliases: usize) -> Connections {
    let settings = Settings::from_url("sqlite::memory:").expect("a URL");
    let mut databases = Databases::new().with("default", settings.clone());
    for n in 1..aliases {
        databases = databases.with(format!("tenant_{n}"), settings.clone());
    }
    Connections::new(databases).expect("a registry")
}
