//! What becomes of connections after a task, and who is told.

use std::sync::{Arc, Mutex};

use dockline::signals::CloseReason;
use dockline::{Connections, Databases, Task, TaskPolicy};
use dockline_tests::{Story, in_memory, memory, on_thread};

fn record() -> (Arc<Mutex<Vec<String>>>, impl Fn(&str) + Clone + Send + 'static) {
    let record = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&record);
    (record, move |text: &str| to.lock().unwrap().push(text.to_owned()))
}

#[test]
fn the_policy_says_what_is_closed() {
    for (policy, closed) in [(TaskPolicy::CloseDue, 0), (TaskPolicy::CloseAll, 1), (TaskPolicy::Keep, 0)] {
        let connections = in_memory();
        let story = Story::of(&connections);
        let db = connections.get("default").unwrap();
        connections.task_with(Task::new().policy(policy), || db_query(&connections))();
        assert_eq!(story.closed(), closed, "{policy:?}");
        drop(db);
    }
}

fn db_query(connections: &Connections) {
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
}

#[test]
fn keep_keeps_what_is_due() {
    let settings = || memory().conn_max_age(Some(std::time::Duration::ZERO));
    for (policy, open) in [(TaskPolicy::CloseDue, 0), (TaskPolicy::Keep, 1)] {
        let connections = dockline_tests::connections(settings());
        let story = Story::of(&connections);
        connections.task_with(Task::new().policy(policy), || db_query(&connections))();
        assert_eq!(story.open(), open, "{policy:?}");
    }
}

#[test]
fn the_registrys_policy_is_that_of_tasks_without_one() {
    let databases = Databases::new().with("default", memory());
    let builder = Connections::builder().task_policy(TaskPolicy::CloseAll);
    let connections = Connections::from(builder.build(databases).unwrap());
    let story = Story::of(&connections);
    connections.task(|| db_query(&connections))();
    assert_eq!(story.reasons(), [CloseReason::Asked]);
    connections.task_with(Task::new().policy(TaskPolicy::Keep), || db_query(&connections))();
    assert_eq!(story.open(), 1, "its own goes before it");
}

#[test]
fn closing_all_leaves_alone_what_is_around_the_task() {
    let connections = in_memory();
    let story = Story::of(&connections);
    connections
        .in_request(|| {
            let db = connections.get("default")?;
            db.atomic(|| {
                db.execute("CREATE TABLE t (n INTEGER)", ())?;
                let insert = || connections.get("default")?.execute("INSERT INTO t VALUES (1)", ());
                connections.task_with(Task::new().policy(TaskPolicy::CloseAll), insert)()
            })?;
            assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ())?, 1);
            Ok::<_, dockline::Error>(())
        })
        .unwrap();
    assert_eq!(story.closed(), 0);
}

#[test]
fn hooks_of_a_task_run_on_the_worker_in_order_and_before_the_signal() {
    let connections = in_memory();
    let (told, tell) = record();
    let also = tell.clone();
    let to_signal = Mutex::new(tell.clone());
    connections.signals().task_done.connect(move |_| (to_signal.lock().unwrap())("signal"));
    let task = Task::new()
        .on_done(move |report| {
            tell(&format!("first on {:?}, {} statements", std::thread::current().name(), report.statements()));
            panic!("the hook panics");
        })
        .on_done(move |report| also(&format!("second, panicked: {}", report.panicked())));
    let job = connections.task_with(task, {
        let connections = connections.clone();
        move || {
            db_query(&connections);
            db_query(&connections);
            panic!("the task panics");
        }
    });
    let worker = std::thread::Builder::new().name("worker".to_owned()).spawn(job).unwrap();
    assert!(worker.join().is_err(), "the panic goes on");
    let expected = ["first on Some(\"worker\"), 2 statements", "second, panicked: true", "signal"];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn a_hook_may_use_the_database_and_run_tasks() {
    let connections = in_memory();
    let (told, tell) = record();
    let inner = connections.clone();
    let task = Task::new().policy(TaskPolicy::CloseAll).on_done(move |_| {
        let told = inner.task(|| inner.get("default")?.query_value::<i64>("SELECT 7", ()))();
        tell(&format!("{told:?}"));
    });
    let story = Story::of(&connections);
    let job = connections.task_with(task, || 40 + 2);
    assert_eq!(on_thread(job), 42);
    assert_eq!(*told.lock().unwrap(), ["Ok(7)"]);
    assert_eq!(story.open(), 0, "what the hook opened is closed with the rest");
}

#[test]
fn statements_are_those_of_the_task_alone() {
    let connections = in_memory();
    db_query(&connections);
    let (told, tell) = record();
    let outer = tell.clone();
    let counted =
        |tell: Box<dyn Fn(&str) + Send>| Task::new().on_done(move |report| tell(&report.statements().to_string()));
    connections.task_with(counted(Box::new(outer)), || {
        db_query(&connections);
        connections.task_with(counted(Box::new(tell)), || db_query(&connections))();
        db_query(&connections);
    })();
    assert_eq!(*told.lock().unwrap(), ["1", "3"]);
}

#[test]
fn a_task_that_was_submitted_before_shutdown_says_so_when_it_runs() {
    let connections = in_memory();
    let job = connections.task({
        let connections = connections.clone();
        move || connections.get("default")?.query_value::<i64>("SELECT 1", ())
    });
    connections.shutdown(std::time::Duration::from_secs(1));
    let error = on_thread(job).unwrap_err();
    assert_eq!(error.kind(), dockline::ErrorKind::Interface);
    assert!(error.to_string().contains("shut down"), "{error}");
}

#[test]
fn a_task_that_is_submitted_after_shutdown_runs_and_only_its_statements_fail() {
    for policy in [TaskPolicy::CloseDue, TaskPolicy::CloseAll, TaskPolicy::Keep] {
        let connections = in_memory();
        db_query(&connections);
        connections.shutdown(std::time::Duration::from_secs(1));
        let story = Story::of(&connections);
        let (told, tell) = record();
        let to_signal = Mutex::new(tell.clone());
        connections.signals().task_done.connect(move |report| {
            (to_signal.lock().unwrap())(&format!("signal, panicked: {}", report.panicked()));
        });
        let task =
            Task::new().policy(policy).on_done(move |report| tell(&format!("{} statements", report.statements())));
        let job = connections.task_with(task, {
            let connections = connections.clone();
            move || connections.get("default")?.query_value::<i64>("SELECT 1", ())
        });
        let error = on_thread(job).unwrap_err();
        assert_eq!(error.kind(), dockline::ErrorKind::Interface, "{policy:?}");
        assert!(error.to_string().contains("shut down"), "{error}");
        assert_eq!(*told.lock().unwrap(), ["0 statements", "signal, panicked: false"]);
        assert_eq!(connections.task(|| 40 + 2)(), 42, "what uses no database goes on");
        assert_eq!(story.opened(), 0);
    }
}

#[test]
fn a_hook_that_panics_leaves_neither_a_transaction_nor_what_is_due() {
    /// What was thrown panics again when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    let connections = dockline_tests::connections(memory().conn_max_age(Some(std::time::Duration::ZERO)));
    let story = Story::of(&connections);
    connections.signals().task_done.connect(|_| panic!("the receiver panics"));
    let in_hook = connections.clone();
    let task = Task::new().on_done(move |_| {
        let db = in_hook.get("default").unwrap();
        db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
        std::mem::forget(db.begin_atomic(dockline::Atomic::new()).unwrap());
        std::panic::resume_unwind(Box::new(Bomb));
    });
    assert_eq!(connections.task_with(task, || 40 + 2)(), 42);
    assert_eq!((story.opened(), story.open()), (1, 0));
    let db = connections.get("default").unwrap();
    assert!(!db.in_atomic_block());
    db_query(&connections);
}

/// As a hook that gives the next job to the pool: it is not run inside the one that ends.
#[test]
fn a_hook_that_submits_a_task_does_not_run_it() {
    type Pool = std::sync::mpsc::Sender<Box<dyn FnOnce() + Send>>;

    let connections = dockline_tests::connections(memory().conn_max_age(Some(std::time::Duration::ZERO)));
    let story = Story::of(&connections);
    let (told, tell) = record();
    let (submit, jobs) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();

    fn job(connections: &Connections, left: u32, tell: impl Fn(&str) + Clone + Send + 'static, pool: Pool) {
        let next = connections.clone();
        let (told, submit) = (tell.clone(), pool.clone());
        let task = Task::new().on_done(move |report| {
            told(&format!("{left}: {} statements", report.statements()));
            if left > 0 {
                job(&next, left - 1, told, submit);
            }
        });
        let on_worker = connections.clone();
        pool.send(Box::new(connections.task_with(task, move || db_query(&on_worker)))).unwrap();
    }
    job(&connections, 3, tell.clone(), submit);
    let open = story.clone();
    std::thread::spawn(move || {
        // It ends when no hook is left that could submit.
        for job in jobs {
            job();
            tell(&format!("then {} open", open.open()));
        }
    })
    .join()
    .unwrap();
    let one = |left: u32| [format!("{left}: 1 statements"), "then 0 open".to_owned()];
    assert_eq!(*told.lock().unwrap(), [3, 2, 1, 0].map(one).concat());
    assert_eq!(story.opened(), 4);
}
