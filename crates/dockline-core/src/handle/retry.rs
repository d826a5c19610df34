//! Running a transaction again, where that can do no harm.

use std::error::Error as StdError;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result, misuse};
use crate::base::process::process;
use crate::handle::atomic::Atomic;
use crate::handle::connection::Connection;
use crate::slot::events::{Event, Failure};

/// Runs a closure as one atomic block, and runs it again where the database has undone all of it: after a deadlock, a
/// serialization failure or a lock that was not to be had, and after a lost connection where the commit was certainly not
/// sent.
///
/// A commit whose outcome is unknown is never tried again; nor is a block inside which something was committed already (on
/// MySQL and MariaDB a statement such as CREATE TABLE commits), nor one that was committed and whose hook has failed.
///
/// ```
/// use std::time::Duration;
/// use dockline::{Connection, Error, Retry, params};
///
/// fn claim(db: &Connection, worker: i64) -> Result<u64, Error> {
///     Retry::new().attempts(4).limit(Some(Duration::from_secs(10))).run(db, || {
///         let id: i64 = db.query_value("SELECT min(id) FROM job WHERE worker IS NULL", ())?;
///         db.execute("UPDATE job SET worker = ? WHERE id = ?", params![worker, id])
///     })
/// }
/// ```
///
/// The closure runs from its beginning each time. What it does besides the transaction of its connection, it does again:
/// other aliases, files, messages. Do those in a hook of [`on_commit`](Connection::on_commit), which runs once.
#[derive(Debug, Clone)]
#[must_use = "it does nothing before run"]
pub struct Retry {
    atomic: Atomic,
    attempts: u32,
    first_pause: Duration,
    longest_pause: Duration,
    limit: Option<Duration>,
}

impl Retry {
    /// Five attempts; pauses of up to 20 ms after the first, twice as long after each further one, up to 1 s; 30 s in all.
    ///
    /// ```
    /// use dockline::Retry;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// Retry::new().run(&db, || db.execute("UPDATE job SET done = TRUE", ()))?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn new() -> Self {
        Self {
            atomic: Atomic::new(),
            attempts: 5,
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(1),
            limit: Some(Duration::from_secs(30)),
        }
    }

    /// The options of the block. It is durable whatever they say: a part of a transaction cannot be tried again.
    ///
    /// ```
    /// use dockline::{Atomic, IsolationLevel, Retry};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let serializable = Atomic::new().isolation_level(IsolationLevel::Serializable);
    /// Retry::new().atomic(serializable).run(&db, || db.execute("UPDATE job SET done = TRUE", ()))?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn atomic(mut self, atomic: Atomic) -> Self {
        self.atomic = atomic;
        self
    }

    /// How often the closure is run at the most. Default: 5. 0 and 1: once.
    ///
    /// ```
    /// use dockline::Retry;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// Retry::new().attempts(3).run(&db, || db.execute("UPDATE job SET done = TRUE", ()))?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long the longest pause after the first attempt is, and after any. Each pause is drawn from the upper half of its
    /// longest, so that those who were in each other's way come apart. Default: 20 ms and 1 s. Zero: no pause.
    ///
    /// ```
    /// use std::time::Duration;
    /// use dockline::Retry;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let retry = Retry::new().pauses(Duration::from_millis(5), Duration::from_millis(200));
    /// retry.run(&db, || db.execute("UPDATE job SET done = TRUE", ()))?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest;
        self
    }

    /// After how long no further attempt begins. Default: 30 s. `None`: only [`attempts`](Retry::attempts) limits. An
    /// attempt that runs is not cut off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use dockline::Retry;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// Retry::new().limit(Some(Duration::from_secs(5))).run(&db, || db.execute("UPDATE job SET done = TRUE", ()))?;
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn limit(mut self, limit: Option<Duration>) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it.
    ///
    /// ```
    /// use dockline::{Error, Retry};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// let done = Retry::new().run(&db, || {
    ///     let open: i64 = db.query_value("SELECT count(*) FROM job WHERE NOT done", ())?;
    ///     db.execute("UPDATE job SET done = TRUE WHERE NOT done", ())?;
    ///     Ok::<_, Error>(open)
    /// })?;
    /// assert_eq!(done, 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The last attempt's: see [`Connection::atomic`].
    /// [`TransactionManagement`](crate::ErrorKind::TransactionManagement) inside another block (but one of
    /// [`testing`](crate::testing)), and with autocommit off.
    #[track_caller]
    pub fn run<T, E>(&self, db: &Connection, call: impl FnMut() -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error> + DatabaseFailure,
    {
        self.run_by(db, DatabaseFailure::database_error, call)
    }

    /// As [`run`](Retry::run), for an error type that cannot have [`DatabaseFailure`], as `anyhow::Error`: `database_error` finds the
    /// database's error in it.
    ///
    /// ```
    /// use dockline::{Error, Retry};
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// // As with anyhow: the error of the database is somewhere inside.
    /// type Failure = Box<dyn std::error::Error>;
    ///
    /// fn database_error(failure: &Failure) -> Option<&Error> {
    ///     failure.downcast_ref()
    /// }
    ///
    /// let changed = Retry::new().run_by(&db, database_error, || Ok(db.execute("UPDATE job SET done = TRUE", ())?));
    /// assert_eq!(changed.unwrap(), 0);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Retry::run).
    #[track_caller]
    pub fn run_by<T, E: From<Error>>(
        &self,
        db: &Connection,
        database_error: impl Fn(&E) -> Option<&Error>,
        mut call: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let (started, started_in) = (Instant::now(), process());
        let mut attempt = 1;
        loop {
            if !db.in_atomic_block() && !db.autocommit().or_else(|error| self.or_connect_later(error))? {
                let message =
                    "a transaction can be tried again only where autocommit is on: else its end commits nothing";
                return Err(misuse(message).with_alias(db.slot().alias_arc()).into());
            }
            db.slot().transaction.last_committed_inside.set(false);
            let result = db.atomic_with(self.atomic.durable(true), &mut call);
            let Err(error) = result else { return result };
            let undone = database_error(&error).is_some_and(|error| is_undone(error, db));
            let pause = self.pause(attempt, fastrand::f64());
            let ends = self.limit.is_some_and(|limit| started.elapsed() + pause >= limit);
            // In a process that was forked by the closure: its parent goes on with it.
            let is_child = process() != started_in;
            if !undone || is_child || attempt >= self.attempts || ends {
                return Err(error);
            }
            log::debug!(
                target: "dockline::connection",
                "alias {:?}: attempt {attempt} of a transaction was undone, and is followed by another in {pause:.1?}",
                db.alias()
            );
            let failure = database_error(&error);
            db.slot().tell(|events, source| {
                events.tell(&Event::Retried { source, attempt, pause, failure: failure.map(Failure::new) });
            });
            sleep(pause);
            attempt += 1;
        }
    }

    /// Where there is no connection to be had, that is for the block to find out.
    fn or_connect_later(&self, error: Error) -> Result<bool> {
        if error.is_disconnect() || error.is_exhausted() { Ok(true) } else { Err(error) }
    }

    /// `fraction`, from 0 to 1, says where in the upper half of the longest pause it lies.
    fn pause(&self, attempt: u32, fraction: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let longest = self.first_pause.saturating_mul(doubled).min(self.longest_pause);
        longest.mul_f64(0.5 + fraction / 2.0)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether all that the block did is undone, and its failure one that another attempt may not meet.
fn is_undone(error: &Error, db: &Connection) -> bool {
    let stands =
        error.is_commit_unknown() || error.is_after_commit() || db.slot().transaction.last_committed_inside.get();
    let passes = error.is_retryable() || error.is_disconnect() || error.is_exhausted();
    // Another connection's failure says nothing of this one's work.
    passes && !stands && error.alias() == Some(db.alias())
}

/// An error of a program, of which [`Retry`] can tell whether the database has failed.
///
/// Implement it for your own error type; where it wraps an [`Error`], give that.
///
/// ```
/// use dockline::{DatabaseFailure, Error};
///
/// enum Failure {
///     Database(Error),
///     NoMoney,
/// }
///
/// impl DatabaseFailure for Failure {
///     fn database_error(&self) -> Option<&Error> {
///         match self {
///             Self::Database(error) => Some(error),
///             Self::NoMoney => None,
///         }
///     }
/// }
/// ```
pub trait DatabaseFailure {
    /// The error of the database, where that is what it is about.
    fn database_error(&self) -> Option<&Error>;
}

impl DatabaseFailure for Error {
    fn database_error(&self) -> Option<&Error> {
        Some(self)
    }
}

/// Finds it among the sources.
impl DatabaseFailure for Box<dyn StdError + Send + Sync> {
    fn database_error(&self) -> Option<&Error> {
        find(&**self)
    }
}

/// Finds it among the sources.
impl DatabaseFailure for Box<dyn StdError> {
    fn database_error(&self) -> Option<&Error> {
        find(&**self)
    }
}

fn find<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let retry = Retry::new().pauses(Duration::from_millis(10), Duration::from_millis(35));
        for (attempt, longest) in [(1, 10), (2, 20), (3, 35), (200, 35)] {
            let longest = Duration::from_millis(longest);
            assert_eq!(retry.pause(attempt, 0.0), longest / 2, "attempt {attempt}");
            assert_eq!(retry.pause(attempt, 1.0), longest, "attempt {attempt}");
        }
    }
}
