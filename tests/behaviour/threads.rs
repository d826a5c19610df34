use std::cell::RefCell;
use std::sync::{Arc, Barrier};
use std::thread;

use dockline::signals::CloseReason;
use dockline::{Connection, Connections, Databases, ErrorKind};
use dockline_tests::scripted::Script;
use dockline_tests::{Database, Story, in_memory, memory, on_thread, wait_until};

#[test]
fn thread_exit_closes_every_connection_of_the_thread() {
    let databases = Databases::new().with("default", memory()).with("other", memory());
    let connections = Connections::new(databases).unwrap();
    let story = Story::of(&connections);
    let worker = connections.clone();
    on_thread(move || {
        worker.get("default").unwrap().query("SELECT 1", ()).unwrap();
        worker.get("other").unwrap().query("SELECT 1", ()).unwrap();
    });
    assert_eq!(story.reasons(), [CloseReason::ThreadExit; 2]);
}

#[test]
fn thread_exit_by_panic_closes_too() {
    let connections = in_memory();
    let story = Story::of(&connections);
    let worker = connections.clone();
    let panicked = thread::spawn(move || {
        worker.get("default").unwrap().query("SELECT 1", ()).unwrap();
        panic!("the thread panics");
    })
    .join();
    assert!(panicked.is_err());
    assert_eq!(story.reasons(), [CloseReason::ThreadExit]);
}

#[test]
fn scoped_threads_close_too() {
    let connections = in_memory();
    let story = Story::of(&connections);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| connections.get("default").unwrap().query("SELECT 1", ()).unwrap());
        }
    });
    // A scope may return before the destructors of its threads have run.
    wait_until("all four are closed", || story.opened() == 4 && story.open() == 0);
}

#[test]
fn a_thread_that_gets_a_dead_threads_place_gets_no_connection_of_its() {
    let connections = in_memory();
    let story = Story::of(&connections);
    for n in 1..=20 {
        let worker = connections.clone();
        on_thread(move || {
            let db = worker.get("default").unwrap();
            assert!(!db.is_connected());
            db.query("SELECT 1", ()).unwrap();
        });
        assert_eq!((story.opened(), story.closed()), (n, n));
    }
}

#[test]
fn one_thread_that_ends_leaves_the_others_alone() {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    let serial = db.serial();
    let worker = connections.clone();
    on_thread(move || worker.get("default").unwrap().query("SELECT 1", ()).map(drop)).unwrap();
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(db.serial(), serial);
}

/// A thread-local whose destructor uses a connection, registered before the first use of the registry or after it.
struct AtExit {
    connections: Connections,
    handle: Option<Connection>,
    kinds: Arc<std::sync::Mutex<Vec<Option<ErrorKind>>>>,
}

impl Drop for AtExit {
    fn drop(&mut self) {
        let mut kinds = self.kinds.lock().unwrap();
        let kind = |result: dockline::Result<Vec<dockline::Row>>| result.err().map(|error| error.kind());
        let _request = self.connections.request();
        kinds.push(kind(self.connections.get("default").and_then(|db| db.query("SELECT 1", ()))));
        if let Some(handle) = &self.handle {
            kinds.push(kind(handle.query("SELECT 1", ())));
            handle.close();
        }
        self.connections.close_old_connections();
        self.connections.task(|| ())();
    }
}

thread_local! {
    static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
}

#[test]
fn thread_local_destructors_in_any_order_neither_abort_nor_leak() {
    for registers_first in [true, false] {
        let database = Database::new();
        let connections = database.connections();
        let story = Story::of(&connections);
        let kinds = Arc::<std::sync::Mutex<Vec<_>>>::default();
        let (worker, given) = (connections.clone(), Arc::clone(&kinds));
        on_thread(move || {
            let put = |handle| {
                let at_exit = AtExit { connections: worker.clone(), handle, kinds: given.clone() };
                AT_EXIT.with(|cell| cell.replace(Some(at_exit)));
            };
            if registers_first {
                put(None);
            }
            let db = worker.get("default").unwrap();
            db.query("SELECT 1", ()).unwrap();
            put(Some(db));
        });
        assert_eq!(story.open(), 0, "registered first: {registers_first}");
        let kinds = kinds.lock().unwrap();
        assert!(kinds.iter().all(|kind| kind.is_none_or(|kind| kind == ErrorKind::Interface)), "{kinds:?}");
    }
}

#[test]
fn a_driver_that_panics_when_it_closes_does_not_end_the_process() {
    let (connections, script) = Script::connections(|settings| settings);
    script.close_panics.store(true, std::sync::atomic::Ordering::SeqCst);
    let worker = connections.clone();
    on_thread(move || worker.get("default").unwrap().execute("x", ()).map(drop)).unwrap();
    connections.get("default").unwrap().execute("x", ()).unwrap();
    connections.close_all();
    assert_eq!(script.closed.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[test]
fn many_threads_work_on_one_database() {
    let database = Database::new();
    let connections = database.connections();
    connections.get("default").unwrap().execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for n in 0..8 {
            let (connections, start) = (&connections, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..20 {
                    let db = connections.get("default").unwrap();
                    db.execute("INSERT INTO t VALUES (?)", dockline::params![n]).unwrap();
                }
            });
        }
    });
    let count: i64 = connections.get("default").unwrap().query_value("SELECT count(*) FROM t", ()).unwrap();
    assert_eq!(count, 160);
}
