//! One connection.

mod failure;
mod file;
mod native;
mod prepare;
mod ran;
mod reset;
mod run;
mod switches;
mod switching;
mod text;
mod transaction;

use std::any::{Any, type_name};
use std::mem::forget;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use dockline_core::backend::{
    Cancel, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, TransactionOptions,
};
use dockline_core::statement::Dialect;
use dockline_core::{Error, ErrorKind, Liveness, Result, ServerInfo, Value};
use dockline_net::{Role, Server, Stamp, StatementCache, Wire};
use mysql::Conn;
use mysql::prelude::Queryable;

use crate::ask::is_on;
use crate::cancel::Canceller;
use crate::dialect::dialect;
use crate::error::{Phase, gone};
use crate::liveness::look;
use crate::open::Opened;
use crate::plan::Plan;
use crate::statement::Prepared;
use crate::tracking::Tracking;
use crate::{info, many, value, wire};
use ran::Ran;
use switches::Switches;

/// A server hangs up in a pause. One that answered a moment ago is not looked at, for a block's statements follow each other. If it is gone
/// all the same, the statement's error says that it may have run.
const PAUSE: Duration = Duration::from_micros(50);

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
    /// How the server reads texts.
    dialect: Dialect,
    ran: Ran,
    switches: Switches,
    /// The server asked for a file, and got an empty one.
    asked_for_file: Arc<AtomicBool>,
    /// Nobody else looks at the socket outside a transaction.
    looks: bool,
    /// When the server answered last, if it is this session that looks at the socket before the next statement.
    answered: Option<Instant>,
    /// After an error that leaves the connection out of step, nothing is sent any more.
    broken: bool,
    /// The driver's own object was lent, and may have done anything.
    lent: bool,
    /// A KILL may still hit the next statement.
    killed: bool,
    /// The characteristics that the atomic block has of its own.
    options: Option<TransactionOptions>,
    /// The last error has ended a transaction that was certainly open.
    rolled_back: bool,
}

impl MysqlSession {
    /// What the server is, for the choice among several, as it said when the session was set up. It has no better word for a standby
    /// than that it takes no writes.
    pub(crate) fn role(&self) -> Role {
        Role { standby: self.was_read_only, read_only: self.was_read_only }
    }

    pub(crate) fn set_up(mut opened: Opened, plan: &Arc<Plan>) -> Result<Box<Self>> {
        let mut tracking = Tracking::new(plan.settings.get_autocommit());
        let told = opened.set_up(plan, &mut tracking)?;
        let Opened { mut conn, wire, server, stamp, encrypted, .. } = opened;
        let told = |at: usize| told.get(at).and_then(Option::as_deref).unwrap_or_default();
        let dialect = dialect(told(0));
        let max_packet = told(1).parse().unwrap_or(usize::MAX);
        let was_read_only = is_on(told(2));
        let mut ran = Ran::default();
        if plan.settings.get_init_sql().is_some() {
            ran.note_all();
        }
        // What stands in between has numbers of its own for connections, and may want to read what ends a transaction.
        let is_straight = told(7).parse().is_ok_and(|id: u64| id & 0xffff_ffff == u64::from(conn.connection_id()));
        let settings = &plan.settings;
        let prepares = settings.get_prepared_statements() && settings.get_statement_cache() > 0;
        let mut session = Box::new(Self {
            switches: Switches::new(prepares && is_straight && tracking.reports()),
            canceller: Canceller::new(plan, conn.connection_id(), wire.as_ref().and_then(Wire::peer), told(6)),
            cache: StatementCache::new(plan.settings.get_statement_cache()),
            looks: plan.settings.get_liveness() == Liveness::Off,
            answered: None,
            asked_for_file: file::watch(&mut conn),
            plan: Arc::clone(plan),
            conn,
            wire,
            server,
            stamp,
            tracking,
            encrypted,
            mariadb: dialect.is_mariadb(),
            dialect,
            ran,
            was_read_only,
            max_packet,
            broken: false,
            lent: false,
            killed: false,
            options: None,
            rolled_back: false,
        });
        session.learn_dialect();
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
        if self.looks_itself()
            && self.answered.is_none_or(|at| at.elapsed() >= PAUSE)
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

    /// Whether the owner of the session has not looked at the socket before a statement.
    fn looks_itself(&self) -> bool {
        self.looks || self.tracking.may_have_transaction()
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
        if self.looks_itself() {
            self.answered = result.is_ok().then(Instant::now);
        }
        result
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

    fn ask_server_info(&mut self) -> Result<ServerInfo> {
        let asked = info::server_info(&mut self.conn, self.mariadb);
        let mut info = asked.map_err(|error| self.failed(error, Phase::Before))?;
        info.encrypted = Some(self.encrypted);
        info.over_network = self.wire.as_ref().is_some_and(Wire::leaves_this_machine);
        Ok(info)
    }
}

impl MysqlSession {
    fn let_go(self: Box<Self>, until: Option<Instant>) {
        let Self { conn, wire, server, broken, .. } = *self;
        if let (true, Some(wire)) = (broken, &wire) {
            // The driver's goodbye must not wait for one who does not listen.
            wire.finish();
        }
        server.let_go(wire.as_ref(), until, || drop(conn));
    }
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
        self.dialect
    }

    fn execute_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        self.statement(|session| {
            let commits_each = session.tracking.autocommit && !session.tracking.in_transaction();
            let dialect = session.dialect;
            let mut run =
                |sql: &str, params: &[Value]| session.run(sql, params, None).map(|received| received.affected);
            many::execute(sql, dialect, commits_each, rows, &mut run)
        })
    }

    fn run_own(&mut self, sql: &str) -> Result<()> {
        self.statement(|session| session.simple(sql))
    }

    fn set_autocommit(&mut self, on: bool) -> Result<()> {
        self.switch_autocommit(on)
    }

    fn begin(&mut self, options: TransactionOptions) -> Result<()> {
        self.begin_block(options)
    }

    fn end(&mut self, commit: bool) -> Result<()> {
        self.end_block(commit)
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
        self.commit_open()
    }

    fn rollback(&mut self) -> Result<()> {
        self.roll_back_open()
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
        self.tracking.state().clone()
    }

    fn reset(&mut self, deadline: Instant) -> Result<()> {
        self.reset_by(deadline)
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
        self.close_switches();
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
