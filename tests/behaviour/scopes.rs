use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dockline::signals::CloseReason;
use dockline::{Connections, Error, ErrorKind, Settings};
use dockline_tests::{Story, connections, in_memory, memory, on_thread};

fn closing_at_once() -> Settings {
    memory().conn_max_age(Some(Duration::ZERO))
}

/// The names of the signals, as they were sent.
fn record(connections: &Connections) -> Arc<Mutex<Vec<String>>> {
    let record = Arc::new(Mutex::new(Vec::new()));
    let signals = connections.signals();
    let to = Arc::clone(&record);
    signals.request_started.connect(move |_| to.lock().unwrap().push("started".to_owned()));
    let to = Arc::clone(&record);
    signals.request_finished.connect(move |event| {
        to.lock().unwrap().push(format!("finished, panicked: {}", event.panicked()));
    });
    let to = Arc::clone(&record);
    signals.task_done.connect(move |report| {
        to.lock().unwrap().push(format!("done, panicked: {}", report.panicked()));
    });
    record
}

#[test]
fn a_request_sends_both_signals_and_closes_what_is_due_at_both_ends() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let db = connections.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    let request = connections.request();
    assert_eq!(story.reasons(), [CloseReason::MaxAge], "closed when the request starts");
    db.query("SELECT 1", ()).unwrap();
    drop(request);
    assert_eq!(story.closed(), 2, "closed when it ends");
    assert_eq!(*record.lock().unwrap(), ["started", "finished, panicked: false"]);
}

#[test]
fn a_request_ends_also_by_a_panic() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _request = connections.request();
        connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
        panic!("the handler panics");
    }));
    assert!(panic.is_err());
    assert_eq!(*record.lock().unwrap(), ["started", "finished, panicked: true"]);
    assert_eq!(story.open(), 0);
}

#[test]
fn in_request_answers_what_the_closure_does() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let n: dockline::Result<i64> = connections.in_request(|| connections.get("default")?.query_value("SELECT 7", ()));
    assert_eq!(n.unwrap(), 7);
    assert_eq!((story.opened(), story.open()), (1, 0));

    #[derive(Debug, PartialEq)]
    struct Mine(String);
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Self(error.to_string())
        }
    }
    let failed: Result<(), Mine> = connections.in_request(|| Err(Mine("mine".to_owned())));
    assert_eq!(failed, Err(Mine("mine".to_owned())));
    assert_eq!(record.lock().unwrap().len(), 4);
}

#[test]
fn a_task_runs_its_hooks_on_the_thread_that_ran_it_after_it() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let hook_thread = Arc::new(Mutex::new(None));
    let to = Arc::clone(&hook_thread);
    connections.signals().task_done.connect(move |report| {
        assert!(report.elapsed() < Duration::from_secs(30));
        *to.lock().unwrap() = Some(thread::current().id());
    });
    let task = connections.task({
        let connections = connections.clone();
        move || {
            connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
            thread::current().id()
        }
    });
    assert!(record.lock().unwrap().is_empty(), "wrapping sends nothing");
    let (ran_on, open_after) = on_thread({
        let story = story.clone();
        move || (task(), story.open())
    });
    assert_eq!(*hook_thread.lock().unwrap(), Some(ran_on));
    assert_eq!(open_after, 0, "closed by the end of the task, not by that of the thread");
    assert_eq!(*record.lock().unwrap(), ["done, panicked: false"]);
}

#[test]
fn a_task_that_panics_is_done_too_and_the_panic_goes_on() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let task = connections.task({
        let connections = connections.clone();
        move || {
            connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
            panic!("the task panics");
        }
    });
    let panic = catch_unwind(AssertUnwindSafe(task)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the task panics"));
    assert_eq!((story.open(), &*record.lock().unwrap()), (0, &vec!["done, panicked: true".to_owned()]));
}

#[test]
fn a_task_may_borrow_on_a_scoped_thread() {
    let connections = in_memory();
    let count = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(connections.task(|| count.fetch_add(1, Ordering::SeqCst)));
    });
    assert_eq!(count.into_inner(), 1);
}

#[test]
fn a_request_in_a_drop_during_a_panic_did_not_panic_itself() {
    struct OnDrop(Connections);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _request = self.0.request();
        }
    }
    let connections = in_memory();
    let record = record(&connections);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _on_drop = OnDrop(connections.clone());
        panic!("around the request");
    }));
    assert_eq!(record.lock().unwrap()[1], "finished, panicked: false");
}

#[test]
fn a_request_before_any_configuration_is_no_error() {
    let connections = Connections::lazy(|| Err(Error::config("never there")));
    drop(connections.request());
    let result: Result<(), Error> = connections.in_request(|| connections.get("default").map(drop));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ImproperlyConfigured);
}

#[test]
fn a_request_inside_a_request_is_told_of_and_leaves_the_work_around_it_alone() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let query = || connections.get("default")?.query_value::<i64>("SELECT 7", ());
    let seven = connections.in_request(|| {
        connections.get("default")?.atomic(|| {
            let inner = connections.in_request(query)?;
            let in_task = connections.task(|| connections.in_request(query))()?;
            assert_eq!((inner, in_task, story.closed()), (7, 7, 0), "the block is in the middle of its work");
            query()
        })
    });
    assert_eq!((seven.unwrap(), story.opened(), story.open()), (7, 1, 0));
    let started = "started".to_owned();
    let (finished, done) = ("finished, panicked: false".to_owned(), "done, panicked: false".to_owned());
    let inner = [started.clone(), finished.clone()];
    assert_eq!(*record.lock().unwrap(), [&[started][..], &inner, &inner, &[done, finished]].concat());
}

#[test]
fn a_request_whose_inner_one_panics_goes_on() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let request = connections.request();
    let inner = catch_unwind(AssertUnwindSafe(|| {
        let _request = connections.request();
        connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
        panic!("the inner one panics");
    }));
    assert!(inner.is_err());
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
    drop(request);
    assert_eq!(record.lock().unwrap()[2..], ["finished, panicked: true", "finished, panicked: false"]);
    assert_eq!(story.open(), 0);
}

#[test]
fn guards_of_requests_may_be_dropped_in_any_order() {
    let connections = connections(closing_at_once());
    let (story, record) = (Story::of(&connections), record(&connections));
    let (outer, inner) = (connections.request(), connections.request());
    let db = connections.get("default").unwrap();
    std::mem::forget(db.begin_atomic(dockline::Atomic::new()).unwrap());
    drop(outer);
    assert!(db.in_atomic_block(), "a request is left");
    drop(inner);
    assert!(!db.in_atomic_block());
    assert_eq!((story.opened(), story.open(), record.lock().unwrap().len()), (1, 0, 4));
}
