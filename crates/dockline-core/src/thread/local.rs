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
use crate::base::process::{Process, process};
use crate::base::teller;
use crate::config::engines::AliasConfig;
use crate::link::seat::{Bucket, Seat};
use crate::link::vitals::Presence;
use crate::shared::{Shared, inherit};
use crate::slot::reason::CloseReason;
use crate::slot::{Desk, Slot};
use crate::thread::names::Names;
use crate::thread::slots::Slots;

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
    // On the way of nearly every call nothing else is called, so that nothing has to be kept over a call.
    let known = LOCAL.try_with(|local| {
        let registries = local.registries.borrow();
        let entry = registries.iter().find(|entry| entry.id == shared.hot.id)?;
        entry.names.find_at_once(shared.hot.generation(), alias)
    });
    match known {
        Ok(Some(slot)) => Ok(slot),
        _ => slot_otherwise(shared, alias),
    }
}

/// As [`slot`], for one among many aliases, one with a long name, and one that was not looked up yet.
#[inline(never)]
fn slot_otherwise(shared: &Arc<Shared>, alias: &str) -> Result<Rc<Slot>> {
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
    pub(super) slots: Slots,
    /// How many requests and tasks run here, for other threads to see.
    pub(super) presence: Arc<Presence>,
    /// That of the task that is ending.
    pub(super) task_policy: Cell<TaskPolicy>,
}

impl ThreadRegistry {
    fn join(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            bucket: RefCell::new(Arc::clone(shared.state().buckets.get_or_default())),
            process: Cell::new(process()),
            generation: Cell::new(0),
            slots: Slots::default(),
            presence: Arc::default(),
            task_policy: Cell::new(shared.task_policy),
        }
    }

    fn find(&self, alias: &str) -> Option<Rc<Slot>> {
        self.slots.find(alias)
    }

    fn add(&self, config: Arc<AliasConfig>) -> Rc<Slot> {
        self.notice_fork();
        let (alias, tally) = (Arc::clone(&config.alias), self.shared.tally(&config.alias));
        let seat = Arc::new(Seat::new(alias, self.shared.hot.id, Arc::clone(&self.presence), tally));
        self.bucket().add(Arc::clone(&seat));
        let (hot, desk) = (Arc::clone(&self.shared.hot), Arc::clone(&self.shared) as Arc<dyn Desk>);
        self.slots.add(|mark| Slot::new(hot, desk, seat, config, mark))
    }

    pub(super) fn bucket(&self) -> Arc<Bucket> {
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
        self.slots.each(|slot| {
            if slot.is_inherited() {
                slot.leave_to_parent();
                bucket.add(Arc::clone(slot.seat()));
            }
        });
    }

    pub(crate) fn aliases(&self) -> Vec<String> {
        self.refresh();
        let aliases = self.slots.map(|slot| (!slot.is_removed()).then(|| slot.alias().to_owned()));
        aliases.into_iter().flatten().collect()
    }

    /// Lets the slots know what has become of their aliases.
    pub(super) fn refresh(&self) {
        let generation = self.shared.hot.generation();
        if self.generation.get() == generation {
            return;
        }
        // A boundary must not load the configuration: its errors are those of `get`.
        if let Some(table) = self.shared.table_if_loaded() {
            self.slots.each(|slot| slot.set_target(table.get(slot.alias()).cloned()));
            self.generation.set(generation);
            // Taken out first: what is dropped may be a slot with closures of the program.
            let mut names = Names::default();
            change_names(self.shared.hot.id, |known| names = std::mem::take(known));
            drop(names);
        }
    }

    /// What this thread holds together with others.
    fn held_by_this_thread(&self) -> (Arc<Shared>, Vec<Arc<AliasConfig>>) {
        let configs = self.slots.map(|slot| slot.configs().collect::<Vec<_>>());
        (Arc::clone(&self.shared), configs.into_iter().flatten().collect())
    }

    pub(crate) fn close_all(&self) {
        self.slots.each(|slot| slot.close(CloseReason::Asked));
    }

    /// No connection is open here, and none is being opened.
    fn is_vacant(&self) -> bool {
        self.slots.all(|slot| slot.serial().is_none() && !slot.is_busy())
    }

    /// The registry was shut down or dropped.
    fn is_over(&self) -> bool {
        self.shared.hot.is_closed()
    }

    /// Closes what there is, and takes this thread's seats away.
    fn leave(&self, reason: CloseReason) {
        if self.process.get() == process() {
            let bucket = self.bucket();
            self.slots.each(|slot| {
                slot.end(reason);
                bucket.remove(slot.seat());
            });
        } else {
            // What was inherited is left to the parent, without a look into the `ThreadLocal`.
            inherit::leave_all_to_parent(false);
            self.slots.each(|slot| {
                slot.leave_to_parent();
                slot.end_in_child(reason);
            });
        }
        // Dropped outside any borrow: settings may hold closures of the program.
        drop(self.slots.take_out(|_| true));
    }
}
