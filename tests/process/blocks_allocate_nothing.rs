//! An atomic block takes no memory of its own, nor does a savepoint; only hooks do, for their closures. In a process of its
//! own, for its allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dockline::{Atomic, Connection, Error};
use dockline_tests::scripted::Script;

struct Counting;

thread_local! {
    // Without a destructor, so that it can be used whenever memory is.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work; counting touches nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's layout, as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's block and layout, as they came.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory was asked for by a hundred calls, after some that fill what is kept.
fn allocations(db: &Connection, call: impl Fn(&Connection) -> Result<(), Error>) -> u64 {
    for _ in 0..3 {
        call(db).expect("a block");
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        call(db).expect("a block");
    }
    ALLOCATIONS.get() - before
}

#[test]
fn blocks_allocate_nothing() {
    let (connections, _script) = Script::connections(|settings| settings);
    let db = connections.get("default").expect("an alias");
    assert_eq!(allocations(&db, |db| db.atomic(|| Ok(()))), 0, "a block");
    assert_eq!(allocations(&db, |db| db.atomic(|| db.atomic(|| Ok(())))), 0, "a block in a block");
    assert_eq!(allocations(&db, |db| db.begin_atomic(Atomic::new())?.rollback()), 0, "a block that is rolled back");
    assert_eq!(
        allocations(&db, |db| db.atomic(|| db.begin_atomic(Atomic::new().savepoint(false))?.commit())),
        0,
        "a block without a savepoint"
    );
    // The counter counts: a hook that captures something is kept on the heap.
    let captured = 7_u64;
    assert!(allocations(&db, |db| db.atomic(|| db.on_commit(move || assert_eq!(captured, 7)))) >= 100);
}
