//! Stands between the socket and the driver when a connection is made: learns the descriptor, negotiates encryption, and hands the
//! driver a stream that is watched.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dockline_net::{Deadline, Wire};
use postgres::Socket;
use postgres::tls::{MakeTlsConnect, TlsConnect};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::observed::Observed;
use crate::transport::Transport;
use crate::watch::Watch;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What the driver takes for its TLS. It is called straight after connecting, because the driver is told that encryption begins at
/// once; whether it does is decided here.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) needs_tls: bool,
    /// What the certificate has to name.
    pub(crate) host: String,
    pub(crate) peer: SocketAddr,
    pub(crate) deadline: Deadline,
    pub(crate) found: Found,
}

/// What is learned on the way.
#[derive(Clone, Default)]
pub(crate) struct Found {
    pub(crate) watch: Arc<Watch>,
    wire: Arc<Mutex<Option<Wire>>>,
}

impl Found {
    /// The socket, where its descriptor could be learned.
    pub(crate) fn take_wire(&self) -> Option<Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Observed;
    type TlsConnect = Self;
    type Error = BoxError;

    fn make_tls_connect(&mut self, _: &str) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Connector {
    type Stream = Observed;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Observed, BoxError>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let wire = descriptor(&socket).and_then(|descriptor| wire(descriptor, self.peer));
            *self.found.wire.lock().unwrap_or_else(PoisonError::into_inner) = wire;
            let limit = self.deadline.remaining().unwrap_or_default();
            let (watch, deadline) = (Arc::clone(&self.found.watch), self.deadline);
            let transport = tokio::time::timeout(limit, self.negotiate(socket)).await.map_err(|_| timed_out())??;
            watch.set_encrypted(transport.is_encrypted());
            watch.begin_whole_call(deadline.remaining().unwrap_or_default().max(Duration::from_millis(1)));
            Ok(Observed::new(transport, watch))
        })
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time")
}

impl Connector {
    async fn negotiate(self, mut socket: Socket) -> Result<Transport, BoxError> {
        let Some(config) = self.tls else { return Ok(Transport::Plain(socket)) };
        // The SSLRequest: its length, and a number that no version of the protocol has.
        socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
        match socket.read_u8().await? {
            b'S' => {
                let name = ServerName::try_from(self.host)?;
                let stream = TlsConnector::from(config).connect(name, socket).await?;
                Ok(Transport::Tls(Box::new(stream)))
            }
            b'N' if self.needs_tls => Err("the server has no encryption, and the setting tls asks for it".into()),
            b'N' => Ok(Transport::Plain(socket)),
            // An error instead of an answer: it has no process left, say.
            _ => {
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the server refuses to talk about encryption")
                    .into())
            }
        }
    }
}

/// The driver's socket does not give its descriptor, but its Debug text has it: `fd: 7`.
fn descriptor(socket: &Socket) -> Option<i32> {
    let text = format!("{socket:?}");
    let (_, rest) = text.split_once("fd: ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

#[cfg(unix)]
fn wire(descriptor: i32, peer: SocketAddr) -> Option<Wire> {
    Wire::with_peer(descriptor, peer)
}

#[cfg(not(unix))]
fn wire(_: i32, _: SocketAddr) -> Option<Wire> {
    None
}
