//! What a slot remembers of its statements: that there were some, and where the program called.

use std::cell::Cell;
use std::panic::Location;

use crate::base::async_tasks::Runner;
use crate::base::places;

/// What a slot remembers of its statements, on whichever connection.
pub(crate) struct Trace {
    /// Something has run since it was last looked whether a transaction was left open.
    used: Cell<bool>,
    /// The connection that the last request or task has worked on.
    worked_on: Cell<Option<u64>>,
    called_from: Cell<&'static Location<'static>>,
    began_at: Cell<&'static Location<'static>>,
    runner: Cell<Runner>,
    /// The last place whose number was asked for, and that.
    numbered: Cell<(&'static Location<'static>, u32)>,
}

impl Trace {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self {
            used: Cell::new(false),
            worked_on: Cell::new(None),
            called_from: Cell::new(Location::caller()),
            began_at: Cell::new(Location::caller()),
            runner: Cell::default(),
            numbered: Cell::new((Location::caller(), 0)),
        }
    }

    /// A statement has run.
    #[inline]
    pub(crate) fn note_use(&self) {
        self.used.set(true);
    }

    /// Whether a statement has run since that was last taken.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.used.get()
    }

    /// Returns whether a statement has run since this was last asked.
    pub(crate) fn take_used(&self) -> bool {
        self.used.take()
    }

    /// Notes on which connection a request or task has worked; returns whether it is that of the one before.
    pub(crate) fn is_reused(&self, serial: Option<u64>) -> bool {
        serial.is_some() && self.worked_on.replace(serial) == serial
    }

    /// Notes where the program calls.
    #[track_caller]
    #[inline]
    pub(crate) fn called(&self) {
        self.called_from.set(Location::caller());
    }

    /// Returns the number of the place where the program has called last.
    pub(crate) fn place(&self) -> u32 {
        let here = self.called_from.get();
        let (known, number) = self.numbered.get();
        if number != 0 && std::ptr::eq(known, here) {
            return number;
        }
        let number = places::number(here);
        self.numbered.set((here, number));
        number
    }

    /// Returns where the program has called last.
    pub(crate) fn called_from(&self) -> &'static Location<'static> {
        self.called_from.get()
    }

    /// Notes that what was called last has begun a transaction.
    pub(crate) fn begun(&self) {
        self.began_at.set(self.called_from.get());
        self.runner.set(Runner::current());
    }

    /// Returns who began the transaction that is open, or was last.
    pub(crate) fn runner(&self) -> Runner {
        self.runner.get()
    }

    /// Returns where the transaction began that is open, or was last.
    pub(crate) fn began_at(&self) -> &'static Location<'static> {
        self.began_at.get()
    }
}
