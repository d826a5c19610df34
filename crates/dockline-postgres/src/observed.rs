//! The stream between driver and server, with our eyes on it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use postgres::Socket;
use postgres::tls::{ChannelBinding, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::protocol::{Protocol, Seen, Status};

/// The stream that the driver gets.
pub(crate) struct Observed {
    transport: Transport,
    watch: Arc<Watch>,
    /// The time limit of the read that waits, and for which call it is.
    waiting: Option<(u64, Pin<Box<Sleep>>)>,
}

pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<tokio_rustls::client::TlsStream<Socket>>),
}

const AT_REST: u8 = 1;
const AT_ONCE: u8 = 2;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// What the session knows of its stream. Only one thread uses it at a time; the atomics are there because it has to be
/// `Sync`.
#[derive(Default)]
pub(crate) struct Watch {
    status: AtomicU8,
    written: AtomicU64,
    /// Which call of the session the stream serves.
    call: AtomicU64,
    /// How long a read may wait, in nanoseconds; 0: for ever.
    limit: AtomicU64,
    /// The limit is that of the call, and not of each read.
    whole: AtomicBool,
    closing: AtomicU8,
    encrypted: AtomicBool,
    protocol: Mutex<Protocol>,
}

impl Watch {
    pub(crate) fn status(&self) -> Status {
        match self.status.load(Ordering::Relaxed) {
            0 => Status::Idle,
            1 => Status::InTransaction,
            _ => Status::Failed,
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Relaxed)
    }

    /// How many bytes have been written in all.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// A call begins that is over within that time, however often something comes: connecting.
    pub(crate) fn begin_whole_call(&self, limit: Duration) {
        self.begin_call(Some(limit));
        self.whole.store(true, Ordering::Relaxed);
    }

    /// A call begins: each of its reads may wait that long.
    pub(crate) fn begin_call(&self, limit: Option<Duration>) {
        self.whole.store(false, Ordering::Relaxed);
        self.call.fetch_add(1, Ordering::Relaxed);
        let limit = limit.map_or(0, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The connection is being closed: the driver must not wait for the server any more, except, where it is `at_rest`, for
    /// its own goodbye to go out.
    pub(crate) fn close(&self, at_rest: bool) {
        self.begin_call(Some(GOODBYE));
        self.closing.store(if at_rest { AT_REST } else { AT_ONCE }, Ordering::Relaxed);
    }

    /// Asks what was seen.
    pub(crate) fn seen<R>(&self, ask: impl FnOnce(&mut Seen) -> R) -> R {
        ask(self.protocol().seen_mut())
    }

    fn protocol(&self) -> MutexGuard<'_, Protocol> {
        self.protocol.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, bytes: &[u8]) {
        let told = self.protocol().read(bytes);
        if let Some(status) = told {
            self.status.store(status as u8, Ordering::Relaxed);
        }
    }
}

impl Observed {
    pub(crate) fn new(transport: Transport, watch: Arc<Watch>) -> Self {
        watch.encrypted.store(matches!(transport, Transport::Tls(_)), Ordering::Relaxed);
        Self { transport, watch, waiting: None }
    }

    /// The read that waits has waited too long. A read waits from the beginning of a call, for the driver tries to read before it
    /// writes, and not again until something comes.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.watch.limit.load(Ordering::Relaxed);
        if limit == 0 {
            self.waiting = None;
            return Poll::Pending;
        }
        let call = self.watch.call.load(Ordering::Relaxed);
        // One of an earlier call has run on meanwhile.
        if self.waiting.as_ref().is_none_or(|(of, _)| *of != call) {
            self.waiting = Some((call, Box::pin(sleep(Duration::from_nanos(limit)))));
        }
        match &mut self.waiting {
            Some((_, sleep)) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl AsyncRead for Observed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.watch.closing.load(Ordering::Relaxed) {
            0 => {}
            // As if the server had hung up, when the time is over.
            AT_REST => return self.poll_limit(context).map(Ok),
            _ => return Poll::Ready(Ok(())),
        }
        let before = buffer.filled().len();
        let read = match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        match read {
            Poll::Ready(result) => {
                if !self.watch.whole.load(Ordering::Relaxed) {
                    self.waiting = None;
                }
                self.watch.read(&buffer.filled()[before..]);
                Poll::Ready(result)
            }
            Poll::Pending => self
                .poll_limit(context)
                .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time"))),
        }
    }
}

impl AsyncWrite for Observed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        if let Poll::Ready(Ok(count)) = &written {
            self.watch.written.fetch_add(*count as u64, Ordering::Relaxed);
            // The answer to this cannot be late yet. (Letting go of the sleep would lose who is to be woken.)
            let limit = Duration::from_nanos(self.watch.limit.load(Ordering::Relaxed));
            let whole = self.watch.whole.load(Ordering::Relaxed);
            if let (Some((_, sleep)), false) = (&mut self.waiting, whole || limit.is_zero()) {
                if let Some(at) = Instant::now().checked_add(limit) {
                    sleep.as_mut().reset(at);
                }
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who closes has the socket too, and ends it there.
        if self.watch.closing.load(Ordering::Relaxed) != 0 {
            return Poll::Ready(Ok(()));
        }
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl TlsStream for Observed {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
