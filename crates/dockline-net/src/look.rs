//! What a socket says without being read.

use std::io;

/// What [`Wire::look`](crate::Wire::look) saw.
#[derive(Debug)]
pub enum Look {
    /// Nothing to read, and no error: as far as this kernel has been told, the other side is there.
    Quiet,
    /// Something is waiting to be read.
    Data,
    /// The other side has closed the connection.
    Closed,
    /// The connection has failed: it was reset, or timed out.
    Failed(io::Error),
}
