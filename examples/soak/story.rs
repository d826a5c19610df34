//! The four stories: the same program, and what differs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dockline::{Connections, DEFAULT_ALIAS, Databases, Settings, ShutdownReport, TaskPolicy};
use dockline_examples::Tally;

use crate::curve::Curve;
use crate::pool::Pool;
use crate::watch::{Census, Watch};
use crate::{Fallible, jobs};

/// Jobs for each worker, between two looks at the clock.
const JOBS: u64 = 4;
const SHUTDOWN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// The incident. The threads are those of pools that nobody ends, one for each batch, and nobody says when a task is done.
    /// That `conn_max_age` is 0, Django's default, does not help: it is looked at when a request or a task ends.
    Bare,
    /// The same program and settings, with the closures in `task`.
    Task,
    /// The same program with an age that is worth keeping, and the policy that closes all: a thread that gets no task any more
    /// would keep a connection that was not due when its last one ended.
    CloseAll,
    /// One pool for all batches. Its workers keep their connections from task to task, and nothing is opened twice.
    OnePool,
}

impl Story {
    pub const ALL: [Self; 4] = [Self::Bare, Self::Task, Self::CloseAll, Self::OnePool];

    pub fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare closures",
            Self::Task => "task",
            Self::CloseAll => "task, CloseAll",
            Self::OnePool => "task, one pool",
        }
    }

    pub fn program(self) -> &'static str {
        match self {
            Self::Bare => "a pool for each batch of jobs, conn_max_age=0",
            Self::Task => "a pool for each batch, conn_max_age=0, each job in task",
            Self::CloseAll => "a pool for each batch, conn_max_age=10m, each job in task",
            Self::OnePool => "one pool for all batches, conn_max_age=10m, each job in task",
        }
    }

    fn registry(self, stage: &Stage) -> Fallible<Connections> {
        let age = match self {
            Self::Bare | Self::Task => Duration::ZERO,
            Self::CloseAll | Self::OnePool => Duration::from_secs(600),
        };
        let policy = if self == Self::CloseAll { TaskPolicy::CloseAll } else { TaskPolicy::CloseDue };
        let settings = stage.settings.clone().conn_max_age(Some(age)).application_name(stage.census.name());
        let databases = Databases::new().with(DEFAULT_ALIAS, settings);
        Ok(Connections::builder().task_policy(policy).build(databases)?.into())
    }
}

/// What all stories have in common.
pub struct Stage {
    pub settings: Settings,
    pub census: Census,
    pub office: Connections,
    /// For one story.
    pub time: Duration,
    /// Threads of a pool.
    pub workers: u64,
    /// Batches of jobs, and pools where each has its own.
    pub pools: u64,
    /// The places that the server's other clients keep.
    pub least_left: Option<u64>,
    pub stop: Arc<AtomicBool>,
}

impl Stage {
    pub fn is_asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the server has places for another pool.
    fn has_room(&self) -> Fallible<bool> {
        let Some(least) = self.least_left else { return Ok(true) };
        let left = self.office.get(DEFAULT_ALIAS)?.server_info()?.connections_left;
        Ok(left.is_none_or(|left| left >= least + self.workers))
    }
}

/// How a story went.
pub struct Outcome {
    pub story: Story,
    pub curve: Curve,
    pub workers: u64,
    /// All that were started, and that were alive to the end of the story.
    pub threads: u64,
    pub opened: u64,
    pub work: Work,
    /// By Dockline's own count.
    pub held: u64,
    pub shutdown: ShutdownReport,
    /// On the server's list, after the shutdown.
    pub listed: u64,
}

/// What became of the jobs of a story.
#[derive(Default)]
pub struct Work {
    pub jobs: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// For the server's other clients.
    pub stopped_short: bool,
}

impl Story {
    pub fn play(self, stage: &Stage) -> Fallible<Outcome> {
        let connections = self.registry(stage)?;
        let tally = Tally::of(&connections);
        let watch = Watch::begin(stage, Arc::clone(&tally))?;
        let (mut pools, mut work) = (Vec::new(), Work::default());
        let told = self.tell(stage, &connections, &mut pools, &mut work);

        watch.last_count();
        let shutdown = connections.shutdown(SHUTDOWN);
        let (curve, listed) = watch.end()?;
        let threads = pools.len() as u64 * stage.workers;
        // Not before: what closes the connections of threads that wait is the shutdown, and not their end.
        pools.into_iter().for_each(Pool::end);
        told?;
        let (opened, held) = (tally.opened(), tally.most());
        Ok(Outcome { story: self, curve, workers: stage.workers, threads, opened, held, work, shutdown, listed })
    }

    /// One batch after the other.
    fn tell(self, stage: &Stage, connections: &Connections, pools: &mut Vec<Pool>, work: &mut Work) -> Fallible<()> {
        let started = Instant::now();
        for batch in 1..=stage.pools {
            if pools.is_empty() || self != Self::OnePool {
                if !stage.has_room()? {
                    work.stopped_short = true;
                    return Ok(());
                }
                pools.push(Pool::new(&format!("pool {batch}"), stage.workers)?);
            }
            let pool = pools.last().expect("there is one");
            let until = stage.time.mul_f64(batch as f64 / stage.pools as f64);
            loop {
                self.some_jobs(stage, connections, pool, work)?;
                if stage.is_asked_to_stop() {
                    return Ok(());
                }
                if started.elapsed() >= until {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Fills the table, lets the pool work it off, and looks at what became of it.
    fn some_jobs(self, stage: &Stage, connections: &Connections, pool: &Pool, work: &mut Work) -> Fallible<()> {
        let count = JOBS * stage.workers;
        let db = stage.office.get(DEFAULT_ALIAS)?;
        jobs::fill(&db, count)?;
        let (results, finished) = mpsc::channel();
        for _ in 0..count {
            let (results, connections) = (results.clone(), connections.clone());
            let job = {
                let connections = connections.clone();
                move || jobs::work(&connections)
            };
            if self == Self::Bare {
                pool.execute(move || results.send(job()).unwrap_or_default());
            } else {
                let job = connections.task(job);
                pool.execute(move || results.send(job()).unwrap_or_default());
            }
        }
        drop(results);
        let failed: Vec<String> = finished.into_iter().filter_map(Result::err).collect();
        let done = jobs::collect(&db)?;
        work.jobs += done;
        // A job that is missing has failed too, also where its worker panicked.
        work.errors += count - done;
        if work.first_error.is_none() && done < count {
            work.first_error = failed.into_iter().next().or_else(|| Some("a job was lost".to_owned()));
        }
        Ok(())
    }
}
