//! A Unix socket of our own for the driver, which lets nobody between itself and one that it has opened.
//!
//! The driver calls a connector only for TCP, and before it has sent a byte. So it is given something to connect to: a listener on
//! loopback that nobody ever accepts from. The connector then drops that connection, and answers with the Unix socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use postgres::Socket;

/// What the driver connects to instead of the server, and the socket that it gets for it.
pub(crate) struct Decoy {
    listener: TcpListener,
    server: UnixStream,
}

impl Decoy {
    pub(crate) fn new(server: UnixStream) -> io::Result<Self> {
        let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        let listener = TcpListener::bind(&loopback[..]).map_err(|error| {
            let message = format!(
                "a Unix socket needs TCP on loopback as well, for a moment while connecting, and has none: {error}"
            );
            io::Error::new(error.kind(), message)
        })?;
        server.set_nonblocking(true)?;
        Ok(Self { listener, server })
    }

    /// Where the driver is to connect to.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The server's socket, for the one that the driver has connected. In a runtime.
    pub(crate) fn exchange(self, driver: Socket) -> io::Result<tokio::net::UnixStream> {
        // First the listener: with a reset from there, nothing of the connection stays behind.
        drop(self.listener);
        drop(driver);
        tokio::net::UnixStream::from_std(self.server)
    }
}
