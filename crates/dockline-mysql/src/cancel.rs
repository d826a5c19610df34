//! Cancelling from another thread: KILL QUERY, over a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use dockline_core::backend::Cancel;
use dockline_core::{Error, ErrorKind, Result};
use dockline_net::{Deadline, Gate};
use mysql::prelude::Queryable;

use crate::ask::ask;
use crate::error::{Phase, map};
use crate::open::{self, Opened};
use crate::plan::{IDENTITY, Plan};

/// Sends KILL QUERY while the statement runs that it is meant for.
pub(crate) struct Canceller {
    plan: Arc<Plan>,
    connection: u32,
    /// Where the session is connected to, and what the server there says of itself: numbers of connections are small, and
    /// another server behind the same name has one of that number too.
    peer: Option<SocketAddr>,
    identity: String,
    /// How many KILLs the server has taken that no statement has ended by.
    gate: Gate<u32>,
}

impl Canceller {
    pub(crate) fn new(plan: &Arc<Plan>, connection: u32, peer: Option<SocketAddr>, identity: &str) -> Arc<Self> {
        Arc::new(Self { plan: Arc::clone(plan), connection, peer, identity: identity.to_owned(), gate: Gate::new(0) })
    }

    fn check_identity(&self, opened: &mut Opened) -> Result<()> {
        let told = ask(&mut opened.conn, &format!("SELECT {IDENTITY}"));
        let told = told.map_err(|error| map(error, Phase::Before, None).with_context("cancelling"))?;
        if told.first().and_then(Option::as_deref) == Some(&*self.identity) {
            return Ok(());
        }
        let message = "the statement cannot be cancelled: another server answers to the name of this one";
        Err(Error::new(ErrorKind::Operational, message))
    }

    /// A statement comes next. Whether a KILL that was meant for an earlier one may still hit it.
    pub(crate) fn begin(&self) -> bool {
        self.gate.begin(|pending| std::mem::take(pending) > 0)
    }

    /// It has ended; `cancelled`: by a KILL.
    #[inline]
    pub(crate) fn end(&self, cancelled: bool) {
        self.gate.end();
        if cancelled {
            self.gate.with(|pending| *pending = pending.saturating_sub(1));
        }
    }

    fn kill(&self, opened: &mut Opened) -> Result<()> {
        let killed = opened.conn.query_drop(format!("KILL QUERY {}", self.connection));
        killed.map_err(|error| map(error, Phase::Before, None).with_context("cancelling"))
    }
}

impl Cancel for Canceller {
    fn cancel(&self) -> Result<()> {
        let epoch = self.gate.epoch();
        let mut opened = open::open_within(&self.plan, Deadline::after(self.plan.short()), self.peer)?;
        let watchdog = opened.watched();
        let result = self.check_identity(&mut opened).and_then(|()| {
            self.gate.cancel(epoch, |pending| {
                self.kill(&mut opened)?;
                *pending += 1;
                Ok(())
            })
        });
        drop(watchdog);
        let Opened { conn, wire, server, .. } = opened;
        server.let_go(wire.as_ref(), None, || drop(conn));
        result
    }
}
