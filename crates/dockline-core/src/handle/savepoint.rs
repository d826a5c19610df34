//! Savepoints by hand.

use std::fmt;
use std::rc::Rc;

use crate::base::error::{Result, misuse};
use crate::handle::connection::Connection;
use crate::slot::Slot;
use crate::slot::savepoint_sql::SavepointSql;

/// A savepoint that was made by hand: see [`Connection::savepoint`].
///
/// It belongs to the connection that made it. It does nothing by being dropped: what the savepoint holds goes with its
/// transaction.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// db.transaction(|| {
///     let before = db.savepoint()?;
///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
///     db.savepoint_rollback(&before)
/// })?;
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Clone)]
pub struct Savepoint {
    slot: Rc<Slot>,
    /// `None` where autocommit was on: then there was nothing to go back to.
    number: Option<u64>,
}

/// Savepoints by hand.
impl Connection {
    /// Makes a savepoint in the transaction that is open, or that autocommit being off begins (Django's `savepoint`). It
    /// opens a connection where none is. With autocommit on and no atomic block there is no transaction, and as in Django
    /// nothing is made, nor released or rolled back to.
    ///
    /// A nested [`atomic`](Connection::atomic) is a savepoint that cannot be forgotten: prefer it.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.transaction(|| {
    ///     let before = db.savepoint()?;
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    ///     db.savepoint_rollback(&before)
    /// })?;
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) where the transaction is marked for rollback;
    /// else those of connecting and of the database.
    #[track_caller]
    pub fn savepoint(&self) -> Result<Savepoint> {
        let slot = self.slot_here();
        let number = if slot.autocommit()? {
            None
        } else {
            let number = slot.transaction.next_number();
            slot.run_savepoint(&SavepointSql::create(number))?;
            Some(number)
        };
        Ok(Savepoint { slot: Rc::clone(slot), number })
    }

    /// Releases a savepoint: what was done since stays in the transaction, and the savepoint is gone.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.transaction(|| {
    ///     let before = db.savepoint()?;
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    ///     db.savepoint_commit(before) // the row stays in the transaction
    /// })?;
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) where another connection has made it, or the
    /// transaction is marked for rollback; else those of the database, as where it is gone already.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "it is gone after this")]
    pub fn savepoint_commit(&self, savepoint: Savepoint) -> Result<()> {
        self.on_savepoint(&savepoint, SavepointSql::release)
    }

    /// Rolls back to a savepoint: what was done since is undone, and the savepoint stays. Hooks of
    /// [`on_commit`](Connection::on_commit) that were registered since stay too, as in Django: only the savepoints of
    /// atomic blocks take theirs away.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.transaction(|| {
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    ///     let before = db.savepoint()?;
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("rotate",))?;
    ///     db.savepoint_rollback(&before)?; // the second is undone, the first is not
    ///     db.savepoint_commit(before)
    /// })?;
    /// assert_eq!(db.query_value::<String>("SELECT name FROM job", ())?, "resize");
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`savepoint_commit`](Connection::savepoint_commit).
    #[track_caller]
    pub fn savepoint_rollback(&self, savepoint: &Savepoint) -> Result<()> {
        self.on_savepoint(savepoint, SavepointSql::roll_back)
    }

    #[track_caller]
    fn on_savepoint(&self, savepoint: &Savepoint, sql: fn(u64) -> SavepointSql) -> Result<()> {
        let slot = self.slot_here();
        if !Rc::ptr_eq(slot, &savepoint.slot) {
            let message = format!(
                "the savepoint was made by another connection, that of alias {:?}; use it there",
                savepoint.slot.alias()
            );
            return Err(misuse(message).with_alias(slot.alias_arc()));
        }
        // As Django, which asks even where nothing was made.
        let autocommit = slot.autocommit()?;
        match savepoint.number {
            Some(number) if !autocommit => slot.run_savepoint(&sql(number)),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Savepoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Savepoint").field("alias", &self.slot.alias()).field("number", &self.number).finish()
    }
}
