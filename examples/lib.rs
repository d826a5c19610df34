//! What the examples share. They stand beside this file: `cargo run --example quickstart`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dockline::{Connections, DEFAULT_ALIAS, Databases, Settings};

/// What the environment says (`DATABASE_URL`, say); where it says nothing, an SQLite file of this path.
pub fn databases(file: &Path) -> Result<Databases, Box<dyn Error + Send + Sync>> {
    let databases = Databases::from_env()?;
    if databases.aliases().next().is_some() {
        return Ok(databases);
    }
    let file = file.to_str().ok_or("the temporary folder has a name that is not UTF-8")?;
    Ok(databases.with(DEFAULT_ALIAS, Settings::new().engine("sqlite").name(file)))
}

/// What Dockline says that it opened and closed, in all threads.
#[derive(Default)]
pub struct Tally {
    opened: AtomicU64,
    closed: AtomicU64,
    most: AtomicU64,
}

impl Tally {
    /// Counts from here on.
    pub fn of(connections: &Connections) -> Arc<Self> {
        let tally = Arc::new(Self::default());
        let signals = connections.signals();
        let opened = Arc::clone(&tally);
        signals.connection_created.connect(move |_| {
            opened.opened.fetch_add(1, Ordering::SeqCst);
            opened.most.fetch_max(opened.open(), Ordering::SeqCst);
        });
        let closed = Arc::clone(&tally);
        signals.connection_closed.connect(move |_| {
            closed.closed.fetch_add(1, Ordering::SeqCst);
        });
        tally
    }

    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }

    /// Never too many: what was closed meanwhile is no longer open.
    pub fn open(&self) -> u64 {
        let opened = self.opened();
        opened.saturating_sub(self.closed.load(Ordering::SeqCst))
    }

    /// The most that were open at a time.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}
