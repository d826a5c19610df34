//! 10,000 threads that come and go, 50 at a time, each with one query: nothing of them is left.

use std::thread;

use dockline_tests::{Database, Story};

const THREADS: usize = 10_000;
const AT_A_TIME: usize = 50;

#[test]
fn ten_thousand_threads_leave_no_connection_and_no_descriptor() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    connections.get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    // SQLite keeps the descriptors of connections that were closed while another one to the same file is open, and gives
    // them to the next ones; so none is open when they are counted.
    connections.close_all();
    let before = descriptors();

    for _ in 0..THREADS / AT_A_TIME {
        let threads: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                let connections = connections.clone();
                thread::spawn(move || {
                    let rows: i64 =
                        connections.get("default").unwrap().query_value("SELECT count(*) FROM t", ()).unwrap();
                    assert_eq!(rows, 0);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    assert_eq!((story.opened(), story.open()), (THREADS + 1, 0));
    assert_eq!(descriptors(), before);
    let report = connections.shutdown(std::time::Duration::ZERO);
    assert_eq!((report.closed, report.left.len()), (0, 0));
}

/// How many file descriptors this process has open; 0 where the system does not tell.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
