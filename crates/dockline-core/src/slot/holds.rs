//! Guards that keep a connection from being replaced.

use std::cell::Cell;

use crate::base::error::{Error, ErrorKind, Fact, Result};

/// How many [`Hold`](crate::Hold)s there are, and on which physical connection.
#[derive(Default)]
pub(crate) struct Holds {
    count: Cell<u32>,
    serial: Cell<Option<u64>>,
}

impl Holds {
    /// Adds one: it holds the connection that is open, or else the first that will be.
    pub(crate) fn add(&self, open: Option<u64>) {
        if !self.any() {
            self.serial.set(open);
        }
        self.count.set(self.count.get() + 1);
    }

    pub(crate) fn remove(&self) {
        self.count.set(self.count.get() - 1);
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.get()
    }

    pub(crate) fn any(&self) -> bool {
        self.count.get() > 0
    }

    /// The connection that is held from now on, where one is held.
    pub(crate) fn bind(&self, serial: u64) {
        if self.any() {
            self.serial.set(Some(serial));
        }
    }

    /// A connection that is held and gone must not be replaced in silence.
    pub(crate) fn refuse_another(&self) -> Result<()> {
        if self.any() && self.serial.get().is_some() { Err(gone()) } else { Ok(()) }
    }
}

fn gone() -> Error {
    let message = "the connection is held, and it is lost or closed; a new one would lack its state. \
                   Drop the hold to get one";
    Error::new(ErrorKind::Operational, message).with_fact(Fact::Disconnect)
}
