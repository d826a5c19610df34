//! A look at a driver's socket, past the driver.
//!
//! A descriptor is a small number that is used again: when the driver closes its socket, the next file that the process opens may
//! get the same one. So a [`Wire`] remembers which socket its number meant, and asks the kernel whether it still does before it
//! changes anything. A look changes nothing, and is not preceded by that.

use std::io;
use std::mem::ManuallyDrop;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstat;
use rustix::io::{Errno, dup2};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, SockRef, Type};

use crate::look::Look;

/// A send does not wait, and one to nobody is an error and no signal. Apple's systems have that as an option of the socket, which the
/// standard library sets.
#[cfg(not(target_vendor = "apple"))]
const SENDING: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const SENDING: SendFlags = SendFlags::DONTWAIT;

/// The descriptor of a driver's socket, and which socket that is. It does not own it.
#[derive(Debug)]
pub struct Wire {
    descriptor: RawFd,
    identity: Identity,
}

/// What tells a socket from every other file of the system, for as long as it is open anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(descriptor: BorrowedFd<'_>) -> Option<Self> {
        let found = fstat(descriptor).ok()?;
        // The types of the fields differ between systems.
        #[allow(clippy::useless_conversion, clippy::cast_sign_loss)]
        let (device, inode) = (found.st_dev as u64, found.st_ino as u64);
        Some(Self { device, inode })
    }
}

impl Wire {
    /// The socket of a driver's connection. `None` if the descriptor is not open.
    ///
    /// # Safety
    ///
    /// The descriptor belongs to a connection of a driver, which lives at least until this returns. It may be closed later: from
    /// then on a look says something about another file or nothing, and everything else is refused.
    pub unsafe fn of(descriptor: RawFd) -> Option<Self> {
        if descriptor < 0 {
            return None;
        }
        // SAFETY: it is not -1, and open for now, says the caller.
        let identity = Identity::of(unsafe { BorrowedFd::borrow_raw(descriptor) })?;
        Some(Self { descriptor, identity })
    }

    /// A socket whose descriptor became known in another way than from its owner. `None` if its peer is not this one.
    ///
    /// # Safety
    ///
    /// As for [`of`](Wire::of), if the peer is this one.
    pub unsafe fn with_peer(descriptor: RawFd, peer: std::net::SocketAddr) -> Option<Self> {
        // SAFETY: what is asked of a file that is another one changes nothing.
        let wire = unsafe { Self::of(descriptor) }?;
        (wire.peer()? == peer).then_some(wire)
    }

    /// Whether the descriptor still means the socket that it meant in the beginning. One system call.
    pub fn is_same(&self) -> bool {
        Identity::of(self.borrow()) == Some(self.identity)
    }

    /// Looks, without waiting and without taking anything: one system call.
    #[inline]
    pub fn look(&self) -> Look {
        let mut byte = [0u8; 1];
        match recv(self.borrow(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((0, _)) => Look::Closed,
            Ok(_) => Look::Data,
            Err(Errno::AGAIN | Errno::INTR) => Look::Quiet,
            Err(error) => Look::Failed(error.into()),
        }
    }

    /// What is waiting to be read, up to the size of the buffer; it stays where it is.
    pub fn peek<'b>(&self, buffer: &'b mut [u8]) -> &'b [u8] {
        match recv(self.borrow(), &mut *buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, length)) => &buffer[..length.min(buffer.len())],
            Err(_) => &[],
        }
    }

    /// Sends past the driver, and waits while the socket takes no more, each time as long as `limit`; `None`: for ever. The answer is how
    /// many bytes went out: fewer than all if the time was over, or if the connection has failed, which the next read tells.
    ///
    /// # Safety
    ///
    /// The driver has not closed its socket. So that both do not write at once, it does not use it meanwhile either.
    pub unsafe fn send(&self, bytes: &[u8], limit: Option<Duration>) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match send(self.borrow(), &bytes[sent..], SENDING) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.wait_for(PollFlags::OUT, limit).is_ok() => {}
                Err(_) => break,
            }
        }
        sent
    }

    /// Receives past the driver, behind what `into` has, as much as it has room for. Waits as long as `limit`; `None`: for ever. 0: the
    /// other side has hung up.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) if nothing has come in that time; else the system's.
    ///
    /// # Safety
    ///
    /// As for [`send`](Wire::send).
    pub unsafe fn receive(&self, into: &mut Vec<u8>, limit: Option<Duration>) -> io::Result<usize> {
        self.receive_by(limit, || {
            recv(self.borrow(), spare_capacity(into), RecvFlags::DONTWAIT).map(|(count, _)| count)
        })
    }

    /// The same, into a buffer.
    ///
    /// # Errors
    ///
    /// As of [`receive`](Wire::receive).
    ///
    /// # Safety
    ///
    /// As for [`send`](Wire::send).
    pub unsafe fn read(&self, into: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        self.receive_by(limit, || recv(self.borrow(), &mut *into, RecvFlags::DONTWAIT).map(|(count, _)| count))
    }

    fn receive_by(
        &self,
        limit: Option<Duration>,
        mut receive: impl FnMut() -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        loop {
            // Mostly the answer takes its time, so waiting comes first.
            self.wait_for(PollFlags::IN, limit)?;
            match receive() {
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait_for(&self, what: PollFlags, limit: Option<Duration>) -> io::Result<()> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::from_borrowed_fd(self.borrow(), what)], left.as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How long the driver's reads and writes wait; `None`: for ever.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn set_timeouts(&self, read: Option<Duration>, write: Option<Duration>) -> io::Result<()> {
        self.socket(|socket| socket.set_read_timeout(read).and_then(|()| socket.set_write_timeout(write)))
    }

    /// How long the driver's reads wait; `None`: for ever.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket(|socket| socket.set_read_timeout(limit))
    }

    /// Ends both directions at once: whoever reads or writes there comes back, and the other side is told.
    pub fn shutdown(&self) {
        let _ = self.socket(|socket| socket.shutdown(Shutdown::Both));
    }

    /// Puts a socket that leads nowhere into the place of this one, in this process alone: for one that was forked. The other side
    /// notices nothing, and what the driver does with its socket from now on fails.
    ///
    /// # Errors
    ///
    /// If the system refuses, because descriptors have run out, or if the descriptor means another file by now. Nothing is changed
    /// then.
    ///
    /// # Safety
    ///
    /// The driver's connection has not been dropped, and no other thread drops it meanwhile.
    pub unsafe fn disconnect_here(&self) -> io::Result<()> {
        let nowhere = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        self.confirm()?;
        // SAFETY: the caller says that the descriptor is open and stays so. It is not closed here, but stays the driver's, whose
        // number keeps its meaning.
        let mut place = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(self.descriptor) });
        dup2(&nowhere, &mut place)?;
        Ok(())
    }

    /// Tells the other side that nothing more comes; what it still sends can be read.
    pub fn finish(&self) {
        let _ = self.socket(|socket| socket.shutdown(Shutdown::Write));
    }

    /// The address of the other side; `None` for a Unix socket.
    pub fn peer(&self) -> Option<std::net::SocketAddr> {
        self.socket(|socket| socket.peer_addr()).ok()?.as_socket()
    }

    /// Whether the other side is another machine.
    pub fn leaves_this_machine(&self) -> bool {
        let addresses = self.socket(|socket| Ok((socket.peer_addr()?, socket.local_addr()?)));
        let Ok((peer, local)) = addresses else { return false };
        match (peer.as_socket(), local.as_socket()) {
            (Some(peer), Some(local)) => !peer.ip().is_loopback() && peer.ip() != local.ip(),
            _ => false,
        }
    }

    /// The same socket once more: it stays open when the driver closes its own. `None` if descriptors have run out, or the
    /// descriptor means another file by now.
    pub(crate) fn duplicate(&self) -> Option<OwnedFd> {
        // Not even a copy is made of another file: closing it would give up the locks that this process has on that.
        self.confirm().ok()?;
        self.borrow().try_clone_to_owned().ok()
    }

    /// Asks or changes something of the socket, if it is still the same.
    fn socket<R>(&self, call: impl FnOnce(&SockRef<'_>) -> io::Result<R>) -> io::Result<R> {
        self.confirm()?;
        call(&SockRef::from(&self.borrow()))
    }

    fn confirm(&self) -> io::Result<()> {
        if self.is_same() {
            Ok(())
        } else {
            Err(io::Error::other("the descriptor is no longer that of this connection"))
        }
    }

    fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is not -1. It was open when this was made (see `of`). If it has been closed since, the kernel says
        // so, or answers for another file, of which nothing is taken and which nothing is written to: see `confirm`.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    fn wire_of(stream: &TcpStream) -> Wire {
        // SAFETY: the stream is open.
        unsafe { Wire::of(stream.as_raw_fd()) }.unwrap()
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn wait_for(wire: &Wire, wanted: impl Fn(&Look) -> bool) {
        for _ in 0..1_000 {
            if wanted(&wire.look()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the socket says {:?}", wire.look());
    }

    #[test]
    fn a_look_tells_quiet_data_closed_and_reset_apart() {
        let (near, mut far) = pair();
        let wire = wire_of(&near);
        assert!(matches!(wire.look(), Look::Quiet));
        far.write_all(b"hello").unwrap();
        wait_for(&wire, |look| matches!(look, Look::Data));
        let mut buffer = [0; 64];
        assert_eq!(wire.peek(&mut buffer), b"hello");
        assert_eq!(wire.peek(&mut buffer), b"hello", "it stays where it is");

        let (near, far) = pair();
        let wire = wire_of(&near);
        drop(far);
        wait_for(&wire, |look| matches!(look, Look::Closed));

        let (near, far) = pair();
        let wire = wire_of(&near);
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        wait_for(&wire, |look| matches!(look, Look::Failed(_)));
    }

    #[test]
    fn a_socket_that_leads_nowhere_takes_the_place_of_one() {
        let (near, mut far) = pair();
        let mut copy = near.try_clone().unwrap();
        let wire = wire_of(&near);
        // SAFETY: the stream is open.
        unsafe { wire.disconnect_here() }.unwrap();
        assert!(!wire.is_same());
        assert!((&near).write_all(b"goodbye").is_err());
        drop(near);
        // The other descriptor of the same socket, as that of a parent.
        copy.write_all(b"hello").unwrap();
        let mut buffer = [0; 64];
        let length = far.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"hello");
    }

    #[test]
    fn a_descriptor_is_believed_only_with_its_peer() {
        let (near, far) = pair();
        let peer = far.local_addr().unwrap();
        // SAFETY: both streams are open; of a descriptor that is not, nothing is believed.
        let with_peer = |descriptor| unsafe { Wire::with_peer(descriptor, peer) };
        assert!(with_peer(near.as_raw_fd()).is_some());
        assert!(with_peer(far.as_raw_fd()).is_none());
        assert!(with_peer(-1).is_none());
        assert!(with_peer(1_000_000).is_none());
    }

    #[test]
    fn a_number_that_means_another_socket_by_now_is_left_alone() {
        let (near, _far) = pair();
        let wire = wire_of(&near);
        let (other, mut other_far) = pair();
        let number = near.as_raw_fd();
        // The driver has closed its own, and somebody else got the number.
        // SAFETY: the number is near's, which is forgotten: from here on it belongs to `place`.
        let mut place = unsafe { OwnedFd::from_raw_fd(number) };
        std::mem::forget(near);
        dup2(&other, &mut place).unwrap();
        drop(other);

        assert!(!wire.is_same());
        wire.shutdown();
        wire.finish();
        assert!(wire.set_read_timeout(Some(Duration::from_millis(1))).is_err());
        assert!(wire.duplicate().is_none() && wire.peer().is_none());
        // SAFETY: the descriptor is open.
        assert!(unsafe { wire.disconnect_here() }.is_err());
        let mut other = TcpStream::from(place);
        other.write_all(b"alive").unwrap();
        let mut buffer = [0; 5];
        other_far.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"alive");
    }
}
