//! One connection.

use std::any::{Any, type_name};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dockline_core::backend::{Cancel, Expect, Health, ParamRows, Rest, RowSink, Session, TransactionOptions};
use dockline_core::batch::Batch;
use dockline_core::placeholder::{Syntax, translate};
use dockline_core::{Error, ErrorKind, Fact, Result, ServerInfo, Value};
use dockline_net::{Deadline, Look, SHORT, Stamp, StatementCache, Wire};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use postgres::{Client, Column as Heading, Row, RowIter, SimpleQueryMessage, Statement};

use crate::cancel::Canceller;
use crate::effect::{Effect, Transaction};
use crate::error::{self, Doing};
use crate::info;
use crate::observed::Watch;
use crate::open::Opened;
use crate::param::Param;
use crate::plan::Plan;
use crate::protocol::{Fatal, Status};
use crate::value::Column;

pub(crate) const SYNTAX: Syntax = Syntax {
    numbered: true,
    backslash_escapes: false,
    escape_strings: true,
    dollar_quotes: true,
    nested_comments: true,
    hash_comments: false,
    bracket_names: false,
};

/// What remains of a result that is left early is read where it is not more rows than this.
const WORTH_READING: usize = 1_000;
/// How long reading the rest of a result may take.
const RESTING: Duration = Duration::from_millis(200);
/// How many rows of `execute_many` go out as one statement, the largest first.
const BATCHES: [usize; 2] = [64, 8];
/// The protocol counts parameters with 16 bits.
const MOST_OF_ALL: usize = 65_535;
const MOST_PARAMETERS: usize = 60_000;

pub(crate) struct PostgresSession {
    /// `None` when it has been closed.
    client: Option<Client>,
    wire: Option<Wire>,
    watch: Option<Arc<Watch>>,
    plan: Arc<Plan>,
    stamp: Stamp,
    process: Option<u64>,
    canceller: Arc<Canceller>,
    statements: StatementCache<Arc<Prepared>>,
    /// Where it is off, the next statement begins a transaction.
    autocommit: bool,
    /// How it begins.
    options: TransactionOptions,
    /// After an error that makes the connection untrustworthy nothing is sent any more.
    broken: bool,
    /// The transaction state where nobody watches the stream: read off the statements.
    guess: Status,
    keeps_state: bool,
    /// What the server reported of the session when it was set up.
    reported: BTreeMap<String, String>,
    was_read_only: bool,
    opened_at: Instant,
    /// It is to be replaced when it is idle, for this reason.
    outdated: Option<&'static str>,
}

/// A statement, ready to run.
struct Prepared {
    text: String,
    /// `None` where poolers forbid it.
    statement: Option<Statement>,
    columns: Arc<[String]>,
    effect: Effect,
}

impl PostgresSession {
    pub(crate) fn set_up(opened: Opened, plan: Arc<Plan>) -> Result<Self> {
        let Opened { client, watch, wire, stamp, deadline } = opened;
        let key = watch.as_ref().and_then(|watch| watch.seen(|seen| seen.key));
        let mut session = Self {
            process: key.map(|(process, _)| u64::from(process.unsigned_abs())),
            canceller: Arc::new(Canceller::new(
                Arc::clone(&plan),
                key.zip(wire.as_ref().and_then(Wire::peer)),
                client.cancel_token(),
            )),
            client: Some(client),
            wire,
            watch,
            stamp,
            statements: StatementCache::new(plan.statement_cache),
            autocommit: plan.autocommit,
            options: TransactionOptions::default(),
            broken: false,
            guess: Status::Idle,
            keeps_state: false,
            reported: BTreeMap::new(),
            was_read_only: false,
            opened_at: Instant::now(),
            outdated: None,
            plan,
        };
        if let Err(error) = session.tell_settings(deadline) {
            session.let_go();
            return Err(error.with_context(format_args!("setting up a connection to {}", session.plan.address())));
        }
        session.was_read_only = session.says_read_only();
        session.reported = session.parameters();
        Ok(session)
    }

    fn tell_settings(&mut self, deadline: Deadline) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        // What is left of the time for connecting. Statements of the program's own, as init_sql, have the program's limit.
        let limit = Some(deadline.remaining().unwrap_or(Duration::from_millis(1)));
        let mut sql = plan.set_up.clone();
        if self.process.is_none() {
            sql.push_str("SELECT pg_backend_pid()");
        }
        if !sql.is_empty() {
            let messages = self.call(Doing::Asking, limit, |client| client.simple_query(&sql))?;
            for message in messages {
                if let SimpleQueryMessage::Row(row) = message {
                    self.process = row.get(0).and_then(|text| text.parse().ok());
                }
            }
        }
        let Some(init_sql) = &plan.init_sql else { return Ok(()) };
        self.call(Doing::Asking, plan.read_timeout, |client| client.batch_execute(init_sql)).map_err(|error| {
            // What the server says quotes the text, which may set a key.
            let kept = Error::new(error.kind(), "init_sql: it cannot be run");
            let kept = if error.is_disconnect() { kept.with_fact(Fact::Disconnect) } else { kept };
            match error.code() {
                Some(code) => kept.with_code(code),
                None => kept,
            }
        })
    }

    fn client(&mut self) -> Result<&mut Client> {
        if self.broken {
            return Err(error::lost(Doing::Asking, "the connection was lost before"));
        }
        self.client.as_mut().ok_or_else(|| error::lost(Doing::Asking, "the connection is closed"))
    }

    /// Runs something on the driver; each of its reads may take that long.
    fn call<R>(
        &mut self,
        doing: Doing,
        limit: Option<Duration>,
        call: impl FnOnce(&mut Client) -> Result<R, postgres::Error>,
    ) -> Result<R> {
        let before = self.begin_call(limit);
        let result = call(self.client()?);
        result.map_err(|error| self.failed(error, doing, before))
    }

    fn begin_call(&self, limit: Option<Duration>) -> u64 {
        self.watch.as_ref().map_or(0, |watch| {
            watch.begin_call(limit);
            watch.written()
        })
    }

    /// Maps an error of the driver, with all that is known of it besides.
    fn failed(&mut self, error: postgres::Error, doing: Doing, written_before: u64) -> Error {
        let from_server = error.as_db_error().is_some();
        // Nothing was written: the server cannot have done anything.
        let sent = self.watch.as_ref().is_none_or(|watch| watch.written() > written_before);
        let doing = if sent { doing } else { Doing::Asking };
        let mut mapped = error::map(error, doing);
        if mapped.is_disconnect() {
            self.broken = true;
            // The driver forgets why a server hung up, where it did so between two statements.
            if let Some(fatal) = self.fatal().filter(|_| !from_server) {
                mapped = error::of_fatal(&fatal, doing).with_source(mapped);
            }
        } else {
            self.guess_after_error();
            self.learn_status();
        }
        if mapped.is_read_only() {
            if self.was_read_only {
                // During a change of roles a name leads to the old server for a while: it is asked again, not too often.
                if self.opened_at.elapsed() >= SHORT {
                    self.outdated = Some("the server takes no writes; perhaps its name leads to another one by now");
                }
            } else if self.was_demoted() {
                self.plan.server.demoted(self.stamp);
            }
        }
        mapped
    }

    /// The driver gives an error back before the server has said what became of the transaction: it sends the two apart. Asked
    /// only where that can have changed.
    fn learn_status(&mut self) {
        let waits = || self.watch.as_ref().is_some_and(|watch| watch.seen(|seen| seen.error_waits));
        if (self.autocommit && self.status() == Status::Idle) || !waits() {
            return;
        }
        self.begin_call(self.short());
        if let Some(client) = &mut self.client {
            self.broken |= client.simple_query("").is_err();
        }
    }

    fn guess_after_error(&mut self) {
        if self.guess != Status::Idle {
            self.guess = Status::Failed;
        }
    }

    fn is_encrypted(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.is_encrypted())
    }

    fn fatal(&self) -> Option<Fatal> {
        self.watch.as_ref()?.seen(|seen| seen.fatal.clone())
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        self.watch.as_ref().map(|watch| watch.seen(|seen| seen.parameters.clone())).unwrap_or_default()
    }

    /// Whether the server reports that it takes no writes; from version 14 on it does.
    fn says_read_only(&self) -> bool {
        let is_on = |name| self.parameter(name).is_some_and(|value| value == "on");
        is_on("in_hot_standby") || is_on("default_transaction_read_only")
    }

    fn was_demoted(&self) -> bool {
        // Before version 14 nothing is reported; outside a transaction that the program made read-only it can be nothing else.
        // What the program has set itself is not the server's doing.
        match self.parameter("in_hot_standby").as_deref() {
            Some("on") => true,
            Some(_) => !self.keeps_state && self.says_read_only(),
            None => !self.keeps_state && !self.in_transaction(),
        }
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.watch.as_ref()?.seen(|seen| seen.parameters.get(name).cloned())
    }

    fn status(&self) -> Status {
        self.watch.as_ref().map_or(self.guess, |watch| watch.status())
    }

    fn begin_where_manual(&mut self) -> Result<()> {
        if self.autocommit || self.status() != Status::Idle {
            return Ok(());
        }
        let limit = self.plan.read_timeout;
        let sql = begin_sql(self.options);
        self.call(Doing::Asking, limit, |client| client.batch_execute(&sql))?;
        self.guess = Status::InTransaction;
        Ok(())
    }

    /// The statement of this text: from the cache, or prepared now.
    fn prepare(&mut self, sql: &str, params: usize) -> Result<Arc<Prepared>> {
        let found = self.statements.get(sql);
        if let Some(prepared) = found {
            let wanted = prepared.statement.as_ref().map_or(params, |statement| statement.params().len());
            // The translation says what is wrong.
            if wanted != params {
                translate(sql, params, &SYNTAX)?;
            }
            return Ok(prepared);
        }
        if sql.as_bytes().contains(&0) {
            return Err(Error::new(ErrorKind::Programming, "the statement has a NUL character"));
        }
        let effect = Effect::of(sql);
        if !effect.is_any {
            return Err(Error::new(ErrorKind::Programming, "there is no statement in the text"));
        }
        if params > MOST_OF_ALL {
            let message = format!("the statement has {params} parameters, and PostgreSQL takes {MOST_OF_ALL}");
            return Err(Error::new(ErrorKind::Programming, message));
        }
        if effect.copies {
            let message = "COPY from and to the client goes by native, as copy_in and copy_out of the driver";
            return Err(Error::new(ErrorKind::NotSupported, message));
        }
        let text = translate(sql, params, &SYNTAX)?.into_owned();
        if !self.plan.prepares {
            return Ok(Arc::new(Prepared { text, statement: None, columns: Arc::default(), effect }));
        }
        let limit = self.plan.read_timeout;
        let statement = self.call(Doing::Asking, limit, |client| client.prepare(&text))?;
        if statement.params().len() != params {
            let message = "the statement has placeholders of PostgreSQL's own, as $1; write ? for each parameter";
            return Err(Error::new(ErrorKind::Programming, message));
        }
        let columns = names(statement.columns());
        let prepared = Arc::new(Prepared { text, statement: Some(statement), columns, effect });
        drop(self.statements.put(sql, Arc::clone(&prepared)));
        Ok(prepared)
    }

    /// Runs `call` with the statement of this text. One that the server has forgotten, or whose result has another shape
    /// since, is prepared anew: it was refused before it ran.
    fn statement<R>(
        &mut self,
        sql: &str,
        params: &[Value],
        mut call: impl FnMut(&mut Self, &Prepared, &[Value]) -> Result<R>,
    ) -> Result<R> {
        self.begin_where_manual()?;
        let started = self.plan.statement_timeout.map(|limit| (limit, Instant::now()));
        let prepared = self.prepare(sql, params.len())?;
        let failed_before = self.status() == Status::Failed;
        let bound_before = self.bound();
        let mut result = call(self, &prepared, params);
        if matches!(&result, Err(error) if prepared.statement.is_some() && is_stale(error)) {
            self.statements.clear();
            // What was bound has begun to run; then it is something inside that says so.
            let may_have_run = self.watch.is_none() && prepared.effect.runs_code;
            if self.status() == Status::Idle && self.bound() == bound_before && !may_have_run {
                let prepared = self.prepare(sql, params.len())?;
                result = call(self, &prepared, params);
            }
        }
        match result {
            Ok(_) if failed_before && prepared.effect.commits => {
                self.ran(prepared.effect);
                Err(rolled_back())
            }
            Ok(value) => {
                self.ran(prepared.effect);
                Ok(value)
            }
            Err(error) => Err({
                self.keeps_state |= prepared.effect.keeps_state;
                // What it knows of its types may be of yesterday: the next try finds out anew.
                if matches!(error.kind(), ErrorKind::Data | ErrorKind::Internal | ErrorKind::NotSupported) {
                    drop(self.statements.remove(sql));
                }
                if prepared.effect.transaction == Some(Transaction::Ends) {
                    self.ask_where_nobody_watches();
                }
                error
            })
            .map_err(|error| match started {
                Some((limit, started)) if error.is_cancelled() && started.elapsed() >= limit => {
                    error.with_context(format_args!("the statement ran longer than statement_timeout ({limit:?})"))
                }
                _ => error,
            }),
        }
    }

    fn bound(&self) -> u64 {
        self.watch.as_ref().map_or(0, |watch| watch.seen(|seen| seen.bound))
    }

    /// The end of a transaction has failed: it may be over all the same.
    fn ask_where_nobody_watches(&mut self) {
        if self.watch.is_none() && !self.broken {
            self.ask_for_status();
        }
    }

    /// A statement has run.
    fn ran(&mut self, effect: Effect) {
        match effect.transaction {
            Some(Transaction::Begins) => self.guess = Status::InTransaction,
            Some(Transaction::Ends) => self.guess = Status::Idle,
            None => {}
        }
        if effect.keeps_state {
            self.keeps_state = true;
        }
        if effect.changes_schema {
            self.statements.clear();
        }
        if effect.discards {
            self.keeps_state = false;
            self.statements.clear();
        }
    }

    fn execute_prepared(&mut self, prepared: &Prepared, params: &[Value]) -> Result<u64> {
        let limit = self.plan.read_timeout;
        let count = match &prepared.statement {
            Some(statement) => with_params(params, |params| {
                self.call(Doing::Running, limit, |client| client.execute(statement, params))
            }),
            None => with_typed(params, |params| {
                self.call(Doing::Running, limit, |client| client.execute_typed(&prepared.text, params))
            }),
        }?;
        Ok(if self.changed_rows(prepared.effect) { count } else { 0 })
    }

    /// The driver counts rows that were only read, too.
    fn changed_rows(&self, effect: Effect) -> bool {
        effect.changes_rows
            && self.watch.as_ref().is_none_or(|watch| watch.seen(|seen| !seen.tag.starts_with("SELECT")))
    }

    fn query_prepared(&mut self, prepared: &Prepared, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        match (sink.expects(), &prepared.statement) {
            (Expect::Stream, _) => self.stream(prepared, params, sink),
            (Expect::One, Some(statement)) => self.fetch_one(prepared, statement, params, sink),
            _ => self.fetch(prepared, params, sink),
        }
    }

    /// One row, or none: without the list that more would need.
    fn fetch_one(
        &mut self,
        prepared: &Prepared,
        statement: &Statement,
        params: &[Value],
        sink: &mut dyn RowSink,
    ) -> Result<Rest> {
        let before = self.begin_call(self.plan.read_timeout);
        let client = self.client()?;
        let row = match with_params(params, |params| client.query_opt(statement, params)) {
            Ok(row) => row,
            Err(error) if error::is_more_than_one_row(&error) => {
                self.come_to_rest();
                let message = "the statement gave more than one row, and one is expected";
                return Err(Error::new(ErrorKind::Data, message).with_fact(Fact::MayHaveExecuted));
            }
            Err(error) => return Err(self.failed(error, Doing::Running, before)),
        };
        sink.columns(&prepared.columns);
        if let Some(row) = row {
            let values = values(&row).map_err(|error| self.failed(error, Doing::Running, 0))?;
            let _ = sink.row(values);
        }
        Ok(Rest::Ready)
    }

    /// All rows at once: that is one turn of the driver, and not one for each row.
    fn fetch(&mut self, prepared: &Prepared, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let limit = self.plan.read_timeout;
        let rows = match &prepared.statement {
            Some(statement) => {
                with_params(params, |params| self.call(Doing::Running, limit, |client| client.query(statement, params)))
            }
            None => with_typed(params, |params| {
                self.call(Doing::Running, limit, |client| client.query_typed(&prepared.text, params))
            }),
        }?;
        let columns = match (&prepared.statement, rows.first()) {
            (None, Some(row)) => names(row.columns()),
            _ => Arc::clone(&prepared.columns),
        };
        sink.columns(&columns);
        for row in &rows {
            let values = values(row).map_err(|error| self.failed(error, Doing::Running, 0))?;
            if sink.row(values).is_break() {
                break;
            }
        }
        Ok(Rest::Ready)
    }

    /// The rest of a result that was left is read, where that is soon done; else the connection can only be closed. Inside a
    /// transaction it cannot be given up.
    fn come_to_rest(&mut self) {
        let (limit, gives_up) = if self.status() == Status::Idle { (RESTING, true) } else { (SHORT, false) };
        let rests = match self.client() {
            Ok(client) => client.is_valid(limit).is_ok(),
            Err(_) => true,
        };
        self.broken |= !rests && gives_up;
    }

    fn stream(&mut self, prepared: &Prepared, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let before = self.begin_call(self.plan.read_timeout);
        let drains = self.status() != Status::Idle;
        let client = self.client()?;
        let params = params.iter().map(Param);
        let rows = match &prepared.statement {
            Some(statement) => client.query_raw(statement, params),
            None => client.query_typed_raw(&prepared.text, params.map(|param| (param, Type::UNKNOWN))),
        };
        let result = rows.map_err(Ended::Driver).and_then(|rows| {
            let known = prepared.statement.is_some().then_some(&prepared.columns);
            pour(rows, known, sink, drains)
        });
        match result {
            Ok(rest) => {
                self.broken = self.broken || rest == Rest::Spent;
                Ok(rest)
            }
            Err(Ended::Driver(error)) => {
                let error = self.failed(error, Doing::Running, before);
                // A row that cannot be read leaves those behind it.
                if !self.broken && error.kind() == ErrorKind::NotSupported {
                    self.come_to_rest();
                }
                Err(error)
            }
        }
    }

    /// Sends several rows of an INSERT as one statement each time, and answers how many it changed.
    fn batches(&mut self, sql: &str, batch: Batch<'_>, first: &[Value], rows: &mut dyn ParamRows) -> Result<u64> {
        let width = first.len();
        let mut waiting: Vec<Value> = first.to_vec();
        let mut progress = Progress { stands: self.autocommit && self.status() == Status::Idle, done: 0, changed: 0 };
        let mut more = true;
        while more || !waiting.is_empty() {
            while more && waiting.len() < BATCHES[0] * width {
                match rows.next_row() {
                    Some(row) if row.len() == width => waiting.extend_from_slice(row),
                    Some(row) => {
                        let at = progress.done + waiting.len() / width + 1;
                        // What came before is sent first, as if it had gone row by row.
                        let error = translate(sql, row.len(), &SYNTAX).err();
                        self.flush(sql, batch, width, &mut waiting, &mut progress)?;
                        let error =
                            error.unwrap_or_else(|| Error::new(ErrorKind::Programming, "the rows differ in length"));
                        return Err(progress.add_to(error, at, at));
                    }
                    None => more = false,
                }
            }
            self.flush(sql, batch, width, &mut waiting, &mut progress)?;
        }
        Ok(progress.changed)
    }

    fn flush(
        &mut self,
        sql: &str,
        batch: Batch<'_>,
        width: usize,
        waiting: &mut Vec<Value>,
        progress: &mut Progress,
    ) -> Result<()> {
        let mut sent = 0;
        while sent < waiting.len() {
            let left = (waiting.len() - sent) / width;
            let size = BATCHES.into_iter().find(|size| *size <= left && size * width <= MOST_PARAMETERS).unwrap_or(1);
            let params = &waiting[sent..sent + size * width];
            let result = if size == 1 {
                self.statement(sql, params, Self::execute_prepared)
            } else {
                self.statement(&batch.rows(size), params, Self::execute_prepared)
            };
            let (from, to) = (progress.done + 1, progress.done + size);
            progress.changed += result.map_err(|error| progress.add_to(error, from, to))?;
            progress.done += size;
            sent += size * width;
        }
        waiting.clear();
        Ok(())
    }

    /// Runs a statement of our own that ends a transaction, and answers the tag that came back.
    fn end(&mut self, sql: &str, doing: Doing, limit: Option<Duration>) -> Result<String> {
        if let Err(error) = self.call(doing, limit, |client| client.batch_execute(sql)) {
            self.ask_where_nobody_watches();
            return Err(error);
        }
        self.guess = Status::Idle;
        Ok(self.watch.as_ref().map(|watch| watch.seen(|seen| seen.tag.clone())).unwrap_or_default())
    }

    fn short(&self) -> Option<Duration> {
        Some(self.plan.read_timeout.map_or(SHORT, |limit| limit.min(SHORT)))
    }

    /// A round trip in the transaction that autocommit being off has begun, as Django's `is_usable` makes it: it says whether
    /// the transaction is well, too.
    fn asks_in_transaction(&mut self) -> bool {
        let limit = self.short();
        self.begin_where_manual().is_ok()
            && self.call(Doing::Asking, limit, |client| client.simple_query("SELECT 1")).is_ok()
    }

    /// Finds out whether a transaction is open, where nobody watches the stream: a savepoint can be made in none but one.
    fn ask_for_status(&mut self) {
        let limit = self.short();
        let asked = self.call(Doing::Asking, limit, |client| {
            client.batch_execute("SAVEPOINT dockline; RELEASE SAVEPOINT dockline")
        });
        self.guess = match asked.err().and_then(|error| error.code()).as_deref() {
            None => Status::InTransaction,
            Some("25P02") => Status::Failed,
            Some(_) => Status::Idle,
        };
    }

    /// Gives the driver's connection to a thread that closes it: the driver waits for the server, and cannot be dropped by a
    /// thread that is ending.
    fn let_go(&mut self) {
        let Some(client) = self.client.take() else { return };
        if let Some(watch) = &self.watch {
            watch.close(!self.broken);
        }
        if let (true, Some(wire)) = (self.broken, &self.wire) {
            wire.finish();
        }
        // A statement that is dropped while there is a client tells the server, and the goodbye would wait for the answer.
        let statements = std::mem::replace(&mut self.statements, StatementCache::new(0));
        self.plan.server.let_go_elsewhere(self.wire.as_ref(), move || {
            drop(client);
            drop(statements);
        });
        self.wire = None;
    }
}

/// How far an `execute_many` has come.
struct Progress {
    /// What was done commits by itself.
    stands: bool,
    done: usize,
    changed: u64,
}

impl Progress {
    fn add_to(&self, error: Error, from: usize, to: usize) -> Error {
        let error = if from == to {
            error.with_context(format_args!("row {from}"))
        } else {
            error.with_context(format_args!("rows {from} to {to}"))
        };
        if self.done > 0 && self.stands { error.with_fact(Fact::MayHaveExecuted) } else { error }
    }
}

enum Ended {
    Driver(postgres::Error),
}

/// Hands the rows on, one at a time.
fn pour(
    mut rows: RowIter<'_>,
    known: Option<&Arc<[String]>>,
    sink: &mut dyn RowSink,
    drains: bool,
) -> Result<Rest, Ended> {
    let mut told = known.is_some();
    if let Some(columns) = known {
        sink.columns(columns);
    }
    let mut stopped = false;
    let mut read_on = 0;
    while let Some(row) = rows.next().map_err(Ended::Driver)? {
        if !told {
            sink.columns(&names(row.columns()));
            told = true;
        }
        if !stopped {
            stopped = sink.row(values(&row).map_err(Ended::Driver)?) == ControlFlow::Break(());
            continue;
        }
        read_on += 1;
        // Inside a transaction the connection cannot be given up.
        if read_on > WORTH_READING && !drains {
            return Ok(Rest::Spent);
        }
    }
    if !told {
        sink.columns(&Arc::default());
    }
    Ok(Rest::Ready)
}

fn values(row: &Row) -> Result<Vec<Value>, postgres::Error> {
    (0..row.len()).map(|at| row.try_get::<_, Column>(at).map(|column| column.0)).collect()
}

fn names(columns: &[Heading]) -> Arc<[String]> {
    columns.iter().map(|column| column.name().to_owned()).collect()
}

fn with_params<R>(params: &[Value], call: impl FnOnce(&[&(dyn ToSql + Sync)]) -> R) -> R {
    // Few need no memory.
    match params {
        [] => return call(&[]),
        [a] => return call(&[&Param(a)]),
        [a, b] => return call(&[&Param(a), &Param(b)]),
        [a, b, c] => return call(&[&Param(a), &Param(b), &Param(c)]),
        _ => {}
    }
    let params: Vec<Param<'_>> = params.iter().map(Param).collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
    call(&params)
}

/// Parameters of a statement that is not prepared: the server finds out their types, and gets text.
fn with_typed<R>(params: &[Value], call: impl FnOnce(&[(&(dyn ToSql + Sync), Type)]) -> R) -> R {
    let params: Vec<Param<'_>> = params.iter().map(Param).collect();
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        params.iter().map(|param| (param as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
    call(&params)
}

fn begin_sql(options: TransactionOptions) -> Cow<'static, str> {
    if options == TransactionOptions::default() {
        return Cow::Borrowed("BEGIN");
    }
    let mut sql = String::from("BEGIN");
    if let Some(level) = options.isolation_level {
        sql += &format!(" ISOLATION LEVEL {}", level.to_string().to_ascii_uppercase());
    }
    match options.read_only {
        Some(true) => sql += " READ ONLY",
        Some(false) => sql += " READ WRITE",
        None => {}
    }
    Cow::Owned(sql)
}

fn rolled_back() -> Error {
    let message = "the transaction had failed, and COMMIT rolled it back";
    Error::new(ErrorKind::TransactionManagement, message).with_fact(Fact::WorkLost)
}

/// The server no longer knows a statement that was prepared, or a table under it has changed.
fn is_stale(error: &Error) -> bool {
    let routine = || {
        let source = std::error::Error::source(error)?.downcast_ref::<postgres::Error>()?;
        source.as_db_error()?.routine()
    };
    match error.code().as_deref() {
        // By the place in the server: a routine of the program's can raise the same.
        Some("26000") => routine() == Some("FetchPreparedStatement"),
        Some("0A000") => routine() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}

impl Session for PostgresSession {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let result = self.statement(sql, params, Self::execute_prepared);
        self.canceller.end();
        result
    }

    fn query(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        let result = self
            .statement(sql, params, |session, prepared, params| session.query_prepared(prepared, params, &mut *sink));
        self.canceller.end();
        result
    }

    fn execute_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        let Some(first) = rows.next_row().map(<[Value]>::to_vec) else { return Ok(0) };
        self.begin_where_manual()?;
        // What stands behind the row can mean another thing for several: a row can be updated once in a statement.
        let batch = Batch::of(sql, &SYNTAX)
            .filter(|batch| !first.is_empty() && batch.tail().trim_matches([' ', '\n', ';']).is_empty());
        if let Some(batch) = batch {
            translate(sql, first.len(), &SYNTAX).map_err(|error| error.with_context("row 1"))?;
            return self.batches(sql, batch, &first, rows);
        }
        let mut progress = Progress { stands: self.autocommit && self.status() == Status::Idle, done: 0, changed: 0 };
        let mut row = first;
        loop {
            let at = progress.done + 1;
            let result = self.statement(sql, &row, Self::execute_prepared);
            progress.changed += result.map_err(|error| progress.add_to(error, at, at))?;
            progress.done = at;
            row.clear();
            match rows.next_row() {
                Some(next) => row.extend_from_slice(next),
                None => return Ok(progress.changed),
            }
        }
    }

    fn run_own(&mut self, sql: &str) -> Result<()> {
        let begins = !self.autocommit && self.status() == Status::Idle;
        let limit = self.plan.read_timeout;
        let result = if begins {
            let sql = format!("{}; {sql}", begin_sql(self.options));
            self.call(Doing::Running, limit, |client| client.batch_execute(&sql))
        } else {
            self.call(Doing::Running, limit, |client| client.batch_execute(sql))
        };
        if begins && result.is_ok() {
            self.guess = Status::InTransaction;
        }
        self.canceller.end();
        result
    }

    fn set_autocommit(&mut self, on: bool) -> Result<()> {
        if self.broken {
            return self.client().map(drop);
        }
        if self.status() != Status::Idle {
            let message = "autocommit cannot be switched while a transaction is open; commit or roll back first";
            return Err(Error::new(ErrorKind::Programming, message));
        }
        self.autocommit = on;
        self.options = TransactionOptions::default();
        Ok(())
    }

    fn begin(&mut self, options: TransactionOptions) -> Result<()> {
        self.set_autocommit(false)?;
        self.options = options;
        Ok(())
    }

    fn begins_lazily(&self) -> bool {
        true
    }

    fn end(&mut self, commit: bool) -> Result<()> {
        let result = if commit { self.commit() } else { self.rollback() };
        if self.status() == Status::Idle {
            self.autocommit = true;
            self.options = TransactionOptions::default();
        }
        result
    }

    fn commit(&mut self) -> Result<()> {
        if self.status() == Status::Idle {
            return Ok(());
        }
        let limit = self.plan.read_timeout;
        let watched = self.watch.is_some();
        // Where nobody watches: in a block that has failed, the server refuses the first of the two.
        let sql = if watched { "COMMIT" } else { "SELECT 1; COMMIT" };
        let was_rolled_back = match self.end(sql, Doing::Running, limit) {
            Ok(tag) => tag == "ROLLBACK",
            Err(error) if !watched && error.code().as_deref() == Some("25P02") => {
                self.end("ROLLBACK", Doing::Running, self.short())?;
                true
            }
            Err(error) => return Err(error),
        };
        if was_rolled_back {
            return Err(rolled_back());
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<()> {
        if self.status() == Status::Idle {
            return Ok(());
        }
        self.end("ROLLBACK", Doing::Running, self.short()).map(drop)
    }

    fn in_transaction(&self) -> bool {
        self.status() != Status::Idle
    }

    fn is_usable(&mut self) -> bool {
        if self.broken {
            return false;
        }
        if !self.autocommit {
            return self.asks_in_transaction();
        }
        let limit = self.short();
        let usable = self.call(Doing::Asking, limit, |client| client.is_valid(limit.unwrap_or(SHORT))).is_ok();
        if !usable {
            // An answer that comes later belongs to nobody.
            self.broken = true;
        }
        usable
    }

    fn probe(&mut self) -> Health {
        if !self.plan.server.is_current(self.stamp) {
            let message = "the server was demoted, and takes no writes any more";
            return Health::Gone(Error::new(ErrorKind::Operational, message).with_code("25006"));
        }
        if let Some(reason) = self.outdated {
            return Health::Gone(Error::new(ErrorKind::Operational, reason).with_code("25006"));
        }
        if self.canceller.is_in_doubt() {
            return Health::Gone(error::lost(
                Doing::Asking,
                "a cancellation may still come, and hit the next statement",
            ));
        }
        let Some(wire) = &self.wire else { return Health::Alive };
        let gone = match wire.look() {
            Look::Quiet => return Health::Alive,
            Look::Closed => error::lost(Doing::Asking, "the server closed the connection"),
            Look::Failed(error) => {
                error::lost(Doing::Asking, &format!("the connection failed: {error}")).with_source(error)
            }
            Look::Data if self.is_encrypted() => return Health::Ask,
            Look::Data => {
                let mut waiting = [0; 1024];
                match Fatal::waiting(wire.peek(&mut waiting)) {
                    Some(fatal) => error::of_fatal(&fatal, Doing::Asking),
                    // A notification, or a setting that has changed.
                    None => return Health::Ask,
                }
            }
        };
        self.broken = true;
        Health::Gone(match self.fatal() {
            Some(fatal) if gone.code().is_none() => error::of_fatal(&fatal, Doing::Asking),
            _ => gone,
        })
    }

    fn can_probe(&self) -> bool {
        self.wire.is_some()
    }

    fn server_info(&mut self) -> Result<ServerInfo> {
        let limit = self.short();
        let mut messages = self.call(Doing::Asking, limit, |client| client.simple_query(info::QUESTION))?;
        messages.retain(|message| matches!(message, SimpleQueryMessage::Row(_)));
        let over_network = self.wire.as_ref().is_some_and(Wire::leaves_this_machine);
        match messages.first() {
            Some(SimpleQueryMessage::Row(row)) => Ok(info::read(|name| row.try_get(name).ok().flatten(), over_network)),
            _ => Err(Error::new(ErrorKind::Internal, "the server does not say what it is")),
        }
    }

    fn has_state(&mut self) -> bool {
        // What the server reports changes with its own settings, too; then a new connection has the same. But a program that
        // set it cannot be told from that, so it counts.
        self.keeps_state
            || self.watch.as_ref().is_some_and(|watch| {
                watch
                    .seen(|seen| SESSIONS_OWN.iter().any(|name| seen.parameters.get(*name) != self.reported.get(*name)))
            })
    }

    fn server_connection_id(&self) -> Option<u64> {
        self.process
    }

    fn forget_cancel(&mut self) {
        self.canceller.begin();
    }

    fn canceller(&self) -> Option<Arc<dyn Cancel>> {
        Some(Arc::clone(&self.canceller) as Arc<dyn Cancel>)
    }

    fn native(&mut self) -> Result<&mut dyn Any> {
        self.begin_where_manual()?;
        // Its user may wait for notifications as long as it likes.
        self.begin_call(None);
        Ok(self.client()?)
    }

    fn took_back(&mut self) {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.broken = true;
        } else if self.watch.is_none() {
            self.ask_for_status();
        }
    }

    fn native_type(&self) -> &'static str {
        type_name::<Client>()
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.let_go();
        Ok(())
    }
}

/// What a session sets for itself, of what the server reports.
const SESSIONS_OWN: &[&str] =
    &["TimeZone", "DateStyle", "IntervalStyle", "session_authorization", "client_encoding", "search_path"];

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.let_go();
    }
}
