//! What becomes of a slot in a process that was forked.

use std::sync::Arc;
use std::time::Instant;

use crate::base::error::{Error, ErrorKind, Fact};
use crate::link::ages::Birth;
use crate::link::seat::{Link, Seat};
use crate::slot::Slot;

impl Slot {
    /// A seat of this process's own. It is leaked: others may hold guards of the earlier one, and it is one for each fork.
    pub(crate) fn renew_seat(&self) {
        let (presence, tally) = (self.first_seat.vitals.presence(), self.desk.tally(self.alias()));
        let seat = Seat::new(self.alias_arc(), self.hot.id, presence, tally);
        seat.vitals.set_holds(self.holds.count());
        let seat = Box::new(Arc::new(seat));
        self.later_seat.set(Some(Box::leak(seat)));
    }

    /// Whether the process was forked since the seat was made. In the middle of a statement, that is asked after it.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.was_forked() && !self.is_busy()
    }

    pub(crate) fn was_forked(&self) -> bool {
        self.seat().is_inherited()
    }

    /// As [`was_forked`](Slot::was_forked), after code of the program in the middle of a statement: what comes next leaves the
    /// connection alone.
    pub(crate) fn was_forked_inside(&self) -> bool {
        let was_forked = self.was_forked();
        if was_forked {
            self.seat().set_forked_inside();
        }
        was_forked
    }

    /// Leaves what there is to the parent, where this process was forked.
    #[inline]
    pub(crate) fn notice_fork(&self) {
        if self.is_inherited() {
            self.desk.leave_to_parent(self);
        }
    }

    /// This process was forked since the slot was used: what it had is the parent's. A transaction or state that would be missed
    /// is an error of the next statement.
    #[cold]
    pub(crate) fn leave_to_parent(&self) {
        // Where it was in the middle of a statement when the state was left, that has ended by now.
        let left = self.seat().leave_to_parent(false).unwrap_or_default();
        self.renew_seat();
        self.occupancy.forget_close();
        self.news.forget();
        // They are dropped later: that is the program's code.
        self.transaction.forked(format!("{FORKED}, and the transaction is the parent's"));
        let in_transaction = left.in_transaction || self.transaction.in_atomic_block();
        if in_transaction || !left.state.is_empty() {
            self.flags.note_error();
            let birth = Birth::now(Instant::now());
            let mut link = Link::left_to_parent(left.state, self.current_config(), birth);
            link.poison(format!("{FORKED}, and it is the parent's"), None, in_transaction);
            self.seat().lock().put(link);
        }
    }

    /// This process was forked in the middle of a statement, which is the parent's.
    pub(crate) fn forked_inside(&self) -> Error {
        let message = format!("{FORKED} in the middle of this statement, and what remains of it is the parent's");
        Error::new(ErrorKind::Operational, message)
            .with_fact(Fact::Disconnect)
            .with_fact(Fact::MayHaveExecuted)
            .with_alias(self.alias_arc())
    }
}

const FORKED: &str = "the process was forked";
