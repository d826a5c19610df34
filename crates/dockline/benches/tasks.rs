//! What a task costs where nothing is due: beside the bare closure, with hooks, in one run.
//!
//! `cargo bench -p dockline --bench tasks`. A figure is processor time a call, over all threads. What a hook costs is the
//! difference to the bare closure, and to the task without it.

mod support;

use std::hint::black_box;

use criterion::Criterion;
use dockline::{Connections, Databases, Settings, Task};
use support::{Results, THREADS};

fn main() {
    let mut criterion = support::criterion();
    let results = Results::default();
    for threads in THREADS {
        let plain = registry();
        let heard = registry();
        heard.signals().task_done.connect(|report| {
            black_box(report.statements());
        });
        measure(&mut criterion, &results, &plain, "closure", threads, |_| job(black_box(1)));
        measure(&mut criterion, &results, &plain, "task", threads, |it| it.task(|| job(black_box(1)))());
        measure(&mut criterion, &results, &plain, "task, one hook", threads, |it| {
            let task = Task::new().on_done(|report| {
                black_box(report.elapsed());
            });
            it.task_with(task, || job(black_box(1)))()
        });
        measure(&mut criterion, &results, &heard, "task, one receiver", threads, |it| it.task(|| job(black_box(1)))());
    }
    criterion.final_summary();
    results.print(
        &["closure", "task", "task, one hook", "task, one receiver"],
        &[("task, one hook", "task"), ("task, one receiver", "task")],
    );
}

fn job(n: u64) -> u64 {
    n + 1
}

/// With an open connection on each thread, which is not due.
fn measure(
    criterion: &mut Criterion,
    results: &Results,
    registry: &Connections,
    name: &str,
    threads: usize,
    call: impl Fn(&Connections) -> u64 + Sync,
) {
    let open = || registry.get("default").unwrap().ensure_connection().unwrap();
    results.measure(criterion, name, threads, open, |()| {
        black_box(call(registry));
    });
}

fn registry() -> Connections {
    let settings = Settings::from_url("sqlite::memory:").unwrap();
    Connections::new(Databases::new().with("default", settings)).unwrap()
}
