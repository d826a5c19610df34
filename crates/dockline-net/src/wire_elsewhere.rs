//! Where there are no descriptors as Unix has them, the socket is out of reach: backends ping instead.

use std::io;
use std::time::Duration;

use crate::look::Look;

/// The descriptor of a driver's socket: on this system there is none.
#[derive(Debug)]
pub enum Wire {}

impl Wire {
    /// Looks, without waiting and without taking anything.
    pub fn look(&self) -> Look {
        match *self {}
    }

    /// What is waiting to be read.
    pub fn peek<'b>(&self, _: &'b mut [u8]) -> &'b [u8] {
        match *self {}
    }

    /// How long the driver's reads and writes wait.
    pub fn set_timeouts(&self, _: Option<Duration>, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    /// Sends past the driver.
    ///
    /// # Safety
    ///
    /// There is none of these.
    pub unsafe fn send(&self, _: &[u8], _: Option<Duration>) -> usize {
        match *self {}
    }

    /// Receives past the driver.
    ///
    /// # Safety
    ///
    /// There is none of these.
    pub unsafe fn receive(&self, _: &mut Vec<u8>, _: Option<Duration>) -> io::Result<usize> {
        match *self {}
    }

    /// Receives past the driver.
    ///
    /// # Safety
    ///
    /// There is none of these.
    pub unsafe fn read(&self, _: &mut [u8], _: Option<Duration>) -> io::Result<usize> {
        match *self {}
    }

    /// How long the driver's reads wait.
    pub fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    /// Ends both directions at once.
    pub fn shutdown(&self) {
        match *self {}
    }

    /// Whether the descriptor still means the same socket.
    pub fn is_same(&self) -> bool {
        match *self {}
    }

    /// Puts a socket that leads nowhere into the place of this one.
    ///
    /// # Safety
    ///
    /// There is none of these.
    pub unsafe fn disconnect_here(&self) -> io::Result<()> {
        match *self {}
    }

    /// Tells the other side that nothing more comes.
    pub fn finish(&self) {
        match *self {}
    }

    /// The address of the other side.
    pub fn peer(&self) -> Option<std::net::SocketAddr> {
        match *self {}
    }

    /// Whether the other side is another machine.
    pub fn leaves_this_machine(&self) -> bool {
        match *self {}
    }
}
