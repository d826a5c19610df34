//! The crate `threadpool`: workers that take jobs from the database and write results back, without any request.
//!
//! ```sh
//! cargo run --example threadpool             # an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example threadpool
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example threadpool
//! ```
//!
//! Every closure that goes to the pool is a task, so that what is due is closed on the worker that ran it. One job panics:
//! the pool replaces the worker, and the connection of the one that ended is closed.

use std::error::Error;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dockline::{Task, TaskPolicy, params};
use dockline_examples::{Tally, databases};
use threadpool::ThreadPool;

const WORKERS: usize = 4;
const JOBS: i64 = 100;
/// The job that panics.
const BROKEN: i64 = 42;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("threadpool: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    dockline::init(databases(&folder.path().join("jobs.db"))?)?;
    let (opened, tally) = (Tally::of(dockline::connections()), Arc::new(Jobs::default()));
    fill_queue()?;

    let pool = ThreadPool::new(WORKERS);
    for id in 1..=JOBS {
        submit(&pool, &tally, move || work(id));
    }
    pool.join();

    let db = dockline::connection()?;
    let done: i64 = db.query_value("SELECT count(*) FROM dockline_job WHERE result IS NOT NULL", ())?;
    println!(
        "{done} of {JOBS} jobs are done; {} panicked, and {} failed",
        tally.of(&tally.panicked),
        tally.of(&tally.failed)
    );
    println!("the jobs have run {} statements", tally.of(&tally.statements));
    println!(
        "{} connections were opened, one for each worker that had a job, one for each that was replaced, and this thread's",
        opened.opened()
    );
    // The pool's threads still live, and so do their connections.
    println!("{} are open", opened.open());

    // For a pool with many more threads than jobs at a time: nothing stays open behind a job.
    submit_with(&pool, &tally, Task::new().policy(TaskPolicy::CloseAll), || work(1));
    pool.join();

    db.execute("DROP TABLE dockline_job", ())?;
    let report = dockline::connections().shutdown(Duration::from_secs(5));
    println!("shutdown has left {}; {} are open", report.left.len(), opened.open());
    Ok(())
}

fn fill_queue() -> dockline::Result<()> {
    let db = dockline::connection()?;
    db.execute("DROP TABLE IF EXISTS dockline_job", ())?;
    db.execute("CREATE TABLE dockline_job (id INTEGER PRIMARY KEY, input BIGINT NOT NULL, result BIGINT)", ())?;
    db.execute_many("INSERT INTO dockline_job (id, input) VALUES (?, ?)", (1..=JOBS).map(|id| params![id, id * 3]))?;
    Ok(())
}

/// The one way to the pool: nobody can forget the task.
fn submit(pool: &ThreadPool, tally: &Arc<Jobs>, job: impl FnOnce() -> dockline::Result<()> + Send + 'static) {
    submit_with(pool, tally, Task::new(), job);
}

fn submit_with(
    pool: &ThreadPool,
    tally: &Arc<Jobs>,
    task: Task,
    job: impl FnOnce() -> dockline::Result<()> + Send + 'static,
) {
    let (on_done, failed) = (Arc::clone(tally), Arc::clone(tally));
    // It runs on the worker, also where the job panics.
    let task = task.on_done(move |report| {
        on_done.statements.fetch_add(report.statements(), Ordering::SeqCst);
        on_done.panicked.fetch_add(report.panicked().into(), Ordering::SeqCst);
    });
    pool.execute(dockline::task_with(task, move || {
        if let Err(error) = job() {
            eprintln!("a job failed: {error}");
            failed.failed.fetch_add(1, Ordering::SeqCst);
        }
    }));
}

fn work(id: i64) -> dockline::Result<()> {
    let db = dockline::connection()?;
    let input: i64 = db.query_value("SELECT input FROM dockline_job WHERE id = ?", params![id])?;
    if id == BROKEN {
        // A panic without the message on the screen.
        resume_unwind(Box::new("this job is broken"));
    }
    db.execute("UPDATE dockline_job SET result = ? WHERE id = ?", params![input * input, id])?;
    Ok(())
}

#[derive(Default)]
struct Jobs {
    statements: AtomicU64,
    panicked: AtomicU64,
    failed: AtomicU64,
}

impl Jobs {
    fn of(&self, count: &AtomicU64) -> u64 {
        count.load(Ordering::SeqCst)
    }
}
