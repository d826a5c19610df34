//! Cancelling a running statement from another thread, without ever hitting the one behind it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dockline_core::backend::Cancel;
use dockline_core::{Error, ErrorKind, Result};
use dockline_net::{Deadline, addresses};
use postgres::{CancelToken, NoTls};

use crate::plan::{Place, Plan};

/// Sends PostgreSQL's cancel request: a new connection that carries the process id and the secret of the one that is meant.
///
/// The request may be slow, and the server does not know statements. So a request holds the gate until the server has
/// passed it on, and no statement begins meanwhile; and one that was asked for during an earlier statement is not sent.
pub(crate) struct Canceller {
    plan: Arc<Plan>,
    key: Key,
    gate: Mutex<()>,
    /// Counts statements.
    epoch: AtomicU64,
}

enum Key {
    Known {
        process: i32,
        secret: i32,
    },
    /// What the driver keeps to itself, on a Unix socket.
    Token(CancelToken),
}

impl Canceller {
    pub(crate) fn new(plan: Arc<Plan>, key: Option<(i32, i32)>, token: CancelToken) -> Self {
        let key = key.map_or(Key::Token(token), |(process, secret)| Key::Known { process, secret });
        Self { plan, key, gate: Mutex::new(()), epoch: AtomicU64::new(0) }
    }

    /// A statement begins. One that is being cancelled is over, and the request has reached its end.
    pub(crate) fn begin(&self) {
        let _gate = self.lock();
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> Result<()> {
        let deadline = Deadline::after(self.plan.connect_timeout.min(dockline_net::SHORT));
        match (&self.key, &self.plan.place) {
            (Key::Known { process, secret }, Place::Host(host)) => {
                let mut request = Vec::with_capacity(16);
                for word in [16, 80_877_102, *process, *secret] {
                    request.extend_from_slice(&word.to_be_bytes());
                }
                send(host, self.plan.port, &request, deadline)
            }
            (Key::Token(token), _) => ask_by_token(token.clone(), deadline),
            (Key::Known { .. }, Place::Folder(_)) => Ok(()),
        }
        .map_err(|error| {
            Error::new(ErrorKind::Operational, format!("the statement cannot be cancelled: {error}")).with_source(error)
        })
    }
}

/// The request is never encrypted: libpq sent it so for decades, and the server takes it before anything else.
fn send(host: &str, port: u16, request: &[u8], deadline: Deadline) -> std::io::Result<()> {
    let mut failed = std::io::Error::from(std::io::ErrorKind::TimedOut);
    let found = addresses(host, port)?;
    for (at, address) in found.iter().enumerate() {
        let Some(share) = deadline.share(found.len() - at) else { break };
        let sent = TcpStream::connect_timeout(address, share).and_then(|mut stream| {
            stream.set_read_timeout(Some(share))?;
            stream.write_all(request)?;
            // The server hangs up when it has passed the request on.
            stream.read(&mut [0]).map(drop)
        });
        match sent {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The driver's own way has no time limit: a thread waits for it, and may be left behind.
fn ask_by_token(token: CancelToken, deadline: Deadline) -> std::io::Result<()> {
    let (done, wait) = channel();
    std::thread::Builder::new().name("dockline-cancel".to_owned()).spawn(move || {
        let _ = done.send(token.cancel_query(NoTls));
    })?;
    match wait.recv_timeout(deadline.limit()) {
        Ok(result) => result.map_err(std::io::Error::other),
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

impl Cancel for Canceller {
    fn cancel(&self) -> Result<()> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let _gate = self.lock();
        // While this waited, the statement ended.
        if self.epoch.load(Ordering::Relaxed) != epoch {
            return Ok(());
        }
        self.ask()
    }
}
