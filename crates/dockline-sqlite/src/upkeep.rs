//! What is kept up with of a connection that statements and `native` may have changed: its time limit of waiting, its files.

use std::path::Path;
use std::time::Duration;

use dockline_core::Result;

use crate::busy::wait_by_watch;
use crate::error::map;
use crate::identity::Identity;
use crate::session::SqliteSession;
use crate::texts::{Kind, Text};

impl SqliteSession {
    /// Runs a statement that asks for SQLite's own time limit of waiting, or sets it, and keeps to what it is then.
    fn with_busy_timeout<R>(&self, call: impl FnOnce() -> Result<R>) -> Result<R> {
        self.connection.busy_timeout(self.watch.patience()).map_err(map)?;
        let result = call();
        self.watch.set_patience(self.busy_timeout()?);
        wait_by_watch(&self.connection)?;
        result
    }

    /// A time limit that was set past us replaces our way of waiting: the limit is kept, and the way is put back.
    pub(crate) fn adopt_busy_timeout(&self) -> Result<()> {
        let set = self.busy_timeout()?;
        // While the way of waiting is ours, SQLite has none.
        if !set.is_zero() {
            self.watch.set_patience(set);
            wait_by_watch(&self.connection)?;
        }
        Ok(())
    }

    fn busy_timeout(&self) -> Result<Duration> {
        let set = self.connection.pragma_query_value(None, "busy_timeout", |row| row.get::<_, u32>(0)).map_err(map)?;
        Ok(Duration::from_millis(set.into()))
    }

    /// Looks which files are attached: what writes takes the turn of each.
    pub(crate) fn follow_attached(&self) -> Result<()> {
        let are_attached = self.connection.db_name(2).is_ok();
        if are_attached {
            // A statement that is about all files is about those that there were when it was prepared, also one that begins a transaction.
            self.connection.forget_statements();
        }
        if self.writer.main().is_none() {
            return Ok(());
        }
        let mut attached = Vec::new();
        if are_attached {
            let list = "SELECT file FROM pragma_database_list WHERE name NOT IN ('main', 'temp') AND file <> ''";
            let mut statement = self.connection.prepare_cached(list).map_err(map)?;
            let mut rows = statement.query(()).map_err(map)?;
            while let Some(row) = rows.next().map_err(map)? {
                let file: String = row.get(0).map_err(map)?;
                if let Ok(identity) = Identity::of_file(Path::new(&file)) {
                    attached.push((identity, file));
                }
            }
        }
        self.writer.set_attached(&attached);
        Ok(())
    }

    /// Runs a statement with care for what it may change of the connection.
    pub(crate) fn with_care<R>(&self, text: &Text, call: impl FnOnce() -> Result<R>) -> Result<R> {
        match text.kind {
            Kind::BusyTimeout => self.with_busy_timeout(call),
            Kind::Attach => {
                let result = call();
                self.follow_attached()?;
                result
            }
            Kind::Transaction => self.watch.let_end(call),
            _ => call(),
        }
    }
}
