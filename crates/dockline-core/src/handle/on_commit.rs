//! What runs when a transaction has been committed.

use std::error::Error as StdError;

use crate::base::error::{Error, ErrorKind, Result, misuse};
use crate::handle::connection::Connection;
use crate::slot::hooks::Hook;

/// What a hook of [`Connection::on_commit`] gives: nothing, or a result, whose error the end of the block passes on.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
/// db.transaction(|| {
///     let later = db.clone();
///     db.on_commit(|| println!("stored"))?; // nothing,
///     db.on_commit(move || later.execute("DELETE FROM job", ())) // or a result
/// })?;
/// # Ok::<_, dockline::Error>(())
/// ```
pub trait HookOutcome: private::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<()>;
}

impl HookOutcome for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> HookOutcome for Result<T, E> {
    fn into_result(self) -> Result<()> {
        self.map(drop).map_err(|error| match error.into().downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::new(ErrorKind::Interface, other.to_string()).with_source(other),
        })
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}

/// Hooks.
impl Connection {
    /// Has a hook run when the transaction has been committed (Django's `on_commit`): after the end of the outermost
    /// [`atomic`](Connection::atomic) block, in the order in which hooks were registered, with autocommit on and outside any
    /// block. Where the block, or one around it, is rolled back, it is dropped and does not run. With no block open it runs
    /// at once.
    ///
    /// A hook that returns an error ends the block with that error, and as in Django those after it do not run; the work is
    /// committed all the same ([`Error::is_after_commit`]). One that panics keeps none from running: the panic goes on
    /// after the last. See [`on_commit_robust`](Connection::on_commit_robust) for hooks whose failure is only logged.
    ///
    /// ```
    /// # use dockline::{Connection, Result};
    /// # fn run(db: &Connection) -> Result<()> {
    /// db.atomic(|| {
    ///     db.execute("UPDATE job SET done = 1", ())?;
    ///     db.on_commit(|| println!("stored"))
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionManagement`](ErrorKind::TransactionManagement) where autocommit is off and no block is open: there is
    /// no end to wait for. Where it runs at once, the hook's own. Where no block is open, those of connecting.
    pub fn on_commit<R: HookOutcome>(&self, hook: impl FnOnce() -> R + 'static) -> Result<()> {
        self.register(Hook { robust: false, call: Box::new(move || hook().into_result()) })
    }

    /// As [`on_commit`](Connection::on_commit); an error or a panic of the hook is logged at level error, and goes no
    /// further (Django's `robust=True`).
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.transaction(|| {
    ///     db.execute("INSERT INTO job (name) VALUES (?)", ("resize",))?;
    ///     db.on_commit_robust(|| "no number".parse::<i64>()) // its error is logged
    /// })?; // and does not come out here
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`on_commit`](Connection::on_commit), without the hook's own.
    pub fn on_commit_robust<R: HookOutcome>(&self, hook: impl FnOnce() -> R + 'static) -> Result<()> {
        self.register(Hook { robust: true, call: Box::new(move || hook().into_result()) })
    }

    fn register(&self, hook: Hook) -> Result<()> {
        let slot = self.slot();
        slot.refuse_other_task()?;
        if slot.transaction.in_atomic_block() {
            slot.transaction.hooks.push(hook);
            Ok(())
        } else if slot.autocommit()? {
            hook.run(slot.alias())
        } else {
            let message =
                "on_commit needs an atomic block where autocommit is off: after commit, call the hook yourself";
            Err(misuse(message).with_alias(slot.alias_arc()))
        }
    }
}
