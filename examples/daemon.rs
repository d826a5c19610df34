//! A loop without requests: a daemon that polls a table every so often, for weeks.
//!
//! ```sh
//! cargo run --example daemon                 # some rounds of both kinds on an SQLite file of its own, and ends
//! cargo run --example daemon -- plain 10     # polls every 10 s until Ctrl-C, and calls nothing
//! cargo run --example daemon -- task 10      # the same, and each round is a task
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example daemon -- plain 60
//! ```
//!
//! A plain loop stays well without any hook. The socket is looked at before each statement (`liveness`, on by default), so that a
//! connection that the server has ended is replaced; and one that was idle for longer than `conn_max_idle` is replaced
//! before a firewall or the server's own limit comes first. What no look can end is the age: `conn_max_age` is asked at
//! boundaries alone. A round that is a task is one, and with `conn_max_age=0` nothing stays open during the pause.

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use dockline::{Connections, DEFAULT_ALIAS, Databases, Settings, params};

/// For the run without arguments.
const ROUNDS: i64 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// Shorter than the pause, so that one sees what it does.
const SHORT_IDLE: Duration = Duration::from_millis(20);

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Task,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daemon: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    let databases = Databases::from_env()?;
    let settings = match databases.settings(DEFAULT_ALIAS) {
        Some(settings) => settings.clone(),
        None => {
            let file = folder.path().join("daemon.db");
            Settings::new().engine("sqlite").name(file.to_str().ok_or("a path in UTF-8")?)
        }
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, seconds) = match arguments[..] {
        [] => return some_rounds(&settings),
        ["plain", seconds] => (Kind::Plain, seconds),
        ["task", seconds] => (Kind::Task, seconds),
        _ => return Err("usage: daemon [plain|task SECONDS]".into()),
    };
    let pause = Duration::from_secs(seconds.parse().map_err(|_| "SECONDS is a whole number")?);
    let (ended, end) = channel();
    ctrlc::set_handler(move || {
        // The loop has ended already where nobody listens.
        let _ = ended.send(());
    })?;
    // Where it stands in the URL already, that holds.
    let idle = settings.get_conn_max_idle().unwrap_or(Duration::from_secs(300));
    poll(&registry(settings.conn_max_idle(Some(idle)))?, kind, pause, &end, i64::MAX)
}

/// Both kinds of loop, with limits so short that one sees what they do.
fn some_rounds(settings: &Settings) -> Fallible<()> {
    // Nobody ends these.
    let (_open, end) = channel();
    println!("A plain loop, with conn_max_idle={SHORT_IDLE:?} and a pause of {PAUSE:?}:");
    let plain = settings.clone().conn_max_idle(Some(SHORT_IDLE));
    poll(&registry(plain)?, Kind::Plain, PAUSE, &end, ROUNDS)?;
    println!("\nEach round a task, with conn_max_age=0:");
    let task = settings.clone().conn_max_age(Some(Duration::ZERO));
    poll(&registry(task)?, Kind::Task, PAUSE, &end, ROUNDS)
}

/// A registry that says what it opens and closes.
fn registry(settings: Settings) -> Fallible<Connections> {
    let connections = Connections::new(Databases::new().with(DEFAULT_ALIAS, settings))?;
    let signals = connections.signals();
    signals.connection_created.connect(|event| println!("   connection {} is opened", event.serial()));
    signals
        .connection_closed
        .connect(|event| println!("   connection {} is closed: {}", event.serial(), event.reason()));
    Ok(connections)
}

fn poll(connections: &Connections, kind: Kind, pause: Duration, end: &Receiver<()>, rounds: i64) -> Fallible<()> {
    connections.get(DEFAULT_ALIAS)?.execute("DROP TABLE IF EXISTS dockline_message", ())?;
    connections
        .get(DEFAULT_ALIAS)?
        .execute("CREATE TABLE dockline_message (id BIGINT PRIMARY KEY, sent INTEGER NOT NULL)", ())?;
    for number in 1..=rounds {
        let sent = match kind {
            Kind::Plain => round(connections, number),
            // What is due is closed at the end, also where the round fails or panics.
            Kind::Task => connections.task(|| round(connections, number))(),
        };
        match sent {
            Ok(sent) => println!("round {number}: {sent} sent"),
            // A server that restarts is no reason to end: the next round tries again.
            Err(error) => eprintln!("round {number}: {error}"),
        }
        match end.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    connections.get(DEFAULT_ALIAS)?.execute("DROP TABLE dockline_message", ())?;
    let report = connections.shutdown(Duration::from_secs(10));
    println!("shutdown: {} connections closed, {} left", report.closed, report.left.len());
    Ok(())
}

/// Takes what is due, in one transaction. So that there is something to do, it puts a message there first.
fn round(connections: &Connections, number: i64) -> dockline::Result<u64> {
    let db = connections.get(DEFAULT_ALIAS)?;
    db.execute("INSERT INTO dockline_message VALUES (?, 0)", params![number])?;
    db.atomic(|| db.execute("UPDATE dockline_message SET sent = 1 WHERE sent = 0", ()))
}
