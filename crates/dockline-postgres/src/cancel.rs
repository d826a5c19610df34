//! Cancelling a running statement from another thread, without ever hitting the one behind it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use dockline_core::backend::Cancel;
use dockline_core::{Error, ErrorKind, Result};
use dockline_net::Deadline;
use postgres::{CancelToken, NoTls};

use crate::plan::Plan;

/// Sends PostgreSQL's cancel request: a new connection that carries the process id and the secret of the one that is meant.
///
/// The request may be slow, and the server does not know statements. So a request holds the gate until the server has
/// passed it on, and no statement begins meanwhile; and one that was asked for during an earlier statement is not sent.
pub(crate) struct Canceller {
    plan: Arc<Plan>,
    key: Key,
    gate: Mutex<()>,
    /// A request was sent, and nobody knows whether the server has passed it on.
    doubt: AtomicBool,
    /// Counts statements.
    epoch: AtomicU64,
    /// Which of them was to be cancelled last.
    asked: AtomicU64,
    /// The last of them has not ended.
    runs: AtomicBool,
}

enum Key {
    Known {
        process: i32,
        secret: i32,
        peer: SocketAddr,
    },
    /// What the driver keeps to itself, on a Unix socket.
    Token(CancelToken),
}

impl Canceller {
    pub(crate) fn new(plan: Arc<Plan>, key: Option<((i32, i32), SocketAddr)>, token: CancelToken) -> Self {
        let key = key.map_or(Key::Token(token), |((process, secret), peer)| Key::Known { process, secret, peer });
        Self {
            plan,
            key,
            gate: Mutex::new(()),
            doubt: AtomicBool::new(false),
            runs: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            asked: AtomicU64::new(u64::MAX),
        }
    }

    /// A statement begins. One that is being cancelled is over, and the request has reached its end.
    pub(crate) fn begin(&self) {
        let _gate = self.lock();
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.runs.store(true, Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.runs.store(false, Ordering::Relaxed);
    }

    /// Whether the statement that runs is to be cancelled.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) == self.epoch.load(Ordering::Relaxed)
    }

    /// Sends the request, if that statement still runs.
    fn ask_while(&self, epoch: u64) -> Result<bool> {
        let _gate = self.lock();
        if self.epoch.load(Ordering::Relaxed) != epoch || !self.runs.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.asked.store(epoch, Ordering::Relaxed);
        self.ask().map(|()| true)
    }

    /// Whether a request may still come, and hit a later statement.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.doubt.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> Result<()> {
        let deadline = Deadline::after(self.plan.connect_timeout.min(dockline_net::SHORT));
        self.doubt.store(true, Ordering::Relaxed);
        let asked = match &self.key {
            Key::Known { process, secret, peer } => {
                let mut request = Vec::with_capacity(16);
                for word in [16, 80_877_102, *process, *secret] {
                    request.extend_from_slice(&word.to_be_bytes());
                }
                // To where the session is: another server of the same name does not know it.
                send(peer, &request, deadline)
            }
            Key::Token(token) => ask_by_token(token.clone(), deadline),
        };
        self.doubt.store(asked.is_err(), Ordering::Relaxed);
        asked.map_err(|error| {
            Error::new(ErrorKind::Operational, format!("the statement cannot be cancelled: {error}")).with_source(error)
        })
    }
}

/// The request is never encrypted: libpq sent it so for decades, and the server takes it before anything else.
fn send(peer: &SocketAddr, request: &[u8], deadline: Deadline) -> std::io::Result<()> {
    let left = || deadline.remaining().ok_or(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let mut stream = TcpStream::connect_timeout(peer, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(request)?;
    stream.set_read_timeout(Some(left()?))?;
    // The server hangs up when it has passed the request on.
    match stream.read(&mut [0]) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(()),
    }
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

/// Between two steps of a statement the server is idle, and forgets the request: it is sent again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

impl Cancel for Canceller {
    fn cancel(&self) -> Result<()> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        for n in 1..=TRIES {
            if !self.ask_while(epoch)? {
                break;
            }
            sleep(PAUSE * n);
        }
        Ok(())
    }
}
