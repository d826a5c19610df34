//! What one thread has of every registry, and what becomes of it when the thread ends.
//!
//! Two halves. What others may see is the thread's [`Bucket`] in the registry's `ThreadLocal`. What only the thread
//! may touch stands here, in a `thread_local!` of std, because that is dropped when the thread ends, which is when its
//! connections are closed.

use std::cell::{Cell, RefCell};
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thread_local::ThreadLocal;

use crate::base::ending::begin_ending;
use crate::base::error::{Result, ending};
use crate::base::ids::{RegistryId, TaskPolicy};
use crate::base::logging::say;
use crate::base::now::Now;
use crate::base::process::{Process, process};
use crate::base::teller;
use crate::config::engines::AliasConfig;
use crate::link::seat::{Bucket, Seat};
use crate::link::vitals::Presence;
use crate::shared::{Shared, inherit};
use crate::slot::reason::{CloseReason, LeftOpen};
use crate::slot::{Desk, Slot};
use crate::thread::names::Names;

thread_local! {
    static LOCAL: Local = Local::new();
}

/// The registries that this thread has used: mostly one.
struct Local {
    registries: RefCell<Vec<Entry>>,
}

struct Entry {
    id: RegistryId,
    registry: Rc<ThreadRegistry>,
    names: Names,
}

impl Local {
    fn new() -> Self {
        // Destructors run last-registered-first. With its own registered before ours, `thread_local` still knows this
        // thread when we clean up after it. On a thread that is past that, it panics; then there is nothing to do.
        static PRIMER: ThreadLocal<()> = ThreadLocal::new();
        let _ = catch_unwind(|| PRIMER.get_or(|| ()));
        Self { registries: RefCell::new(Vec::new()) }
    }

    #[inline]
    fn find(&self, id: RegistryId) -> Option<Rc<ThreadRegistry>> {
        let registries = self.registries.borrow();
        registries.iter().find(|entry| entry.id == id).map(|entry| Rc::clone(&entry.registry))
    }

    #[cold]
    fn join(&self, shared: &Arc<Shared>) -> Rc<ThreadRegistry> {
        let registry = Rc::new(ThreadRegistry::join(shared));
        let mut registries = self.registries.borrow_mut();
        // Those that have gone left here when they could not reach this thread.
        let (gone, mut here): (Vec<Entry>, Vec<Entry>) =
            registries.drain(..).partition(|entry| entry.registry.is_over() && entry.registry.is_vacant());
        here.push(Entry { id: shared.hot.id, registry: Rc::clone(&registry), names: Names::default() });
        *registries = here;
        drop(registries);
        for entry in gone {
            entry.registry.leave(CloseReason::Shutdown);
        }
        registry
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // No `ThreadLocal::get` from here on: this thread's id may be another's already. And no code of the program.
        begin_ending();
        for entry in self.registries.take() {
            let (shared, configs) = entry.registry.held_by_this_thread();
            // A panic that leaves a destructor of a thread-local ends the process.
            let left = catch_unwind(AssertUnwindSafe(move || {
                entry.registry.leave(CloseReason::ThreadExit);
                drop(entry);
            }));
            if let Err(panic) = left {
                forget(panic);
            }
            // If this thread was the last to hold them, another one drops them: they have closures of the program.
            let configs: Vec<AliasConfig> = configs.into_iter().filter_map(Arc::into_inner).collect();
            match (Arc::into_inner(shared), configs) {
                (None, configs) if configs.is_empty() => {}
                last => teller::tell(move || drop(last)),
            }
        }
        teller::settle(TELLING_TAKES);
    }
}

/// How long a thread that ends waits for receivers and loggers to be told of it.
const TELLING_TAKES: Duration = Duration::from_millis(500);

/// This thread's slot for an alias.
#[inline]
pub(crate) fn slot(shared: &Arc<Shared>, alias: &str) -> Result<Rc<Slot>> {
    let known = LOCAL.try_with(|local| {
        let registries = local.registries.borrow();
        let entry = registries.iter().find(|entry| entry.id == shared.hot.id)?;
        entry.names.find(shared.hot.generation(), alias)
    });
    match known {
        Ok(Some(slot)) => Ok(slot),
        Ok(None) => slot_slowly(shared, alias),
        Err(_) => Err(ending(alias)),
    }
}

#[cold]
fn slot_slowly(shared: &Arc<Shared>, alias: &str) -> Result<Rc<Slot>> {
    let registry = join(shared).ok_or_else(|| ending(alias))?;
    // Outside any borrow: the loader of the configuration is the program's code.
    registry.refresh();
    let config = shared.config(alias)?;
    let slot = registry.find(alias).unwrap_or_else(|| registry.add(config));
    let generation = registry.generation.get();
    // The aliases may have changed meanwhile; then this is not remembered for long.
    change_names(shared.hot.id, |names| names.remember(generation, alias, Rc::clone(&slot)));
    Ok(slot)
}

fn change_names(id: RegistryId, change: impl FnOnce(&mut Names)) {
    let _ = LOCAL.try_with(|local| {
        if let Some(entry) = local.registries.borrow_mut().iter_mut().find(|entry| entry.id == id) {
            change(&mut entry.names);
        }
    });
}

/// What this thread has of a registry, where it has anything and is not ending.
#[inline]
pub(crate) fn find(id: RegistryId) -> Option<Rc<ThreadRegistry>> {
    LOCAL.try_with(|local| local.find(id)).ok().flatten()
}

/// What this thread has of a registry; from now on it has something. `None` on a thread that is ending.
#[inline]
pub(crate) fn join(shared: &Arc<Shared>) -> Option<Rc<ThreadRegistry>> {
    LOCAL.try_with(|local| local.find(shared.hot.id).unwrap_or_else(|| local.join(shared))).ok()
}

/// Takes this thread out of a registry that has gone, unless something of it is in use here.
pub(crate) fn forget_registry(id: RegistryId) {
    let entry = LOCAL.try_with(|local| {
        let mut registries = local.registries.borrow_mut();
        let at = registries.iter().position(|entry| entry.id == id && entry.registry.is_vacant())?;
        Some(registries.swap_remove(at))
    });
    if let Ok(Some(entry)) = entry {
        entry.registry.leave(CloseReason::Shutdown);
    }
}

/// What one thread has of one registry.
pub(crate) struct ThreadRegistry {
    pub(crate) shared: Arc<Shared>,
    /// Kept, so that leaving needs no look into the `ThreadLocal`.
    bucket: RefCell<Arc<Bucket>>,
    /// The process that the bucket is of.
    process: Cell<Process>,
    /// The generation of the aliases that the slots know.
    generation: Cell<u64>,
    slots: RefCell<Vec<Rc<Slot>>>,
    /// How many requests and tasks run here, one inside the other.
    depth: Cell<u32>,
    /// The same, for other threads to see.
    presence: Arc<Presence>,
    /// Of how many requests and tasks hooks and receivers are being told that they have ended, one inside the other: what they begin
    /// belongs to them.
    ending: Cell<u32>,
    /// That of the task that is ending.
    task_policy: Cell<TaskPolicy>,
    /// The statements of slots that are gone.
    earlier_statements: Cell<u64>,
}

impl ThreadRegistry {
    fn join(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            bucket: RefCell::new(Arc::clone(shared.state().buckets.get_or_default())),
            process: Cell::new(process()),
            generation: Cell::new(0),
            slots: RefCell::new(Vec::new()),
            depth: Cell::new(0),
            presence: Arc::default(),
            ending: Cell::new(0),
            task_policy: Cell::new(shared.task_policy),
            earlier_statements: Cell::new(0),
        }
    }

    fn find(&self, alias: &str) -> Option<Rc<Slot>> {
        self.slots.borrow().iter().find(|slot| slot.alias() == alias).map(Rc::clone)
    }

    fn add(&self, config: Arc<AliasConfig>) -> Rc<Slot> {
        self.notice_fork();
        let (alias, tally) = (Arc::clone(&config.alias), self.shared.tally(&config.alias));
        let seat = Arc::new(Seat::new(alias, self.shared.hot.id, Arc::clone(&self.presence), tally));
        self.bucket().add(Arc::clone(&seat));
        let slot =
            Rc::new(Slot::new(Arc::clone(&self.shared.hot), Arc::clone(&self.shared) as Arc<dyn Desk>, seat, config));
        self.slots.borrow_mut().push(Rc::clone(&slot));
        slot
    }

    fn bucket(&self) -> Arc<Bucket> {
        Arc::clone(&self.bucket.borrow())
    }

    /// Leaves what there is to the parent, where this process was forked.
    pub(crate) fn notice_fork(&self) {
        if self.process.get() != process() {
            self.leave_to_parent();
        }
    }

    #[cold]
    pub(super) fn leave_to_parent(&self) {
        let state = self.shared.state();
        let process = process();
        if self.process.replace(process) != process {
            // Not dropped: whoever holds its lock may not exist here.
            forget(self.bucket.replace(Arc::clone(state.buckets.get_or_default())));
        }
        let bucket = self.bucket();
        self.each(|slot| {
            if slot.is_inherited() {
                slot.leave_to_parent();
                bucket.add(Arc::clone(slot.seat()));
            }
        });
    }

    pub(crate) fn aliases(&self) -> Vec<String> {
        self.refresh();
        self.slots.borrow().iter().filter(|slot| !slot.is_removed()).map(|slot| slot.alias().to_owned()).collect()
    }

    /// Lets the slots know what has become of their aliases.
    fn refresh(&self) {
        let generation = self.shared.hot.generation();
        if self.generation.get() == generation {
            return;
        }
        // A boundary must not load the configuration: its errors are those of `get`.
        if let Some(table) = self.shared.table_if_loaded() {
            self.each(|slot| slot.set_target(table.get(slot.alias()).cloned()));
            self.generation.set(generation);
            // Taken out first: what is dropped may be a slot with closures of the program.
            let mut names = Names::default();
            change_names(self.shared.hot.id, |known| names = std::mem::take(known));
            drop(names);
        }
    }

    pub(crate) fn close_old_connections(&self) {
        self.close_due(self.depth.get() > 0);
    }

    fn close_due(&self, inside: bool) {
        self.close_due_where(|_| inside);
    }

    /// `is_inside` says of which something around would miss its connection.
    fn close_due_where(&self, is_inside: impl Fn(&Slot) -> bool) {
        self.refresh();
        let now = Now::default();
        // A slot whose alias was removed is not calm.
        if self.any(|slot| !slot.flags.is_calm(&now)) {
            self.each(|slot| slot.close_if_unusable_or_obsolete(&now, is_inside(slot)));
            self.drop_removed();
        }
    }

    pub(crate) fn close_all(&self) {
        self.each(|slot| slot.close(CloseReason::Asked));
    }

    pub(crate) fn reset_queries(&self) {
        if self.any(|slot| !slot.log().is_empty()) {
            self.each(|slot| slot.log().reset());
        }
    }

    /// Whether something is so of a slot: a look that runs no code of the program, and mostly says that there is nothing to do.
    #[inline]
    fn any(&self, is_so: impl Fn(&Slot) -> bool) -> bool {
        self.slots.borrow().iter().any(|slot| is_so(slot))
    }

    /// Calls with each slot, without a borrow: what closes a connection tells receivers of it, and they may use the
    /// registry.
    fn each(&self, mut call: impl FnMut(&Rc<Slot>)) {
        let mut at = 0;
        loop {
            let slot = self.slots.borrow().get(at).map(Rc::clone);
            let Some(slot) = slot else { return };
            call(&slot);
            // Slots before it may have gone meanwhile, or it itself.
            let slots = self.slots.borrow();
            at = (0..=at)
                .rev()
                .find(|at| slots.get(*at).is_some_and(|other| Rc::ptr_eq(other, &slot)))
                .map_or(at, |at| at + 1);
        }
    }

    /// Returns in how many requests and tasks of the registry this thread is, one inside the other; one that is ending counts.
    pub(super) fn depth(&self) -> u32 {
        self.depth.get() + self.ending.get()
    }

    fn set_depth(&self, depth: u32) {
        self.depth.set(depth);
        self.presence.set(depth);
    }

    /// A request or a task has begun.
    pub(crate) fn enter(&self) {
        self.set_depth(self.depth.get() + 1);
    }

    /// A task has begun: it is part of a block that is open here.
    pub(crate) fn warn_of_block_around_task(&self) {
        let slots = self.slots.borrow();
        let inside = slots.iter().find_map(|slot| Some((slot, slot.transaction.outside_tests_began_at()?)));
        if let Some((slot, at)) = inside.filter(|_| self.shared.hot.warns_of_tasks()) {
            let alias = slot.alias_arc();
            // A logger is the program's code.
            drop(slots);
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
        self.set_depth(self.depth.get() - 1);
        self.roll_back_left_open(left_open);
        let ending = Restore::replacing(&self.ending, self.ending.get() + 1);
        tell();
        drop(ending);
        // A receiver may have left one open as well.
        self.roll_back_left_open(left_open);
        if !self.is_inside() && self.any(Slot::is_taken) {
            self.each(|slot| slot.park_if_taken());
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
                self.each(|slot| {
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
        let slots = self.slots.borrow();
        slots.iter().map(|slot| slot.trace.statements()).sum::<u64>().wrapping_add(self.earlier_statements.get())
    }

    fn roll_back_left_open(&self, left_open: LeftOpen) {
        if !self.is_inside() && self.any(Slot::may_have_left_open) {
            self.each(|slot| slot.roll_back_left_open(left_open));
        }
    }

    /// A request or a task runs here, or hooks of one that has ended do.
    fn is_inside(&self) -> bool {
        self.depth.get() > 0 || self.ending.get() > 0
    }

    /// The same, for who is told of an end: that one counts no more.
    fn is_told_inside(&self) -> bool {
        self.depth.get() > 0 || self.ending.get() > 1
    }

    /// Slots of aliases that were removed go when nobody holds them.
    fn drop_removed(&self) {
        let is_unused = |slot: &Rc<Slot>| slot.is_removed() && slot.serial().is_none() && Rc::strong_count(slot) == 1;
        if !self.slots.borrow().iter().any(is_unused) {
            return;
        }
        self.notice_fork();
        let (unused, used): (Vec<_>, Vec<_>) = self.slots.take().into_iter().partition(is_unused);
        self.slots.replace(used);
        // Dropped outside any borrow: settings may hold closures of the program.
        for slot in unused {
            self.keep_count(&slot);
            self.bucket().remove(slot.seat());
        }
    }

    /// What this thread holds together with others.
    fn held_by_this_thread(&self) -> (Arc<Shared>, Vec<Arc<AliasConfig>>) {
        let slots = self.slots.borrow();
        (Arc::clone(&self.shared), slots.iter().flat_map(|slot| slot.configs()).collect())
    }

    fn keep_count(&self, slot: &Slot) {
        self.earlier_statements.set(self.earlier_statements.get().wrapping_add(slot.trace.statements()));
    }

    /// No connection is open here, and none is being opened.
    fn is_vacant(&self) -> bool {
        self.slots.borrow().iter().all(|slot| slot.serial().is_none() && !slot.is_busy())
    }

    /// The registry was shut down or dropped.
    fn is_over(&self) -> bool {
        self.shared.hot.is_closed()
    }

    /// Closes what there is, and takes this thread's seats away.
    fn leave(&self, reason: CloseReason) {
        if self.process.get() == process() {
            let bucket = self.bucket();
            self.each(|slot| {
                slot.end(reason);
                bucket.remove(slot.seat());
            });
        } else {
            // What was inherited is left to the parent, without a look into the `ThreadLocal`.
            inherit::leave_all_to_parent(false);
            self.each(|slot| {
                slot.leave_to_parent();
                slot.end_in_child(reason);
            });
        }
        let slots = self.slots.take();
        // A task that runs may still be counting.
        slots.iter().for_each(|slot| self.keep_count(slot));
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
