//! Moves money between accounts on several threads at once: atomic blocks, hooks after the commit, and transactions that are
//! tried again.
//!
//! ```sh
//! cargo run --example transfer               # an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example transfer
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example transfer
//! ```
//!
//! Threads lock the same accounts in whatever order, so that servers find deadlocks. (SQLite lets one write at a time, and
//! the others wait.) A transfer that was undone runs again until it is through, and none counts twice: at the end the sum is what it was, and the hooks have
//! counted each transfer that was committed.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dockline::{Connection, DatabaseFailure, Retry, params};
use dockline_examples::databases;

const WORKERS: u64 = 4;
const TRANSFERS: u64 = 50;
const ACCOUNTS: u64 = 5;
const CENTS: i64 = 200;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transfer: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    dockline::init(databases(&folder.path().join("accounts.db"))?)?;
    open_accounts()?;

    let tally = Arc::new(Tally::default());
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let tally = Arc::clone(&tally);
            thread::spawn(dockline::task(move || work(worker, &tally)))
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")??;
    }

    let db = dockline::connection()?;
    let sum: i64 = db.query_as::<(i64,)>("SELECT cents FROM dockline_account", ())?.iter().map(|(cents,)| cents).sum();
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let stored: i64 = db.query_value("SELECT COUNT(*) FROM dockline_transfer", ())?;
    println!("{stored} transfers are stored, and {} hooks have run", of(&tally.hooks));
    println!("{} transfers were refused, for the account had too little", of(&tally.refused));
    println!("{} attempts were undone and made again", of(&tally.attempts) - of(&tally.hooks) - of(&tally.refused));
    println!("the sum is {sum} cents, as it was");
    if sum != CENTS * ACCOUNTS as i64 || stored as u64 != of(&tally.hooks) {
        return Err("the books are wrong".into());
    }
    db.execute("DROP TABLE dockline_transfer", ())?;
    db.execute("DROP TABLE dockline_account", ())?;
    dockline::connections().shutdown(Duration::from_secs(5));
    Ok(())
}

#[derive(Default)]
struct Tally {
    attempts: AtomicU64,
    hooks: AtomicU64,
    refused: AtomicU64,
}

fn open_accounts() -> Fallible<()> {
    let db = dockline::connection()?;
    for table in ["dockline_transfer", "dockline_account"] {
        db.execute(&format!("DROP TABLE IF EXISTS {table}"), ())?;
    }
    db.execute("CREATE TABLE dockline_account (id INTEGER PRIMARY KEY, cents BIGINT NOT NULL)", ())?;
    db.execute("CREATE TABLE dockline_transfer (id VARCHAR(20) PRIMARY KEY, cents BIGINT NOT NULL)", ())?;
    db.execute_many("INSERT INTO dockline_account VALUES (?, ?)", (0..ACCOUNTS).map(|id| params![id, CENTS]))?;
    Ok(())
}

fn work(worker: u64, tally: &Arc<Tally>) -> Result<(), Failure> {
    let db = dockline::connection()?;
    let retry = Retry::new().attempts(50).pauses(Duration::from_millis(2), Duration::from_millis(50));
    for number in 0..TRANSFERS {
        let (from, to) = ((worker + number) % ACCOUNTS, (worker * 3 + number * 2 + 1) % ACCOUNTS);
        let cents = 50 + (number * 7 % 200) as i64;
        match retry.run(&db, || {
            tally.attempts.fetch_add(1, Ordering::Relaxed);
            transfer(&db, &format!("{worker}-{number}"), from, to, cents)?;
            let tally = Arc::clone(tally);
            db.on_commit(move || {
                tally.hooks.fetch_add(1, Ordering::Relaxed);
            })?;
            Ok(())
        }) {
            Ok(()) => {}
            Err(Failure::TooLittle) => {
                tally.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn transfer(db: &Connection, id: &str, from: u64, to: u64, cents: i64) -> Result<(), Failure> {
    db.execute("UPDATE dockline_account SET cents = cents - ? WHERE id = ?", params![cents, from])?;
    db.execute("UPDATE dockline_account SET cents = cents + ? WHERE id = ?", params![cents, to])?;
    let left: i64 = db.query_value("SELECT cents FROM dockline_account WHERE id = ?", params![from])?;
    if left < 0 {
        // Leaving the block by an error undoes all of it.
        return Err(Failure::TooLittle);
    }
    db.execute("INSERT INTO dockline_transfer VALUES (?, ?)", params![id, cents])?;
    Ok(())
}

/// Why a transfer fails.
#[derive(Debug)]
enum Failure {
    TooLittle,
    Database(dockline::Error),
}

impl From<dockline::Error> for Failure {
    fn from(error: dockline::Error) -> Self {
        Self::Database(error)
    }
}

impl DatabaseFailure for Failure {
    fn database_error(&self) -> Option<&dockline::Error> {
        match self {
            Self::TooLittle => None,
            Self::Database(error) => Some(error),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLittle => f.write_str("the account has too little"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl Error for Failure {}
