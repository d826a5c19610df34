//! A registry under load, and a watcher of what the server lists meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use dockline::{Connections, Databases, TaskPolicy};
use dockline_tests::servers::{Admin, Builder, FreshDatabase, Server};
use dockline_tests::{Story, wait_until};

use crate::case::{Case, case};
use crate::opened::settings;

pub(super) fn cases() -> Vec<Case> {
    vec![case!(a_watcher_knows_too_many_from_enough), case!(a_watcher_of_another_database_is_found_out)]
}

/// The threads of the adapters' tests.
pub(crate) const WORKERS: usize = 16;
/// The tasks of the adapters' tests: so many for each of the threads, which is soon done also on a machine that is busy.
/// `DOCKLINE_TESTS_TASKS=10000` is the load of a day.
pub(crate) fn tasks() -> usize {
    static TASKS: OnceLock<usize> = OnceLock::new();
    *TASKS.get_or_init(|| {
        let each = std::env::var("DOCKLINE_TESTS_TASKS").map_or(500, |text| {
            text.parse().unwrap_or_else(|_| panic!("DOCKLINE_TESTS_TASKS is {text:?}; write a number"))
        });
        WORKERS * each
    })
}
/// The server may still list so many connections that were closed: from here on those that come and go wait for room.
pub(crate) const LEAVING: usize = 8;

/// A server of its own, which refuses the 101st connection. PostgreSQL asks for no password: to answer it takes a debug build
/// longer than all the rest of connecting.
pub(crate) fn hundred_connections(builder: Builder) -> Builder {
    let builder = builder.setting("max_connections", "100");
    if builder.kind().is_postgres() { builder.hba("host all all 127.0.0.1/32 trust") } else { builder }
}

/// A registry on a database of its own, which is watched from here on.
pub(crate) struct Load<'server> {
    /// Before the database: it ends before that is dropped.
    watcher: Option<Watcher>,
    pub(crate) connections: Connections,
    pub(crate) story: Story,
    job: Job,
    database: FreshDatabase<'server>,
}

/// What must hold when the work is done, and its threads still live.
pub(crate) struct Expected {
    /// How many jobs have run, each without an error.
    pub(crate) jobs: usize,
    /// How many connections the server may have listed at any time.
    pub(crate) at_most: usize,
    /// How many it lists now, by the policy.
    pub(crate) left: usize,
}

impl<'server> Load<'server> {
    /// Each of the aliases is the same database. None of their connections is due while a test runs.
    pub(crate) fn new(server: &'server Server, aliases: &[&str], policy: TaskPolicy) -> Self {
        let database = server.database();
        let databases = aliases.iter().fold(Databases::new(), |all, alias| all.with(*alias, settings(&database.url())));
        let registry = Connections::builder().task_policy(policy).build(databases).expect("a registry");
        let connections = Connections::from(registry);
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Self {
            watcher: Some(Watcher::start(database.admin())),
            story: Story::of(&connections),
            job: Job { connections: connections.clone(), aliases, tally: Arc::default() },
            connections,
            database,
        }
    }

    /// The work of one task, for as many tasks as there are clones.
    pub(crate) fn job(&self) -> Job {
        self.job.clone()
    }

    /// Waits until so many connections were listed at a time. Where all of them are open while this waits, the watcher cannot have
    /// missed them.
    pub(crate) fn wait_until_seen(&self, connections: usize) {
        let watcher = self.watcher.as_ref().expect("it watches until the check");
        wait_until("the watcher has seen them", || watcher.most.load(Ordering::SeqCst) >= connections);
    }

    /// Holds what was seen against what must be, shuts the registry down, and sees that nothing is left.
    pub(crate) fn check(mut self, expected: &Expected) {
        let tally = &self.job.tally;
        let failures = tally.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} jobs failed, the first of them: {}", failures.len(), failures[0]);
        assert_eq!(tally.jobs.load(Ordering::SeqCst), expected.jobs);

        let mut admin = self.database.admin();
        admin.wait_until_connections(expected.left);
        let seen = self.watcher.take().expect("it watches until now").end();
        seen.judge(expected.left.max(1), expected.at_most).unwrap();
        assert_eq!(self.story.open(), expected.left);

        let report = self.connections.shutdown(Duration::from_secs(30));
        assert_eq!((report.closed, report.left.as_slice()), (expected.left, [].as_slice()));
        admin.wait_until_connections(0);
    }
}

/// One statement for each alias, on the thread that runs it.
#[derive(Clone)]
pub(crate) struct Job {
    connections: Connections,
    aliases: Arc<[String]>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    jobs: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Job {
    /// Runs, and is counted. An error is kept for the end of the test.
    pub(crate) fn run(&self) {
        let look_up = |alias: &String| self.connections.get(alias)?.query_value::<i64>("SELECT 1", ());
        for alias in &*self.aliases {
            match look_up(alias) {
                Ok(1) => {}
                Ok(other) => self.tally.failures.lock().unwrap().push(format!("SELECT 1 is {other}")),
                Err(error) => self.tally.failures.lock().unwrap().push(format!("{error:?}")),
            }
        }
        self.tally.jobs.fetch_add(1, Ordering::SeqCst);
    }

    /// Runs, and waits for the others of the barrier: so each of them has a thread of its own.
    pub(crate) fn run_with(&self, others: &Barrier) {
        self.run();
        others.wait();
    }
}

/// Lets the others of a barrier go on when it is dropped: where a check fails, they must not wait for ever.
pub(crate) struct AtEnd<'barrier>(pub(crate) &'barrier Barrier);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// A thread that lists the connections of a database again and again.
struct Watcher {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Seen>>,
}

/// What a watcher has seen.
#[derive(Debug)]
struct Seen {
    looks: usize,
    /// The most connections at a time.
    most: usize,
}

impl Watcher {
    fn start(mut admin: Admin) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, tell) = (Arc::clone(&stop), Arc::clone(&most));
        let watch = move || {
            for looks in 1.. {
                // Read before the look: what there is when it is told to stop is seen.
                let last = stopped.load(Ordering::SeqCst);
                let listed = admin.connections().len();
                let most = tell.fetch_max(listed, Ordering::SeqCst).max(listed);
                if last {
                    return Seen { looks, most };
                }
                // The server has other things to do.
                std::thread::sleep(Duration::from_millis(1));
            }
            unreachable!("it looks until it is told to stop")
        };
        let thread = std::thread::Builder::new().name("watcher".to_owned()).spawn(watch).expect("a thread");
        Self { stop, most, thread: Some(thread) }
    }

    /// Looks once more.
    fn end(mut self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().expect("it ends once").join().expect("the server could be asked")
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A test that fails has its own reason already.
            let _ = thread.join();
        }
    }
}

impl Seen {
    /// A watcher that has seen fewer than there were was looking at something else.
    fn judge(&self, at_least: usize, at_most: usize) -> Result<(), String> {
        let Self { looks, most } = self;
        if *most < at_least {
            return Err(format!("{looks} looks have seen {most} connections at the most, and there were {at_least}"));
        }
        if *most > at_most {
            return Err(format!("the server has listed {most} connections at a time, and {at_most} are allowed"));
        }
        Ok(())
    }
}

fn a_watcher_knows_too_many_from_enough(server: &Server) {
    let database = server.database();
    let watcher = Watcher::start(database.admin());
    let opened: Vec<_> = (0..3).map(|_| dockline_tests::connections(settings(&database.url()))).collect();
    for connections in &opened {
        connections.get("default").unwrap().ensure_connection().unwrap();
    }
    let mut admin = database.admin();
    admin.wait_until_connections(3);
    let seen = watcher.end();
    assert_eq!(seen.most, 3);
    seen.judge(3, 3).unwrap();
    assert!(seen.judge(1, 2).unwrap_err().contains("3 connections at a time, and 2 are allowed"));
}

fn a_watcher_of_another_database_is_found_out(server: &Server) {
    let (watched, used) = (server.database(), server.database());
    let watcher = Watcher::start(watched.admin());
    let connections = dockline_tests::connections(settings(&used.url()));
    connections.get("default").unwrap().ensure_connection().unwrap();
    used.admin().wait_until_connections(1);
    assert!(watcher.end().judge(1, 1).unwrap_err().contains("0 connections at the most"));
}
