//! One connection.

use std::any::{Any, type_name};
use std::cell::{Cell, RefCell};
use std::mem::forget;
use std::sync::Arc;

use dockline_core::backend::{
    Cancel, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, StateKind, TransactionOptions,
    TransactionState,
};
use dockline_core::placeholder::translate;
use dockline_core::statement::Dialect;
use dockline_core::{Error, ErrorKind, Fact, IsolationLevel, Result, ServerInfo, TransactionMode, Value};
use rusqlite::{CachedStatement, Connection, Statement};

use crate::error::{map, of_init_sql};
use crate::opened::{self, Opened};
use crate::plan::Plan;
use crate::value;
use crate::watch::Watch;

pub(crate) struct SqliteSession {
    // Before what counts it: it is closed first.
    connection: Connection,
    opened: Option<Opened>,
    watch: Arc<Watch>,
    begin: &'static str,
    /// Where it is off, the next statement begins a transaction.
    autocommit: bool,
    /// What `init_sql` made.
    initial_state: SessionState,
    /// The last call ended with an error, and SQLite rolled its transaction back.
    rolled_back: Cell<bool>,
    /// The names of the last result's columns.
    columns: RefCell<Arc<[String]>>,
}

impl SqliteSession {
    pub(crate) fn set_up(mut connection: Connection, opened: Option<Opened>, plan: &Plan) -> Result<Self> {
        connection.set_prepared_statement_cache_capacity(plan.statement_cache);
        if let Some(init_sql) = &plan.init_sql {
            connection.execute_batch(init_sql).map_err(of_init_sql)?;
        }
        let watch = Watch::install(&mut connection, plan.statement_timeout);
        Ok(Self {
            watch,
            initial_state: state_of(&connection).map_err(map)?,
            rolled_back: Cell::new(false),
            connection,
            opened,
            begin: match plan.transaction_mode {
                TransactionMode::Immediate => "BEGIN IMMEDIATE",
                TransactionMode::Exclusive => "BEGIN EXCLUSIVE",
                _ => "BEGIN",
            },
            autocommit: plan.autocommit,
            columns: RefCell::default(),
        })
    }

    /// Runs `call` as one statement: in a transaction where autocommit is off, and within the time limit. An error
    /// says whether something of it stands.
    fn statement<R>(&self, call: impl FnOnce() -> Result<R>) -> Result<R> {
        self.begin_where_manual()?;
        let was_open = self.in_transaction();
        self.rolled_back.set(false);
        let before = self.connection.total_changes();
        self.watch.begin();
        let result = self.watch.check().and_then(|()| call());
        let timed_out = self.watch.end();
        self.rolled_back.set(was_open && result.is_err() && !self.in_transaction());
        result.map_err(|error| {
            // SQLite counts changes when a statement ends, and takes back what a failed one did, except after OR FAIL.
            let nothing_stands = self.connection.total_changes() == before;
            let error = if nothing_stands { error } else { error.with_fact(Fact::MayHaveExecuted) };
            match timed_out {
                Some(limit) if error.is_cancelled() => {
                    error.with_context(format_args!("the statement ran longer than statement_timeout ({limit:?})"))
                }
                _ => error,
            }
        })
    }

    fn begin_where_manual(&self) -> Result<()> {
        if self.autocommit || self.in_transaction() { Ok(()) } else { self.run(self.begin) }
    }

    /// The names of a statement's columns: the last ones again, where they are the same.
    fn columns_of(&self, statement: &Statement<'_>) -> Result<Arc<[String]>> {
        let name = |at| statement.column_name(at).map_err(map);
        let mut last = self.columns.borrow_mut();
        let same = last.len() == statement.column_count()
            && last.iter().enumerate().all(|(at, last)| name(at).is_ok_and(|name| name == last));
        if !same {
            *last = (0..statement.column_count()).map(|at| name(at).map(str::to_owned)).collect::<Result<_>>()?;
        }
        Ok(Arc::clone(&last))
    }

    /// Runs a statement of our own.
    fn run(&self, sql: &str) -> Result<()> {
        let was_open = self.in_transaction();
        let mut statement = self.connection.prepare_cached(sql).map_err(map)?;
        let result = statement.raw_execute().map(drop).map_err(map);
        self.rolled_back.set(was_open && result.is_err() && !self.in_transaction());
        result
    }

    fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }
}

/// Prepares a statement, or takes it from the cache, and binds its parameters.
fn prepare<'c>(connection: &'c Connection, sql: &str, params: &[Value]) -> Result<CachedStatement<'c>> {
    // SQLite stops reading there, and what follows would not run.
    if sql.as_bytes().contains(&0) {
        return Err(Error::new(ErrorKind::Programming, "the statement has a NUL character"));
    }
    let sql = translate(sql, params.len(), Dialect::SQLITE)?;
    let mut statement = connection.prepare_cached(&sql).map_err(map)?;
    if statement.parameter_count() != params.len() {
        let message = "the statement has placeholders of SQLite's own, as ?1 or :name; write ? for each parameter";
        return Err(Error::new(ErrorKind::Programming, message));
    }
    // What gives nothing and changes nothing is rare, and only there can there be nothing at all.
    if statement.column_count() == 0 && statement.readonly() && statement.expanded_sql().is_none() {
        return Err(Error::new(ErrorKind::Programming, "there is no statement in the text"));
    }
    value::bind(&mut statement, params)?;
    Ok(statement)
}

fn lacks(message: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, message)
}

/// The temporary tables and attached databases that there are.
fn state_of(connection: &Connection) -> rusqlite::Result<SessionState> {
    let mut state = SessionState::default();
    // Mostly a look is enough: no temporary table has ever been made, and nothing is attached.
    if connection.is_readonly("temp").is_err() && connection.db_name(2).is_err() {
        return Ok(state);
    }
    const HELD: &str = "SELECT 0, name FROM temp.sqlite_schema \
                        UNION ALL SELECT 1, name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')";
    let mut statement = connection.prepare_cached(HELD)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let kind = if row.get::<_, bool>(0)? { StateKind::AttachedDatabase } else { StateKind::TemporaryTable };
        state.hold(kind, row.get::<_, String>(1)?);
    }
    Ok(state)
}

/// Runs a statement to its end, and answers how many rows it changed.
fn run_to_end(connection: &Connection, statement: &mut CachedStatement<'_>) -> Result<u64> {
    let before = connection.total_changes();
    let mut rows = statement.raw_query();
    while rows.next().map_err(map)?.is_some() {}
    drop(rows);
    // `changes` is that of the last statement that changed something, which need not be this one.
    Ok(if connection.total_changes() == before { 0 } else { connection.changes() })
}

impl Session for SqliteSession {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.statement(|| {
            let mut statement = prepare(&self.connection, sql, params)?;
            run_to_end(&self.connection, &mut statement)
        })
    }

    fn query(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        self.statement(|| {
            let mut statement = prepare(&self.connection, sql, params)?;
            let writes = !statement.readonly();
            let mut rows = statement.raw_query();
            // The first step comes before the columns: it is what notices that the schema has changed.
            let mut row = rows.next().map_err(map)?;
            let Some(first) = row else {
                drop(rows);
                sink.columns(&self.columns_of(&statement)?);
                return Ok(Rest::Drained);
            };
            let names = self.columns_of(first.as_ref())?;
            sink.columns(&names);
            while let Some(current) = row {
                let mut values = Vec::with_capacity(names.len());
                for at in 0..names.len() {
                    values.push(value::column(current.get_ref(at).map_err(map)?));
                }
                if sink.row(values).is_break() {
                    if sink.was_forked() {
                        // Ending the statement would end its transaction, which is the parent's.
                        forget(rows);
                        forget(statement);
                        return Ok(Rest::Drained);
                    }
                    break;
                }
                row = rows.next().map_err(map)?;
            }
            // A statement that is left early commits when it is reset, and that error would be lost. What it changes it has
            // changed by its first step, so going on to its end costs little; else there is nothing left to read, for
            // an embedded database computes a row when it is asked for it.
            while writes && rows.next().map_err(map)?.is_some() {}
            Ok(Rest::Drained)
        })
    }

    fn execute_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        let commits_each = self.autocommit && !self.in_transaction();
        self.statement(|| {
            let Some(first) = rows.next_row() else { return Ok(0) };
            let width = first.len();
            let mut done = 0;
            let mut changed = 0;
            let failed = |error: Error, done: u64| {
                let error = error.with_context(format_args!("row {}", done + 1));
                if done > 0 && commits_each { error.with_fact(Fact::MayHaveExecuted) } else { error }
            };
            let mut statement = prepare(&self.connection, sql, first).map_err(|error| failed(error, done))?;
            loop {
                self.watch.check().map_err(|error| failed(error, done))?;
                // The limit is that of a statement, and each row is one.
                self.watch.begin();
                changed += run_to_end(&self.connection, &mut statement).map_err(|error| failed(error, done))?;
                done += 1;
                let Some(row) = rows.next_row() else { return Ok(changed) };
                let bound = if row.len() == width {
                    value::bind(&mut statement, row)
                } else {
                    translate(sql, row.len(), Dialect::SQLITE).map(drop)
                };
                bound.map_err(|error| failed(error, done))?;
            }
        })
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
        if options.read_only.is_some() {
            return Err(lacks("read_only: SQLite has no transactions that take no writes; query what you like"));
        }
        // As Django, which leaves autocommit on here: what follows a COMMIT that is sent as text commits by itself.
        self.run(self.begin)
    }

    fn end(&mut self, commit: bool) -> Result<()> {
        if commit { self.commit() } else { self.rollback() }
    }

    fn commit(&mut self) -> Result<()> {
        if self.in_transaction() { self.run("COMMIT") } else { Ok(()) }
    }

    fn rollback(&mut self) -> Result<()> {
        if self.in_transaction() { self.run("ROLLBACK") } else { Ok(()) }
    }

    fn begins_lazily(&self) -> bool {
        false
    }

    fn outcome(&self) -> Outcome {
        let transaction = if self.in_transaction() { TransactionState::Open } else { TransactionState::None };
        // A COMMIT that is sent as text leaves no transaction, which says enough.
        Outcome { transaction, rolled_back: self.rolled_back.get(), committed: false }
    }

    fn is_usable(&mut self) -> bool {
        // As Django: a database that is part of the program is always there.
        true
    }

    fn probe(&mut self) -> Health {
        Health::Alive
    }

    fn can_probe(&self) -> bool {
        true
    }

    fn server_info(&mut self) -> Result<ServerInfo> {
        Ok(ServerInfo::new("SQLite", rusqlite::version()))
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

    fn native(&mut self) -> Result<&mut dyn Any> {
        self.begin_where_manual()?;
        Ok(&mut self.connection)
    }

    fn after_native(&mut self) {}

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
        // Where it cannot be closed it comes back with the error, and is closed by being dropped.
        self.connection.close().map_err(|(_connection, error)| map(error))
    }
}
