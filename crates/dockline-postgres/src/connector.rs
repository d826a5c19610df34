//! Stands between the socket and the driver when a connection is made: learns the descriptor, negotiates encryption, and hands the
//! driver a stream that is watched.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use dockline_net::{Deadline, Wire};
use postgres::Socket;
use postgres::tls::{MakeTlsConnect, TlsConnect};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

#[cfg(unix)]
use crate::decoy::Decoy;
use crate::observed::{Boxed, Observed};
use crate::transport::{Secure, Transport};
use crate::watch::Watch;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What the driver takes for its TLS. It is called straight after connecting, because the driver is told that encryption begins at
/// once; whether it does is decided here.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) to: To,
    pub(crate) deadline: Deadline,
    pub(crate) found: Found,
}

/// What the driver has connected to.
#[derive(Clone)]
pub(crate) enum To {
    /// The server itself.
    Server {
        peer: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
        needs_tls: bool,
        /// What the certificate has to name.
        host: String,
    },
    /// Something that stands for the server's Unix socket.
    #[cfg(unix)]
    Decoy(Arc<Mutex<Option<Decoy>>>),
}

/// What is learned on the way.
#[derive(Clone, Default)]
pub(crate) struct Found {
    pub(crate) watch: Arc<Watch>,
    wire: Arc<Mutex<Option<Wire>>>,
    encrypted: Arc<Mutex<Option<Weak<Secure>>>>,
}

impl Found {
    /// The socket, if its descriptor could be learned.
    pub(crate) fn take_wire(&self) -> Option<Wire> {
        lock(&self.wire).take()
    }

    /// The stream, if it is encrypted.
    pub(crate) fn take_encrypted(&self) -> Option<Weak<Secure>> {
        lock(&self.encrypted).take()
    }

    #[cfg(unix)]
    pub(crate) fn set_wire(&self, wire: Option<Wire>) {
        *lock(&self.wire) = wire;
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Boxed;
    type TlsConnect = Self;
    type Error = BoxError;

    fn make_tls_connect(&mut self, _: &str) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Connector {
    type Stream = Boxed;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Boxed, BoxError>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let (deadline, found) = (self.deadline, self.found.clone());
            let limit = deadline.remaining().unwrap_or_default();
            let transport = tokio::time::timeout(limit, self.to.transport(socket, &found)).await;
            let transport = transport.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            *lock(&found.encrypted) = transport.encrypted();
            found.watch.begin_whole_call(deadline.remaining().unwrap_or_default().max(Duration::from_millis(1)));
            Ok(Observed::new(transport, found.watch).boxed())
        })
    }
}

impl To {
    async fn transport(self, socket: Socket, found: &Found) -> Result<Transport, BoxError> {
        match self {
            Self::Server { peer, tls, needs_tls, host } => {
                #[cfg(unix)]
                found.set_wire(crate::wire::of_driver(&socket, peer));
                #[cfg(not(unix))]
                let _ = (peer, found);
                negotiate(socket, tls, needs_tls, host).await
            }
            #[cfg(unix)]
            Self::Decoy(decoy) => {
                let decoy = lock(&decoy).take().ok_or("the driver connects twice")?;
                Ok(Transport::Unix(decoy.exchange(socket)?))
            }
        }
    }
}

async fn negotiate(
    mut socket: Socket,
    tls: Option<Arc<ClientConfig>>,
    needs_tls: bool,
    host: String,
) -> Result<Transport, BoxError> {
    let Some(config) = tls else { return Ok(Transport::Plain(socket)) };
    socket.write_all(&SSL_REQUEST).await?;
    match socket.read_u8().await? {
        b'S' => {
            let name = ServerName::try_from(host)?;
            encrypt(config, name, socket).await
        }
        b'N' if needs_tls => Err("the server has no encryption, and the setting tls asks for it".into()),
        b'N' => Ok(Transport::Plain(socket)),
        // An error instead of an answer: it has no process left, say.
        _ => {
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the server refuses to talk about encryption").into())
        }
    }
}

/// In a box, because what is not encrypted needs no room on the stack for it.
#[inline(never)]
fn encrypt(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    socket: Socket,
) -> Pin<Box<dyn Future<Output = Result<Transport, BoxError>> + Send>> {
    Box::pin(async move { Ok(Transport::secure(TlsConnector::from(config).connect(name, socket).await?)) })
}

/// The SSLRequest: its length, and a number that no version of the protocol has.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
