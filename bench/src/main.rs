//! Dockline beside the bare drivers and beside the pools that people use, in one run on one machine.
//!
//! `scripts/bench` builds and runs it. Contestants take turns (A B C A B C), a ratio is the median of those of the rounds, and what is
//! printed is written to `docs/benchmarks.md` as well.

mod contestants;
mod machine;
mod options;
mod place;
mod report;
mod rounds;
mod stats;
mod work;

use std::process::ExitCode;
use std::time::Instant;

use options::{Options, Wish};
use place::Places;
use report::Report;

fn main() -> ExitCode {
    let options = match options::read(std::env::args().skip(1)) {
        Ok(Wish::Run(options)) => options,
        Ok(Wish::List) => {
            for item in work::ITEMS {
                println!("{:<14} {}", item.name, item.title);
            }
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Footprint { contestant, place, held }) => {
            work::footprint::be_child(&contestant, &place, held);
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Repeat { contestant, place, work, calls }) => {
            work::instructions::be_child(&contestant, &place, &work, calls);
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("bench: {reason}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    run(&options)
}

fn run(options: &Options) -> ExitCode {
    let began = Instant::now();
    let places = Places::start(options);
    let mut report = Report::new(options, &places);
    for item in work::ITEMS.iter().filter(|item| options.wants(item.name)) {
        eprintln!("bench: {} ({} s so far)", item.name, began.elapsed().as_secs());
        report.section(item.name, item.title);
        (item.run)(options, &places, &mut report);
    }
    report.took(began.elapsed());
    drop(places);
    if let Err(reason) = report.write(options) {
        eprintln!("bench: {reason}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
