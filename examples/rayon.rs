//! A thread pool of rayon: look-ups in parallel, and one transaction for what came of them.
//!
//! ```sh
//! cargo run --example rayon                  # an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example rayon
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example rayon
//! ```
//!
//! The pool is the program's own: its number of threads is its number of connections, and its exit handler closes them.
//!
//! A thread of rayon that waits (`join`, `scope`, a parallel iterator) runs other jobs meanwhile, on the same connection. In
//! the middle of a block they would become part of it. So: first the parallel part, then the block.

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use dockline::params;
use dockline_examples::databases;
use rayon::ThreadPoolBuilder;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

const THREADS: usize = 4;
const ITEMS: i64 = 200;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rayon: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    dockline::init(databases(&folder.path().join("items.db"))?)?;
    let db = dockline::connection()?;
    db.execute("DROP TABLE IF EXISTS dockline_item", ())?;
    db.execute("CREATE TABLE dockline_item (id INTEGER PRIMARY KEY, price BIGINT NOT NULL, tax BIGINT)", ())?;
    db.execute_many(
        "INSERT INTO dockline_item (id, price) VALUES (?, ?)",
        (1..=ITEMS).map(|id| params![id, id * 100]),
    )?;

    let (ended, ends) = mpsc::channel();
    let pool = ThreadPoolBuilder::new()
        .num_threads(THREADS)
        // Dropping the pool does not wait for its threads, and they close what they have when they end. Who has to know
        // that it is done closes it here.
        .exit_handler(move |_| {
            dockline::connections().close_all();
            let _ = ended.send(());
        })
        .build()?;

    // A parallel iterator: each item is a task, on whatever thread it runs.
    let taxes: Vec<(i64, i64)> = pool.install(|| {
        (1..=ITEMS).into_par_iter().map(|id| dockline::task(|| tax(id))()).collect::<dockline::Result<_>>()
    })?;
    // And then the block, on one thread, which waits for nothing in it.
    db.atomic(|| {
        let rows = taxes.iter().map(|(id, tax)| params![*tax, *id]);
        db.execute_many("UPDATE dockline_item SET tax = ? WHERE id = ?", rows).map(drop)
    })?;
    let sum: i64 = db.query_as::<(i64,)>("SELECT tax FROM dockline_item", ())?.iter().map(|(tax,)| tax).sum();
    println!("the taxes on {} items are {sum} cents", taxes.len());

    // A job that nobody waits for in the pool; what it found comes over a channel.
    let (send, receive) = mpsc::channel();
    pool.spawn(dockline::task(move || {
        let _ = send.send(dearest());
    }));
    println!("the dearest costs {} cents", receive.recv()??);

    drop(pool);
    let threads = ends.iter().take(THREADS).count();
    println!("{threads} threads of the pool have ended, and closed what they had");
    db.execute("DROP TABLE dockline_item", ())?;
    let report = dockline::connections().shutdown(Duration::from_secs(5));
    println!("shutdown has closed {} and left {}", report.closed, report.left.len());
    Ok(())
}

fn tax(id: i64) -> dockline::Result<(i64, i64)> {
    let db = dockline::connection()?;
    let price: i64 = db.query_value("SELECT price FROM dockline_item WHERE id = ?", params![id])?;
    Ok((id, price * 19 / 100))
}

fn dearest() -> dockline::Result<i64> {
    dockline::connection()?.query_value("SELECT max(price) FROM dockline_item", ())
}
