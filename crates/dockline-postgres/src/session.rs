//! One connection.

mod arrays;
mod catalog;
mod context;
mod describing;
mod direct;
mod encoding;
mod fetch;
mod follow;
mod guess;
mod held;
mod liveness;
mod lookups;
mod many;
mod prepared;
mod preparing;
mod reset;
mod set_up;
mod statement;
mod texts;
mod transaction;

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dockline_core::backend::{
    Cancel, Health, Outcome, ParamRows, Rest, RowSink, Session, SessionState, StateKind, TransactionOptions,
    TransactionState,
};
use dockline_core::statement::Dialect;
use dockline_core::{Error, ErrorKind, Fact, Result, ServerInfo, Value};
use dockline_net::{SHORT, Stamp, Wire};
use postgres::{Client, SimpleQueryMessage};

use crate::cancel::Canceller;
use crate::error::{self, Phase};
use crate::info;
use crate::open::{Opened, set_up_failed};
use crate::plan::Plan;
use crate::protocol::{Fatal, Status};
use crate::runtime;
use crate::transport::Secure;
use crate::value::Reader;
use crate::watch::Watch;
use crate::wire;
use catalog::Catalog;
use context::Contexts;
use held::Held;
use texts::Texts;

pub(crate) struct PostgresSession {
    /// `None` when it has been closed.
    client: Option<Client>,
    wire: Option<Wire>,
    /// The stream, if it is encrypted.
    encrypted: Option<Weak<Secure>>,
    watch: Arc<Watch>,
    plan: Arc<Plan>,
    stamp: Stamp,
    process: Option<u64>,
    canceller: Arc<Canceller>,
    texts: Texts,
    contexts: Contexts,
    held: Held,
    /// How often the server had reported a setting when that was looked at last.
    reports: u64,
    /// `standard_conforming_strings` is off.
    backslash_escapes: bool,
    /// Where it is off, the next statement begins a transaction.
    autocommit: bool,
    /// How it begins.
    options: TransactionOptions,
    /// The program sent a COMMIT by the last call.
    committed: bool,
    /// The last call failed, and left no transaction where one was.
    rolled_back: bool,
    /// After an error that makes the connection untrustworthy nothing is sent any more.
    broken: bool,
    /// The program had the driver: it may hold statements, of which the driver tells the server when they are dropped.
    was_lent: bool,
    /// The socket was quiet when it was looked at for the call that comes.
    has_looked: bool,
    /// How columns are read.
    reader: Reader,
    catalog: Catalog,
    /// A savepoint of ours stands in front of a statement that has been prepared.
    owes_release: bool,
    /// What the server reported of the session when it was set up.
    reported: BTreeMap<String, String>,
    was_read_only: bool,
    opened_at: Instant,
    /// It is to be replaced when it is idle, for this reason.
    outdated: Option<&'static str>,
}

impl PostgresSession {
    pub(crate) fn set_up(opened: Box<Opened>, plan: Arc<Plan>) -> Result<Box<Self>> {
        let Opened { client, watch, wire, encrypted, address, stamp, deadline } = *opened;
        let key = watch.seen(|seen| seen.key);
        let mut session = Box::new(Self {
            process: key.map(|(process, _)| u64::from(process.unsigned_abs())),
            canceller: Arc::new(Canceller::new(Arc::clone(&plan), key, address, encrypted.is_some())),
            client: Some(client),
            wire,
            encrypted,
            watch,
            stamp,
            texts: Texts::new(plan.statement_cache),
            contexts: Contexts::default(),
            held: Held::default(),
            reports: 0,
            backslash_escapes: false,
            autocommit: plan.autocommit,
            options: TransactionOptions::default(),
            committed: false,
            rolled_back: false,
            broken: false,
            was_lent: false,
            has_looked: false,
            reader: Reader::default(),
            catalog: Catalog::new(plan.statement_cache),
            owes_release: false,
            reported: BTreeMap::new(),
            was_read_only: false,
            opened_at: Instant::now(),
            outdated: None,
            plan,
        });
        if let Err(error) = session.tell_settings("", deadline) {
            session.let_go(None);
            return Err(set_up_failed(&session.plan, deadline, error));
        }
        if !session.plan.prepares {
            session.watch.hide_types();
        }
        session.was_read_only = session.says_read_only();
        session.reported = session.parameters();
        Ok(session)
    }

    fn client(&mut self) -> Result<&mut Client> {
        self.notice_end();
        if self.broken {
            return Err(error::lost(Phase::Before, "the connection was lost before"));
        }
        self.client.as_mut().ok_or_else(|| error::lost(Phase::Before, "the connection is closed"))
    }

    /// Runs something on the driver; each of its reads may take that long.
    fn call<R>(
        &mut self,
        phase: Phase,
        limit: Option<Duration>,
        call: impl FnOnce(&mut Client) -> Result<R, postgres::Error>,
    ) -> Result<R> {
        let before = self.begin_call(limit);
        let result = call(self.client()?);
        result.map_err(|error| self.failed(error, phase, before))
    }

    fn begin_call(&self, limit: Option<Duration>) -> u64 {
        self.watch.begin_call(limit);
        self.watch.written()
    }

    /// Maps an error of the driver, with all that is known of it besides.
    fn failed(&mut self, error: postgres::Error, phase: Phase, written_before: u64) -> Error {
        let from_server = error.as_db_error().is_some();
        // Nothing was written, or the server did not come to it, as it could not begin the transaction.
        let sent = self.watch.written() > written_before && !(from_server && self.watch.is_unanswered());
        let phase = if sent { phase } else { Phase::Before };
        let mut mapped = error::map(error, phase);
        if mapped.is_disconnect() {
            self.broken = true;
            // The driver forgets why a server hung up, where it did so between two statements.
            if let Some(fatal) = self.fatal().filter(|_| !from_server) {
                mapped = error::of_fatal(&fatal, phase).with_source(mapped);
            }
        } else {
            if phase == Phase::Sent && self.watch.has_failed_behind_an_answer() {
                // The statement has run: what failed is something that the driver asked besides.
                mapped = mapped.with_fact(Fact::MayHaveExecuted);
            }
            self.learn_status();
        }
        if mapped.is_read_only() {
            // The server tells of a demotion behind the error of the first statement that meets it.
            self.read_behind_error();
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

    /// Runs a call of the core's, and notes what it did to the transaction.
    fn observed<R>(&mut self, call: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let was_open = self.status() != Status::Idle;
        self.committed = false;
        let result = call(self);
        self.has_looked = false;
        self.notice_end();
        self.rolled_back = was_open && result.is_err() && !self.broken && self.status() == Status::Idle;
        if self.broken {
            // What the transaction had set went with it.
            self.held.end(self.committed);
        }
        self.canceller.end();
        result
    }

    /// A call can be well, and the connection be over behind it.
    fn notice_end(&mut self) {
        self.broken |= self.watch.has_ended();
    }

    fn is_encrypted(&self) -> bool {
        self.encrypted.is_some()
    }

    fn fatal(&self) -> Option<Fatal> {
        self.watch.seen(|seen| seen.fatal.clone())
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        self.watch.seen(|seen| seen.parameters.clone())
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
            Some(_) => self.held.is_empty() && self.says_read_only(),
            None => self.held.is_empty() && self.status() == Status::Idle,
        }
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.watch.seen(|seen| seen.parameters.get(name).cloned())
    }

    fn short(&self) -> Option<Duration> {
        Some(dockline_net::short(self.plan.read_timeout))
    }

    /// Gives the driver's connection to a thread that closes it: the driver waits for the server, and cannot be dropped by a
    /// thread that is ending.
    fn let_go(&mut self, until: Option<Instant>) {
        let Some(client) = self.client.take() else { return };
        self.watch.close(!self.broken);
        if let (true, Some(wire)) = (self.broken, &self.wire) {
            wire.finish();
        }
        // A statement that is dropped while there is a client tells the server, and the goodbye would wait for the answer.
        let texts = std::mem::replace(&mut self.texts, Texts::new(0));
        self.plan.server.let_go_elsewhere(self.wire.as_ref(), until, move || {
            drop(client);
            drop(texts);
        });
        self.wire = None;
    }
}

impl Session for PostgresSession {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.observed(|session| runtime::blocking(|| session.statement(sql, params, Self::execute_prepared)))
    }

    fn query(&mut self, sql: &str, params: &[Value], sink: &mut dyn RowSink) -> Result<Rest> {
        self.observed(|session| {
            runtime::blocking(|| {
                session.statement(sql, params, |session, prepared, params| {
                    session.query_prepared(prepared, params, &mut *sink)
                })
            })
        })
    }

    fn dialect(&self) -> Dialect {
        Self::dialect(self)
    }

    fn execute_many(&mut self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        self.observed(|session| runtime::blocking(|| session.run_many(sql, rows)))
    }

    fn run_own(&mut self, sql: &str) -> Result<()> {
        self.observed(|session| runtime::blocking(|| session.run_simply(sql)))
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

    fn outcome(&self) -> Outcome {
        let transaction = match self.status() {
            Status::Idle => TransactionState::None,
            Status::InTransaction => TransactionState::Open,
            Status::Failed => TransactionState::Failed,
        };
        Outcome { transaction, rolled_back: self.rolled_back, committed: self.committed }
    }

    fn begins_lazily(&self) -> bool {
        true
    }

    fn end(&mut self, commit: bool) -> Result<()> {
        let result = self.observed(|session| if commit { session.commit_open() } else { session.roll_back_open() });
        if self.status() == Status::Idle {
            self.autocommit = true;
            self.options = TransactionOptions::default();
        }
        result
    }

    fn commit(&mut self) -> Result<()> {
        self.observed(Self::commit_open)
    }

    fn rollback(&mut self) -> Result<()> {
        self.observed(Self::roll_back_open)
    }

    fn is_usable(&mut self) -> bool {
        // Where it cannot ask, it answers as far as it sees, so that a connection is not given up for its thread's sake.
        runtime::blocking(|| Ok(self.answers())).unwrap_or_else(|_| self.looks_usable())
    }

    fn probe(&mut self) -> Health {
        let health = self.look();
        self.has_looked = self.wire.is_some() && matches!(health, Health::Alive);
        health
    }

    fn can_probe(&self) -> bool {
        self.wire.is_some()
    }

    fn server_info(&mut self) -> Result<ServerInfo> {
        let limit = self.short();
        let mut messages =
            runtime::blocking(|| self.call(Phase::Before, limit, |client| client.simple_query(info::QUESTION)))?;
        messages.retain(|message| matches!(message, SimpleQueryMessage::Row(_)));
        let over_network = self.wire.as_ref().is_some_and(Wire::leaves_this_machine);
        match messages.first() {
            Some(SimpleQueryMessage::Row(row)) => Ok(info::read(|name| row.try_get(name).ok().flatten(), over_network)),
            _ => Err(Error::new(ErrorKind::Internal, "the server does not say what it is")),
        }
    }

    fn abandon(self: Box<Self>) {
        if let Some(wire) = &self.wire {
            wire::leave(wire);
        }
        // The driver's runtime waits on an epoll descriptor that is the parent's too: it must not run once more, not even to be
        // dropped.
        std::mem::forget(self);
    }

    fn state(&mut self) -> SessionState {
        let mut state = self.held.state();
        // What the server reports changes with its own settings, too; then a new connection has the same. But a program that
        // set it cannot be told from that, so it counts.
        self.watch.seen(|seen| {
            for name in SESSIONS_OWN.iter().filter(|name| seen.parameters.get(**name) != self.reported.get(**name)) {
                if !state.holds(StateKind::Setting, &name.to_ascii_lowercase()) {
                    state.hold(StateKind::Setting, *name);
                }
            }
        });
        state
    }

    fn reset(&mut self, deadline: Instant) -> Result<()> {
        runtime::blocking(|| self.reset_by(deadline))
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
        runtime::may_lend()?;
        self.begin_now()?;
        // Its user may wait for notifications as long as it likes.
        self.watch.begin_lending();
        self.was_lent = true;
        Ok(self.client()?)
    }

    fn after_native(&mut self) {
        self.watch.end_lending();
        self.anything_happened();
        // A closure that has put another client into the place of ours has closed ours, and what is watched is not the other one.
        let is_another = self.wire.as_ref().is_some_and(|wire| !wire.is_same());
        self.broken |= is_another || self.client.as_ref().is_none_or(Client::is_closed);
    }

    fn native_type(&self) -> &'static str {
        type_name::<Client>()
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.let_go(None);
        Ok(())
    }

    fn close_by(mut self: Box<Self>, deadline: Instant) -> Result<()> {
        self.let_go(Some(deadline));
        Ok(())
    }
}

/// What a session sets for itself, of what the server reports.
const SESSIONS_OWN: &[&str] = &["TimeZone", "DateStyle", "IntervalStyle", "session_authorization", "search_path"];

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.let_go(None);
    }
}
