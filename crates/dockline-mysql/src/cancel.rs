//! Cancelling from another thread: KILL QUERY, over a connection of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use dockline_core::backend::Cancel;
use dockline_core::{Error, ErrorKind, Result};
use dockline_net::Deadline;
use mysql::prelude::Queryable;

use crate::ask::ask;
use crate::error::{Phase, map};
use crate::open::{self, Opened};
use crate::plan::{IDENTITY, Plan};

/// What keeps a KILL from hitting a later statement: it is sent under a lock, and only while the statement runs that it is
/// meant for.
pub(crate) struct Gate {
    plan: Arc<Plan>,
    connection: u32,
    /// Where the session is connected to, and what the server there says of itself: numbers of connections are small, and
    /// another server behind the same name has one of that number too.
    peer: Option<SocketAddr>,
    identity: String,
    /// A statement has been sent, or is about to be.
    runs: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which statement, or none.
    epoch: u64,
    /// How many KILLs the server has taken in this epoch that no statement has ended by.
    pending: u32,
}

/// A KILL that comes before its statement does is forgotten by the server: it is sent again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

impl Gate {
    pub(crate) fn new(plan: &Arc<Plan>, connection: u32, peer: Option<SocketAddr>, identity: &str) -> Arc<Self> {
        Arc::new(Self {
            plan: Arc::clone(plan),
            connection,
            peer,
            identity: identity.to_owned(),
            runs: AtomicBool::new(false),
            state: Mutex::default(),
        })
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

    /// A statement comes next: what was asked for before is not meant for it. Whether a KILL may still hit it.
    pub(crate) fn next(&self) -> bool {
        let mut state = self.lock();
        state.epoch += 1;
        self.runs.store(true, Ordering::Release);
        std::mem::take(&mut state.pending) > 0
    }

    /// It has ended; `cancelled`: by a KILL.
    #[inline]
    pub(crate) fn end(&self, cancelled: bool) {
        self.runs.store(false, Ordering::Release);
        if cancelled {
            let mut state = self.lock();
            state.pending = state.pending.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self, epoch: u64, opened: &mut Opened) -> Result<bool> {
        let mut state = self.lock();
        if state.epoch != epoch || !self.runs.load(Ordering::Acquire) {
            return Ok(false);
        }
        let killed = opened.conn.query_drop(format!("KILL QUERY {}", self.connection));
        killed.map_err(|error| map(error, Phase::Before, None).with_context("cancelling"))?;
        state.pending += 1;
        Ok(true)
    }
}

impl Cancel for Gate {
    fn cancel(&self) -> Result<()> {
        let epoch = self.lock().epoch;
        let mut opened = open::open_within(&self.plan, Deadline::after(self.plan.short()), self.peer)?;
        let mut result = self.check_identity(&mut opened);
        for n in 1..=TRIES {
            if result.is_err() {
                break;
            }
            match self.kill(epoch, &mut opened) {
                Ok(true) => sleep(PAUSE * n),
                Ok(false) => break,
                Err(error) => result = Err(error),
            }
        }
        let Opened { conn, wire, server, .. } = opened;
        server.let_go(wire.as_ref(), || drop(conn));
        result
    }
}
