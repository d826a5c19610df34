//! What a driver implements.
//!
//! Three traits, from the outside in: an [`Engine`] is a driver and is registered once; a [`Backend`] is the database
//! of one alias; a [`Session`] is one physical connection. None of them knows of registries, threads or requests: the
//! core calls a session from one thread at a time, and decides when it is opened, checked and closed.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crate::base::error::{Error, ErrorKind, Result};
pub use crate::base::per_process::{OfProcess, PerProcess};
pub use crate::base::row_values::RowValues;
use crate::base::value::Value;
pub use crate::config::outcome::{Outcome, TransactionState};
use crate::config::server_info::ServerInfo;
pub use crate::config::session_state::{SessionState, StateKind};
use crate::config::settings::{IsolationLevel, Settings};
use crate::config::statement::Dialect;
pub use crate::config::test_databases::{FilesOfDatabases, SqlOfDatabases, TestDatabases};

/// A driver: which URLs are its own, and how it makes the [`Backend`] of an alias.
pub trait Engine: Send + Sync + 'static {
    /// The URL schemes that name this engine, the usual one first.
    fn schemes(&self) -> &'static [&'static str];

    /// The names of the [`options`](Settings::option) that it has; others are refused before
    /// [`open`](Engine::open) is called.
    fn options(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks the settings of an alias. Opens nothing. (The alias is for what a server lists as the client's name; the
    /// core adds it to errors.)
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured), naming the setting and what would be right.
    fn open(&self, alias: &str, settings: &Settings) -> Result<Box<dyn Backend>>;
}

/// The database of one alias.
pub trait Backend: Send + Sync + 'static {
    /// The kind of database, in Django's words: `sqlite`, `mysql`, `postgresql`.
    fn vendor(&self) -> &'static str;

    /// Opens a connection and sets it up: autocommit, isolation level, time zone, `init_sql`.
    ///
    /// It does not block for longer than the settings' limits, and does not panic.
    ///
    /// # Errors
    ///
    /// As the driver's, mapped to the kinds of [`ErrorKind`].
    fn connect(&self) -> Result<Box<dyn Session>>;

    /// Does the same, and ends by the deadline if that comes before the settings' limits. A backend whose connecting takes no time may
    /// leave this as it is.
    ///
    /// # Errors
    ///
    /// As [`connect`](Backend::connect).
    fn connect_by(&self, deadline: Instant) -> Result<Box<dyn Session>> {
        let _ = deadline;
        self.connect()
    }

    /// Whether the database is usable also where no connection is open, as one that is part of the program: what Django says
    /// of SQLite.
    fn is_always_usable(&self) -> bool {
        false
    }

    /// Whether Django's driver notices that a connection is lost only when it sends something. Then wrappers and the query log
    /// see a statement on one that is known to be lost, and autocommit can be switched to what it is.
    fn notices_loss_by_sending(&self) -> bool {
        false
    }

    /// How databases are made for tests; `None` if they are not.
    fn test_databases(&self) -> Option<TestDatabases> {
        None
    }

    /// The error of a statement in an atomic block whose connection was closed, as Django's driver gives it.
    fn closed(&self) -> Error {
        Error::new(ErrorKind::Operational, "the connection is closed")
    }
}

/// One physical connection.
///
/// After each call, also one that failed, the core asks for the [`outcome`](Session::outcome).
///
/// SQL has `?` placeholders; [`placeholder::translate`](crate::placeholder::translate) turns them into the server's. An
/// error states what is known by [`Fact`](crate::Fact)s: [`Disconnect`](crate::Fact::Disconnect) where the connection
/// can no longer be trusted, [`MayHaveExecuted`](crate::Fact::MayHaveExecuted) where the server did not say that it
/// refused the statement.
pub trait Session: Send {
    /// Runs a statement, and answers how many rows it inserted, updated or deleted. Rows that it gives are dropped.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64>;

    /// Runs a statement and hands its rows to `sink`, one at a time, without keeping them.
    ///
    /// When the sink stops early, the session drains the rest of the result, and answers [`Rest::Drained`]. It may give up
    /// and answer [`Rest::Unread`] only if the [sink allows it](RowSink::may_discard), the statement is
    /// known to only read, no transaction may be open, and the session holds no
    /// [state](Session::state): the core then closes the connection.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn query(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest>;

    /// Runs an INSERT as [`query`](Session::query) does, and answers the id that the database has generated for it, or for the first of
    /// its rows: null if it has generated none, and on a database that answers ids by RETURNING alone.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn insert(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Value> {
        self.query(sql, params, sink).map(|_| Value::Null)
    }

    /// Says whose SQL the session reads, and how it is set to read it. Costs no round trip.
    fn dialect(&self) -> Dialect;

    /// Runs a statement once for each row of parameters, prepared once, and answers how many rows it inserted, updated
    /// or deleted in all.
    ///
    /// # Errors
    ///
    /// As the driver's, at the first row that fails; it says which. Where rows before it may stand, it has
    /// [`MayHaveExecuted`](crate::Fact::MayHaveExecuted).
    fn execute_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64>;

    /// Runs a statement of the core's own, as those about savepoints, in one round trip: it has no parameters, gives no
    /// rows, and is not worth preparing. Where autocommit is off, it begins a transaction as any other.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn run_own(&mut self, sql: &str) -> Result<()>;

    /// Switches autocommit. Switching it on commits what is open, where Django's driver does that, or else is refused.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn set_autocommit(&mut self, on: bool) -> Result<()>;

    /// Begins the transaction of an atomic block; autocommit is on. Until [`end`](Session::end), what commits by itself is
    /// followed by another transaction, where Django's driver does so.
    ///
    /// # Errors
    ///
    /// As the driver's; [`NotSupported`](crate::ErrorKind::NotSupported) for options that the database does not have.
    fn begin(&mut self, options: TransactionOptions) -> Result<()>;

    /// Whether [`begin`](Session::begin) sends nothing, and the first statement begins the transaction.
    fn begins_lazily(&self) -> bool;

    /// Ends what [`begin`](Session::begin) has begun: commits or rolls back, and switches autocommit on.
    ///
    /// # Errors
    ///
    /// As the driver's. [`TransactionManagement`](crate::ErrorKind::TransactionManagement) with
    /// [`WorkLost`](crate::Fact::WorkLost) where the server answered the commit with a rollback; then it has ended.
    fn end(&mut self, commit: bool) -> Result<()>;

    /// Commits what is open; nothing where nothing is.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn commit(&mut self) -> Result<()>;

    /// Rolls back what is open; nothing where nothing is.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn rollback(&mut self) -> Result<()>;

    /// Says how the last call left the session, whether it succeeded or failed. Costs no round trip.
    fn outcome(&self) -> Outcome;

    /// Whether the server answers; a round trip, with a limit of at most 5 s.
    fn is_usable(&mut self) -> bool;

    /// Looks whether the other side is still there, without a round trip. Called before every statement outside a
    /// transaction, where [`liveness`](Settings::liveness) is on.
    fn probe(&mut self) -> Health;

    /// Whether [`probe`](Session::probe) can tell. Where it cannot, as the socket is out of reach, the core pings
    /// after a pause of [`liveness_after`](Settings::liveness_after).
    fn can_probe(&self) -> bool;

    /// Asks the server what it is and what its limits are: a round trip or two.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn server_info(&mut self) -> Result<ServerInfo> {
        Err(Error::new(ErrorKind::NotSupported, "this backend has no server to ask"))
    }

    /// Says what the session holds that a new connection would lack, as far as can be told: temporary tables, locks, attached
    /// databases, variables; not what `init_sql` makes anew. What is there but not known is [`StateKind::Unknown`]. Asked
    /// before a connection is replaced or discarded. Costs no round trip, and answers for a connection that was lost too.
    fn state(&mut self) -> SessionState;

    /// Makes the session as a new one is: what the program has set, locked or made in it is gone, and it is set up anew. Called outside a
    /// transaction, before another thread gets the connection, if [`reset_on_handover`](Settings::reset_on_handover) asks for that. It
    /// ends by the deadline.
    ///
    /// # Errors
    ///
    /// As the driver's; the connection is then closed. A backend without a reset answers
    /// [`NotSupported`](crate::ErrorKind::NotSupported), which is what happens if it leaves this as it is.
    fn reset(&mut self, deadline: Instant) -> Result<()> {
        let _ = deadline;
        Err(Error::new(ErrorKind::NotSupported, "this backend cannot reset a session"))
    }

    /// The number by which the server lists this connection; `None` for an embedded database.
    fn server_connection_id(&self) -> Option<u64>;

    /// Forgets a cancellation that came too late for the statement before. Called before each statement, when no canceller
    /// sees one run; one that is asked for from then on ends the statement that follows, also before its first step.
    fn forget_cancel(&mut self);

    /// What cancels the running statement from another thread; `None` where that cannot be done.
    fn canceller(&self) -> Option<Arc<dyn Cancel>>;

    /// The driver's own object. Where autocommit is off and the driver would not begin a transaction by itself, one is
    /// begun.
    ///
    /// # Errors
    ///
    /// As the driver's.
    fn native(&mut self) -> Result<&mut dyn Any>;

    /// Called when the caller of [`native`](Session::native) is done: what it did may have changed everything.
    fn after_native(&mut self);

    /// The path of the type of [`native`](Session::native), for error messages.
    fn native_type(&self) -> &'static str;

    /// Gives the connection up in a process that was forked: it is the parent's. Nothing may be sent on it, nothing that
    /// both processes have may be changed, as what an epoll descriptor watches, and no lock may be waited for. What cannot be
    /// dropped like that is leaked.
    fn abandon(self: Box<Self>);

    /// Closes the connection. It does not block for longer than 5 s, and does not panic, also on a thread that is
    /// ending.
    ///
    /// # Errors
    ///
    /// As the driver's; the connection is gone all the same.
    fn close(self: Box<Self>) -> Result<()>;

    /// Closes the connection as [`close`](Session::close) does, as one of many that have to be closed by then: what it would wait for
    /// besides its own goodbye, it does not wait for beyond that moment.
    ///
    /// # Errors
    ///
    /// As of [`close`](Session::close).
    fn close_by(self: Box<Self>, deadline: Instant) -> Result<()> {
        let _ = deadline;
        self.close()
    }
}

/// Whether a process, or its system, has run out of file descriptors: EMFILE or ENFILE, which are the same numbers on every
/// Unix. The standard library has no kind for them.
pub fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// What a transaction is asked to be, besides what the connection is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransactionOptions {
    /// Its isolation level.
    pub isolation_level: Option<IsolationLevel>,
    /// Whether it takes no writes.
    pub read_only: Option<bool>,
}

/// What a [`Session::probe`] saw.
#[derive(Debug)]
pub enum Health {
    /// Nothing speaks against it.
    Alive,
    /// The other side has hung up, or must not be used any more. The error says so, as the driver would have said it;
    /// the core adds [`Fact::Disconnect`](crate::Fact::Disconnect).
    Gone(Error),
    /// Something is waiting to be read that may be harmless: only a round trip can tell.
    Ask,
}

/// Cancels the statement that a [`Session`] runs, from any thread.
pub trait Cancel: Send + Sync {
    /// Asks for it; the statement then fails with [`Fact::Cancelled`](crate::Fact::Cancelled), or ends before that.
    ///
    /// # Errors
    ///
    /// Where asking fails.
    fn cancel(&self) -> Result<()>;
}

/// What takes the rows of a result.
pub trait RowSink {
    /// Is told the names of the columns, once before the rows of a result, also where there are none; a statement that
    /// gives several results tells them before each. A session that keeps them, and gives the same again, saves its
    /// caller the making of others.
    fn columns(&mut self, names: &Arc<[String]>);

    /// What becomes of the rows: a session may fetch them in another way where that is faster.
    fn expects(&self) -> Expect {
        Expect::Stream
    }

    /// Takes a row. `Break`: it wants no more. [`RowValues`] makes one in the memory of the row before.
    fn row(&mut self, values: Vec<Value>) -> ControlFlow<()>;

    /// Whether the connection may be closed to leave the rest of a result unread: nobody holds it, and no block is open.
    fn may_discard(&self) -> bool;

    /// Whether `row` said `Break` because the process was forked in it, and this is the child: the session answers at once,
    /// without another look at the connection or the statement.
    fn was_forked(&self) -> bool {
        false
    }
}

/// What a [`RowSink`] does with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// It takes one at a time, and keeps none.
    Stream,
    /// It keeps all of them.
    All,
    /// It wants one at the most; more is an error, of kind [`Data`](crate::ErrorKind::Data), that the session may give
    /// itself.
    One,
}

/// Rows of parameters, for [`Session::execute_many`]: an iterator that lends.
pub trait ParamRows {
    /// The next row of parameters.
    fn next_row(&mut self) -> Option<&[Value]>;
}

/// How a [`Session::query`] left the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// The result was read to its end: the next statement can be sent.
    Drained,
    /// More remains than was worth reading, and nothing is lost with it: the connection can only be closed.
    Unread,
}
