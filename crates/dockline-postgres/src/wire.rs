//! The descriptors of the driver's sockets: the one place where this crate vouches for a number.

#![allow(unsafe_code)]

#[cfg(unix)]
use std::net::SocketAddr;

use dockline_net::Wire;
#[cfg(unix)]
use postgres::Socket;

/// The driver's socket. It does not give its descriptor, but its Debug text has it: `fd: 7`.
#[cfg(unix)]
pub(crate) fn of_driver(socket: &Socket, peer: SocketAddr) -> Option<Wire> {
    let text = format!("{socket:?}");
    let (_, rest) = text.split_once("fd: ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    // SAFETY: the socket is open, as long as it is borrowed; and a number that is not its own has another peer.
    unsafe { Wire::with_peer(digits.parse().ok()?, peer) }
}

/// A socket of our own.
#[cfg(unix)]
pub(crate) fn of_unix(socket: &std::os::unix::net::UnixStream) -> Option<Wire> {
    use std::os::fd::AsRawFd;
    // SAFETY: the socket is open, as long as it is borrowed.
    unsafe { Wire::of(socket.as_raw_fd()) }
}

/// In a process that was forked: leaves the connection to the parent. The caller never drops the driver's connection.
pub(crate) fn leave(wire: &Wire) {
    // SAFETY: the driver's connection is not dropped, here or elsewhere: it is the caller's, who forgets it.
    let _ = unsafe { wire.disconnect_here() };
}
