//! A look at a driver's socket, past the driver.

use std::io;
use std::mem::ManuallyDrop;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::{Errno, dup2};
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, SockRef, Type};

use crate::look::Look;

/// The descriptor of a driver's socket.
///
/// It does not own it: whoever holds one makes sure that the driver's connection lives as long.
#[derive(Debug)]
pub struct Wire {
    descriptor: RawFd,
}

impl Wire {
    /// The socket of a driver's connection that gives its descriptor.
    pub fn of(connection: &impl AsRawFd) -> Self {
        Self { descriptor: connection.as_raw_fd() }
    }

    /// A socket whose descriptor became known in another way, where its peer is this one. Descriptors are small numbers that
    /// are used again: this makes sure that it is the one that is meant.
    pub fn with_peer(descriptor: RawFd, peer: std::net::SocketAddr) -> Option<Self> {
        if descriptor < 0 {
            return None;
        }
        let wire = Self { descriptor };
        let found = wire.socket(|socket| socket.peer_addr()).ok()?.as_socket()?;
        (found == peer).then_some(wire)
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
    /// Where the system refuses: descriptors have run out. The socket is what it was then.
    pub fn disconnect_here(&self) -> io::Result<()> {
        let nowhere = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // SAFETY: as in `borrow`; and it is not closed here, but stays the driver's, whose number keeps its meaning.
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

    /// The same socket once more: it stays open when the driver closes its own. `None` where descriptors have run out.
    pub(crate) fn duplicate(&self) -> Option<OwnedFd> {
        self.borrow().try_clone_to_owned().ok()
    }

    fn socket<R>(&self, call: impl FnOnce(&SockRef<'_>) -> io::Result<R>) -> io::Result<R> {
        call(&SockRef::from(&self.borrow()))
    }

    fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is not -1, and belongs to a connection of a driver that lives as long as this (see the type).
        // Where a caller breaks that, what is asked here is asked of another file: nothing is read from it or written to it.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

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
        let wire = Wire::of(&near);
        assert!(matches!(wire.look(), Look::Quiet));
        far.write_all(b"hello").unwrap();
        wait_for(&wire, |look| matches!(look, Look::Data));
        let mut buffer = [0; 64];
        assert_eq!(wire.peek(&mut buffer), b"hello");
        assert_eq!(wire.peek(&mut buffer), b"hello", "it stays where it is");

        let (near, far) = pair();
        let wire = Wire::of(&near);
        drop(far);
        wait_for(&wire, |look| matches!(look, Look::Closed));

        let (near, far) = pair();
        let wire = Wire::of(&near);
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        wait_for(&wire, |look| matches!(look, Look::Failed(_)));
    }

    #[test]
    fn a_socket_that_leads_nowhere_takes_the_place_of_one() {
        let (near, mut far) = pair();
        let mut copy = near.try_clone().unwrap();
        Wire::of(&near).disconnect_here().unwrap();
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
        assert!(Wire::with_peer(near.as_raw_fd(), peer).is_some());
        assert!(Wire::with_peer(far.as_raw_fd(), peer).is_none());
        assert!(Wire::with_peer(-1, peer).is_none());
        assert!(Wire::with_peer(1_000_000, peer).is_none());
    }
}
