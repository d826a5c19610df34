use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dockline::signals::{ReceiverId, RequestFinished, RequestStarted, TaskReport};
use dockline_tests::{Story, connections, in_memory, log_capture, memory};

#[test]
fn receivers_run_in_the_order_in_which_they_connected() {
    let connections = in_memory();
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..3 {
        let order = Arc::clone(&order);
        connections.signals().request_started.connect(move |_| order.lock().unwrap().push(n));
    }
    drop(connections.request());
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
}

#[test]
fn a_receiver_is_disconnected_once() {
    let connections = in_memory();
    let signal = &connections.signals().request_started;
    let calls = Arc::new(AtomicUsize::new(0));
    let receiver = signal.connect({
        let calls = Arc::clone(&calls);
        move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
        }
    });
    drop(connections.request());
    assert!(signal.disconnect(receiver));
    assert!(!signal.disconnect(receiver));
    drop(connections.request());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_receiver_that_panics_keeps_no_other_from_running() {
    log_capture::start();
    let connections = connections(memory().conn_max_age(Some(Duration::ZERO)));
    let (story, calls) = (Story::of(&connections), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&calls);
    let signals = connections.signals();
    signals.request_finished.connect(|_| panic!("the receiver of this test panics"));
    signals.request_finished.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _request = connections.request();
        connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
        panic!("and so does the handler");
    }));
    assert!(result.is_err());
    assert_eq!((calls.load(Ordering::SeqCst), story.open()), (1, 0));
    let lines = log_capture::lines("dockline::signals", "the receiver of this test panics");
    assert_eq!(lines[0].0, log::Level::Error);
    assert!(lines[0].1.contains("request_finished"));
}

#[test]
fn the_registrys_own_receivers_can_be_disconnected() {
    let connections = connections(memory().conn_max_age(Some(Duration::ZERO)));
    let story = Story::of(&connections);
    let signals = connections.signals();
    assert!(signals.request_started.disconnect(ReceiverId::CLOSE_OLD_CONNECTIONS));
    assert!(signals.request_finished.disconnect(ReceiverId::CLOSE_OLD_CONNECTIONS));
    assert!(signals.request_started.disconnect(ReceiverId::RESET_QUERIES));
    let db = connections.get("default").unwrap();
    db.force_query_log(true);
    db.query("SELECT 1", ()).unwrap();
    drop(connections.request());
    assert_eq!((story.closed(), db.queries().len()), (0, 1));
    connections.task(|| ())();
    assert_eq!(story.closed(), 1, "each signal has receivers of its own");
}

#[test]
fn signals_can_be_sent_by_hand() {
    let connections = connections(memory().conn_max_age(Some(Duration::ZERO)));
    let story = Story::of(&connections);
    let signals = connections.signals();
    let sends: [&dyn Fn(); 3] = [
        &|| signals.request_started.send(&RequestStarted::new()),
        &|| signals.request_finished.send(&RequestFinished::new(false)),
        &|| signals.task_done.send(&TaskReport::new(Duration::ZERO, false)),
    ];
    for (n, send) in sends.into_iter().enumerate() {
        connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
        send();
        assert_eq!(story.closed(), n + 1);
    }
}

#[test]
fn what_a_receiver_opens_at_the_end_of_a_request_is_closed_with_it() {
    let connections = connections(memory().conn_max_age(Some(Duration::ZERO)));
    let story = Story::of(&connections);
    let inside = connections.clone();
    let receiver = connections.signals().request_finished.connect(move |_| {
        inside.get("default").unwrap().query("SELECT 1", ()).unwrap();
    });
    drop(connections.request());
    assert_eq!((story.opened(), story.open()), (1, 0));
    connections.signals().request_finished.disconnect(receiver);
}

#[test]
fn connection_created_may_use_the_connection_that_it_tells_of() {
    let connections = in_memory();
    connections.signals().connection_created.connect(|event| {
        assert_eq!(event.connection().serial(), Some(event.serial()));
        event.connection().execute("PRAGMA cache_size = 321", ()).unwrap();
    });
    let db = connections.get("default").unwrap();
    assert_eq!(db.query_value::<i64>("PRAGMA cache_size", ()).unwrap(), 321);
}

#[test]
fn receivers_that_open_and_close_what_they_are_told_of_do_not_go_on_for_ever() {
    let chain: [fn(&dockline::Connections); 4] = [
        |connections| {
            connections.signals().connection_created.connect(|event| event.connection().close());
        },
        |connections| {
            connections.signals().connection_created.connect(|event| {
                event.connection().close();
                let _ = event.connection().execute("SELECT 1", ());
            });
        },
        |connections| {
            let inside = connections.clone();
            connections.signals().connection_closed.connect(move |_| {
                let db = inside.get("default").unwrap();
                let _ = db.execute("SELECT 1", ());
                db.close();
            });
        },
        |connections| {
            let inside = connections.clone();
            connections.signals().connection_closed.connect(move |_| {
                let _ = inside.in_request(|| inside.get("default")?.execute("SELECT 1", ()));
            });
        },
    ];
    for (n, connect) in chain.into_iter().enumerate() {
        let connections = connections(memory().conn_max_age(Some(Duration::ZERO)));
        connect(&connections);
        let result = connections.in_request(|| connections.get("default")?.query("SELECT 1", ()));
        if let Err(error) = result {
            assert!(error.message().contains("connection_created or connection_closed"), "{n}: {error}");
        }
        connections.close_all();
    }
}

#[test]
fn every_connection_that_is_told_as_closed_was_told_as_created() {
    let connections = in_memory();
    let story = Story::of(&connections);
    let inside = connections.clone();
    // Shut down while it connects: as late as can be told from outside.
    connections.signals().connection_created.connect(move |_| {
        inside.shutdown(Duration::ZERO);
    });
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    assert_eq!((story.opened(), story.open()), (1, 0));
}

#[test]
fn connection_closed_tells_the_story_of_the_connection() {
    let connections = in_memory();
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    connections.signals().connection_closed.connect(move |event| {
        to.lock().unwrap().push((event.alias().to_owned(), event.serial(), event.statements()));
        assert!(event.age() < Duration::from_secs(30));
    });
    let db = connections.get("default").unwrap();
    for _ in 0..3 {
        db.query("SELECT 1", ()).unwrap();
    }
    let serial = db.serial().unwrap();
    db.close();
    assert_eq!(*told.lock().unwrap(), [("default".to_owned(), serial, 3)]);
}

#[test]
fn a_receiver_may_use_the_registry_while_the_registry_walks_its_connections() {
    let connections = in_memory();
    let inside = connections.clone();
    connections.add("other", memory()).unwrap();
    let receiver = connections.signals().connection_closed.connect(move |_| {
        inside.get("other").unwrap().query("SELECT 1", ()).unwrap();
    });
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
    connections.get("default").unwrap().close();
    assert_eq!(connections.initialized(), ["default", "other"]);
    connections.signals().connection_closed.disconnect(receiver);
}
