//! One connection.

use std::any::{Any, type_name};
use std::cell::Cell;
use std::mem::forget;
use std::sync::Arc;
use std::time::Duration;

use dockline_core::backend::{
    Cancel, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, StateKind, TransactionOptions,
};
use dockline_core::statement::Dialect;
use dockline_core::{Error, ErrorKind, IsolationLevel, Result, ServerInfo, TransactionMode, Value, backend};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};

use crate::busy::wait_by_watch;
use crate::clock::Coarse;
use crate::error::{map, of_init_sql};
use crate::insert;
use crate::log;
use crate::opened::{self, Opened};
use crate::own::Own;
use crate::plan::Plan;
use crate::prepared::Conn;
use crate::rows::{self, prepare, run_to_end};
use crate::state::state_of;
use crate::watch::Watch;
use crate::writer::Writer;

pub(crate) struct SqliteSession {
    // Before what counts it and before its turns: it is closed first.
    pub(crate) connection: Conn,
    opened: Option<Opened>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) writer: Writer,
    /// How a transaction begins that may write.
    pub(crate) begin: Own,
    pub(crate) begin_text: Arc<str>,
    /// Where it is off, the next statement begins a transaction.
    pub(crate) autocommit: bool,
    /// The transaction takes no writes.
    pub(crate) reads_only: Cell<bool>,
    /// The driver's object is lent, and takes no writes meanwhile.
    lent_for_reading: Cell<bool>,
    /// What `init_sql` made.
    initial_state: SessionState,
    /// A transaction is open since the last call: nothing but a call begins or ends one.
    pub(crate) is_open: Cell<bool>,
    /// A transaction was open when the last call began, or it began one.
    pub(crate) was_open: Cell<bool>,
    /// The last call ended with an error, and SQLite rolled its transaction back.
    pub(crate) rolled_back: Cell<bool>,
    /// What runs writes, and not rows alone: a table, an index.
    pub(crate) is_uncounted: Cell<bool>,
    /// When it was last looked whether the file is where it was.
    looked: Coarse,
}

impl SqliteSession {
    /// Sets up what the core needs. `writer` says what it can write to.
    pub(crate) fn set_up(
        mut connection: Connection,
        opened: Option<Opened>,
        writer: Writer,
        plan: &Plan,
    ) -> Result<Self> {
        connection.set_prepared_statement_cache_capacity(plan.statement_cache);
        let watch = Watch::install(&mut connection, plan.statement_timeout, plan.busy_timeout, writer.main())?;
        wait_by_watch(&connection)?;
        let begin = match plan.transaction_mode {
            _ if plan.mode == "ro" => Own::Begin,
            TransactionMode::Deferred => Own::Begin,
            TransactionMode::Exclusive => Own::BeginExclusive,
            _ => Own::BeginImmediate,
        };
        let mut session = Self {
            initial_state: SessionState::default(),
            is_open: Cell::new(false),
            was_open: Cell::new(false),
            rolled_back: Cell::new(false),
            is_uncounted: Cell::new(false),
            connection: Conn::new(connection, plan.statement_cache),
            opened,
            watch,
            writer,
            begin,
            begin_text: begin.as_str().into(),
            autocommit: plan.autocommit,
            reads_only: Cell::new(false),
            lent_for_reading: Cell::new(false),
            looked: Coarse::now(),
        };
        if let Some(init_sql) = &plan.init_sql {
            session.run_init_sql(init_sql)?;
        }
        session.initial_state = state_of(&session.connection).map_err(map)?;
        Ok(session)
    }

    /// Runs what every new connection begins with. What writes waits for its turn, unless the thread has it on another connection:
    /// then SQLite says whether it is in the way.
    fn run_init_sql(&self, init_sql: &str) -> Result<()> {
        self.watch.begin_unlimited();
        let words: Arc<str> = "init_sql".into();
        let mut batch = Batch::new(&self.connection, init_sql);
        while let Some(mut statement) = batch.next().map_err(of_init_sql)? {
            self.watch.begin_unlimited();
            if !statement.readonly() && self.writer.take_turns(&self.watch, &words).is_err() {
                self.watch.wait_at_most(Duration::ZERO);
            }
            let ran = statement.raw_query().next().map(drop);
            drop(statement);
            self.settle(ran.is_err());
            ran.map_err(of_init_sql)?;
        }
        self.adopt_busy_timeout()?;
        self.follow_attached()
    }
}

fn lacks(message: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, message)
}

impl Session for SqliteSession {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.statement(|| {
            let text = self.text(sql, params.len())?;
            self.with_care(&text, || {
                let mut statement = prepare(&text, params)?;
                self.admit(&text, &statement)?;
                run_to_end(&self.connection, &mut statement)
            })
        })
    }

    fn query(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        self.statement(|| {
            let text = self.text(sql, params.len())?;
            self.with_care(&text, || {
                let statement = prepare(&text, params)?;
                self.admit(&text, &statement)?;
                rows::stream(statement, sink)
            })
        })
    }

    fn insert(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Value> {
        let before = (self.connection.total_changes(), self.connection.last_insert_rowid());
        self.query(sql, params, sink)?;
        let id = self.connection.last_insert_rowid();
        let is_new = self.connection.total_changes() != before.0
            && (id != before.1 || insert::has_rowid(&self.connection, sql).map_err(map)?);
        Ok(if is_new { Value::Int(id) } else { Value::Null })
    }

    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    fn execute_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        self.run_many(sql, rows)
    }

    fn run_own(&mut self, sql: &str) -> Result<()> {
        // Not from the cache: each has a number of its own, and would push out what is used again.
        self.statement(|| self.connection.execute_batch(sql).map_err(map))
    }

    fn set_autocommit(&mut self, on: bool) -> Result<()> {
        if on {
            self.commit()?;
        }
        self.autocommit = on;
        Ok(())
    }

    fn begin(&mut self, options: TransactionOptions) -> Result<()> {
        if options.isolation_level.is_some_and(|level| level != IsolationLevel::Serializable) {
            return Err(lacks("isolation_level: transactions of SQLite are serializable, and nothing else"));
        }
        let reads_only = options.read_only == Some(true);
        // As Django, which leaves autocommit on here: what follows a COMMIT that is sent as text commits by itself.
        self.guarded(|| self.begin_as(if reads_only { Own::Begin } else { self.begin }, &self.begin_text))?;
        self.reads_only.set(reads_only);
        Ok(())
    }

    fn end(&mut self, commit: bool) -> Result<()> {
        if commit { self.commit() } else { self.rollback() }
    }

    fn commit(&mut self) -> Result<()> {
        self.commit_open()
    }

    fn rollback(&mut self) -> Result<()> {
        self.roll_back_open()
    }

    fn begins_lazily(&self) -> bool {
        false
    }

    fn outcome(&self) -> Outcome {
        let is_open = self.is_open.get();
        let transaction = if is_open { backend::TransactionState::Open } else { backend::TransactionState::None };
        // A COMMIT that is sent as text leaves no transaction, which says enough.
        Outcome { transaction, rolled_back: self.rolled_back.get(), committed: false }
    }

    fn is_usable(&mut self) -> bool {
        // As Django: a database that is part of the program is always there.
        true
    }

    /// Whether the file is where it was when it was opened. That is a system call, so a read asks only now and then; what writes
    /// asks each time that it takes its turn.
    fn probe(&mut self) -> Health {
        if self.writer.file().is_none() || !self.looked.is_past() {
            return Health::Alive;
        }
        self.looked = Coarse::now();
        self.writer.file_is_moved().map_or(Health::Alive, Health::Gone)
    }

    fn can_probe(&self) -> bool {
        true
    }

    fn server_info(&mut self) -> Result<ServerInfo> {
        let mut info = ServerInfo::new("SQLite", rusqlite::version());
        if self.writer.main().is_some() && self.writer.file().is_some() && !self.in_transaction() {
            info.log_held_back = log::held_back(&self.connection);
        }
        Ok(info)
    }

    fn state(&mut self) -> SessionState {
        let mut state = state_of(&self.connection).unwrap_or_else(|_| {
            let mut unknown = SessionState::default();
            unknown.hold(StateKind::Unknown, "");
            unknown
        });
        for (kind, name) in self.initial_state.iter() {
            state.release(kind, name);
        }
        state
    }

    fn server_connection_id(&self) -> Option<u64> {
        None
    }

    fn forget_cancel(&mut self) {
        self.watch.forget();
    }

    fn canceller(&self) -> Option<Arc<dyn Cancel>> {
        Some(Arc::clone(&self.watch) as Arc<dyn Cancel>)
    }

    /// Who has the driver's own object may write, so it is lent with the turn, unless the alias or the block only reads.
    fn native(&mut self) -> Result<&mut dyn Any> {
        self.watch.begin();
        self.begin_where_manual()?;
        if self.reads_only.get() && self.in_transaction() {
            let takes_none =
                self.connection.pragma_query_value(None, "query_only", |row| row.get::<_, bool>(0)).map_err(map)?;
            // One that takes none anyway is left so.
            if !takes_none {
                self.connection.pragma_update(None, "query_only", true).map_err(map)?;
                self.lent_for_reading.set(true);
            }
        } else {
            self.writer.take_turns(&self.watch, &"native".into())?;
        }
        self.watch.lend();
        self.rolled_back.set(false);
        Ok(self.connection.lend())
    }

    fn after_native(&mut self) {
        self.watch.install_on(self.connection.lend());
        self.connection.follow_swap();
        let restored = if self.lent_for_reading.take() {
            self.connection.pragma_update(None, "query_only", false).map_err(map)
        } else {
            Ok(())
        };
        let followed = restored.and_then(|()| self.adopt_busy_timeout()).and_then(|()| self.follow_attached());
        if let Err(error) = followed {
            ::log::warn!(target: "dockline::connection", "sqlite: after native: {error}");
        }
        self.settle(true);
    }

    fn native_type(&self) -> &'static str {
        type_name::<Connection>()
    }

    fn abandon(self: Box<Self>) {
        // Closing one in a transaction would roll it back.
        if self.connection.is_autocommit() {
            let Self { connection, opened, .. } = *self;
            opened::keep(connection, opened);
        } else {
            forget(self);
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        // The last connection to a file copies the log into it.
        self.watch.begin_unlimited();
        let Self { connection, opened, writer, watch, .. } = *self;
        let closed = connection.close().map_err(map);
        drop((opened, writer, watch));
        closed
    }
}
