//! Replays the incident of connections that pile up, and what ends it, with the server's own list of connections as the
//! witness.
//!
//! ```sh
//! cargo run --example soak                                # about 10 s, on an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example soak -- --svg soak.svg
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example soak -- --minutes 60 --workers 8
//! ```
//!
//! Django closes connections when a request ends, and on the threads of an executor no request ends. A program that makes an
//! executor for each batch of jobs, and does not shut it down, has threads that wait for ever, each with the connection that
//! its jobs used, until the server says "remaining connection slots are reserved". Neither `CONN_MAX_AGE` nor a call of
//! `close_old_connections` on another thread changes that.
//!
//! That program is played here four times, each time for a quarter of the time: with bare closures, with `task`, with `task`
//! that closes all, and with `task` on one pool for all batches. Its jobs are claimed from a table and their results are
//! written back. `story.rs` has what differs.
//!
//! The first story stops short of the server's limit: it takes half of the places that are left, 60 at the most. The program
//! makes a table of its own and drops it at the end, also after Ctrl-C. On MySQL and MariaDB every session of this user in this
//! database is counted, less those that were there at the beginning.

mod arguments;
mod curve;
mod jobs;
mod pool;
mod story;
mod svg;
mod watch;

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dockline::{Connections, DEFAULT_ALIAS, Databases, ServerInfo, Settings};

use arguments::Arguments;
use story::{Outcome, Stage, Story, Work};
use watch::Census;

/// The most connections that the incident opens, however many the server takes.
const MOST: u64 = 60;
/// Fewer pools than this are no curve.
const FEWEST_POOLS: u64 = 3;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    // That few connections are left, which Dockline would warn of, is the story itself.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| match arguments {
        Some(arguments) => run(&arguments),
        None => {
            say(arguments::USAGE);
            Ok(())
        }
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    let settings = settings(folder.path())?;
    if let Some(file) = &arguments.svg {
        // Not after an hour.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        opened.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;

    // What is not part of the stories: who fills the table, and who asks the server for its list.
    let office = settings.clone().application_name("dockline-soak office");
    let office = Connections::new(Databases::new().with(DEFAULT_ALIAS, office))?;
    let db = office.get(DEFAULT_ALIAS)?;
    let info = db.server_info()?;
    let pools = pools(&info, arguments.workers)?;
    let census = Census::begin(&db)?;
    jobs::create_table(&db)?;
    let stage = Stage {
        census,
        time: arguments.time / Story::ALL.len() as u32,
        workers: arguments.workers,
        least_left: info.connections_left.map(|left| left / 4),
        office: office.clone(),
        settings,
        pools,
        stop,
    };
    let outcomes = play(&stage, &info);
    // Also after a failure, which says more than one of this would.
    let dropped = jobs::drop_table(&db);
    office.shutdown(Duration::from_secs(5));
    let outcomes = outcomes?;
    dropped?;

    if stage.is_asked_to_stop() {
        say("\nEnded early, as asked");
    }
    say(&summary(&outcomes)?);
    if let Some(file) = &arguments.svg {
        let text = svg::draw(&outcomes, &stage, &info)?;
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        say(&format!("\nThe curves are in {}", file.display()));
    }
    match outcomes.iter().find_map(|outcome| outcome.work.first_error.as_ref()) {
        None => Ok(()),
        Some(error) => Err(format!("there were errors; the first: {error}").into()),
    }
}

/// The stories one after the other, until somebody has seen enough.
fn play(stage: &Stage, info: &ServerInfo) -> Fallible<Vec<Outcome>> {
    let limit = info.max_connections.map(|limit| format!(", which takes {limit} connections")).unwrap_or_default();
    say(&format!(
        "On {} {}{limit}: {} workers a pool, {} batches of jobs, {:.1?} a story",
        info.product, info.version, stage.workers, stage.pools, stage.time
    ));
    let mut outcomes = Vec::new();
    for story in Story::ALL {
        say(&format!("\n{}: {}", story.title(), story.program()));
        let outcome = story.play(stage)?;
        if outcome.work.stopped_short {
            say("    stopped early: the server's other clients need the places");
        }
        let (report, listed) = (&outcome.shutdown, outcome.listed);
        let listed = info.max_connections.map(|_| format!(", and the server lists {listed}")).unwrap_or_default();
        say(&format!("    shutdown: {} closed, {} left{listed}", report.closed, report.left.len()));
        outcomes.push(outcome);
        if stage.is_asked_to_stop() {
            break;
        }
    }
    Ok(outcomes)
}

/// The settings of the alias that the environment names; where there is none, a file of this run's own.
fn settings(folder: &Path) -> Fallible<Settings> {
    let databases = Databases::from_env()?;
    let Some(settings) = databases.settings(DEFAULT_ALIAS) else {
        let file = folder.join("soak.db");
        let file = file.to_str().ok_or("the temporary folder has a name that is not UTF-8")?;
        return Ok(Settings::new().engine("sqlite").name(file));
    };
    if settings.get_name() == Some(":memory:") {
        return Err("each story has a registry of its own, and a database in memory belongs to one: name a file".into());
    }
    Ok(settings.clone())
}

/// How many pools the incident may leave behind.
fn pools(info: &ServerInfo, workers: u64) -> Fallible<u64> {
    let places = info.connections_left.map_or(MOST, |left| (left / 2).min(MOST));
    let pools = places / workers;
    if pools >= FEWEST_POOLS {
        return Ok(pools);
    }
    let needed = FEWEST_POOLS * workers;
    Err(match info.connections_left {
        Some(left) if left / 2 < MOST => format!(
            "the server has {left} connections left, of which the incident takes half; {workers} workers need {}: set \
             --workers lower",
            needed * 2
        ),
        _ => format!("{workers} workers need {needed} connections, and the incident takes {MOST} at the most: set --workers lower"),
    }
    .into())
}

fn summary(outcomes: &[Outcome]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    write!(
        text,
        "\n{:<14} {:>6} {:>6} {:>8} {:>8} {:>7} {:>6} {:>7}",
        "", "listed", "held", "workers", "threads", "opened", "jobs", "errors"
    )?;
    for outcome in outcomes {
        let Outcome { story, workers, threads, opened, held, work, .. } = outcome;
        let (title, peak, Work { jobs, errors, .. }) = (story.title(), outcome.curve.peak(), work);
        write!(text, "\n{title:<14} {peak:>6} {held:>6} {workers:>8} {threads:>8} {opened:>7} {jobs:>6} {errors:>7}")?;
    }
    text.push_str(
        "\n\nlisted: the most that the server listed at a time; it lists a connection for a moment after \
         it\nwas closed. held: the most by Dockline's own count, which is all there is on SQLite.",
    );
    Ok(text)
}

/// Whoever reads may have seen enough: that is no error.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
