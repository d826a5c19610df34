//! The socket of a driver's client that rests, to talk to the server past the driver.

#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::sync::Weak;
use std::time::Duration;

use dockline_net::{Look, Wire};
use postgres::Client;

use crate::transport::Secure;

/// While it lives, the client has not closed its socket, and does not use it.
pub(crate) struct Line<'a> {
    plain: Plain<'a>,
    encrypted: Option<&'a Weak<Secure>>,
    _client: &'a mut Client,
}

impl<'a> Line<'a> {
    /// The wire is that of this client: [`after_native`](dockline_core::backend::Session::after_native) sees to that. Each read and write
    /// waits as long as the limit; `None`: for ever.
    pub(crate) fn of(
        wire: &'a Wire,
        encrypted: Option<&'a Weak<Secure>>,
        client: &'a mut Client,
        limit: Option<Duration>,
    ) -> Self {
        Self { plain: Plain { wire, limit }, encrypted, _client: client }
    }

    /// Whether nothing has come that nobody has read. One system call, unless `has_looked` says that the socket is quiet.
    pub(crate) fn is_quiet(&self, has_looked: bool) -> bool {
        let is_quiet = has_looked || matches!(self.plain.wire.look(), Look::Quiet);
        is_quiet && self.encrypted.is_none_or(|stream| has_nothing_to_read(stream).unwrap_or(false))
    }

    /// The answer is how many bytes went out: fewer than all if the time was over, or if the connection has failed, which the next read
    /// tells.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        match self.encrypted {
            None => self.plain.send(bytes),
            Some(stream) => match self.plain.send_encrypted(stream, bytes) {
                Ok(()) => bytes.len(),
                // What is encrypted once does not come back: some of it may have gone out.
                Err(_) => bytes.len().min(1),
            },
        }
    }

    /// Receives behind what `into` has, at the most as much as it has room for. 0: the other side has hung up.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) if nothing has come in that time; else the system's.
    pub(crate) fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self.encrypted {
            None => self.plain.receive(into),
            Some(stream) => self.plain.receive_encrypted(stream, into),
        }
    }
}

/// So much is taken at once of what is decrypted: the room for it is filled with zeros before, each time.
const PIECE: usize = 16 * 1024;

/// Decrypted bytes that nobody has read are of no interest to the socket.
fn has_nothing_to_read(stream: &Weak<Secure>) -> Option<bool> {
    let stream = stream.upgrade()?;
    let state = stream.lock().get_mut().1.process_new_packets().ok()?;
    Some(state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
}

/// The bytes as they are on the wire.
struct Plain<'a> {
    wire: &'a Wire,
    limit: Option<Duration>,
}

impl Plain<'_> {
    fn send(&self, bytes: &[u8]) -> usize {
        // SAFETY: a `Line` has the client, and that has the socket until it is dropped. So below.
        unsafe { self.wire.send(bytes, self.limit) }
    }

    fn receive(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        // SAFETY: as above.
        unsafe { self.wire.receive(into, self.limit) }
    }

    fn send_encrypted(&mut self, stream: &Weak<Secure>, bytes: &[u8]) -> io::Result<()> {
        let stream = stream.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let mut stream = stream.lock();
        let session = stream.get_mut().1;
        session.writer().write_all(bytes)?;
        while session.wants_write() {
            session.write_tls(self)?;
        }
        Ok(())
    }

    fn receive_encrypted(&mut self, stream: &Weak<Secure>, into: &mut Vec<u8>) -> io::Result<usize> {
        let stream = stream.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let mut stream = stream.lock();
        let session = stream.get_mut().1;
        let before = into.len();
        loop {
            into.resize(into.capacity().min(before + PIECE), 0);
            let read = session.reader().read(&mut into[before..]);
            into.truncate(before + read.as_ref().map_or(0, |count| *count));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            session.read_tls(self)?;
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // SAFETY: as above.
        unsafe { self.wire.read(into, self.limit) }
    }
}

impl Write for Plain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.send(bytes) {
            0 if !bytes.is_empty() => Err(io::ErrorKind::BrokenPipe.into()),
            count => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
