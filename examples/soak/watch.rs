//! Counting connections, on the server.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use dockline::{Connection, Connections, DEFAULT_ALIAS, Result, params};
use dockline_examples::Tally;

use crate::curve::Curve;
use crate::story::Stage;
use crate::{Fallible, say};

/// The pause between two counts.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a server may list a connection that was closed.
const GOODBYE: Duration = Duration::from_secs(10);

/// How the connections of the stories are found among all others.
#[derive(Clone)]
pub enum Census {
    /// By the client's name.
    Postgres { name: String },
    /// By user and database, less the sessions that were there before.
    Mysql { before: u64 },
    /// Nobody keeps a list: Dockline's own signals are all there is.
    Signals,
}

impl Census {
    pub fn begin(db: &Connection) -> Result<Self> {
        Ok(match db.vendor() {
            "postgresql" => Self::Postgres { name: format!("dockline-soak {}", std::process::id()) },
            "mysql" => Self::Mysql { before: others_on_mysql(db)? + 1 },
            _ => Self::Signals,
        })
    }

    /// What the stories' connections call themselves.
    pub fn name(&self) -> &str {
        match self {
            Self::Postgres { name } => name,
            _ => "dockline-soak",
        }
    }

    fn count(&self, office: &Connections, tally: &Tally) -> Result<u64> {
        match self {
            Self::Postgres { name } => {
                let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = ?";
                office.get(DEFAULT_ALIAS)?.query_value(count, params![name])
            }
            Self::Mysql { before } => Ok(others_on_mysql(&office.get(DEFAULT_ALIAS)?)?.saturating_sub(*before)),
            Self::Signals => Ok(tally.open()),
        }
    }
}

/// The sessions of this user in this database, without the one that asks.
fn others_on_mysql(db: &Connection) -> Result<u64> {
    let count = "SELECT count(*) FROM information_schema.processlist \
                 WHERE db = database() AND user = substring_index(user(), '@', 1) AND id <> connection_id()";
    db.query_value(count, ())
}

/// A thread that counts again and again, and prints the curve as it grows.
pub struct Watch {
    end: Sender<Sender<()>>,
    thread: JoinHandle<Result<(Curve, u64)>>,
}

impl Watch {
    pub fn begin(stage: &Stage, tally: Arc<Tally>) -> Fallible<Self> {
        let (end, is_over) = mpsc::channel();
        let (office, census, curve) = (stage.office.clone(), stage.census.clone(), Curve::new(stage.time));
        let full = stage.pools * stage.workers;
        let watch = move || -> Result<(Curve, u64)> {
            let curve = record(curve, full, &is_over, || census.count(&office, &tally))?;
            let left = wait_until_none(|| census.count(&office, &tally))?;
            Ok((curve, left))
        };
        Ok(Self { end, thread: thread::Builder::new().name("watch".into()).spawn(watch)? })
    }

    /// Counts once more, and adds nothing to the curve after that.
    pub fn last_count(&self) {
        let (counted, is_counted) = mpsc::channel();
        // The answer is that the other end is dropped: when it has counted, or has failed, of which `end` says why.
        let _ = self.end.send(counted).map(|()| is_counted.recv());
    }

    /// Waits until the server lists no connection of the story any more, and answers the curve, and how many are left.
    pub fn end(self) -> Fallible<(Curve, u64)> {
        Ok(self.thread.join().map_err(|_| "the watching thread panicked")??)
    }
}

/// Counts until somebody sends word, and once after that.
fn record(
    mut curve: Curve,
    full: u64,
    is_over: &Receiver<Sender<()>>,
    count: impl Fn() -> Result<u64>,
) -> Result<Curve> {
    let started = Instant::now();
    let mut printed = 0;
    let mut print = |curve: &Curve, until: usize| {
        for line in (printed..until).filter_map(|number| curve.line(number, full)) {
            say(&line);
        }
        printed = until;
    };
    loop {
        let over = is_over.recv_timeout(PAUSE);
        let at = started.elapsed();
        curve.add(at, count()?);
        if !matches!(over, Err(RecvTimeoutError::Timeout)) {
            print(&curve, Curve::LINES);
            return Ok(curve);
        }
        // The last line waits for what comes late.
        print(&curve, curve.complete(at).min(Curve::LINES - 1));
    }
}

fn wait_until_none(count: impl Fn() -> Result<u64>) -> Result<u64> {
    let started = Instant::now();
    loop {
        let left = count()?;
        if left == 0 || started.elapsed() > GOODBYE {
            return Ok(left);
        }
        sleep(PAUSE);
    }
}
