//! What a session holds, and in which meaning its texts run, as its transactions begin, end and are rolled back.
//!
//! A rollback undoes settings, roles, temporary tables, channels and cursors, to the savepoint or to the beginning of the
//! transaction. It does not undo advisory locks of the session, and statements that were prepared by SQL.

use std::collections::BTreeMap;

use dockline_core::backend::{SessionState, StateKind};
use dockline_core::statement::StateChange;

use super::context::Context;

#[derive(Debug, Default)]
pub(super) struct Held {
    now: Undoable,
    lasting: SessionState,
    /// Advisory locks of the session count how often they were taken.
    locks: BTreeMap<Box<str>, u32>,
    /// The beginning of the transaction, and its savepoints.
    marks: Vec<Mark>,
}

/// What a rollback undoes.
#[derive(Debug, Default, Clone)]
struct Undoable {
    state: SessionState,
    context: Context,
}

#[derive(Debug)]
struct Mark {
    /// None: the beginning.
    name: Option<Box<str>>,
    before: Undoable,
}

impl Held {
    pub(super) fn in_transaction(&self) -> bool {
        !self.marks.is_empty()
    }

    pub(super) fn context(&self) -> &Context {
        &self.now.context
    }

    pub(super) fn context_mut(&mut self) -> &mut Context {
        &mut self.now.context
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.state.is_empty() && self.lasting.is_empty() && self.locks.is_empty()
    }

    /// All of it.
    pub(super) fn state(&self) -> SessionState {
        let mut state = self.now.state.clone();
        self.lasting.iter().for_each(|(kind, name)| state.hold(kind, name));
        self.locks.keys().for_each(|name| state.hold(StateKind::Lock, &**name));
        state
    }

    /// A transaction begins; nothing happens if one is open.
    pub(super) fn begin(&mut self) {
        if self.marks.is_empty() {
            self.marks.push(Mark { name: None, before: self.now.clone() });
        }
    }

    /// It ends.
    pub(super) fn end(&mut self, committed: bool) {
        let Some(begin) = self.marks.drain(..).next() else { return };
        if committed {
            self.now.state.end_transaction();
            self.now.context.end_transaction();
        } else {
            self.now = begin.before;
        }
    }

    pub(super) fn savepoint(&mut self, name: &str) {
        self.marks.push(Mark { name: Some(name.into()), before: self.now.clone() });
    }

    /// The savepoint goes, and those behind it.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(at) = self.find(name) {
            self.marks.truncate(at);
        }
    }

    /// The savepoint stays.
    pub(super) fn roll_back_to(&mut self, name: &str) {
        if let Some(at) = self.find(name) {
            self.marks.truncate(at + 1);
            self.now = self.marks[at].before.clone();
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.marks.iter().rposition(|mark| mark.name.as_deref() == Some(name))
    }

    /// A statement has run that makes or ends this. A lock whose key is no part of the text has this one.
    pub(super) fn apply(&mut self, change: &StateChange, key: &str) {
        match change {
            StateChange::Makes(StateKind::Lock, name) => self.lock(if name.is_empty() { key } else { name }),
            StateChange::Ends(StateKind::Lock, name) => self.unlock(name),
            StateChange::EndsAll(StateKind::Lock) => self.locks.clear(),
            StateChange::EndsEverything => {
                self.locks.clear();
                self.lasting.clear();
                self.now = Undoable::default();
            }
            StateChange::Makes(kind, _) | StateChange::Ends(kind, _) | StateChange::EndsAll(kind)
                if matches!(kind, StateKind::PreparedStatement | StateKind::Library | StateKind::Unknown) =>
            {
                self.lasting.apply(change);
            }
            StateChange::Ends(StateKind::Cursor, _) | StateChange::EndsAll(StateKind::Cursor) => {
                // That one is closed is not undone.
                self.marks.iter_mut().for_each(|mark| mark.before.state.apply(change));
                self.now.state.apply(change);
            }
            _ => self.now.state.apply(change),
        }
    }

    /// A statement has failed that would have made this. A lock may have been taken before it failed.
    pub(super) fn failed(&mut self, change: &StateChange, key: &str) {
        if let StateChange::Makes(StateKind::Lock, _) = change {
            self.apply(change, key);
        }
    }

    /// Code has run of which nobody knows what it leaves.
    pub(super) fn hold_unknown(&mut self) {
        self.lasting.hold(StateKind::Unknown, "");
    }

    fn lock(&mut self, name: &str) {
        *self.locks.entry(name.into()).or_insert(0) += 1;
    }

    pub(super) fn unlock(&mut self, name: &str) {
        if let Some(count) = self.locks.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.locks.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dockline_core::statement::{Dialect, Outline};

    use super::*;

    fn held(texts: &[&str]) -> Held {
        let mut held = Held::default();
        run(&mut held, texts);
        held
    }

    fn run(held: &mut Held, texts: &[&str]) {
        for sql in texts {
            let outline = Outline::of(sql, Dialect::POSTGRES);
            outline.state().iter().for_each(|change| held.apply(change, "of a parameter"));
        }
    }

    #[test]
    fn what_is_local_ends_with_the_transaction() {
        let mut held = Held::default();
        held.begin();
        run(
            &mut held,
            &["SET LOCAL a.b = 1", "SELECT set_config('c.d', '1', true)", "SELECT pg_advisory_xact_lock(1)"],
        );
        assert!(!held.is_empty());
        held.end(true);
        assert!(held.is_empty() && !held.in_transaction(), "{}", held.state());
    }

    #[test]
    fn a_rollback_undoes_what_it_undoes_on_the_server() {
        let mut held = held(&["SET a.b = 1", "LISTEN one"]);
        held.begin();
        run(&mut held, &["SET c.d = 1", "UNLISTEN one", "SELECT pg_advisory_lock(7)", "PREPARE p AS SELECT 1"]);
        run(&mut held, &["CREATE TEMP TABLE t (a int)", "RESET a.b"]);
        held.end(false);
        let state = held.state();
        let found: Vec<_> = state.iter().map(|(kind, name)| (kind, name.to_owned())).collect();
        let is = |kind, name: &str| found.contains(&(kind, name.to_owned()));
        assert!(is(StateKind::Setting, "a.b") && is(StateKind::Listener, "one"), "{state}");
        assert!(is(StateKind::Lock, "7") && is(StateKind::PreparedStatement, "p"), "{state}");
        assert_eq!(found.len(), 4, "{state}");
    }

    #[test]
    fn savepoints_are_gone_back_to() {
        let mut held = Held::default();
        held.begin();
        run(&mut held, &["SET a.b = 1"]);
        held.savepoint("one");
        run(&mut held, &["SET c.d = 1"]);
        held.savepoint("two");
        run(&mut held, &["SET e.f = 1"]);
        held.roll_back_to("two");
        assert!(!held.state().holds(StateKind::Setting, "e.f") && held.state().holds(StateKind::Setting, "c.d"));
        held.release("two");
        held.roll_back_to("one");
        held.roll_back_to("one");
        assert!(!held.state().holds(StateKind::Setting, "c.d") && held.state().holds(StateKind::Setting, "a.b"));
        held.end(true);
        assert!(held.state().holds(StateKind::Setting, "a.b"));
    }

    #[test]
    fn locks_are_counted() {
        let mut held =
            held(&["SELECT pg_advisory_lock(7)", "SELECT pg_advisory_lock(7)", "SELECT pg_advisory_lock(?)"]);
        run(&mut held, &["SELECT pg_advisory_unlock(7)"]);
        assert!(held.state().holds(StateKind::Lock, "7") && held.state().holds(StateKind::Lock, "of a parameter"));
        run(&mut held, &["SELECT pg_advisory_unlock(7)", "SELECT pg_advisory_unlock(7)"]);
        assert!(!held.state().holds(StateKind::Lock, "7"));
        run(&mut held, &["SELECT pg_advisory_unlock_all()"]);
        assert!(held.is_empty());
    }

    #[test]
    fn a_cursor_that_was_closed_stays_closed() {
        let mut held = held(&["DECLARE c CURSOR WITH HOLD FOR SELECT 1"]);
        held.begin();
        run(&mut held, &["CLOSE c"]);
        held.end(false);
        assert!(held.is_empty());
    }
}
