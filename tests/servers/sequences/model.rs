//! What a session is, by the books: pure, and without exceptions.

use dockline_tests::servers::Kind;

use super::steps::Place;

/// What a new connection would lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    place: Place,
    /// Until the transaction ends.
    local: Option<Place>,
    /// The temporary tables, and whether the role made them. PostgreSQL has one before all schemas, the others one in each database.
    shadows: [Option<bool>; 2],
    pub(super) role: bool,
    /// How often the lock is held.
    pub(super) locks: u32,
    pub(super) setting: Option<u8>,
}

impl Held {
    fn new() -> Self {
        Self { place: Place::A, local: None, shadows: [None; 2], role: false, locks: 0, setting: None }
    }

    fn is_new(&self) -> bool {
        *self == Self::new()
    }

    pub(super) fn place(&self) -> Place {
        self.local.unwrap_or(self.place)
    }
}

/// A block that is open, and what was before it.
#[derive(Debug, Clone)]
struct Level {
    held: Held,
    rows: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    kind: Kind,
    pub(super) held: Held,
    /// Something was changed since the session began, though it may be as at the beginning again.
    touched: bool,
    levels: Vec<Level>,
    /// Where each row was written, and what it holds.
    pub(super) rows: Vec<(Place, i64)>,
    /// A statement has run since the outermost block began.
    has_work: bool,
    /// PostgreSQL runs nothing more before the end of the innermost block.
    failed: bool,
    /// The session has been killed, and the program has seen no statement succeed since.
    dead: bool,
}

/// What a statement may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    Succeed,
    Fail,
    /// The session is lost, and nothing with it that the model knows of; but something was there once.
    Either,
}

impl Model {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            held: Held::new(),
            touched: false,
            levels: Vec::new(),
            rows: Vec::new(),
            has_work: false,
            failed: false,
            dead: false,
        }
    }

    pub(super) fn in_block(&self) -> bool {
        !self.levels.is_empty()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// What a statement may do now.
    pub(super) fn statement(&self) -> May {
        if self.dead {
            return self.of_the_dead();
        }
        if self.failed { May::Fail } else { May::Succeed }
    }

    fn of_the_dead(&self) -> May {
        if !self.held.is_new() || (self.in_block() && self.has_work) {
            May::Fail
        } else if self.touched || self.in_block() {
            May::Either
        } else {
            May::Succeed
        }
    }

    /// A statement has succeeded.
    pub(super) fn succeeded(&mut self) {
        if self.dead {
            self.is_another();
        }
        self.has_work |= self.in_block();
    }

    /// A statement was refused by the server, or by us because of what was before.
    pub(super) fn refused(&mut self) {
        if !self.dead && self.in_block() {
            self.has_work = true;
            self.failed |= self.kind.is_postgres();
        }
    }

    /// The connection is a new one.
    fn is_another(&mut self) {
        (self.dead, self.failed, self.touched) = (false, false, false);
        self.held = Held::new();
        for level in &mut self.levels {
            level.held = Held::new();
        }
    }

    pub(super) fn use_place(&mut self, place: Place) {
        self.touched = true;
        (self.held.place, self.held.local) = (place, None);
    }

    pub(super) fn use_locally(&mut self, place: Place) {
        self.held.local = Some(place);
    }

    fn shadow_at(&mut self) -> &mut Option<bool> {
        let at = usize::from(!self.kind.is_postgres() && self.held.place() == Place::B);
        &mut self.held.shadows[at]
    }

    pub(super) fn is_shadowed(&self) -> bool {
        self.clone().shadow_at().is_some()
    }

    /// Whether who is there now may drop the temporary table.
    pub(super) fn may_unshadow(&self) -> bool {
        let by_role = *self.clone().shadow_at();
        by_role.is_some_and(|by_role| by_role || !self.held.role || !self.kind.is_postgres())
    }

    pub(super) fn shadow(&mut self, on: bool) {
        self.touched = true;
        let role = self.held.role;
        *self.shadow_at() = on.then_some(role);
    }

    pub(super) fn set_role(&mut self, on: bool) {
        self.touched = true;
        self.held.role = on;
    }

    pub(super) fn lock(&mut self, on: bool) {
        self.touched = true;
        if on {
            self.held.locks += 1;
        } else {
            self.held.locks -= 1;
        }
    }

    pub(super) fn set(&mut self, value: u8) {
        self.touched = true;
        self.held.setting = Some(value);
    }

    /// What the table holds that may be shadowed.
    pub(super) fn shown(&self) -> i64 {
        match (self.is_shadowed(), self.held.place()) {
            (true, _) => 3,
            (_, Place::A) => 1,
            (_, Place::B) => 2,
        }
    }

    pub(super) fn write(&mut self, value: i64) {
        self.rows.push((self.held.place(), value));
    }

    pub(super) fn count_rows(&self) -> i64 {
        let here = self.rows.iter().filter(|(place, _)| *place == self.held.place()).count();
        i64::try_from(here).expect("a number")
    }

    pub(super) fn kill(&mut self) {
        self.dead = true;
        if let Some(outermost) = self.levels.first() {
            self.rows.truncate(outermost.rows);
        }
    }

    pub(super) fn close(&mut self) {
        self.is_another();
    }

    pub(super) fn began(&mut self) {
        if self.levels.is_empty() {
            self.has_work = false;
        }
        self.levels.push(Level { held: self.held.clone(), rows: self.rows.len() });
    }

    /// What the commit of the innermost block may do.
    pub(super) fn commit(&self) -> May {
        match (self.dead, self.levels.len()) {
            (true, 1) if self.has_work => May::Fail,
            // Of an inner one the end of the outermost tells.
            (true, _) => May::Either,
            (false, _) if self.failed => May::Fail,
            (false, _) => May::Succeed,
        }
    }

    pub(super) fn committed(&mut self) {
        self.levels.pop();
        if self.levels.is_empty() {
            self.held.local = None;
        }
    }

    pub(super) fn rolled_back(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        self.rows.truncate(level.rows);
        self.failed = false;
        if self.kind.is_postgres() {
            // Locks of the session stay.
            self.held = Held { locks: self.held.locks, ..level.held };
        }
        if self.levels.is_empty() {
            self.held.local = None;
        }
    }
}
