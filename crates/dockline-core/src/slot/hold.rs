//! When a slot's connection is held, and when it is returned: for leak detection, and for whoever listens.

use crate::base::logging::say;
use crate::slot::Slot;
use crate::slot::events::Event;

impl Slot {
    /// Notes a statement that is about to run: its connection is held from now on, inside a request, a task, a block or a hold.
    #[cold]
    pub(super) fn watch(&self, sql: Option<&str>) {
        if let Some(sql) = sql {
            self.seat().watch.runs(sql);
        }
        if self.is_held_by_its_surroundings() {
            self.begin_hold();
        }
    }

    /// Notes whether the connection is held, after something that may have changed that. Nothing of the slot may be locked.
    #[cold]
    pub(crate) fn note_hold(&self) {
        let is_held = self.seat().vitals.is_in_transaction() || self.is_held_by_its_surroundings();
        if is_held && self.serial().is_some() {
            self.begin_hold();
        } else if self.news.is_watched.take() {
            self.end_hold();
        }
    }

    /// The connection may have been returned, if it was held.
    #[inline]
    pub(crate) fn note_return(&self) {
        if self.news.is_watched.get() {
            self.note_hold();
        }
    }

    fn is_held_by_its_surroundings(&self) -> bool {
        self.transaction.in_atomic_block() || self.holds.any() || self.depth() > 0
    }

    fn begin_hold(&self) {
        if !self.news.is_watched.replace(true) {
            self.flags.touch();
            self.news.held.set(self.serial());
            self.seat().watch.begin(self.transaction.began_at().unwrap_or(self.trace.called_from()));
        }
    }

    fn end_hold(&self) {
        let Some(held) = self.seat().watch.end() else { return };
        let (elapsed, serial) = (held.since.elapsed(), self.news.held.take());
        if held.is_reported {
            let (alias, serial) = (self.alias(), serial.unwrap_or_default());
            say!(
                warn,
                "alias {alias:?}: connection {serial} was returned after {elapsed:.1?}; it was reported as held for longer than \
                 leak_threshold (its hold began at {})",
                held.place
            );
        }
        self.tell_of_serial(serial, |events, source| events.tell(&Event::Returned { source, held: elapsed }));
    }
}
