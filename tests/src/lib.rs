//! What the tests of Dockline share: an allocator that counts, databases of their own, a record of what was opened and closed, a backend that
//! plays a script, the log, private servers with certificates, a proxy that makes faults, random programs of
//! transactions with a model of what they do, and the conformance runner.

pub mod allocations;
pub mod certificates;
#[cfg(unix)]
pub mod conformance;
pub mod differences;
#[cfg(unix)]
pub mod forks;
pub mod log_capture;
pub mod portable;
pub mod programs;
pub mod proxy;
pub mod recipes;
pub mod scripted;
#[cfg(unix)]
pub mod servers;

/// The code in the documents is code that runs.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../../docs/backend.md")]
    struct Backend;
    #[doc = include_str!("../../docs/metrics.md")]
    struct MetricsAndTraces;
    #[doc = include_str!("../../docs/sqlite.md")]
    struct SqliteInProduction;
    #[doc = include_str!("../../docs/threads.md")]
    struct Threads;
    #[doc = include_str!("../../docs/types.md")]
    struct Types;
    #[doc = include_str!("../../docs/cap.md")]
    struct Cap;
    #[doc = include_str!("../../docs/compile-errors.md")]
    struct CompileErrors;
    #[doc = include_str!("../../docs/differences.md")]
    struct Differences;
}

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dockline::signals::CloseReason;
use dockline::{Connections, Databases, Registry, Settings};
use tempfile::TempDir;

/// A database in a file of its own, gone when this is dropped.
pub struct Database {
    folder: TempDir,
}

impl Database {
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("test.db")
    }

    pub fn settings(&self) -> Settings {
        Settings::new().engine("sqlite").name(self.path().to_str().expect("a path in UTF-8"))
    }

    /// A registry whose alias default is this database.
    pub fn connections(&self) -> Connections {
        self.connections_with(|settings| settings)
    }

    pub fn connections_with(&self, change: impl FnOnce(Settings) -> Settings) -> Connections {
        connections(change(self.settings()))
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

/// A registry whose alias default has these settings.
pub fn connections(settings: Settings) -> Connections {
    Connections::new(Databases::new().with("default", settings)).expect("a registry")
}

/// A registry whose alias default is a database in memory.
pub fn in_memory() -> Connections {
    connections(memory())
}

/// The settings of a database in memory.
pub fn memory() -> Settings {
    Settings::from_url("sqlite::memory:").expect("a URL")
}

/// What a registry opened and closed, by its signals.
#[derive(Clone, Default)]
pub struct Story {
    opened: Arc<Mutex<Vec<u64>>>,
    closed: Arc<Mutex<Vec<(u64, CloseReason)>>>,
}

impl Story {
    pub fn of(registry: &Registry) -> Self {
        let story = Self::default();
        let (opened, closed) = (Arc::clone(&story.opened), Arc::clone(&story.closed));
        registry.signals().connection_created.connect(move |event| opened.lock().unwrap().push(event.serial()));
        registry.signals().connection_closed.connect(move |event| {
            closed.lock().unwrap().push((event.serial(), event.reason()));
        });
        story
    }

    pub fn opened(&self) -> usize {
        self.opened.lock().unwrap().len()
    }

    pub fn closed(&self) -> usize {
        self.closed.lock().unwrap().len()
    }

    pub fn open(&self) -> usize {
        self.opened() - self.closed()
    }

    /// Why connections were closed, in order.
    pub fn reasons(&self) -> Vec<CloseReason> {
        self.closed.lock().unwrap().iter().map(|(_, reason)| *reason).collect()
    }
}

/// How long a test waits for something that may take a while on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until it is true, and fails if it never is.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a count has reached what it is to be, and fails if it stands still: for work whose length depends on the machine.
pub fn wait_while_it_moves(what: &str, goal: usize, count: impl Fn() -> usize) {
    let (mut last, mut moved) = (count(), Instant::now());
    while last < goal {
        assert!(moved.elapsed() < PATIENCE, "{last} of {goal} for {PATIENCE:?}, waiting until {what}");
        std::thread::sleep(Duration::from_millis(1));
        let now = count();
        if now != last {
            (last, moved) = (now, Instant::now());
        }
    }
}

/// Runs a closure on a thread of its own, to its very end: thread-local destructors have run when this returns.
pub fn on_thread<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(call).join().expect("the thread did not panic")
}
