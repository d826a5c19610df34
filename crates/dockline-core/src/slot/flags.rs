//! Django's flags of a connection, and whether a boundary has to look at it.

use std::cell::Cell;

use crate::base::now::Now;
use crate::slot::touched::Mark;

/// Django's flags of a connection. They outlive the physical connection, and are set anew by the next one.
pub(crate) struct Flags {
    errors_occurred: Cell<bool>,
    autocommit: Cell<bool>,
    health_check_done: Cell<bool>,
    /// Until when nothing can be due at a boundary, by the owner's own word: a moment of the coarse clock.
    calm_until: Cell<u64>,
    mark: Mark,
}

impl Flags {
    pub(crate) fn new(mark: Mark) -> Self {
        Self {
            errors_occurred: Cell::new(false),
            autocommit: Cell::new(false),
            health_check_done: Cell::new(false),
            calm_until: Cell::new(0),
            mark,
        }
    }

    /// Whether an error has occurred that makes the next boundary check the connection.
    #[inline]
    pub(crate) fn errors_occurred(&self) -> bool {
        self.errors_occurred.get()
    }

    /// Notes an error that makes the next boundary check the connection.
    pub(crate) fn note_error(&self) {
        self.errors_occurred.set(true);
        self.unsettle();
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
        self.unsettle();
    }

    /// Notes that nothing but time can make the connection due from now on, and that not before `until`. Each use ends that.
    #[inline]
    pub(crate) fn settle(&self, until: u64) {
        self.calm_until.set(until);
    }

    /// Notes that the next boundary has to look at the connection.
    #[inline]
    pub(crate) fn unsettle(&self) {
        self.calm_until.set(0);
        self.mark.touch();
    }

    /// Has the next boundary look at the slot, for something other than its connection.
    #[inline]
    pub(crate) fn touch(&self) {
        self.mark.touch();
    }

    /// Notes that the next boundary need not look at the slot.
    pub(crate) fn has_left_boundary(&self) {
        self.mark.has_left();
    }

    /// Returns in how many requests and tasks the thread is, one inside the other; one that is ending counts.
    #[inline]
    pub(crate) fn depth(&self) -> u32 {
        self.mark.depth()
    }

    /// Counts a statement.
    #[inline]
    pub(crate) fn count_statement(&self) {
        self.mark.count();
    }

    /// Until when nothing can be due at a boundary; 0 if something may be at the next one.
    pub(crate) fn calm_until(&self) -> u64 {
        self.calm_until.get()
    }

    /// Whether nothing can be due at a boundary.
    #[inline]
    pub(crate) fn is_calm(&self, now: &Now) -> bool {
        match self.calm_until.get() {
            0 => false,
            u64::MAX => true,
            until => now.coarse() < until,
        }
    }

    /// Notes that this request's health check is done. Returns whether it was due.
    pub(crate) fn take_health_check(&self) -> bool {
        !self.health_check_done.replace(true)
    }

    /// Whether the next boundary has to make a health check due.
    #[inline]
    pub(crate) fn was_health_checked(&self) -> bool {
        self.health_check_done.get()
    }

    /// Makes a health check due, at a boundary.
    pub(crate) fn renew_health_check(&self) {
        self.health_check_done.set(false);
    }
}
