//! A stream of our own, whose every read and write has what is left of one deadline.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
use std::time::Duration;

use crate::deadline::Deadline;

/// A connection that Dockline has made itself, past the driver.
#[derive(Debug)]
pub struct Limited {
    stream: Stream,
    deadline: Deadline,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Limited {
    /// Connects to an address.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), or what the system says.
    pub fn tcp(address: &SocketAddr, deadline: Deadline) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(address, deadline.left()?)?;
        Ok(Self { stream: Stream::Tcp(stream), deadline })
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), or what the system says.
    #[cfg(unix)]
    pub fn unix(path: &Path, deadline: Deadline) -> io::Result<Self> {
        Ok(Self { stream: Stream::Unix(connect_unix(path, deadline)?), deadline })
    }

    fn arm(&self) -> io::Result<()> {
        let left = Some(self.deadline.left()?);
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.set_write_timeout(left)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.set_write_timeout(left)),
        }
    }
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.read(buffer),
        };
        read.map_err(late)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.arm()?;
        let written = match &mut self.stream {
            Stream::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.write(bytes),
        };
        written.map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket whose time is over says that it would block.
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// Connects to a Unix socket. A server that is stopped takes connections until its queue is full; from then on the kernel makes the
/// next one wait, as long as the deadline allows.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut), or what the system says.
#[cfg(unix)]
pub fn connect_unix(path: &Path, deadline: Deadline) -> io::Result<UnixStream> {
    use std::os::fd::OwnedFd;

    use socket2::{Domain, SockAddr, Socket, Type};

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    socket.set_write_timeout(Some(deadline.left()?))?;
    loop {
        match socket.connect(&address) {
            Ok(()) => break,
            // Linux waits for a place in the queue as long as the limit for writes, other systems do not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.left()?;
                std::thread::sleep(Duration::from_millis(5).min(left));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    socket.set_write_timeout(None)?;
    Ok(OwnedFd::from(socket).into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn bytes_that_drip_do_not_put_the_deadline_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let drip = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            while peer.write_all(b".").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let mut stream = Limited::tcp(&address, Deadline::after(Duration::from_millis(200))).unwrap();
        let mut all = [0; 1_000_000];
        assert_eq!(stream.read_exact(&mut all).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(stream.write(b"x").unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(stream);
        drip.join().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_queue_that_is_full_costs_the_limit() {
        use std::os::unix::net::UnixListener;

        let path = std::env::temp_dir().join(format!("dockline-net-{}-{}", std::process::id(), fastrand::u64(..)));
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut taken = Vec::new();
        let full = loop {
            match connect_unix(&path, Deadline::after(Duration::from_millis(100))) {
                Ok(stream) => taken.push(stream),
                Err(error) => break error,
            }
            assert!(taken.len() < 1_000, "a queue without an end");
        };
        assert_eq!(full.kind(), io::ErrorKind::TimedOut);
        // A place becomes free meanwhile.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| connect_unix(&path, Deadline::after(Duration::from_secs(30))));
            listener.accept().unwrap();
            assert!(waiting.join().unwrap().is_ok());
        });
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            connect_unix(&path, Deadline::after(Duration::from_secs(1))).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
