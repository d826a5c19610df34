//! Holding a connection that has state of its own.

use std::fmt;
use std::rc::Rc;

use crate::handle::own_thread::EndsHere;
use crate::slot::Slot;

/// Keeps a connection from being replaced, for as long as it lives: see [`Connection::hold`](crate::Connection::hold).
///
/// It belongs to its thread, and cannot be sent to another.
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// # let db = connections.get("default")?;
/// let hold = db.hold();
/// db.execute("CREATE TEMPORARY TABLE seen (id INTEGER)", ())?;
/// connections.close_old_connections(); // closes others
/// db.execute("INSERT INTO seen VALUES (1)", ())?;
/// drop(hold);
/// # Ok::<_, dockline::Error>(())
/// ```
#[must_use = "the connection is held until this is dropped"]
pub struct Hold {
    here: EndsHere,
    slot: Rc<Slot>,
}

impl Hold {
    pub(crate) fn new(slot: Rc<Slot>) -> Self {
        // Said first, and the lock after it: from then on the housekeeper, and whoever waits under a cap, leave alone what is there.
        slot.seat().vitals.set_holds(slot.holds.count() + 1);
        slot.keep_from_others();
        slot.holds.add(slot.serial());
        Self { here: EndsHere {}, slot }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.slot.holds.remove();
        self.slot.seat().vitals.set_holds(self.slot.holds.count());
        self.slot.note_return();
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("alias", &self.slot.alias()).finish_non_exhaustive()
    }
}
