//! Whether a slot is in use, and what waits for its end.

use std::cell::Cell;

use crate::slot::reason::CloseReason;

/// Whether a statement is running, or the connection is being opened or checked; and whether it is to be closed after that.
#[derive(Default)]
pub(crate) struct Occupancy {
    busy: Cell<bool>,
    close_after: Cell<Option<CloseReason>>,
}

impl Occupancy {
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Begins a use. Returns whether the slot was free.
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        !self.busy.replace(true)
    }

    #[inline]
    pub(crate) fn end(&self) {
        self.busy.set(false);
    }

    /// Has the connection closed when the use is over.
    pub(crate) fn close_after(&self, reason: CloseReason) {
        self.close_after.set(Some(reason));
    }

    /// Returns why the connection was to be closed after this use, once.
    #[inline]
    pub(crate) fn take_close(&self) -> Option<CloseReason> {
        self.close_after.take()
    }

    pub(crate) fn forget_close(&self) {
        self.close_after.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_use_at_a_time_and_one_close_after_it() {
        let occupancy = Occupancy::default();
        assert!(occupancy.begin() && !occupancy.begin() && occupancy.is_busy());
        occupancy.close_after(CloseReason::Asked);
        occupancy.end();
        assert!(!occupancy.is_busy());
        assert_eq!(occupancy.take_close(), Some(CloseReason::Asked));
        assert_eq!(occupancy.take_close(), None);
    }
}
