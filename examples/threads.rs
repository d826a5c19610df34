//! Threads of the standard library: some that live long and run one task after the other, and scoped ones that borrow.
//!
//! ```sh
//! cargo run --example threads                # an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example threads
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example threads
//! ```
//!
//! Each thread has a connection of its own from its first statement on, and closes it when it ends, whichever way. What is
//! due earlier is closed when a task ends.

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use dockline::params;
use dockline_examples::{Tally, databases};

const WORKERS: usize = 4;
const NUMBERS: i64 = 200;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("threads: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    dockline::init(databases(&folder.path().join("threads.db"))?)?;
    let tally = Tally::of(dockline::connections());

    let db = dockline::connection()?;
    db.execute("DROP TABLE IF EXISTS dockline_number", ())?;
    db.execute("CREATE TABLE dockline_number (n INTEGER PRIMARY KEY)", ())?;
    db.execute_many("INSERT INTO dockline_number VALUES (?)", (1..=NUMBERS).map(|n| params![n]))?;

    println!("long threads: the sum is {}", with_long_threads(&tally)?);
    println!("scoped threads: the sum is {}", with_scoped_threads(&tally)?);
    with_a_thread_that_panics(&tally);

    db.execute("DROP TABLE dockline_number", ())?;
    let report = dockline::connections().shutdown(Duration::from_secs(5));
    println!("shutdown has closed {}, and {} are open", report.closed, tally.open());
    Ok(())
}

/// A pool of one's own: a channel of numbers, and threads that take them. Each number is a task.
fn with_long_threads(tally: &Tally) -> Fallible<i64> {
    let (submit, jobs) = mpsc::channel::<i64>();
    let jobs = Arc::new(Mutex::new(jobs));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let jobs = Arc::clone(&jobs);
            thread::spawn(move || -> dockline::Result<i64> {
                let mut sum = 0;
                loop {
                    // The lock is not held while the task runs.
                    let Ok(number) = jobs.lock().expect("nobody panics with it").recv() else { return Ok(sum) };
                    sum += dockline::task(|| find(number))()?;
                }
            })
        })
        .collect();
    for number in 1..=NUMBERS {
        submit.send(number)?;
    }
    // The workers return when the channel is empty.
    drop(submit);
    let mut sum = 0;
    for worker in workers {
        sum += worker.join().map_err(|_| "a worker panicked")??;
    }
    // Joining a thread waits until it has closed what it had. What is left is this thread's.
    println!("they have ended, and {} connection is open", tally.open());
    Ok(sum)
}

fn find(number: i64) -> dockline::Result<i64> {
    dockline::connection()?.query_value("SELECT n FROM dockline_number WHERE n = ?", params![number])
}

/// Scoped threads may borrow, and so may their tasks.
fn with_scoped_threads(tally: &Tally) -> Fallible<i64> {
    let numbers: Vec<i64> = (1..=NUMBERS).collect();
    let sum = thread::scope(|scope| {
        let parts = numbers.chunks(numbers.len() / WORKERS);
        let workers: Vec<_> = parts
            .map(|part| {
                scope.spawn(dockline::task(|| part.iter().map(|number| find(*number)).sum::<dockline::Result<i64>>()))
            })
            .collect();
        // Joined one by one: the end of a scope does not wait for what its threads close.
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| "a thread panicked")?.map_err(Into::into))
            .sum::<Fallible<i64>>()
    })?;
    println!("they have ended, and {} connection is open", tally.open());
    Ok(sum)
}

/// A thread that panics in the middle of a transaction: the work is undone, and the connection closed.
fn with_a_thread_that_panics(tally: &Tally) {
    let worker = thread::spawn(|| -> dockline::Result<()> {
        let db = dockline::connection()?;
        db.atomic(|| {
            db.execute("DELETE FROM dockline_number", ())?;
            // A panic without the message on the screen.
            std::panic::resume_unwind(Box::new("the thread panics"))
        })
    });
    let ended = if worker.join().is_err() { "has panicked" } else { "has returned" };
    let left = dockline::connection().and_then(|db| db.query_value::<i64>("SELECT count(*) FROM dockline_number", ()));
    println!("a thread {ended}: {} connection is open, and all of {} rows are there", tally.open(), left.unwrap_or(0));
}
