//! Cancelling a running statement from another thread, without ever hitting the one behind it.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dockline_core::backend::Cancel;
use dockline_core::{Error, ErrorKind, Result};
use dockline_net::{Deadline, Gate, Limited, SHORT};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::connector::SSL_REQUEST;
use crate::open::Address;
use crate::plan::{Place, Plan};

/// Sends PostgreSQL's cancel request: a new connection that carries the process id and the secret of the one that is meant.
///
/// The request may be slow, and the server does not know statements. So a request holds the gate until the server has
/// passed it on, and no statement begins meanwhile; and one that was asked for during an earlier statement is not sent.
pub(crate) struct Canceller {
    plan: Arc<Plan>,
    /// The process id and the secret; `None` if the server has given none.
    key: Option<(i32, i32)>,
    /// To where the session is: another server of the same name does not know it.
    address: Address,
    /// As the session is: the secret must not be read on the way.
    encrypted: bool,
    gate: Gate<()>,
    /// A request was sent, and nobody knows whether the server has passed it on.
    doubt: AtomicBool,
    /// Which statement was to be cancelled last.
    asked: AtomicU64,
}

impl Canceller {
    pub(crate) fn new(plan: Arc<Plan>, key: Option<(i32, i32)>, address: Address, encrypted: bool) -> Self {
        Self {
            plan,
            key,
            address,
            encrypted,
            gate: Gate::new(()),
            doubt: AtomicBool::new(false),
            asked: AtomicU64::new(u64::MAX),
        }
    }

    /// A statement begins. One that is being cancelled is over, and the request has reached its end.
    pub(crate) fn begin(&self) {
        self.gate.begin(|()| ());
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.gate.end();
    }

    /// Whether the statement that runs is to be cancelled.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) == self.gate.epoch()
    }

    /// Whether a request may still come, and hit a later statement.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.doubt.load(Ordering::Relaxed)
    }

    fn ask(&self) -> Result<()> {
        let cannot =
            |why: String| Error::new(ErrorKind::Operational, format!("the statement cannot be cancelled: {why}"));
        let key = self.key.ok_or_else(|| cannot("the server has given no key for that".to_owned()))?;
        let deadline = Deadline::after(self.plan.connect_timeout.min(SHORT));
        self.doubt.store(true, Ordering::Relaxed);
        let asked = self.send(&request(key), deadline);
        self.doubt.store(asked.is_err(), Ordering::Relaxed);
        asked.map_err(|error| cannot(error.to_string()).with_source(error))
    }

    fn send(&self, request: &[u8], deadline: Deadline) -> io::Result<()> {
        let stream = match &self.address {
            Address::Tcp(peer) => Limited::tcp(peer, deadline)?,
            #[cfg(unix)]
            Address::Unix(path) => Limited::unix(path, deadline)?,
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        match (&self.plan.tls, &self.plan.place) {
            (Some(config), Place::Host(host)) if self.encrypted => deliver(encrypt(stream, config, host)?, request),
            _ if self.encrypted => Err(io::Error::other("the session is encrypted, and this could not be")),
            _ => deliver(stream, request),
        }
    }
}

fn request((process, secret): (i32, i32)) -> Vec<u8> {
    [16, 80_877_102, process, secret].into_iter().flat_map(i32::to_be_bytes).collect()
}

/// Encrypts the stream, by the same rules as that of the session. If the server does not want that by now, nothing is sent.
fn encrypt(
    mut stream: Limited,
    config: &Arc<ClientConfig>,
    host: &str,
) -> io::Result<StreamOwned<ClientConnection, Limited>> {
    stream.write_all(&SSL_REQUEST)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer != *b"S" {
        return Err(io::Error::other("the session is encrypted, and the server refuses that for the request"));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

/// The server hangs up when it has passed the request on.
fn deliver(mut stream: impl Read + Write, request: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    stream.flush()?;
    match stream.read(&mut [0]) {
        // Without a goodbye of TLS, too.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => Ok(()),
        result => result.map(drop),
    }
}

impl Cancel for Canceller {
    fn cancel(&self) -> Result<()> {
        let epoch = self.gate.epoch();
        self.gate.cancel(epoch, |()| {
            self.asked.store(epoch, Ordering::Relaxed);
            self.ask()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_sixteen_bytes() {
        let bytes = request((7, -2));
        assert_eq!(bytes, [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 255, 255, 255, 254]);
    }
}
