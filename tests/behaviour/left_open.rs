//! Transactions that are still open at the end of a request or task.

use std::mem::forget;
use std::time::Duration;

use dockline::{Atomic, ErrorKind, Result};
use dockline_tests::{Story, log_capture, on_thread};
use log::Level;

use crate::stage::{Numbers, insert};

/// What the log says of that, for an alias of the test's own.
fn told(alias: &str) -> Vec<String> {
    let lines = log_capture::lines("dockline::connection", &format!("alias {alias:?}: "));
    lines.into_iter().filter(|(level, _)| *level == Level::Warn).map(|(_, line)| line).collect()
}

fn named(alias: &str) -> Numbers {
    log_capture::start();
    Numbers::named(alias)
}

/// As the log names a place.
fn place(line: u32) -> String {
    format!("(it began at {}:{line}:", file!())
}

#[test]
fn a_block_that_is_left_open_is_rolled_back_and_the_log_says_where_it_began() {
    let numbers = named("leaked");
    let request = numbers.connections.request();
    let (outer, inner) = (line!() + 1, line!() + 3);
    forget(numbers.db.begin_atomic(Atomic::new()).unwrap());
    numbers.insert(1).unwrap();
    forget(numbers.db.begin_atomic(Atomic::new()).unwrap());
    numbers.insert(2).unwrap();
    drop(request);
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
    let told = told("leaked");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|line| line.contains("left open at the end of a request")), "{told:?}");
    assert!(told[0].contains(&place(inner)) && told[1].contains(&place(outer)), "the innermost first: {told:?}");
}

#[test]
fn a_transaction_that_was_begun_by_text_is_told_of_likewise() {
    let numbers = named("by_text");
    let mut began = 0;
    let left: Result<()> = numbers.connections.in_request(|| {
        numbers.insert(1)?;
        began = line!() + 1;
        numbers.db.execute("BEGIN", ())?;
        numbers.insert(2)
    });
    left.unwrap();
    assert_eq!(numbers.stored(), [1]);
    numbers.assert_well();
    let told = told("by_text");
    assert!(told.len() == 1 && told[0].contains(&place(began)), "{told:?}");
}

#[test]
fn a_task_leaves_none_open_either() {
    let numbers = named("in_a_task");
    let connections = numbers.connections.clone();
    let began = line!() + 3;
    numbers.connections.task(move || {
        let db = connections.get("in_a_task").unwrap();
        forget(db.begin_atomic(Atomic::new()).unwrap());
        insert(&db, 1).unwrap();
    })();
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
    let told = told("in_a_task");
    assert!(told.len() == 1 && told[0].contains(&place(began)), "{told:?}");
}

#[test]
fn a_block_that_was_begun_before_a_request_stays_open_over_it() {
    let numbers = Numbers::with(|settings| settings.conn_max_age(Some(Duration::ZERO)));
    let story = Story::of(&numbers.connections);
    // The start of a request closes what is due, so the connection is held.
    let _held = numbers.db.hold();
    let around = numbers.db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(1).unwrap();
    numbers.connections.in_request(|| numbers.insert(2)).unwrap();
    {
        let _request = numbers.connections.request();
        forget(numbers.db.begin_atomic(Atomic::new()).unwrap());
        numbers.insert(3).unwrap();
    }
    assert!(numbers.db.in_atomic_block(), "only what was begun inside is rolled back");
    numbers.insert(4).unwrap();
    around.commit().unwrap();
    assert_eq!((numbers.stored(), story.closed()), (vec![1, 2, 4], 0));
}

#[test]
fn a_request_inside_another_leaves_blocks_to_it() {
    let numbers = Numbers::new();
    let request = numbers.connections.request();
    let inner = numbers.connections.request();
    let block = numbers.db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(1).unwrap();
    drop(inner);
    block.commit().expect("it is still open");
    let inner = numbers.connections.request();
    forget(numbers.db.begin_atomic(Atomic::new()).unwrap());
    numbers.insert(2).unwrap();
    drop(inner);
    assert!(numbers.db.in_atomic_block());
    drop(request);
    assert!(!numbers.db.in_atomic_block());
    assert_eq!(numbers.stored(), [1]);
}

#[test]
fn a_receiver_leaves_none_open_either() {
    let numbers = named("by_a_receiver");
    let connections = numbers.connections.clone();
    numbers.connections.signals().request_finished.connect(move |_| {
        let db = connections.get("by_a_receiver").unwrap();
        forget(db.begin_atomic(Atomic::new()).unwrap());
        insert(&db, 1).unwrap();
    });
    drop(numbers.connections.request());
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.assert_well();
    // Its connection is closed at this boundary, too, and that is told besides.
    assert!(!told("by_a_receiver").is_empty());
}

#[test]
fn a_guard_that_outlives_its_request_says_that_its_work_is_lost() {
    let numbers = Numbers::new();
    let request = numbers.connections.request();
    let block = numbers.db.begin_atomic(Atomic::new()).unwrap();
    let other = numbers.db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(1).unwrap();
    drop(request);
    let error = other.commit().unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::TransactionManagement, Some("default")));
    assert!(error.is_work_lost() && error.message().contains("request or task"), "{error:?}");
    // A block of the next request is another one.
    let _request = numbers.connections.request();
    let next = numbers.db.begin_atomic(Atomic::new()).unwrap();
    numbers.insert(2).unwrap();
    drop(block);
    next.commit().unwrap();
    assert_eq!(numbers.stored(), [2]);
}

#[test]
fn with_autocommit_off_a_leaked_block_is_rolled_back_too() {
    let numbers = named("leaked_by_hand");
    let request = numbers.connections.request();
    numbers.db.set_autocommit(false).unwrap();
    let began = line!() + 1;
    forget(numbers.db.begin_atomic(Atomic::new()).unwrap());
    numbers.insert(1).unwrap();
    drop(request);
    assert!(!numbers.db.in_atomic_block());
    assert!(told("leaked_by_hand")[0].contains(&place(began)));
    numbers.assert_well();
    assert_eq!(numbers.stored(), [0; 0]);
}

#[test]
fn a_thread_that_ends_in_a_block_says_where_it_began() {
    let numbers = named("ends_with_thread");
    let connections = numbers.connections.clone();
    let began = line!() + 3;
    on_thread(move || {
        let db = connections.get("ends_with_thread").unwrap();
        forget(db.begin_atomic(Atomic::new()).unwrap());
        insert(&db, 1).unwrap();
    });
    assert_eq!(numbers.stored(), [0; 0]);
    let told = told("ends_with_thread");
    assert!(told.len() == 1 && told[0].contains(&place(began)), "{told:?}");
}
