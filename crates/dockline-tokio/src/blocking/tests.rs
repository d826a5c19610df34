//! Sections, on runtimes of every kind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use dockline::signals::CloseReason;

use super::*;
use dockline::{Connections, Databases, Settings, TaskPolicy};
use tokio::runtime::{Builder, Runtime};

fn connections() -> Connections {
    of(Settings::from_url("sqlite::memory:").unwrap())
}

fn of(settings: Settings) -> Connections {
    Connections::new(Databases::new().with("default", settings)).unwrap()
}

fn both() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_time().build().unwrap(),
        Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap(),
    ]
}

fn one(connections: &Connections) -> impl FnOnce() -> Result<i64> + Send + 'static {
    let connections = connections.clone();
    move || connections.get("default")?.query_value("SELECT 1", ())
}

#[test]
fn a_request_is_one_on_its_thread() {
    for runtime in both() {
        let connections = connections();
        let (sends, events) = mpsc::channel();
        let (started, finished) = (Mutex::new(sends.clone()), Mutex::new(sends.clone()));
        let thread = || thread::current().id();
        connections
            .signals()
            .request_started
            .connect(move |_| started.lock().unwrap().send(("started", thread())).unwrap());
        connections
            .signals()
            .request_finished
            .connect(move |_| finished.lock().unwrap().send(("finished", thread())).unwrap());
        let section = one(&connections);
        let blocking = Blocking::new(&connections);
        let value = runtime.block_on(blocking.request(move || {
            sends.send(("runs", thread())).unwrap();
            section()
        }));
        assert_eq!(value.unwrap(), 1);
        let events: Vec<_> = events.try_iter().collect();
        let names: Vec<_> = events.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["started", "runs", "finished"]);
        assert!(events.iter().all(|(_, id)| *id == events[0].1 && *id != thread()), "{events:?}");
    }
}

#[test]
fn requests_are_atomic_where_the_alias_says_so() {
    let runtime = &both()[0];
    let connections = of(Settings::from_url("sqlite::memory:").unwrap().atomic_requests(true));
    let blocking = Blocking::new(&connections);
    let db = connections.clone();
    runtime.block_on(blocking.request(move || db.get("default")?.execute("CREATE TABLE t (n INTEGER)", ()))).unwrap();
    let db = connections.clone();
    let failed = runtime.block_on(blocking.request(move || {
        db.get("default")?.execute("INSERT INTO t VALUES (1)", ())?;
        Err::<(), _>(Error::new(ErrorKind::Data, "undo"))
    }));
    assert_eq!(failed.unwrap_err().message(), "undo");
    let count = move || connections.get("default")?.query_value::<i64>("SELECT count(*) FROM t", ());
    assert_eq!(runtime.block_on(blocking.request(count)).unwrap(), 0);
}

#[test]
fn a_task_has_the_policy_and_the_hooks_that_it_is_given() {
    let runtime = &both()[0];
    let connections = connections();
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    connections.signals().connection_closed.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let (sends, reports) = mpsc::channel();
    let blocking = Blocking::new(&connections);
    let task = Task::new().policy(TaskPolicy::CloseAll).on_done(move |report| sends.send(report.statements()).unwrap());
    assert_eq!(runtime.block_on(blocking.task_with(task, one(&connections))).unwrap().unwrap(), 1);
    assert_eq!((reports.recv().unwrap(), closed.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(runtime.block_on(blocking.task(one(&connections))).unwrap().unwrap(), 1);
    assert_eq!(closed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_goes_on_in_the_task_that_waits() {
    for runtime in both() {
        let connections = connections();
        let blocking = Blocking::new(&connections).limit(1);
        let panics = blocking.clone();
        let joined =
            runtime.block_on(runtime.spawn(async move { panics.request(|| -> Result<()> { panic!("mine") }).await }));
        let panic = joined.unwrap_err().into_panic();
        assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "mine");
        // Its place is free again.
        assert_eq!(runtime.block_on(blocking.request(one(&connections))).unwrap(), 1);
    }
}

#[test]
fn no_more_run_at_a_time_than_the_limit() {
    let runtime = &both()[1];
    let connections = connections();
    let blocking = Blocking::new(&connections).limit(3);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (comes, came) = mpsc::channel();
    let gates: Vec<_> = (0..9)
        .map(|_| {
            let (opens, opened) = mpsc::channel::<()>();
            let (running, most, comes, blocking) = (running.clone(), most.clone(), comes.clone(), blocking.clone());
            runtime.spawn(async move {
                let section = move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    comes.send(()).unwrap();
                    let _ = opened.recv();
                    running.fetch_sub(1, Ordering::SeqCst);
                };
                blocking.task(section).await.unwrap();
            });
            opens
        })
        .collect();
    for _ in 0..3 {
        came.recv().unwrap();
    }
    assert_eq!(runtime.metrics().num_alive_tasks(), 9, "the others wait");
    drop(gates);
    for _ in 3..9 {
        came.recv().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[test]
fn a_section_whose_caller_is_gone_keeps_its_place_to_its_end() {
    let runtime = &both()[1];
    let connections = connections();
    let blocking = Blocking::new(&connections).limit(1);
    let (comes, came) = mpsc::channel();
    let (opens, opened) = mpsc::channel::<()>();
    let (ends, ended) = mpsc::channel();
    let caller = blocking.clone();
    let caller = runtime.spawn(async move {
        let section = move || {
            comes.send(()).unwrap();
            opened.recv().unwrap();
            ends.send(()).unwrap();
        };
        caller.task(section).await
    });
    came.recv().unwrap();
    caller.abort();
    assert!(runtime.block_on(caller).unwrap_err().is_cancelled());
    let free = || blocking.threads.free().unwrap();
    assert_eq!(free(), 0);
    // One that waits for its place and is given up never runs.
    let mut waits = Box::pin(blocking.task(|| unreachable!("it never had a place")));
    let polled = Future::poll(waits.as_mut(), &mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(polled.is_pending());
    drop(waits);
    opens.send(()).unwrap();
    ended.recv().unwrap();
    assert_eq!(runtime.block_on(blocking.request(one(&connections))).unwrap(), 1);
}

#[test]
fn a_runtime_that_is_gone_is_an_error() {
    let connections = connections();
    let gone = Builder::new_current_thread().build().unwrap();
    let blocking = Blocking::new(&connections).on(gone.handle());
    drop(gone);
    for _ in 0..2 {
        let error = both()[0].block_on(blocking.request(one(&connections))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interface);
        assert!(error.message().contains("shut down"), "{error}");
    }
    let error = both()[0].block_on(blocking.task(|| ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interface);
}

/// As under an executor of another make.
#[test]
fn no_runtime_is_needed_for_threads_of_its_own() {
    let connections = connections();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let unlimited = Blocking::new(&connections).unlimited();
    let mut call = Box::pin(unlimited.request(one(&connections)));
    let polled = Future::poll(call.as_mut(), &mut context);
    let std::task::Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
    assert_eq!(error.kind(), ErrorKind::Interface);
    assert!(error.message().contains("Blocking::on"), "{error}");

    let own = Blocking::new(&connections);
    let mut call = Box::pin(own.request(one(&connections)));
    let value = loop {
        if let std::task::Poll::Ready(value) = Future::poll(call.as_mut(), &mut context) {
            break value;
        }
        thread::yield_now();
    };
    assert_eq!(value.unwrap(), 1);
}

#[test]
fn sections_run_where_they_are_sent() {
    let threads = Builder::new_current_thread().max_blocking_threads(2).thread_name("database").build().unwrap();
    let connections = connections();
    let blocking = Blocking::new(&connections).on(threads.handle());
    let name = || thread::current().name().map(str::to_owned);
    for runtime in both() {
        assert_eq!(runtime.block_on(blocking.task(name)).unwrap().as_deref(), Some("database"));
    }
}

#[test]
fn connections_are_no_more_than_the_limit() {
    let runtime = &both()[1];
    let connections = connections();
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    connections.signals().connection_created.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let blocking = Blocking::new(&connections).limit(3);
    let tasks: Vec<_> = (0..300)
        .map(|_| {
            let (blocking, section) = (blocking.clone(), one(&connections));
            runtime.spawn(async move { blocking.request(section).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(runtime.block_on(task).unwrap(), 1);
    }
    assert!((1..=3).contains(&opened.load(Ordering::SeqCst)), "{opened:?}");
    let name = || thread::current().name().map(str::to_owned);
    assert_eq!(runtime.block_on(blocking.task(name)).unwrap().as_deref(), Some("dockline-blocking"));
}

/// In a task, and on the threads themselves.
#[test]
fn threads_end_with_the_last_clone() {
    for runtime in both() {
        let (sends, closed) = mpsc::channel();
        let connections = connections();
        let sends = Mutex::new(sends);
        connections
            .signals()
            .connection_closed
            .connect(move |event| sends.lock().unwrap().send(event.reason()).unwrap());
        let blocking = Blocking::new(&connections).limit(1);
        let section = one(&connections);
        runtime.block_on(async move {
            assert_eq!(blocking.task(section).await.unwrap().unwrap(), 1);
            drop(blocking);
        });
        assert_eq!(closed.recv_timeout(Duration::from_secs(60)).unwrap(), CloseReason::ThreadExit);

        let blocking = Blocking::new(&connections).limit(1);
        let (opens, opened) = mpsc::channel::<()>();
        let (clone, section) = (blocking.clone(), one(&connections));
        let section = move || {
            opened.recv().unwrap();
            section().unwrap();
            drop(clone);
        };
        // It is given up, and goes on alone.
        let mut waits = Box::pin(async move { blocking.task(section).await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(Future::poll(waits.as_mut(), &mut context).is_pending());
        drop(waits);
        opens.send(()).unwrap();
        assert_eq!(closed.recv_timeout(Duration::from_secs(60)).unwrap(), CloseReason::ThreadExit);
    }
}

#[test]
fn after_a_shutdown_sections_have_errors() {
    for runtime in both() {
        let connections = connections();
        let blocking = Blocking::new(&connections).limit(1);
        assert_eq!(runtime.block_on(blocking.request(one(&connections))).unwrap(), 1);
        // It waits for no place.
        let (opens, opened) = mpsc::channel::<()>();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut waits = Box::pin(blocking.task(move || opened.recv().unwrap()));
        assert!(Future::poll(waits.as_mut(), &mut context).is_pending());
        let report = runtime.block_on(blocking.shutdown(Duration::from_secs(60))).unwrap();
        assert_eq!((report.closed, report.left.len()), (1, 0));
        opens.send(()).unwrap();
        runtime.block_on(waits).unwrap();
        let error = runtime.block_on(blocking.request(one(&connections))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interface, "{error}");
    }
}

#[test]
#[should_panic(expected = "a limit of 0")]
fn a_limit_of_none_is_refused() {
    let _ = Blocking::new(&connections()).limit(0);
}

#[test]
fn futures_can_be_spawned() {
    fn is_send<T: Send + Sync>(_: &T) {}
    let connections = connections();
    let blocking = Blocking::new(&connections);
    is_send(&blocking);
    fn can_be_spawned<T: Send>(_: T) {}
    can_be_spawned(blocking.request(one(&connections)));
    can_be_spawned(blocking.task(|| 1));
    can_be_spawned(blocking.shutdown(Duration::ZERO));
    assert_eq!(format!("{:?}", blocking.limit(7)).matches("limit: 7").count(), 1);
}
