//! The slots of one thread and registry.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::now::Now;
use crate::slot::Slot;
use crate::slot::touched::{Mark, Scopes, Touched};

/// The slots of one thread and registry, and which of them the next boundary has to look at. A slot keeps its place for as long as it
/// lives.
#[derive(Default)]
pub(super) struct Slots {
    places: RefCell<Vec<Option<Rc<Slot>>>>,
    touched: Rc<Touched>,
    /// How often a boundary has looked at a slot.
    #[cfg(test)]
    pub(super) visits: std::cell::Cell<u32>,
}

impl Slots {
    pub(super) fn find(&self, alias: &str) -> Option<Rc<Slot>> {
        self.places.borrow().iter().flatten().find(|slot| slot.alias() == alias).map(Rc::clone)
    }

    /// Adds a slot, which `make` makes of its mark.
    pub(super) fn add(&self, make: impl FnOnce(Mark) -> Slot) -> Rc<Slot> {
        let mut places = self.places.borrow_mut();
        // Whoever walks the slots meets those that are added meanwhile.
        let free = if self.touched.is_walked() { None } else { places.iter().position(Option::is_none) };
        let place = free.unwrap_or(places.len());
        let slot = Rc::new(make(Mark::new(&self.touched, place)));
        if place == places.len() {
            places.push(None);
        }
        places[place] = Some(Rc::clone(&slot));
        slot
    }

    /// Calls with each slot, without a borrow: what closes a connection tells receivers of it, and they may use the registry.
    pub(super) fn each(&self, mut call: impl FnMut(&Rc<Slot>)) {
        let _walk = self.touched.walk();
        let mut place = 0;
        while let Some(slot) = self.after(place) {
            if let Some(slot) = slot {
                call(&slot);
            }
            place += 1;
        }
    }

    /// What is at this place; `None` behind the last one.
    #[expect(clippy::option_option, reason = "a place may be empty")]
    fn after(&self, place: usize) -> Option<Option<Rc<Slot>>> {
        self.places.borrow().get(place).cloned()
    }

    /// What `look` says of the slots, which runs no code of the program.
    pub(super) fn map<T>(&self, look: impl FnMut(&Rc<Slot>) -> T) -> Vec<T> {
        self.places.borrow().iter().flatten().map(look).collect()
    }

    /// Whether something is so of all slots.
    pub(super) fn all(&self, is_so: impl Fn(&Slot) -> bool) -> bool {
        self.places.borrow().iter().flatten().all(|slot| is_so(slot))
    }

    /// Takes the slots out of which something is so.
    pub(super) fn take_out(&self, is_so: impl Fn(&Rc<Slot>) -> bool) -> Vec<Rc<Slot>> {
        self.places.borrow_mut().iter_mut().filter_map(|place| place.take_if(|slot| is_so(slot))).collect()
    }
}

/// Those that a boundary has to look at.
impl Slots {
    /// Whether no slot has been touched since the last boundary.
    #[inline]
    pub(super) fn are_untouched(&self) -> bool {
        self.touched.is_empty()
    }

    /// Lists the slots that may be due by their age: all of them, once the first may be. Whether any is listed then.
    #[inline]
    pub(super) fn list_due(&self, now: &Now) -> bool {
        if self.touched.is_any_due(now) {
            self.list_all();
        }
        !self.are_untouched()
    }

    #[cold]
    fn list_all(&self) {
        self.touched.all_are_listed();
        self.places.borrow().iter().flatten().for_each(|slot| slot.flags.touch());
    }

    /// Calls with each slot that was touched since the last boundary, without a borrow.
    #[inline]
    pub(super) fn each_touched(&self, call: impl FnMut(&Rc<Slot>)) {
        if !self.are_untouched() {
            self.walk(call);
        }
    }

    fn walk(&self, mut call: impl FnMut(&Rc<Slot>)) {
        let _walk = self.touched.walk();
        let mut index = 0;
        while let Some(place) = self.touched.at(index) {
            if let Some(slot) = self.after(place).flatten() {
                self.count_visit();
                call(&slot);
            }
            index += 1;
        }
    }

    /// What `look` finds among the slots that were touched, without code of the program.
    pub(super) fn find_touched<T>(&self, look: impl Fn(&Slot) -> Option<T>) -> Option<T> {
        let places = self.places.borrow();
        let touched = (0..).map_while(|index| self.touched.at(index));
        touched.filter_map(|place| places.get(place)?.as_ref()).find_map(|slot| look(slot))
    }

    /// Lets those go that the next boundary need not look at.
    #[inline]
    pub(super) fn settle(&self, now: &Now) {
        if !self.are_untouched() {
            self.settle_touched(now);
        }
    }

    fn settle_touched(&self, now: &Now) {
        self.let_go(|slot| !slot.is_for_next_boundary(now));
    }

    /// The end of the outermost request or task, for the slots where it finds nothing to do: they are let go at once.
    #[inline]
    pub(super) fn end_at_once(&self, now: &Now) {
        if !self.are_untouched() {
            self.let_go(|slot| slot.ends_at_once(now));
        }
    }

    /// Lets those go of which that is so, unless somebody walks the slots.
    fn let_go(&self, goes: impl Fn(&Slot) -> bool) {
        let places = self.places.borrow();
        self.touched.retain(|place| {
            let Some(Some(slot)) = places.get(place) else { return false };
            self.count_visit();
            let goes = goes(slot);
            if goes {
                slot.flags.has_left_boundary();
                if let Some(until) = slot.calm_until() {
                    self.touched.due_from(until);
                }
            }
            !goes
        });
    }

    /// Those that are not on the list and ought to be; what time makes due is looked for when its moment has come.
    #[cfg(test)]
    pub(super) fn missed(&self, now: &Now) -> Vec<String> {
        let listed: Vec<usize> = (0..).map_while(|index| self.touched.at(index)).collect();
        let places = self.places.borrow();
        let others = places.iter().enumerate().filter(|(place, _)| !listed.contains(place));
        let begin = Now::at(now.get(), 0);
        let is_too_late = |until: u64| until < u64::MAX && !self.touched.is_any_due(&Now::at(now.get(), until));
        let is_missed = |slot: &&Rc<Slot>| {
            slot.is_for_next_boundary(&begin) || slot.is_due_though_calm() || slot.calm_until().is_some_and(is_too_late)
        };
        let missed = others.filter_map(|(_, slot)| slot.as_ref()).filter(is_missed);
        missed.map(|slot| slot.alias().to_owned()).collect()
    }

    #[inline]
    fn count_visit(&self) {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
    }

    /// In how many requests and tasks this thread is.
    #[inline]
    pub(super) fn scopes(&self) -> &Scopes {
        &self.touched.scopes
    }

    /// How many statements have run here in all.
    pub(super) fn statements(&self) -> u64 {
        self.touched.statements()
    }
}
