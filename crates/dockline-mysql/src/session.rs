//! One connection.

use std::any::{Any, type_name};
use std::mem::forget;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dockline_core::backend::{
    Cancel, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, TransactionOptions,
};
use dockline_core::placeholder::translate;
use dockline_core::statement::{Dialect, Outline, Statements};
use dockline_core::{Error, ErrorKind, Fact, Liveness, Result, ServerInfo, Value};
use dockline_net::{Server, Stamp, StatementCache, Wire};
use mysql::prelude::Queryable;
use mysql::{Conn, Params};

use crate::ask::{ask, is_on};
use crate::cancel::Canceller;
use crate::colon::has_colon_name;
use crate::error::{Phase, ends_transaction, gone, keeps_step, map, spares_transaction, too_large};
use crate::liveness::look;
use crate::open::Opened;
use crate::plan::Plan;
use crate::receive::{Received, receive};
use crate::statement::{Form, Prepared, Template};
use crate::tracking::{Tracking, Whose, is_utc};
use crate::{info, many, value, wire};

pub(crate) struct MysqlSession {
    pub(crate) conn: Conn,
    pub(crate) wire: Option<Wire>,
    pub(crate) plan: Arc<Plan>,
    server: Arc<Server>,
    stamp: Stamp,
    canceller: Arc<Canceller>,
    cache: StatementCache<Arc<Prepared>>,
    pub(crate) tracking: Tracking,
    pub(crate) encrypted: bool,
    pub(crate) mariadb: bool,
    was_read_only: bool,
    /// The largest packet that the server takes.
    max_packet: usize,
    dialect: Dialect,
    /// Nobody else looks at the socket outside a transaction.
    looks: bool,
    /// After an error that leaves the connection out of step, nothing is sent any more.
    broken: bool,
    /// The driver's own object was lent, and may have done anything.
    lent: bool,
    /// A KILL may still hit the next statement.
    killed: bool,
    /// The atomic block has characteristics of its own.
    has_options: bool,
    /// The last error has ended a transaction that was certainly open.
    rolled_back: bool,
}

/// Turns on what the server is to report; also after the driver's own object was lent, whose `reset` turns it off.
const TRACK: &str = "SET SESSION session_track_transaction_info='STATE', session_track_state_change=ON, \
                     session_track_system_variables='autocommit,time_zone'";

const TRACK_ANEW: &str =
    "SET SESSION session_track_transaction_info='OFF'; SET SESSION session_track_transaction_info='STATE'";

impl MysqlSession {
    pub(crate) fn set_up(mut opened: Opened, plan: &Arc<Plan>) -> Result<Self> {
        let told = opened.set_up(plan)?;
        let Opened { conn, wire, server, stamp, encrypted, .. } = opened;
        let told = |at: usize| told.get(at).and_then(Option::as_deref).unwrap_or_default();
        let (mariadb, max_packet) = (told(0).contains("MariaDB"), told(1).parse().unwrap_or(usize::MAX));
        let was_read_only = is_on(told(2));
        let mut tracking = Tracking::new(plan.settings.get_autocommit(), is_utc(told(4)));
        tracking.read(&conn, Whose::Ours);
        let session = Self {
            canceller: Canceller::new(plan, conn.connection_id(), wire.as_ref().and_then(Wire::peer), told(3)),
            cache: StatementCache::new(plan.settings.get_statement_cache()),
            dialect: dialect(told(0)),
            looks: plan.settings.get_liveness() == Liveness::Off,
            plan: Arc::clone(plan),
            conn,
            wire,
            server,
            stamp,
            tracking,
            encrypted,
            mariadb,
            was_read_only,
            max_packet,
            broken: false,
            lent: false,
            killed: false,
            has_options: false,
            rolled_back: false,
        };
        if let Some(wire) = &session.wire {
            let limit = session.limit();
            wire.set_timeouts(limit, limit).map_err(|error| gone(&error).with_source(error))?;
        }
        Ok(session)
    }

    fn limit(&self) -> Option<Duration> {
        self.plan.settings.get_read_timeout()
    }

    /// Before anything is sent: whether there is somebody to send it to.
    fn begin(&mut self) -> Result<()> {
        if self.broken {
            return Err(gone("the connection has failed before"));
        }
        if (self.looks || self.may_have_transaction())
            && let Health::Gone(error) = self.look()
        {
            self.broken = true;
            return Err(error);
        }
        if std::mem::take(&mut self.killed) {
            match self.conn.query_drop("DO 0") {
                Err(mysql::Error::MySqlError(error)) if error.code == 1317 => {}
                result => result.map_err(|error| self.failed(error, Phase::Before))?,
            }
        }
        self.catch_up()
    }

    /// After the driver's own object was lent: what has become of the session.
    fn catch_up(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.lent) {
            return Ok(());
        }
        if self.wire.as_ref().is_some_and(|wire| !wire.is_same()) {
            // It has not been set up, and may be a connection to anywhere.
            self.broken = true;
            return Err(gone("a closure of native has put another connection into the place of this one"));
        }
        self.tracking.read(&self.conn, Whose::Ours);
        self.conn.query_drop(TRACK).map_err(|error| self.failed(error, Phase::Before))?;
        self.ask_for_transaction();
        Ok(())
    }

    fn look(&self) -> Health {
        self.wire.as_ref().map_or(Health::Alive, |wire| look(wire, self.encrypted))
    }

    /// Runs `call` as one statement of the caller's, or several.
    fn statement<R>(&mut self, call: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.tracking.begin_call();
        self.rolled_back = false;
        let result = self.begin().and_then(|()| call(self));
        let cancelled =
            result.as_ref().is_err_and(|error| error.is_cancelled() && error.code().as_deref() == Some("1317"));
        self.canceller.end(cancelled);
        result
    }

    /// Runs a statement, and hands what it gives to the sink, where there is one.
    pub(crate) fn run(&mut self, sql: &str, params: &[Value], mut sink: Option<&mut dyn RowSink>) -> Result<Received> {
        let mut retried = false;
        loop {
            let (prepared, kept) = self.prepared(sql, params.len())?;
            let outline = &prepared.outline;
            if outline.may_commit() {
                self.tracking.set_committed();
            }
            let sink = sink.as_mut().map(|sink| &mut **sink as &mut dyn RowSink);
            let result = self.send(sql, &prepared, params, sink);
            if !kept {
                self.close_statement(&prepared.form);
            }
            match result? {
                Ok(received) => {
                    self.answered(&prepared, &received);
                    return Ok(received);
                }
                // The server does not know the statement any more, as after the driver's `reset`, or wants it anew. It has
                // not run it.
                Err(Failed { error: mysql::Error::MySqlError(error), at_once: true })
                    if matches!(error.code, 1243 | 1615) && !retried =>
                {
                    self.cache.clear();
                    retried = true;
                }
                Err(Failed { error, .. }) => {
                    let error = self.failed(error, Phase::Sent);
                    // A text that the server cannot read is none that it has begun to run.
                    let is_refused = !outline.is_known() && error.code().as_deref() == Some("1064");
                    if is_refused || !outline.may_stop_half_way() {
                        return Err(error);
                    }
                    if !self.broken {
                        self.ask_for_transaction();
                    }
                    return Err(error.with_fact(Fact::MayHaveExecuted));
                }
            }
        }
    }

    /// Sends a statement, and hands on what comes back. The outer error is of what was not sent.
    fn send(
        &mut self,
        sql: &str,
        prepared: &Prepared,
        params: &[Value],
        sink: Option<&mut dyn RowSink>,
    ) -> Result<Result<Received, Failed>> {
        let leaves = prepared.outline.reads_only() && !self.may_have_transaction() && !self.tracking.has_state();
        let wire = self.wire.as_ref();
        let at_utc = self.tracking.at_utc;
        if !at_utc {
            value::refuse_instants(params)?;
        }
        let later = |error| Failed { error, at_once: false };
        Ok(match &prepared.form {
            Form::Binary(statement) => {
                let values = value::params(params)?;
                fits(sql.len() + params.iter().map(value::size).sum::<usize>(), self.max_packet)?;
                match self.conn.exec_iter(statement, Params::Positional(values)) {
                    Ok(result) => receive(result, prepared, sink, wire, leaves, at_utc).map_err(later),
                    // What a routine runs inside can fail in the same words.
                    Err(error) => Err(Failed { error, at_once: !prepared.outline.may_stop_half_way() }),
                }
            }
            Form::Text(template) => {
                let text = template.fill(params)?;
                fits(text.len(), self.max_packet)?;
                let result = self.conn.query_iter(text).map_err(later);
                result.and_then(|result| receive(result, prepared, sink, wire, leaves, at_utc).map_err(later))
            }
        })
    }

    fn answered(&mut self, prepared: &Prepared, received: &Received) {
        if received.rest == Rest::Unread {
            self.broken = true;
            return;
        }
        if received.gave_rows {
            self.tracking.doubts();
        }
        self.tracking.read(&self.conn, Whose::Callers);
        if !received.gave_rows {
            self.tracking.answered(&prepared.outline);
        }
        self.tracking.follow(&prepared.outline);
    }

    /// The statement from the cache, or prepared; and whether it is kept.
    fn prepared(&mut self, sql: &str, parameters: usize) -> Result<(Arc<Prepared>, bool)> {
        if let Some(found) = self.cache.get(sql) {
            if found.parameters() == parameters {
                return Ok((found, true));
            }
            translate(sql, parameters, self.dialect())?;
        }
        let outline = Outline::of(sql, self.dialect());
        let form = self.form(sql, parameters, &outline)?;
        let prepared = Arc::new(Prepared::new(outline, form));
        match self.cache.put(sql, Arc::clone(&prepared)) {
            Some(same) if Arc::ptr_eq(&same, &prepared) => Ok((prepared, false)),
            Some(other) => {
                self.close_statement(&other.form);
                Ok((prepared, true))
            }
            None => Ok((prepared, true)),
        }
    }

    fn form(&mut self, sql: &str, parameters: usize, outline: &Outline) -> Result<Form> {
        let dialect = self.dialect();
        if sql.as_bytes().contains(&0) {
            return Err(Error::new(ErrorKind::Programming, "the statement has a NUL character"));
        }
        if outline.statements() == Statements::None {
            return Err(Error::new(ErrorKind::Programming, "there is no statement in the text"));
        }
        if outline.asks_for_file() {
            let message = "LOAD DATA LOCAL goes by native, with the driver's set_local_infile_handler";
            return Err(Error::new(ErrorKind::NotSupported, message));
        }
        fits(sql.len(), self.max_packet)?;
        let text = translate(sql, parameters, dialect)?;
        // The protocol counts the parameters of a prepared statement with 16 bits.
        let too_many = parameters > usize::from(u16::MAX);
        if !self.plan.settings.get_prepared_statements() || too_many || has_colon_name(sql) {
            return Template::new(sql, parameters, outline, dialect).map(Form::Text);
        }
        match self.conn.prep(&*text) {
            Ok(statement) if usize::from(statement.num_params()) == parameters => Ok(Form::Binary(statement)),
            Ok(statement) => {
                let found = statement.num_params();
                self.close_statement(&Form::Binary(statement));
                let message = format!(
                    "the server found {found} placeholders in the statement, and {parameters} parameters were given"
                );
                Err(Error::new(ErrorKind::Programming, message))
            }
            // It cannot be prepared, and has not run.
            Err(mysql::Error::MySqlError(error)) if error.code == 1295 => {
                Template::new(sql, parameters, outline, dialect).map(Form::Text)
            }
            Err(error) => Err(self.failed(error, Phase::Before)),
        }
    }

    /// The server does not answer to it.
    fn close_statement(&mut self, form: &Form) {
        if let (Form::Binary(statement), false) = (form, self.broken) {
            self.broken = self.conn.close(statement.clone()).is_err();
        }
    }

    /// Runs a statement of our own that gives no rows.
    fn simple(&mut self, sql: &str) -> Result<()> {
        self.conn.query_drop(sql).map_err(|error| self.failed(error, Phase::Sent))
    }

    /// What an error of the driver means for the session, and as an error of ours.
    pub(crate) fn failed(&mut self, error: mysql::Error, phase: Phase) -> Error {
        self.broken |= !keeps_step(&error);
        let mapped = map(error, phase, self.limit());
        if self.broken {
            return mapped;
        }
        let code = mapped.code().unwrap_or_default();
        let was_open = self.tracking.is_open();
        if self.tracking.in_transaction() && !spares_transaction(&code) {
            self.ask_for_transaction();
        } else {
            // It may have begun a transaction all the same.
            self.tracking.doubts();
        }
        self.rolled_back = was_open || ends_transaction(&code);
        match (code.as_str(), self.plan.settings.get_statement_timeout()) {
            ("1290" | "1836", _) => self.confirm_read_only(mapped),
            ("1969" | "3024", Some(limit)) => {
                mapped.with_context(format_args!("the statement ran longer than statement_timeout ({limit:?})"))
            }
            _ => mapped,
        }
    }

    /// Errors carry no news, and some end a transaction. MySQL tells with the next answer, MariaDB forgets.
    fn ask_for_transaction(&mut self) {
        let asked = if self.mariadb {
            ask(&mut self.conn, "SELECT @@in_transaction").and_then(|told| {
                let open = told.first().and_then(Option::as_deref) == Some("1");
                self.tracking.set_open(open);
                // It takes what it has told before as known, and would not tell of the next transaction.
                if open { Ok(()) } else { self.conn.query_drop(TRACK_ANEW) }
            })
        } else {
            self.conn.query_drop("DO 0").map(|()| self.tracking.read(&self.conn, Whose::Callers))
        };
        self.broken |= asked.is_err_and(|error| !keeps_step(&error));
    }

    /// 1290 is said of several options. Where the server took writes when this connection was opened, it was demoted.
    fn confirm_read_only(&mut self, error: Error) -> Error {
        match ask(&mut self.conn, "SELECT @@global.read_only") {
            Ok(told) if told.first().and_then(Option::as_deref).is_some_and(is_on) => {
                if !self.was_read_only {
                    self.server.demoted(self.stamp);
                }
                error.with_fact(Fact::ReadOnly)
            }
            Ok(_) => error,
            Err(failed) => {
                self.broken |= !keeps_step(&failed);
                error
            }
        }
    }

    /// Runs `call` with a limit of its own for every answer.
    fn within<R>(&mut self, limit: Duration, call: impl FnOnce(&mut Self) -> R) -> R {
        let usual = self.limit();
        let Some(wire) = self.wire.as_ref().filter(|_| usual.is_none_or(|usual| usual > limit)) else {
            return call(self);
        };
        let _ = wire.set_read_timeout(Some(limit));
        let result = call(self);
        if let Some(wire) = &self.wire {
            self.broken |= wire.set_read_timeout(usual).is_err();
        }
        result
    }

    /// With autocommit off there may be a transaction that nobody has told of.
    fn may_have_transaction(&self) -> bool {
        self.tracking.in_transaction() || !self.tracking.autocommit
    }

    fn end_transaction(&mut self, sql: &str) -> Result<()> {
        self.begin()?;
        if self.may_have_transaction() {
            self.simple(sql)?;
            self.tracking.set_open(false);
            self.tracking.read(&self.conn, Whose::Ours);
        }
        Ok(())
    }

    fn ask_server_info(&mut self) -> Result<ServerInfo> {
        let asked = info::server_info(&mut self.conn, self.mariadb);
        let mut info = asked.map_err(|error| self.failed(error, Phase::Before))?;
        info.encrypted = Some(self.encrypted);
        info.over_network = self.wire.as_ref().is_some_and(Wire::leaves_this_machine);
        Ok(info)
    }

    /// How the session reads a text.
    fn dialect(&self) -> Dialect {
        self.dialect.with_backslash_escapes(!self.conn.no_backslash_escape())
    }

    fn let_go(self: Box<Self>, until: Option<Instant>) {
        let Self { conn, wire, server, broken, .. } = *self;
        if let (true, Some(wire)) = (broken, &wire) {
            // The driver's goodbye must not wait for one who does not listen.
            wire.finish();
        }
        server.let_go(wire.as_ref(), until, || drop(conn));
    }
}

/// The server's, or the driver's, answer to a statement that was sent.
struct Failed {
    error: mysql::Error,
    /// It is the answer to a prepared statement itself: nothing has run.
    at_once: bool,
}

/// The server's own SQL, by what it says of its version: `9.7.4`, `10.11.19-MariaDB-deb12`.
fn dialect(version: &str) -> Dialect {
    let dialect = if version.contains("MariaDB") { Dialect::MARIADB } else { Dialect::MYSQL };
    let numbers: Vec<u32> = version.split(['.', '-']).take(3).filter_map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [major, minor, patch] => dialect.with_version(major * 10_000 + minor * 100 + patch),
        _ => dialect,
    }
}

/// For the next transaction only.
fn transaction_sql(options: TransactionOptions) -> String {
    let level =
        options.isolation_level.map(|level| format!("ISOLATION LEVEL {}", level.to_string().to_ascii_uppercase()));
    let access = options.read_only.map(|only| String::from(if only { "READ ONLY" } else { "READ WRITE" }));
    let words: Vec<String> = level.into_iter().chain(access).collect();
    format!("SET TRANSACTION {}", words.join(", "))
}

fn fits(size: usize, limit: usize) -> Result<()> {
    if size < limit {
        return Ok(());
    }
    Err(too_large(format_args!("the statement has about {size} bytes, and the server takes {limit}; it was not sent")))
}

impl Session for MysqlSession {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.statement(|session| session.run(sql, params, None).map(|received| received.affected))
    }

    fn query(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        self.statement(|session| session.run(sql, params, Some(sink)).map(|received| received.rest))
    }

    fn insert(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Value> {
        self.statement(|session| session.run(sql, params, Some(sink)))?;
        // It came with the answer; 0 where nothing was generated.
        Ok(match self.conn.last_insert_id() {
            0 => Value::Null,
            id => value::unsigned(id),
        })
    }

    fn dialect(&self) -> Dialect {
        Self::dialect(self)
    }

    fn execute_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        self.statement(|session| {
            let commits_each = session.tracking.autocommit && !session.tracking.in_transaction();
            let dialect = session.dialect();
            let mut run =
                |sql: &str, params: &[Value]| session.run(sql, params, None).map(|received| received.affected);
            many::execute(sql, dialect, commits_each, rows, &mut run)
        })
    }

    fn run_own(&mut self, sql: &str) -> Result<()> {
        self.statement(|session| {
            session.simple(sql)?;
            session.tracking.read(&session.conn, Whose::Ours);
            Ok(())
        })
    }

    fn set_autocommit(&mut self, on: bool) -> Result<()> {
        // As Django's driver, which then sends nothing: a BEGIN that was sent as text stays open.
        if self.tracking.autocommit == on && !self.lent {
            return Ok(());
        }
        self.statement(|session| {
            session.simple(if on { "SET autocommit=1" } else { "SET autocommit=0" })?;
            session.tracking.autocommit = on;
            if on {
                session.tracking.set_open(false);
            }
            session.tracking.read(&session.conn, Whose::Ours);
            Ok(())
        })
    }

    fn begin(&mut self, options: TransactionOptions) -> Result<()> {
        if options != TransactionOptions::default() {
            let sql = transaction_sql(options);
            self.statement(|session| session.simple(&sql))?;
        }
        self.has_options = options != TransactionOptions::default();
        // Not START TRANSACTION: after a statement that commits by itself, the block would be over.
        let begun = self.set_autocommit(false);
        // The options wait for whatever transaction comes next.
        self.broken |= begun.is_err() && self.has_options;
        begun
    }

    fn end(&mut self, commit: bool) -> Result<()> {
        // Switching autocommit on commits, in one statement; unless the program has switched it on already.
        if !commit {
            self.rollback()?;
        } else if self.tracking.autocommit || self.has_options {
            // Only COMMIT and ROLLBACK forget what SET TRANSACTION has set for one transaction.
            self.commit()?;
        }
        self.has_options = false;
        self.set_autocommit(true)
    }

    fn begins_lazily(&self) -> bool {
        false
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            transaction: self.tracking.transaction(),
            rolled_back: self.rolled_back,
            committed: self.tracking.committed(),
        }
    }

    fn commit(&mut self) -> Result<()> {
        self.statement(|session| session.end_transaction("COMMIT"))
    }

    fn rollback(&mut self) -> Result<()> {
        let limit = self.plan.short();
        self.statement(|session| session.within(limit, |session| session.end_transaction("ROLLBACK")))
    }

    fn is_usable(&mut self) -> bool {
        if self.broken || matches!(self.look(), Health::Gone(_)) {
            return false;
        }
        let limit = self.plan.short();
        self.broken = self.within(limit, |session| session.conn.ping()).is_err();
        !self.broken
    }

    #[inline]
    fn probe(&mut self) -> Health {
        if self.broken {
            return Health::Gone(gone("the connection has failed before"));
        }
        if !self.server.is_current(self.stamp) {
            let message = "the server takes no writes any more (it was demoted); connections to it are opened anew";
            return Health::Gone(Error::new(ErrorKind::Operational, message).with_code("1290"));
        }
        self.look()
    }

    fn can_probe(&self) -> bool {
        self.wire.is_some()
    }

    fn server_info(&mut self) -> Result<ServerInfo> {
        let limit = self.plan.short();
        self.statement(|session| session.within(limit, Self::ask_server_info))
    }

    fn state(&mut self) -> SessionState {
        self.tracking.session_state()
    }

    fn server_connection_id(&self) -> Option<u64> {
        Some(self.conn.connection_id().into())
    }

    fn forget_cancel(&mut self) {
        self.killed |= self.canceller.begin();
    }

    fn canceller(&self) -> Option<Arc<dyn Cancel>> {
        Some(Arc::clone(&self.canceller) as Arc<dyn Cancel>)
    }

    fn native(&mut self) -> Result<&mut dyn Any> {
        self.begin()?;
        self.lent = true;
        Ok(&mut self.conn)
    }

    fn after_native(&mut self) {
        let limit = self.plan.short();
        // Where it fails, the session is broken, and says so to the next statement.
        let _ = self.within(limit, Self::catch_up);
    }

    fn native_type(&self) -> &'static str {
        type_name::<Conn>()
    }

    fn abandon(self: Box<Self>) {
        match &self.wire {
            // The driver's goodbye goes nowhere then.
            Some(wire) if wire::leave(wire) => {}
            _ => forget(self),
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.let_go(None);
        Ok(())
    }

    fn close_by(self: Box<Self>, deadline: Instant) -> Result<()> {
        self.let_go(Some(deadline));
        Ok(())
    }
}
