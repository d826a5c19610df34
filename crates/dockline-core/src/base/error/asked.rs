//! What a caller can ask of an error.

use super::{Constraint, Error, ErrorKind, Fact};

/// What a caller can ask.
impl Error {
    /// The class of the error.
    ///
    /// ```
    /// use dockline::ErrorKind;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let error = db.query("SELECT ?", ()).unwrap_err(); // a parameter is missing
    /// assert_eq!(error.kind(), ErrorKind::Programming);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message alone, without the alias and the code.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// let error = Error::config("the region is not set").with_alias("replica");
    /// assert_eq!(error.message(), "the region is not set");
    /// assert!(error.to_string().contains("replica"));
    /// ```
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The alias of the connection, where the error belongs to one.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let error = db.execute("no SQL at all", ()).unwrap_err();
    /// assert_eq!(error.alias(), Some("default"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn alias(&self) -> Option<&str> {
        self.inner.alias.as_deref()
    }

    /// The code that the server or the driver gave: an errno of MySQL (`2006`), an SQLSTATE (`57P01`), an extended
    /// result code of SQLite (`2067`).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let insert = || db.execute("INSERT INTO job (name) VALUES (?)", ("resize",));
    /// insert()?;
    /// assert_eq!(insert().unwrap_err().code().as_deref(), Some("2067")); // SQLite's; PostgreSQL says 23505, MySQL 1062
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn code(&self) -> Option<String> {
        self.inner.code.clone()
    }

    /// What the server says in detail. It may quote values: keep it out of logs that others read.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// fn show_to_a_developer(error: &Error) {
    ///     println!("{} {}", error.message(), error.detail().unwrap_or_default());
    /// }
    /// ```
    pub fn detail(&self) -> Option<&str> {
        self.inner.details.as_ref()?.detail.as_deref()
    }

    /// What may help, by the word of the server or of this crate.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// fn show_to_a_developer(error: &Error) {
    ///     println!("{}", error.message());
    ///     if let Some(hint) = error.hint() {
    ///         println!("hint: {hint}");
    ///     }
    /// }
    /// ```
    pub fn hint(&self) -> Option<&str> {
        self.inner.details.as_ref()?.hint.as_deref()
    }

    /// Where in its statement the error is, in characters, counted from 1.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// fn mark(sql: &str, error: &Error) {
    ///     println!("{sql}");
    ///     if let Some(position) = error.position() {
    ///         println!("{:>position$}", '^');
    ///     }
    /// }
    /// ```
    pub fn position(&self) -> Option<usize> {
        self.inner.details.as_ref()?.place.as_ref().map(|place| place.position)
    }

    /// Whether the statement may have taken effect although the call failed.
    ///
    /// False: it was not sent, or the server answered that it refused it as a whole. True: it was sent and the answer
    /// does not say, or the statement ran and what came after it failed, as a result that does not convert.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// let error = db.query("SELECT ?", ()).unwrap_err(); // a parameter is missing
    /// assert!(!error.may_have_executed()); // nothing was sent
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn may_have_executed(&self) -> bool {
        self.has(Fact::MayHaveExecuted)
    }

    /// Whether the connection is gone, can no longer be trusted, or could not be made.
    ///
    /// ```
    /// use dockline::{Connection, Result};
    ///
    /// /// Sends a statement once more if it did not reach the server. (For blocks, see Retry.)
    /// fn send(db: &Connection, sql: &str) -> Result<u64> {
    ///     match db.execute(sql, ()) {
    ///         Err(error) if error.is_disconnect() && !error.may_have_executed() => db.execute(sql, ()),
    ///         result => result,
    ///     }
    /// }
    /// ```
    pub fn is_disconnect(&self) -> bool {
        self.has(Fact::Disconnect)
    }

    /// Whether the same transaction may succeed when it is tried again from its beginning: a lock that another
    /// connection holds, a deadlock, a serialization failure.
    ///
    /// ```
    /// use dockline::{Error, ErrorKind, Fact};
    ///
    /// let deadlock = Error::new(ErrorKind::Operational, "deadlock").with_fact(Fact::Retryable);
    /// assert!(deadlock.is_retryable()); // what Retry goes by
    /// ```
    pub fn is_retryable(&self) -> bool {
        self.has(Fact::Retryable)
    }

    /// Whether a resource has run out: connections of the server, file descriptors of the process.
    ///
    /// ```
    /// use dockline::Error;
    ///
    /// /// The status of HTTP to answer with.
    /// fn status(error: &Error) -> u16 {
    ///     if error.is_exhausted() { 503 } else { 500 }
    /// }
    /// ```
    pub fn is_exhausted(&self) -> bool {
        self.has(Fact::Exhausted)
    }

    /// Whether the server had no place for another connection, and may have one when others are closed.
    pub(crate) fn is_server_full(&self) -> bool {
        self.has(Fact::ServerFull)
    }

    /// Whether the statement was cancelled, by [`Canceller`](crate::Canceller) or by `statement_timeout`.
    ///
    /// ```
    /// use dockline::{Connection, Result};
    ///
    /// /// Counts, unless that takes longer than `statement_timeout`.
    /// fn count_if_quick(db: &Connection) -> Result<Option<i64>> {
    ///     match db.query_value("SELECT count(*) FROM event", ()) {
    ///         Err(error) if error.is_cancelled() => Ok(None),
    ///         result => result.map(Some),
    ///     }
    /// }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.has(Fact::Cancelled)
    }

    /// Whether waiting for a lock took longer than the server's limit (1205, `55P03`, SQLite's busy).
    ///
    /// ```
    /// use dockline::{Connection, Result};
    ///
    /// /// Locks a row, unless somebody else has it for too long.
    /// fn lock(db: &Connection, id: i64) -> Result<bool> {
    ///     match db.query("SELECT id FROM job WHERE id = ? FOR UPDATE", (id,)) {
    ///         Err(error) if error.is_lock_timeout() => Ok(false),
    ///         result => result.map(|rows| !rows.is_empty()),
    ///     }
    /// }
    /// ```
    pub fn is_lock_timeout(&self) -> bool {
        self.has(Fact::LockTimeout)
    }

    /// Whether the server takes no writes: it is a replica, or was demoted to one; or the transaction or session was made
    /// read-only.
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let refused = db.atomic_with(Atomic::new().read_only(true), || db.execute("DELETE FROM job", ()));
    /// assert!(refused.unwrap_err().is_read_only());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_read_only(&self) -> bool {
        self.has(Fact::ReadOnly)
    }

    /// The constraint that was violated, where the kind is [`Integrity`](ErrorKind::Integrity) and the server tells.
    ///
    /// ```
    /// use dockline::ConstraintKind;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let insert = || db.execute("INSERT INTO job (name) VALUES (?)", ("resize",));
    /// insert()?;
    /// let error = insert().unwrap_err();
    /// assert_eq!(error.constraint().expect("it is violated").kind(), ConstraintKind::Unique);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn constraint(&self) -> Option<&Constraint> {
        self.inner.constraint.as_ref()
    }

    /// Whether a transaction that was open before the call is gone, and its work with it.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let result = db.transaction(|| {
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    ///     db.close(); // or the server went away, and the error was swallowed
    ///     Ok(())
    /// });
    /// assert!(result.unwrap_err().is_work_lost());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_work_lost(&self) -> bool {
        self.has(Fact::WorkLost)
    }

    /// Whether a commit was sent and nobody can say if it took effect.
    ///
    /// ```
    /// use dockline::{Connection, Result};
    ///
    /// /// Stores an order under a number of its own, so that it can be looked for.
    /// fn store(db: &Connection, number: &str) -> Result<()> {
    ///     match db.transaction(|| db.execute("INSERT INTO orders (number) VALUES (?)", (number,))) {
    ///         Err(error) if error.is_commit_unknown() => {
    ///             let is_there: bool = db.query_value("SELECT count(*) > 0 FROM orders WHERE number = ?", (number,))?;
    ///             if is_there { Ok(()) } else { Err(error) }
    ///         }
    ///         result => result.map(drop),
    ///     }
    /// }
    /// ```
    pub fn is_commit_unknown(&self) -> bool {
        self.has(Fact::CommitUnknown)
    }

    /// Whether the work of the block was committed all the same: a hook of [`on_commit`](crate::Connection::on_commit) has failed
    /// after it.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let result = db.transaction(|| {
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    ///     db.on_commit(|| "no number".parse::<i64>())
    /// });
    /// assert!(result.unwrap_err().is_after_commit());
    /// assert_eq!(db.query_value::<i64>("SELECT count(*) FROM job", ())?, 1);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_after_commit(&self) -> bool {
        self.has(Fact::AfterCommit)
    }

    /// Whether a durable atomic block was to stand inside another (Django's `RuntimeError`).
    ///
    /// ```
    /// use dockline::Atomic;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let durable = || db.atomic_with(Atomic::new().durable(true), || db.execute("DELETE FROM job", ()));
    /// assert!(durable().is_ok());
    /// assert!(db.transaction(durable).unwrap_err().is_nested_durable());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_nested_durable(&self) -> bool {
        self.has(Fact::NestedDurable)
    }

    /// Whether the statement names a savepoint that does not exist.
    pub(crate) fn is_savepoint_missing(&self) -> bool {
        self.has(Fact::SavepointMissing)
    }

    /// Whether the configuration is at fault: [`ErrorKind::ImproperlyConfigured`] or
    /// [`ErrorKind::ConnectionDoesNotExist`].
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// assert!(connections.get("no such alias").unwrap_err().is_config());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn is_config(&self) -> bool {
        matches!(self.kind(), ErrorKind::ImproperlyConfigured | ErrorKind::ConnectionDoesNotExist)
    }
}
