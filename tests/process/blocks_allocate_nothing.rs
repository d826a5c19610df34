//! An atomic block takes no memory of its own, nor does a savepoint; only hooks do, for their closures. In a process of its
//! own, for its allocator counts.

use dockline::{Atomic, Connection, Error};
use dockline_tests::allocations::{self, Counting};
use dockline_tests::scripted::Script;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory was asked for by a hundred calls, after some that fill what is kept.
fn allocations(db: &Connection, call: impl Fn(&Connection) -> Result<(), Error>) -> u64 {
    allocations::of_rounds(100, || call(db).expect("a block"))
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
