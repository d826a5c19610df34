//! Django's flags of a connection.

use std::cell::Cell;

/// Django's flags of a connection. They outlive the physical connection, and are set anew by the next one.
#[derive(Default)]
pub(crate) struct Flags {
    errors_occurred: Cell<bool>,
    autocommit: Cell<bool>,
    health_check_done: Cell<bool>,
}

impl Flags {
    /// Whether an error has occurred that makes the next boundary check the connection.
    #[inline]
    pub(crate) fn errors_occurred(&self) -> bool {
        self.errors_occurred.get()
    }

    /// Notes an error that makes the next boundary check the connection.
    pub(crate) fn note_error(&self) {
        self.errors_occurred.set(true);
    }

    /// Notes that the connection has shown that it is well.
    pub(crate) fn forget_errors(&self) {
        self.errors_occurred.set(false);
    }

    #[inline]
    pub(crate) fn autocommit(&self) -> bool {
        self.autocommit.get()
    }

    pub(crate) fn set_autocommit(&self, on: bool) {
        self.autocommit.set(on);
    }

    /// Notes that this request's health check is done. Returns whether it was due.
    pub(crate) fn take_health_check(&self) -> bool {
        !self.health_check_done.replace(true)
    }

    /// Makes a health check due, at a boundary.
    pub(crate) fn renew_health_check(&self) {
        self.health_check_done.set(false);
    }
}
