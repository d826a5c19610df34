//! What carries the bytes: the driver's socket, encrypted or not, or a Unix socket of our own.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use postgres::Socket;
use postgres::tls::ChannelBinding;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;

use crate::binding::tls_server_end_point;

pub(crate) enum Transport {
    Plain(Socket),
    Tls(Arc<Secure>),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// An encrypted stream, which what goes past the driver uses too. Only one of the two does at a time: the lock is never waited for.
pub(crate) struct Secure(Mutex<TlsStream<Socket>>);

impl Secure {
    pub(crate) fn lock(&self) -> MutexGuard<'_, TlsStream<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport {
    pub(crate) fn secure(stream: TlsStream<Socket>) -> Self {
        Self::Tls(Arc::new(Secure(Mutex::new(stream))))
    }

    /// The encrypted stream, for as long as the driver has it.
    pub(crate) fn encrypted(&self) -> Option<Weak<Secure>> {
        match self {
            Self::Tls(stream) => Some(Arc::downgrade(stream)),
            _ => None,
        }
    }

    /// What a password can be bound to.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        let Self::Tls(stream) = self else { return ChannelBinding::none() };
        let stream = stream.lock();
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let hash = certificates.first().and_then(|certificate| tls_server_end_point(certificate));
        hash.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Self::Tls($stream) => {
                let mut guard = $stream.lock();
                let $stream = Pin::new(&mut *guard);
                $call
            }
            #[cfg(unix)]
            Self::Unix($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(context))
    }
}
