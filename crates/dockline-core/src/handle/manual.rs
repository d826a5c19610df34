//! Transactions by hand: autocommit, commit and rollback.

use crate::base::error::Result;
use crate::handle::connection::Connection;

/// Transactions by hand.
impl Connection {
    /// Whether autocommit is on (Django's `get_autocommit`). It opens a connection where none is.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// assert!(db.autocommit()?);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of connecting.
    pub fn autocommit(&self) -> Result<bool> {
        self.slot().autocommit()
    }

    /// Switches autocommit (Django's `set_autocommit`). While it is off, the first statement begins a transaction, and
    /// [`commit`](Connection::commit) or [`rollback`](Connection::rollback) ends it. End it before you switch: MySQL, MariaDB
    /// and SQLite commit what is open, PostgreSQL's transaction is left alone with an error. Hooks that were registered in
    /// atomic blocks since run when it is switched on after a commit. A connection on which it was not put back to the
    /// setting is closed at the next boundary, and what was open is rolled back.
    ///
    /// Prefer [`atomic`](Connection::atomic).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.set_autocommit(false)?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?; // begins a transaction
    /// db.commit()?;
    /// db.set_autocommit(true)?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) inside an atomic block;
    /// [`Programming`](crate::ErrorKind::Programming) on PostgreSQL while a transaction is open; else those of connecting, of the
    /// database, and of hooks.
    #[track_caller]
    pub fn set_autocommit(&self, on: bool) -> Result<()> {
        self.slot_here().set_autocommit(on)
    }

    /// Commits what is open. It opens no connection.
    ///
    /// On PostgreSQL, the commit of a transaction in which a statement has failed is a rollback. Here that is a warning in
    /// the log and no error, as in Django; the end of an [`atomic`](Connection::atomic) block says so.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.set_autocommit(false)?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// db.commit()?;
    /// db.set_autocommit(true)?;
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) inside an atomic block; else those of the database;
    /// [`is_commit_unknown`](crate::Error::is_commit_unknown) where the connection was lost by it, so that nobody can say if it took
    /// effect.
    #[track_caller]
    pub fn commit(&self) -> Result<()> {
        self.slot_here().commit()
    }

    /// Rolls back what is open. It opens no connection.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.set_autocommit(false)?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    /// db.rollback()?;
    /// db.set_autocommit(true)?;
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) inside an atomic block; else those of the database.
    pub fn rollback(&self) -> Result<()> {
        self.slot().rollback()
    }
}
