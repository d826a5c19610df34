//! The descriptor of the driver's socket: the one place where this crate vouches for a number.

#![allow(unsafe_code)]

use dockline_net::Wire;
use mysql::Conn;

/// The socket of a connection.
#[cfg(unix)]
pub(crate) fn of(conn: &Conn) -> Option<Wire> {
    use std::os::fd::AsRawFd;
    // SAFETY: the connection is open, as long as it is borrowed, and has its socket for as long as it lives.
    unsafe { Wire::of(conn.as_raw_fd()) }
}

/// The socket of a connection: on this system it is out of reach.
#[cfg(not(unix))]
pub(crate) fn of(_: &Conn) -> Option<Wire> {
    None
}

/// In a process that was forked: leaves the connection to the parent. Whether the driver's goodbye goes nowhere from now on. The
/// caller has the driver's connection, and has not dropped it.
pub(crate) fn leave(wire: &Wire) -> bool {
    // SAFETY: the driver's connection is alive, and the caller's alone.
    unsafe { wire.disconnect_here() }.is_ok()
}
