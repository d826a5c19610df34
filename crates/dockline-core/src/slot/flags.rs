//! Django's flags of a connection.

use std::cell::Cell;

/// Django's flags of a connection. They outlive the physical connection, and are set anew by the next one.
#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) errors_occurred: Cell<bool>,
    pub(crate) autocommit: Cell<bool>,
    pub(crate) health_check_done: Cell<bool>,
}
