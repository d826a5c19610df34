//! The stream between driver and server, with our eyes on it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use postgres::tls::{ChannelBinding, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::direct::Handover;
use crate::portal::{self, Portal};
use crate::prefix::{Answers, Outgoing, Piece};
use crate::transport::Transport;
use crate::types::Types;
use crate::watch::{Closing, Order, Watch};

/// The stream between the driver and the transport.
pub(crate) struct Observed<T = Transport> {
    transport: T,
    watch: Arc<Watch>,
    /// The time limit of the read that waits, and for which call it is.
    waiting: Option<(u64, Pin<Box<Sleep>>)>,
    outgoing: Outgoing,
    /// The answers to a prefix that have not all come, and of which call it was.
    answers: Option<(u64, Answers)>,
    /// A result that comes in chunks.
    portal: Option<Portal>,
    /// The end of such a result, as far as the driver has not been shown it.
    shown: Vec<u8>,
    /// What has not been written of the messages that ask for the next chunk.
    request: Vec<u8>,
    /// Which types the driver is told of, if not of all.
    types: Option<Types>,
    /// What was done in the driver's place: it goes on with that.
    handed: Option<Handed>,
    /// How long the end of the stream is kept from the driver.
    hidden: Option<Pin<Box<Sleep>>>,
}

/// A [`Handover`], and how far the driver has come with it.
struct Handed {
    over: Handover,
    /// The driver has written what had gone out before.
    is_sent: bool,
    /// How much of what had come it has read.
    read: usize,
}

/// The driver needs no time to take an answer that it has. If one has been miscounted, it does not wait for ever.
const HIDDEN: Duration = Duration::from_millis(200);

impl<T> Observed<T> {
    pub(crate) fn new(transport: T, watch: Arc<Watch>) -> Self {
        Self {
            transport,
            watch,
            waiting: None,
            outgoing: Outgoing::new(),
            answers: None,
            portal: None,
            shown: Vec::new(),
            request: Vec::new(),
            types: None,
            handed: None,
            hidden: None,
        }
    }

    /// The read that waits has waited too long. A read waits from the beginning of a call, for the driver tries to read before it
    /// writes, and not again until something comes.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.watch.limit() else {
            self.waiting = None;
            return Poll::Pending;
        };
        let call = self.watch.call();
        // One of an earlier call has run on meanwhile.
        if self.waiting.as_ref().is_none_or(|(of, _)| *of != call) {
            self.waiting = Some((call, Box::pin(sleep(limit))));
        }
        match &mut self.waiting {
            Some((_, sleep)) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// Something has been written: the answer to it cannot be late yet.
    fn put_limit_off(&mut self) {
        // Letting go of the sleep would lose who is to be woken.
        if let (Some((_, sleep)), Some(limit), false) =
            (&mut self.waiting, self.watch.limit(), self.watch.limits_the_whole())
            && let Some(at) = Instant::now().checked_add(limit)
        {
            sleep.as_mut().reset(at);
        }
    }

    /// What is to be written next of the driver's bytes, and of a prefix.
    fn next_piece(&mut self, bytes: &[u8]) -> Piece {
        let armed = self.watch.armed();
        self.outgoing.next(armed.as_ref().map(|prefix| prefix.bytes.as_slice()), self.watch.first_chunk(), bytes)
    }

    /// So many bytes of the piece were written. The answer is how many of them were the driver's.
    fn wrote(&mut self, piece: Piece, count: usize, bytes: &[u8]) -> usize {
        if piece == (Piece::Joined { begins: true }) && count > 0 {
            self.answers = Some((self.watch.call(), self.watch.prefix_goes()));
        }
        let own = self.outgoing.wrote(piece, count, bytes);
        if self.outgoing.take_limited() {
            self.portal = Some(Portal::at(self.watch.first_chunk_goes()));
        }
        self.watch.wrote(own, self.outgoing.take_asked());
        own
    }

    /// These bytes have come. The answer is how many are left for the driver, at the beginning.
    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let mut left = bytes.len();
        let call = self.watch.call();
        // Those that have not come when the call is over do not come: the prefix was refused.
        if self.answers.is_some()
            && let Some((_, mut answers)) = self.answers.take().filter(|(of, _)| *of == call)
        {
            left = answers.take_out(bytes);
            if answers.are_complete() {
                self.watch.prefix_is_done(answers.of());
            } else if !answers.are_refused() {
                self.answers = Some((call, answers));
            }
        }
        left = self.watch.read(&bytes[..left]);
        if let Some(portal) = &mut self.portal {
            left = portal.take_out(&mut bytes[..left]);
            if portal.is_over() {
                self.portal = None;
            }
        }
        left
    }

    fn handed(&mut self) -> Option<&mut Handed> {
        if self.handed.is_none() {
            self.handed = self.watch.take_handover().map(|over| Handed { over, is_sent: false, read: 0 });
        }
        self.handed.as_mut()
    }

    /// The driver writes what has gone out already: it takes that for written. `None`: nothing was handed over, or it is past that.
    fn write_again(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        let handed = self.handed().filter(|handed| !handed.is_sent)?;
        let count = handed.over.sent.len();
        if bytes.get(..count) != Some(handed.over.sent.as_slice()) {
            return Some(Err(io::Error::other("the driver does not go on with what was sent in its place")));
        }
        handed.is_sent = true;
        if self.watch.armed().is_some() {
            self.answers = Some((self.watch.call(), self.watch.prefix_goes()));
        }
        let own = self.outgoing.wrote(Piece::Own(count), count, bytes);
        if self.watch.first_chunk().is_some() {
            self.portal = Some(Portal::at(self.watch.first_chunk_goes()));
        }
        self.watch.wrote(own, self.outgoing.take_asked());
        Some(Ok(own))
    }

    /// The driver reads what has come already. Pending: not before it has written what that answers.
    fn poll_handed(&mut self, buffer: &mut ReadBuf<'_>) -> Option<Poll<io::Result<()>>> {
        self.handed()?;
        let handed = self.handed.as_mut()?;
        if !handed.is_sent {
            return Some(Poll::Pending);
        }
        let came = &handed.over.came[handed.read..];
        if came.is_empty() {
            let failure = self.handed.take()?.over.failure;
            return failure.map(|error| Poll::Ready(Err(error)));
        }
        let count = came.len().min(buffer.remaining());
        buffer.put_slice(&came[..count]);
        if let Some(types) = &mut self.types {
            types.pass(&came[..count]);
        }
        handed.read += count;
        Some(Poll::Ready(Ok(())))
    }

    fn poll_transport(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>
    where
        T: AsyncRead + Unpin,
    {
        if let Some(handed) = self.poll_handed(buffer) {
            return handed;
        }
        if self.types.is_none() && self.watch.hides_types() {
            self.types = Some(Types::at(self.watch.frame()));
        }
        match &mut self.types {
            Some(types) => {
                let told = |columns| self.watch.set_columns(columns);
                types.poll_read(&mut self.transport, (self.watch.is_ours(), &told), context, buffer)
            }
            None => Pin::new(&mut self.transport).poll_read(context, buffer),
        }
    }

    /// Where a result has stopped behind a chunk: goes on with it, or shows the driver its end.
    fn poll_portal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        T: AsyncWrite + Unpin,
    {
        if self.portal.as_ref().is_some_and(Portal::is_suspended) {
            match self.watch.take_order() {
                Order::Leave => {
                    self.shown = self.portal.take().map(Portal::leave).unwrap_or_default();
                    return Poll::Ready(Ok(()));
                }
                Order::Wait => return Poll::Pending,
                Order::Fetch(_) if self.watch.has_ended() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Order::Fetch(rows) => {
                    self.request = portal::next_chunk(rows);
                    self.watch.wrote(0, 1);
                    self.shown = self.portal.as_mut().map(Portal::resume).unwrap_or_default();
                }
            }
        }
        while !self.request.is_empty() {
            let count = ready!(Pin::new(&mut self.transport).poll_write(context, &self.request))?;
            self.request.drain(..count);
            if self.request.is_empty() {
                self.put_limit_off();
            }
        }
        Pin::new(&mut self.transport).poll_flush(context)
    }

    /// The stream is at its end, and the driver has had all answers: it learns of the end by what it writes next.
    fn poll_hidden(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hidden.get_or_insert_with(|| Box::pin(sleep(HIDDEN))).as_mut().poll(context).map(Ok)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Observed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.watch.closing() {
            Closing::No => {}
            // As if the server had hung up, when the time is over.
            Closing::AtRest => return self.poll_limit(context).map(Ok),
            Closing::AtOnce => return Poll::Ready(Ok(())),
        }
        let before = buffer.filled().len();
        loop {
            if self.portal.is_some() {
                ready!(self.poll_portal(context))?;
            }
            if !self.shown.is_empty() {
                let count = self.shown.len().min(buffer.remaining());
                self.shown.drain(..count).for_each(|byte| buffer.put_slice(&[byte]));
                return Poll::Ready(Ok(()));
            }
            if self.watch.has_ended() {
                return self.poll_hidden(context);
            }
            match self.poll_transport(context, buffer) {
                Poll::Ready(result) => {
                    if !self.watch.limits_the_whole() {
                        self.waiting = None;
                    }
                    let came = buffer.filled().len() - before;
                    let left = self.read(&mut buffer.filled_mut()[before..]);
                    buffer.set_filled(before + left);
                    if left > 0 {
                        return Poll::Ready(Ok(()));
                    }
                    if (result.is_err() || came == 0) && !self.watch.hides_end() {
                        return Poll::Ready(result);
                    }
                    // A read without bytes would be the end of the stream.
                }
                Poll::Pending => {
                    return self
                        .poll_limit(context)
                        .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time")));
                }
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Observed<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.watch.has_ended() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(again) = this.write_again(bytes) {
            // What answers it is here, and no socket tells of it.
            context.waker().wake_by_ref();
            return Poll::Ready(again);
        }
        loop {
            let piece = this.next_piece(bytes);
            let written = match piece {
                Piece::Own(count) => &bytes[..count],
                Piece::Joined { .. } | Piece::Limited => this.outgoing.joined(),
            };
            let count = ready!(Pin::new(&mut this.transport).poll_write(context, written))?;
            let own = this.wrote(piece, count, bytes);
            // The driver is told of its own bytes, and none would be an error.
            if own == 0 && count > 0 {
                continue;
            }
            this.put_limit_off();
            return Poll::Ready(Ok(own));
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who closes has the socket too, and ends it there.
        if self.watch.closing() != Closing::No {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

impl Observed {
    pub(crate) fn boxed(self) -> Boxed {
        Boxed(Box::pin(self))
    }
}

/// The stream that the driver gets. While it connects, the driver moves its stream from one future into the next, and a thread that has
/// connected once keeps the stack that this takes: so it is a pointer that is moved.
pub(crate) struct Boxed(Pin<Box<Observed>>);

impl AsyncRead for Boxed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Boxed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}

impl TlsStream for Boxed {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.transport.channel_binding()
    }
}

#[cfg(test)]
mod tests;
