//! The ends of requests and tasks: what is left open is rolled back, and what is due is closed.
//!
//! It costs what the thread has touched since the boundary before: see [`Slots`](crate::thread::slots).

use std::cell::Cell;
use std::rc::Rc;

use crate::base::ids::TaskPolicy;
use crate::base::logging::say;
use crate::base::now::Now;
use crate::slot::Slot;
use crate::slot::reason::{CloseReason, LeftOpen};
use crate::thread::local::ThreadRegistry;

impl ThreadRegistry {
    pub(crate) fn close_old_connections(&self) {
        self.close_due(self.slots.scopes().running.get() > 0);
    }

    fn close_due(&self, inside: bool) {
        self.close_due_where(|_| inside);
    }

    /// `is_inside` says of which something around would miss its connection.
    fn close_due_where(&self, is_inside: impl Fn(&Slot) -> bool) {
        self.refresh();
        let now = Now::default();
        if self.slots.list_due(&now) {
            self.slots.each_touched(|slot| slot.close_if_unusable_or_obsolete(&now, is_inside(slot)));
            self.drop_removed();
            self.slots.settle(&now);
        }
    }

    pub(crate) fn reset_queries(&self) {
        self.slots.each_touched(|slot| slot.log().reset());
    }

    fn set_depth(&self, depth: u32) {
        self.slots.scopes().running.set(depth);
        self.presence.set(depth);
    }

    /// A request or a task has begun.
    pub(crate) fn enter(&self) {
        self.set_depth(self.slots.scopes().running.get() + 1);
    }

    /// A task has begun: it is part of a block that is open here.
    pub(crate) fn warn_of_block_around_task(&self) {
        // A slot with an open block stays on the list.
        let inside =
            self.slots.find_touched(|slot| Some((slot.alias_arc(), slot.transaction.outside_tests_began_at()?)));
        if let Some((alias, at)) = inside.filter(|_| self.shared.hot.warns_of_tasks()) {
            say!(
                warn,
                "alias {alias:?}: a task begins inside an atomic block of its thread, which began at {at}: what it does is part of \
                 that. A thread that waits inside rayon takes up other jobs; do not wait for them in a block"
            );
        }
    }

    /// A request or a task ends: `tell` tells of it. One inside another leaves transactions to that.
    pub(crate) fn exit(&self, tell: impl FnOnce()) {
        self.exit_with(LeftOpen::WithAutocommit, tell);
    }

    /// A task ends, and its connections are treated as the policy says.
    pub(crate) fn exit_task(&self, policy: TaskPolicy, tell: impl FnOnce()) {
        let _outer = Restore::replacing(&self.task_policy, policy);
        // Else the boundary closes what has autocommit off.
        let left_open = if policy == TaskPolicy::Keep { LeftOpen::All } else { LeftOpen::WithAutocommit };
        self.exit_with(left_open, tell);
    }

    fn exit_with(&self, left_open: LeftOpen, tell: impl FnOnce()) {
        self.set_depth(self.slots.scopes().running.get() - 1);
        if !self.is_inside() {
            // Mostly all of them, and the steps below find nothing to do.
            self.slots.end_at_once(&Now::default());
        }
        self.roll_back_left_open(left_open, false);
        let ending = &self.slots.scopes().ending;
        let ending = Restore::replacing(ending, ending.get() + 1);
        tell();
        drop(ending);
        // A receiver may have left one open as well.
        self.roll_back_left_open(left_open, true);
        if !self.is_inside() && !self.slots.are_untouched() {
            self.slots.each_touched(|slot| slot.park_if_taken());
            self.slots.settle(&Now::default());
        }
    }

    pub(crate) fn close_before_request(&self) {
        self.close_due(self.is_inside());
    }

    pub(crate) fn close_after_request(&self) {
        self.close_due(self.is_told_inside());
    }

    pub(crate) fn close_after_task(&self) {
        let inside = self.is_told_inside();
        match self.task_policy.get() {
            TaskPolicy::Keep => {}
            // What is around it has not asked for that.
            TaskPolicy::CloseAll if !inside => {
                self.slots.each(|slot| {
                    if !slot.transaction.began_outside() {
                        slot.close(CloseReason::Asked);
                    }
                });
            }
            // A block that is around the task would miss its connection.
            _ => self.close_due_where(|slot| inside || slot.transaction.began_outside()),
        }
    }

    /// How many statements have run here in all.
    pub(crate) fn statements(&self) -> u64 {
        self.slots.statements()
    }

    /// How often a boundary has looked at a slot.
    #[cfg(test)]
    pub(crate) fn visits(&self) -> u32 {
        self.slots.visits.get()
    }

    /// The slots that no boundary looks at, and that have something for one.
    #[cfg(test)]
    pub(crate) fn missed(&self) -> Vec<String> {
        self.slots.missed(&Now::default())
    }

    fn roll_back_left_open(&self, left_open: LeftOpen, is_told: bool) {
        if !self.is_inside() {
            self.slots.each_touched(|slot| slot.roll_back_left_open(left_open, is_told));
        }
    }

    /// A request or a task runs here, or hooks of one that has ended do.
    fn is_inside(&self) -> bool {
        self.slots.scopes().depth() > 0
    }

    /// The same, for who is told of an end: that one counts no more.
    fn is_told_inside(&self) -> bool {
        let scopes = self.slots.scopes();
        scopes.running.get() > 0 || scopes.ending.get() > 1
    }

    /// Slots of aliases that were removed go when nobody holds them.
    fn drop_removed(&self) {
        // A slot whose alias was removed stays on the list.
        if self.slots.find_touched(|slot| slot.is_removed().then_some(())).is_none() {
            return;
        }
        self.notice_fork();
        let is_unused = |slot: &Rc<Slot>| slot.is_removed() && slot.serial().is_none() && Rc::strong_count(slot) == 1;
        // Dropped outside any borrow: settings may hold closures of the program.
        for slot in self.slots.take_out(is_unused) {
            self.bucket().remove(slot.seat());
        }
    }
}

/// Puts a value back when it is dropped, also by a panic.
struct Restore<'a, T: Copy> {
    cell: &'a Cell<T>,
    before: T,
}

impl<'a, T: Copy> Restore<'a, T> {
    fn replacing(cell: &'a Cell<T>, value: T) -> Self {
        Self { cell, before: cell.replace(value) }
    }
}

impl<T: Copy> Drop for Restore<'_, T> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}
