//! What the ends of tasks and requests must withstand: registries that end inside, work inside of hooks and receivers, blocks
//! around tasks, and loggers that panic.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use dockline::signals::{CloseReason, TaskReport};
use dockline::testing::TestCase;
use dockline::{Atomic, Connections, Databases, Error, Result, Settings, Task, TaskPolicy};
use dockline_tests::scripted::Script;
use dockline_tests::{Story, in_memory, log_capture, memory, on_thread};

use crate::stage::{Numbers, insert};

fn query(connections: &Connections, alias: &str) {
    connections.get(alias).unwrap().query("SELECT 1", ()).unwrap();
}

fn closing_at_once(settings: Settings) -> Settings {
    settings.conn_max_age(Some(Duration::ZERO))
}

/// A registry with this policy, and these aliases beside default.
fn with_policy(policy: TaskPolicy, settings: Settings, aliases: &[&str]) -> Connections {
    let databases = Databases::new().with("default", settings);
    let databases = aliases.iter().fold(databases, |databases, alias| databases.with(*alias, memory()));
    Connections::from(Connections::builder().task_policy(policy).build(databases).unwrap())
}

/// A task that says how many statements it has run.
fn counted() -> (Task, mpsc::Receiver<u64>) {
    let (tell, told) = mpsc::channel();
    (Task::new().on_done(move |report| tell.send(report.statements()).unwrap()), told)
}

#[test]
fn statements_are_counted_where_the_last_clone_of_the_registry_goes_in_the_task() {
    on_thread(|| {
        let connections = in_memory();
        (0..3).for_each(|_| query(&connections, "default"));
        let (task, told) = counted();
        let in_task = connections.clone();
        let job = connections.task_with(task, move || {
            query(&in_task, "default");
            drop(in_task);
        });
        drop(connections);
        job();
        assert_eq!(told.try_recv(), Ok(1));
    });
}

#[test]
fn statements_are_counted_where_the_registry_is_shut_down_in_the_task() {
    on_thread(|| {
        let connections = in_memory();
        query(&connections, "default");
        let (task, told) = counted();
        connections.task_with(task, || {
            (0..2).for_each(|_| query(&connections, "default"));
            connections.shutdown(Duration::ZERO);
            // Another one drops what this thread had of the first.
            query(&in_memory(), "default");
        })();
        assert_eq!(told.try_recv(), Ok(2));
    });
}

/// A name, and what may run inside a block.
type Inner = (&'static str, fn(&Connections));
/// A block with something in its midst.
type Around = Box<dyn Fn() + Send + Sync>;

const INNER: [Inner; 6] = [
    ("due", |connections| task_inside(connections, TaskPolicy::CloseDue)),
    ("all", |connections| task_inside(connections, TaskPolicy::CloseAll)),
    ("keep", |connections| task_inside(connections, TaskPolicy::Keep)),
    ("in_request", |connections| connections.in_request(|| Ok::<_, Error>(())).unwrap()),
    ("request", |connections| drop(connections.request())),
    ("request in a task", |connections| connections.task(|| drop(connections.request()))()),
];

fn task_inside(connections: &Connections, policy: TaskPolicy) {
    connections.task_with(Task::new().policy(policy), || ())();
}

fn block_around(connections: &Connections, inner: fn(&Connections)) -> Result<()> {
    let db = connections.get("default")?;
    db.atomic(|| {
        insert(&db, 1)?;
        inner(connections);
        assert!(db.in_atomic_block());
        insert(&db, 2)
    })
}

/// `run` gets the block as a closure, and runs it in a hook, in a receiver or wherever the test wants it.
fn assert_block_withstands(inner: &[Inner], run: fn(&Connections, Around)) {
    for (name, inner) in inner.iter().copied() {
        let numbers = Numbers::with(closing_at_once);
        let (tell, told) = mpsc::channel();
        let connections = numbers.connections.clone();
        run(
            &numbers.connections,
            Box::new(move || tell.send(block_around(&connections, inner).map_err(|error| error.to_string())).unwrap()),
        );
        assert_eq!(told.try_recv(), Ok(Ok(())), "{name}");
        assert_eq!(numbers.stored(), [1, 2], "{name}");
        assert!(!numbers.db.in_atomic_block());
    }
}

#[test]
fn a_hooks_block_withstands_tasks_and_requests_inside() {
    assert_block_withstands(&INNER, |connections, block| {
        connections.task_with(Task::new().on_done(move |_| block()), || ())();
    });
}

#[test]
fn a_receivers_block_withstands_tasks_and_requests_inside() {
    /// Receivers are told of what is inside as well.
    fn once(block: Around) -> impl Fn() + Send + Sync {
        let block = Mutex::new(Some(block));
        move || {
            let block = block.lock().unwrap().take();
            if let Some(block) = block {
                block();
            }
        }
    }
    assert_block_withstands(&INNER, |connections, block| {
        let block = once(block);
        connections.signals().request_finished.connect(move |_| block());
        drop(connections.request());
    });
    assert_block_withstands(&INNER, |connections, block| {
        let block = once(block);
        connections.signals().task_done.connect(move |_| block());
        task_inside(connections, TaskPolicy::CloseAll);
    });
}

#[test]
fn a_block_around_a_task_withstands_it() {
    // The start of a request closes what is due, as in Django, also around it.
    let tasks = &INNER[..3];
    assert_block_withstands(tasks, |_, block| block());
    assert_block_withstands(tasks, |connections, block| connections.task(block)());
}

#[test]
fn the_block_of_a_test_withstands_tasks() {
    for (name, inner) in INNER {
        let numbers = Numbers::with(closing_at_once);
        let test = TestCase::begin(&numbers.connections, &["default"]).unwrap();
        block_around(&numbers.connections, inner).unwrap_or_else(|error| panic!("{name}: {error}"));
        inner(&numbers.connections);
        assert_eq!(numbers.db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 2, "{name}");
        drop(test);
        assert_eq!(numbers.stored(), [0; 0], "{name}");
    }
}

#[test]
fn a_block_withstands_a_task_that_rayon_takes_up_in_it() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for policy in [TaskPolicy::CloseDue, TaskPolicy::CloseAll, TaskPolicy::Keep] {
        let numbers = Numbers::with(closing_at_once);
        let connections = &numbers.connections;
        let result = pool.install(|| {
            let db = connections.get("default")?;
            db.atomic(|| {
                insert(&db, 1)?;
                let in_task = || insert(&connections.get("default")?, 2);
                rayon::join(|| (), connections.task_with(Task::new().policy(policy), in_task)).1?;
                insert(&db, 3)
            })
        });
        result.unwrap_or_else(|error| panic!("{policy:?}: {error}"));
        assert_eq!(numbers.stored(), [1, 2, 3], "{policy:?}");
    }
}

#[test]
fn what_a_hook_and_the_logger_panic_over_leaves_boundaries_as_they_were() {
    let connections = with_policy(TaskPolicy::CloseDue, memory(), &[]);
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    log_capture::panic_at("over_which_the_logger_panics");
    let ran = Arc::new(AtomicUsize::new(0));
    let second = Arc::clone(&ran);
    let task = Task::new()
        .policy(TaskPolicy::CloseAll)
        .on_done(|_| panic!("a panic over_which_the_logger_panics"))
        .on_done(move |_| {
            second.fetch_add(1, Ordering::SeqCst);
        });
    assert_eq!(connections.task_with(task, || 40 + 2)(), 42);
    assert_eq!(ran.load(Ordering::SeqCst), 1, "the hook after it");
    assert_eq!(story.reasons(), [CloseReason::Asked]);

    // A block begins outside of any task again, and is left alone at a task's end; one that begins inside is not.
    db.atomic(|| {
        insert(&db, 1)?;
        task_inside(&connections, TaskPolicy::Keep);
        insert(&db, 2)
    })
    .unwrap();
    connections.task(|| forget(connections.get("default").unwrap().begin_atomic(Atomic::new()).unwrap()))();
    assert!(!db.in_atomic_block());
    // The policy is the registry's again.
    connections.signals().task_done.send(&TaskReport::new(Duration::ZERO, false));
    assert_eq!(story.open(), 1);
}

#[test]
fn a_task_that_panics_and_a_logger_that_panics_at_its_end_do_not_end_the_process() {
    let alias = "panics_with_the_logger";
    let connections = with_policy(TaskPolicy::CloseAll, memory(), &[alias]);
    let story = Story::of(&connections);
    let (tell, told) = mpsc::channel();
    let signal = Mutex::new(tell.clone());
    connections.signals().task_done.connect(move |report| {
        signal.lock().unwrap().send(("signal", report.panicked())).unwrap();
    });
    let task = Task::new().on_done(move |report| {
        tell.send(("hook", report.panicked())).unwrap();
        panic!("a hook of the task that {alias}");
    });
    let in_task = connections.clone();
    let job = connections.task_with(task, move || {
        let db = in_task.get(alias).unwrap();
        forget(db.begin_atomic(Atomic::new()).unwrap());
        db.query("SELECT 1", ()).unwrap();
        log_capture::panic_at(alias);
        panic!("the task panics");
    });
    let panic = catch_unwind(AssertUnwindSafe(job)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the task panics"), "its own panic goes on");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [("hook", true), ("signal", true)]);
    assert_eq!(story.reasons(), [CloseReason::Asked]);
    assert!(!connections.get(alias).unwrap().in_atomic_block());
}

#[test]
fn a_thread_that_ends_closes_all_it_has_though_the_logger_panics() {
    let aliases = ["ends_loudly_1", "ends_loudly_2", "ends_loudly_3"];
    let connections = with_policy(TaskPolicy::Keep, memory(), &aliases);
    let story = Story::of(&connections);
    let on_worker = connections.clone();
    on_thread(move || {
        for alias in aliases {
            let db = on_worker.get(alias).unwrap();
            forget(db.begin_atomic(Atomic::new()).unwrap());
            db.query("SELECT 1", ()).unwrap();
        }
        log_capture::panic_at("ends_loudly_");
    });
    assert_eq!(story.reasons(), [CloseReason::ThreadExit; 3]);
    assert_eq!(log_capture::lines("dockline::connection", "ends_loudly_3").len(), 3, "opened, left open, closed");
}

#[test]
fn closing_all_skips_none_though_a_receiver_closes_what_is_old_and_an_alias_goes() {
    let connections = with_policy(TaskPolicy::CloseAll, memory(), &["a", "b", "c"]);
    let story = Story::of(&connections);
    let in_receiver = connections.clone();
    connections.signals().connection_closed.connect(move |_| in_receiver.close_old_connections());
    connections.task(|| {
        // Nothing is open there, so what this thread has for it goes at the next boundary.
        connections.get("a").unwrap();
        query(&connections, "b");
        query(&connections, "c");
        query(&connections, "default");
        connections.remove("a").unwrap();
    })();
    assert_eq!((story.opened(), story.reasons()), (3, vec![CloseReason::Asked; 3]));
}

#[test]
fn keep_rolls_back_what_was_left_open_with_autocommit_off() {
    let numbers = Numbers::new();
    let story = Story::of(&numbers.connections);
    let task = Task::new().policy(TaskPolicy::Keep);
    let connections = &numbers.connections;
    connections.task_with(task, || {
        let db = connections.get("default").unwrap();
        db.set_autocommit(false).unwrap();
        insert(&db, 1).unwrap();
    })();
    assert_eq!(story.closed(), 0, "the connection is kept");
    numbers.db.commit().unwrap();
    assert_eq!(numbers.stored(), [0; 0]);
    numbers.db.set_autocommit(true).unwrap();
    numbers.assert_well();
}

#[test]
fn task_done_that_is_sent_by_hand_keeps_to_the_registrys_policy() {
    let settings = [memory(), closing_at_once(memory())];
    let expected = [
        (TaskPolicy::CloseDue, [None, Some(CloseReason::MaxAge)]),
        (TaskPolicy::CloseAll, [Some(CloseReason::Asked), Some(CloseReason::Asked)]),
        (TaskPolicy::Keep, [None, None]),
    ];
    for (policy, expected) in expected {
        for (settings, expected) in settings.iter().zip(expected) {
            let connections = with_policy(policy, settings.clone(), &[]);
            let story = Story::of(&connections);
            query(&connections, "default");
            connections.signals().task_done.send(&TaskReport::new(Duration::ZERO, false));
            assert_eq!(story.reasons(), Vec::from_iter(expected), "{policy:?}");
        }
    }
}

#[test]
fn shutdown_waits_for_what_owners_are_closing() {
    /// What an owner does that closes: by itself, at a boundary, or when its thread ends.
    const CLOSES: [fn(&Connections); 3] =
        [|connections| connections.get("default").unwrap().close(), |connections| connections.close_all(), |_| ()];
    for closes in CLOSES {
        let (connections, script) = Script::connections(|settings| settings);
        let (is_closing, closing) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        *script.at_close.lock().unwrap() = Some(Box::new(move || {
            is_closing.send(()).unwrap();
            let _ = may_go_on.recv();
        }));
        let owner = thread::Builder::new().name("the owner".to_owned());
        let on_owner = connections.clone();
        let owner = owner.spawn(move || {
            query(&on_owner, "default");
            closes(&on_owner);
        });
        closing.recv().unwrap();
        let report = connections.shutdown(Duration::ZERO);
        let left: Vec<_> = report.left.iter().map(|left| (left.alias.as_str(), left.thread.as_str())).collect();
        assert_eq!((report.closed, left), (0, vec![("default", "the owner")]));
        let waiting = thread::spawn({
            let script = Arc::clone(&script);
            move || (connections.shutdown(Duration::from_secs(30)).left, script.closed.load(Ordering::SeqCst))
        });
        drop(go_on);
        assert_eq!(waiting.join().unwrap(), (vec![], 1));
        owner.unwrap().join().unwrap();
    }
}
