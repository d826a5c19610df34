//! A thread that ends takes its connections along, however it ends, and nothing keeps it from ending.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use dockline::signals::CloseReason;
use dockline::{Atomic, Connections, Databases, ErrorKind, Task};
use dockline_tests::servers::{FreshDatabase, Server};
use dockline_tests::{Story, on_thread, wait_until};
use threadpool::ThreadPool;

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(threads_that_return),
        case!(threads_that_panic),
        case!(threads_that_panic_in_the_middle_of_things),
        case!(threads_that_nobody_joins),
        case!(scoped_threads),
        case!(a_worker_that_was_replaced),
        case!(thread_locals_that_end_before_and_after),
        case!(a_registry_that_ends_with_its_thread),
        case!(threads_of_a_server_that_stands_still).own_server(),
        case!(threads_that_live_when_the_process_ends),
    ]
}

const THREADS: usize = 8;
const ALIASES: [&str; 2] = ["default", "other"];

/// A registry with two aliases for one database, with a table `t` in it.
struct Two<'server> {
    connections: Connections,
    story: Story,
    database: FreshDatabase<'server>,
}

impl<'server> Two<'server> {
    fn new(server: &'server Server) -> Self {
        let database = server.database();
        let connections = two_aliases(&database.url());
        database.admin().execute("CREATE TABLE t (n INTEGER)");
        if server.kind().is_postgres() {
            database.admin().execute("GRANT ALL ON t TO PUBLIC");
        }
        Self { story: Story::of(&connections), connections, database }
    }

    /// What the threads opened is closed, because they ended, and the server knows it.
    fn all_closed(&self, threads: usize) {
        let connections = threads * ALIASES.len();
        wait_until("all is closed", || self.story.opened() == connections && self.story.open() == 0);
        assert!(self.story.reasons().iter().all(|reason| *reason == CloseReason::ThreadExit));
        self.database.admin().wait_until_connections(0);
    }

    fn rows(&self) -> Option<String> {
        self.database.admin().value("SELECT count(*) FROM t")
    }
}

fn two_aliases(url: &str) -> Connections {
    let databases = ALIASES.iter().fold(Databases::new(), |all, alias| all.with(*alias, settings(url)));
    Connections::new(databases).expect("a registry")
}

fn use_both(connections: &Connections) {
    for alias in ALIASES {
        let one: i64 = connections.get(alias).unwrap().query_value("SELECT 1", ()).unwrap();
        assert_eq!(one, 1);
    }
}

fn threads_that_return(server: &Server) {
    let two = Two::new(server);
    let worker = || {
        let connections = two.connections.clone();
        thread::spawn(move || use_both(&connections))
    };
    let workers: Vec<_> = (0..THREADS).map(|_| worker()).collect();
    for worker in workers {
        worker.join().unwrap();
    }
    // Joining has waited for it: this needs no patience.
    assert_eq!(two.story.open(), 0);
    two.all_closed(THREADS);
}

fn threads_that_panic(server: &Server) {
    let two = Two::new(server);
    for _ in 0..THREADS {
        let connections = two.connections.clone();
        let worker = thread::spawn(move || {
            use_both(&connections);
            // A panic that is not printed.
            resume_unwind(Box::new("the thread panics"));
        });
        assert!(worker.join().is_err());
    }
    assert_eq!(two.story.open(), 0);
    two.all_closed(THREADS);
}

/// In a request, in a block in it, in a row of a result.
fn threads_that_panic_in_the_middle_of_things(server: &Server) {
    let two = Two::new(server);
    let connections = two.connections.clone();
    let worker = thread::spawn(move || {
        use_both(&connections);
        connections.in_request(|| {
            let db = connections.get("default")?;
            let other = connections.get("other")?;
            let _held = other.hold();
            let _left_open = db.begin_atomic(Atomic::new())?;
            db.execute("INSERT INTO t VALUES (1)", ())?;
            other.atomic(|| {
                other.execute("INSERT INTO t VALUES (2)", ())?;
                other.query_each("SELECT 1", (), |_| -> dockline::Result<std::ops::ControlFlow<()>> {
                    resume_unwind(Box::new("the callback panics"))
                })
            })
        })
    });
    assert!(worker.join().is_err());
    assert_eq!(two.story.open(), 0);
    two.database.admin().wait_until_connections(0);
    assert_eq!(two.rows().as_deref(), Some("0"));
}

fn threads_that_nobody_joins(server: &Server) {
    let two = Two::new(server);
    for _ in 0..THREADS {
        let connections = two.connections.clone();
        drop(thread::spawn(move || use_both(&connections)));
    }
    two.all_closed(THREADS);
}

fn scoped_threads(server: &Server) {
    let two = Two::new(server);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| use_both(&two.connections));
        }
    });
    // A scope may return before the destructors of its threads have run.
    two.all_closed(THREADS);
}

fn a_worker_that_was_replaced(server: &Server) {
    let two = Two::new(server);
    let pool = ThreadPool::new(1);
    for n in 1..=3 {
        let connections = two.connections.clone();
        pool.execute(two.connections.task(move || {
            use_both(&connections);
            resume_unwind(Box::new("the task panics"));
        }));
        pool.join();
        assert_eq!(pool.panic_count(), n);
        two.all_closed(n);
    }
    let connections = two.connections.clone();
    pool.execute(move || use_both(&connections));
    pool.join();
    assert_eq!(two.story.open(), 2, "the one that came after them has its own");
    drop(pool);
    two.all_closed(4);
}

/// What a thread-local value does when its thread ends.
type Act = Box<dyn FnOnce()>;
type MakeAct = fn(&Connections) -> Act;

struct AtExit(Option<Act>);

impl Drop for AtExit {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

thread_local! {
    static AT_EXIT: RefCell<AtExit> = const { RefCell::new(AtExit(None)) };
}

/// Statements answer, or say that the thread is ending.
fn answers_or_says_why<T>(result: dockline::Result<T>) {
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::Interface, "{error:?}");
        assert!(error.message().contains("ending"), "{error}");
    }
}

/// Made on the thread while its connections are open, to be done when it ends.
const ACTS: &[(&str, MakeAct)] = &[
    ("drops a handle", |connections| {
        let db = connections.get("default").unwrap();
        Box::new(move || drop(db))
    }),
    ("uses a handle", |connections| {
        let db = connections.get("default").unwrap();
        Box::new(move || {
            answers_or_says_why(db.query_value::<i64>("SELECT 1", ()));
            answers_or_says_why(db.atomic(|| db.execute("INSERT INTO t VALUES (1)", ()).map(drop)));
            answers_or_says_why(db.execute("DELETE FROM t", ()));
            db.close();
        })
    }),
    ("asks for a connection", |connections| {
        let connections = connections.clone();
        Box::new(move || {
            for alias in ALIASES {
                answers_or_says_why(connections.get(alias).and_then(|db| db.query_value::<i64>("SELECT 1", ())));
            }
        })
    }),
    ("opens again what it has closed", |connections| {
        let connections = connections.clone();
        Box::new(move || {
            connections.close_all();
            answers_or_says_why(connections.get("default").and_then(|db| db.ensure_connection()));
        })
    }),
    ("ends a request", |connections| {
        let request = connections.request();
        Box::new(move || drop(request))
    }),
    ("runs a request and a task", |connections| {
        let connections = connections.clone();
        Box::new(move || {
            answers_or_says_why(connections.in_request(|| connections.get("default")?.query("SELECT 1", ())));
            let done = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&done);
            let task = Task::new().on_done(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            });
            connections.task_with(task, || ())();
            assert_eq!(done.load(Ordering::SeqCst), 1);
        })
    }),
    ("ends a block", |connections| {
        let block = connections.get("default").unwrap().begin_atomic(Atomic::new()).unwrap();
        connections.get("default").unwrap().execute("INSERT INTO t VALUES (1)", ()).unwrap();
        Box::new(move || drop(block))
    }),
    ("commits a block", |connections| {
        let block = connections.get("default").unwrap().begin_atomic(Atomic::new()).unwrap();
        connections.get("default").unwrap().execute("DELETE FROM t", ()).unwrap();
        // Where the connection went first, the work did too, and the block says so.
        Box::new(move || drop(block.commit()))
    }),
    ("lets go of what it held", |connections| {
        let hold = connections.get("default").unwrap().hold();
        Box::new(move || drop(hold))
    }),
    ("is in the middle of a transaction", |connections| {
        let db = connections.get("default").unwrap();
        db.execute("BEGIN", ()).unwrap();
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
        Box::new(move || db.close_if_unusable_or_obsolete())
    }),
];

/// Destructors of thread-locals run the other way round than they were registered. A panic in one ends the process, and with it
/// this test.
fn thread_locals_that_end_before_and_after(server: &Server) {
    for (what, act) in ACTS {
        for registered_first in [true, false] {
            let two = Two::new(server);
            let connections = two.connections.clone();
            on_thread(move || {
                if registered_first {
                    AT_EXIT.with(|_| ());
                }
                use_both(&connections);
                let act = act(&connections);
                AT_EXIT.with(|at_exit| at_exit.borrow_mut().0 = Some(act));
            });
            assert_eq!(two.story.open(), 0, "it {what}; registered first: {registered_first}");
            two.database.admin().wait_until_connections(0);
            assert_eq!(two.rows().as_deref(), Some("0"), "it {what}; registered first: {registered_first}");
        }
    }
}

/// The thread has the only handle of a registry, and drops it when its other thread-locals may be gone.
fn a_registry_that_ends_with_its_thread(server: &Server) {
    let database = server.database();
    for registered_first in [true, false] {
        let url = database.url();
        on_thread(move || {
            if registered_first {
                AT_EXIT.with(|_| ());
            }
            let connections = two_aliases(&url);
            use_both(&connections);
            AT_EXIT.with(|at_exit| at_exit.borrow_mut().0 = Some(Box::new(move || drop(connections))));
        });
        database.admin().wait_until_connections(0);
    }
}

/// A server that stands still until this is dropped, also where the test fails.
struct Paused<'server>(&'server Server);

impl<'server> Paused<'server> {
    fn now(server: &'server Server) -> Self {
        server.pause();
        Self(server)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.resume();
    }
}

/// Nobody answers. Whether idle, in a transaction, or in the middle of a panic in a block, a thread ends all the same.
fn threads_of_a_server_that_stands_still(server: &Server) {
    let opened = Opened::new(server);
    opened.db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    opened.db.close();
    let ends: [fn(&Connections, &Barrier); 4] = [
        |connections, ready| {
            connections.get("default").unwrap().ensure_connection().unwrap();
            ready.wait();
            ready.wait();
        },
        |connections, ready| {
            let db = connections.get("default").unwrap();
            db.execute("BEGIN", ()).unwrap();
            db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
            ready.wait();
            ready.wait();
        },
        |connections, ready| {
            let db = connections.get("default").unwrap();
            let _block = db.begin_atomic(Atomic::new()).unwrap();
            db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
            ready.wait();
            ready.wait();
            resume_unwind(Box::new("the thread panics"));
        },
        |connections, ready| {
            let db = connections.get("default").unwrap();
            let block = db.begin_atomic(Atomic::new()).unwrap();
            db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
            AT_EXIT.with(|at_exit| at_exit.borrow_mut().0 = Some(Box::new(move || drop(block))));
            ready.wait();
            ready.wait();
        },
    ];
    let (ready, ended) = (Arc::new(Barrier::new(ends.len() + 1)), Arc::new(AtomicUsize::new(0)));
    for end in ends {
        let (connections, ready, ended) = (opened.connections.clone(), Arc::clone(&ready), Arc::clone(&ended));
        let ending = thread::spawn(move || end(&connections, &ready));
        thread::spawn(move || {
            let _ = ending.join();
            ended.fetch_add(1, Ordering::SeqCst);
        });
    }
    ready.wait();
    {
        let _paused = Paused::now(server);
        ready.wait();
        wait_until("the threads have ended", || ended.load(Ordering::SeqCst) == ends.len());
    }
    let mut admin = opened.database.admin();
    admin.wait_until_connections(0);
    assert_eq!(admin.value("SELECT count(*) FROM t").as_deref(), Some("0"));
}

/// The variables that make this program end while its threads live, in one of these ways, and on which database.
const END: &str = "DOCKLINE_TEST_END";
const END_URL: &str = "DOCKLINE_TEST_END_URL";
const ENDS: [&str; 3] = ["return", "exit", "shutdown"];

/// Ends with some threads that idle and some that run one statement after the other.
pub(crate) fn child() -> Option<ExitCode> {
    let (end, url) = (std::env::var(END).ok()?, std::env::var(END_URL).ok()?);
    let connections = two_aliases(&url);
    let story = Story::of(&connections);
    let ready = Arc::new(Barrier::new(THREADS + 1));
    for n in 0..THREADS {
        let (connections, ready) = (connections.clone(), Arc::clone(&ready));
        thread::spawn(move || {
            use_both(&connections);
            ready.wait();
            let db = connections.get("default").unwrap();
            // Until the registry is shut down, or the process has ended.
            while n % 2 == 0 && db.query("SELECT 1", ()).is_ok() {}
            loop {
                thread::park();
            }
        });
    }
    use_both(&connections);
    ready.wait();
    match end.as_str() {
        "exit" => std::process::exit(0),
        "shutdown" => {
            // A thread whose next statement comes first closes its connection itself.
            assert_eq!(connections.shutdown(Duration::from_secs(30)).left, []);
            wait_until("all is closed", || story.open() == 0);
        }
        _ => {}
    }
    Some(ExitCode::SUCCESS)
}

/// Their thread-locals are never dropped. The system closes their sockets.
fn threads_that_live_when_the_process_ends(server: &Server) {
    for end in ENDS {
        let database = server.database();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.env(END, end).env(END_URL, database.url()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{end}: {} {said}", output.status);
        database.admin().wait_until_connections(0);
    }
}
