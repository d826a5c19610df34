//! Which of a thread's slots the next boundary has to look at.
//!
//! A boundary costs what the thread has touched since the last one, however many connections it has open. What holds outside of a
//! boundary:
//!
//! 1. Whatever gives a boundary something to do with a slot puts the slot on the list, by its [`Mark`]: each turn, each error, a change
//!    of autocommit or of the alias, a block, an entry of the query log, a hold that is watched.
//! 2. A slot that is not on the list has nothing for a boundary but its age: at no moment before `due_from` can its connection be due.
//! 3. Only the end of a boundary takes slots off the list, and none while an outer boundary walks it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::now::Now;

/// The slots of one thread and registry that the next boundary has to look at, by the places where the thread keeps them.
pub(crate) struct Touched {
    places: RefCell<Vec<usize>>,
    /// Until when no slot that is not on the list can be due: a moment of the coarse clock.
    due_from: Cell<u64>,
    /// How many walk the slots, one inside the other.
    walks: Cell<u32>,
    /// How many statements have run on all slots, also on those that have gone.
    statements: Cell<u64>,
    pub(crate) scopes: Scopes,
}

/// In how many requests and tasks a thread is, one inside the other.
#[derive(Default)]
pub(crate) struct Scopes {
    /// Those that run.
    pub(crate) running: Cell<u32>,
    /// Those of which hooks and receivers are being told that they have ended: what they begin belongs to them.
    pub(crate) ending: Cell<u32>,
}

impl Scopes {
    /// Returns in how many the thread is; one that is ending counts.
    #[inline]
    pub(crate) fn depth(&self) -> u32 {
        self.running.get() + self.ending.get()
    }
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            places: RefCell::default(),
            due_from: Cell::new(u64::MAX),
            walks: Cell::new(0),
            statements: Cell::new(0),
            scopes: Scopes::default(),
        }
    }
}

impl Touched {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Whether a slot that is not on the list may be due by its age.
    #[inline]
    pub(crate) fn is_any_due(&self, now: &Now) -> bool {
        match self.due_from.get() {
            u64::MAX => false,
            from => now.coarse() >= from,
        }
    }

    /// Notes that all slots are on the list. Those that leave it say again until when they are calm.
    pub(crate) fn all_are_listed(&self) {
        self.due_from.set(u64::MAX);
    }

    /// Notes that a slot that leaves the list cannot be due before that moment.
    pub(crate) fn due_from(&self, moment: u64) {
        self.due_from.set(self.due_from.get().min(moment));
    }

    /// The place of a slot on the list.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> Option<usize> {
        self.places.borrow().get(index).copied()
    }

    /// Begins to walk the slots: until that is dropped, none leaves the list.
    pub(crate) fn walk(&self) -> Walk<'_> {
        self.walks.set(self.walks.get() + 1);
        Walk(self)
    }

    /// Whether somebody walks the slots.
    #[inline]
    pub(crate) fn is_walked(&self) -> bool {
        self.walks.get() > 0
    }

    /// Takes those off the list that need not stay on it, unless it is being walked. `stays` runs no code of the program, and touches
    /// nothing.
    #[inline]
    pub(crate) fn retain(&self, mut stays: impl FnMut(usize) -> bool) {
        if !self.is_walked() {
            self.places.borrow_mut().retain(|place| stays(*place));
        }
    }

    /// How many statements have run.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.get()
    }
}

/// The slots are being walked.
pub(crate) struct Walk<'a>(&'a Touched);

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.0.walks.set(self.0.walks.get() - 1);
    }
}

/// What a slot has of the list.
pub(crate) struct Mark {
    list: Rc<Touched>,
    place: usize,
    is_listed: Cell<bool>,
}

impl Mark {
    pub(crate) fn new(list: &Rc<Touched>, place: usize) -> Self {
        Self { list: Rc::clone(list), place, is_listed: Cell::new(false) }
    }

    /// Has the next boundary look at the slot.
    #[inline]
    pub(crate) fn touch(&self) {
        if !self.is_listed.replace(true) {
            self.list.places.borrow_mut().push(self.place);
        }
    }

    /// Notes that the slot leaves the list.
    pub(crate) fn has_left(&self) {
        self.is_listed.set(false);
    }

    /// Returns in how many requests and tasks the thread is, one inside the other; one that is ending counts.
    #[inline]
    pub(crate) fn depth(&self) -> u32 {
        self.list.scopes.depth()
    }

    /// Counts a statement.
    #[inline]
    pub(crate) fn count(&self) {
        self.list.statements.set(self.list.statements.get().wrapping_add(1));
    }
}
