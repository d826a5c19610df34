//! Stories of processes that fork, each played in a process of its own: see [`play`].

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dockline::signals::CloseReason;
use dockline::{Connection, Connections, Error, Retry, Settings, params};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::Story;

/// What a process plays, and on which database, in its environment.
const STORY: &str = "DOCKLINE_TEST_STORY";
const URL: &str = "DOCKLINE_TEST_URL";
/// An option of the backend's own, as `name=value`.
const OPTION: &str = "DOCKLINE_TEST_OPTION";
/// A child that has not ended by then hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What is played.
pub type Plot = fn(&Connections);

/// The stories, by their names.
pub const STORIES: &[(&str, Plot)] = &[
    ("a_child_opens_its_own", a_child_opens_its_own),
    ("a_child_that_does_nothing_says_nothing", a_child_that_does_nothing_says_nothing),
    ("a_transaction_stays_with_the_parent", a_transaction_stays_with_the_parent),
    ("a_transaction_by_hand_stays_with_the_parent", a_transaction_by_hand_stays_with_the_parent),
    ("state_is_missed_and_not_in_silence", state_is_missed_and_not_in_silence),
    ("many_children_beside_busy_threads", many_children_beside_busy_threads),
    ("a_fork_among_rows", a_fork_among_rows),
    ("a_fork_inside_native", a_fork_inside_native),
    ("a_boundary_of_the_connections_own_comes_first", a_boundary_of_the_connections_own_comes_first),
    ("a_fork_in_a_receiver_that_closes", a_fork_in_a_receiver_that_closes),
    ("a_retry_goes_on_in_the_parent_alone", a_retry_goes_on_in_the_parent_alone),
    ("a_fork_among_rows_of_parameters", a_fork_among_rows_of_parameters),
    ("hooks_after_one_that_forks_are_the_parents", hooks_after_one_that_forks_are_the_parents),
    ("several_registries_are_left_at_once", several_registries_are_left_at_once),
    ("children_of_children", children_of_children),
    ("the_parent_closes_while_the_child_writes", the_parent_closes_while_the_child_writes),
    ("a_child_shuts_down_what_is_its_own", a_child_shuts_down_what_is_its_own),
    ("a_child_cancels_nothing_of_its_parents", a_child_cancels_nothing_of_its_parents),
    ("handles_and_guards_outlive_the_fork", handles_and_guards_outlive_the_fork),
    ("aliases_change_in_the_child_alone", aliases_change_in_the_child_alone),
    ("a_child_with_its_parents_process_id", a_child_with_its_parents_process_id),
    ("a_child_has_a_housekeeper_and_counts_of_its_own", a_child_has_a_housekeeper_and_counts_of_its_own),
    ("a_child_has_a_cap_of_its_own", a_child_has_a_cap_of_its_own),
];

/// Plays the story of the environment, where there is one: the first call of a test's `main`, which has no threads yet.
pub fn play() -> Option<std::process::ExitCode> {
    let story = std::env::var(STORY).ok()?;
    let (_, story) = STORIES.iter().find(|(name, _)| *name == story).expect("a story");
    story(&crate::connections(settings_of_story()));
    Some(std::process::ExitCode::SUCCESS)
}

fn settings_of_story() -> Settings {
    let url = std::env::var(URL).expect("a URL");
    let mut settings = Settings::from_url(&url).expect("a URL").application_name("forks");
    if let Ok(option) = std::env::var(OPTION) {
        let (name, value) = option.split_once('=').expect("name=value");
        settings = settings.option(name, value);
    }
    settings
}

/// Has a process play a story, which is this program once more.
///
/// # Panics
///
/// Where it fails, with what it said.
pub fn run(story: &str, url: &str, option: Option<&str>) {
    let mut command = std::process::Command::new(std::env::current_exe().expect("a path"));
    command.env(STORY, story).env(URL, url);
    if let Some(option) = option {
        command.env(OPTION, option);
    }
    let output = command.output().expect("a process");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

/// A process that was forked.
struct Child(Pid);

/// Forks. The child runs the closure, and ends as a program does that calls `exit`.
fn child(call: impl FnOnce()) -> Child {
    // SAFETY: the child does more than POSIX allows where there are other threads. With glibc it may allocate; and what else it uses
    // takes no lock that those threads hold, which is what is tested.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Parent { child } => Child(child),
        ForkResult::Child => {
            let ended = catch_unwind(AssertUnwindSafe(call));
            std::process::exit(i32::from(ended.is_err()));
        }
    }
}

impl Child {
    /// Waits until it has ended; `meanwhile` goes on.
    fn join(self, mut meanwhile: impl FnMut()) {
        let started = Instant::now();
        loop {
            match waitpid(self.0, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(_, 0)) => return,
                ended => panic!("the child: {ended:?}"),
            }
            if started.elapsed() > LIMIT {
                let _ = kill(self.0, Signal::SIGABRT);
                panic!("the child hangs");
            }
            meanwhile();
        }
    }

    fn wait(self) {
        self.join(|| thread::sleep(Duration::from_millis(1)));
    }

    fn wait_for_signal(self) {
        assert!(matches!(waitpid(self.0, None), Ok(WaitStatus::Signaled(..))));
    }
}

fn open(connections: &Connections) -> Connection {
    connections.get("default").expect("an alias")
}

fn is_sqlite(db: &Connection) -> bool {
    db.vendor() == "sqlite"
}

/// Prepared, and from the cache the second time.
fn lookup(db: &Connection, n: i64) {
    for n in [n, n + 1] {
        assert_eq!(db.query_value::<i64>("SELECT ? + 0", params![n]).unwrap(), n);
    }
}

fn table(db: &Connection) {
    db.execute("CREATE TABLE item (n BIGINT PRIMARY KEY)", ()).unwrap();
}

fn items(db: &Connection) -> Vec<i64> {
    db.query_as::<(i64,)>("SELECT n FROM item ORDER BY n", ()).unwrap().into_iter().map(|(n,)| n).collect()
}

fn a_child_opens_its_own(connections: &Connections) {
    let db = open(connections);
    lookup(&db, 1);
    let story = Story::of(connections);
    let (serial, id) = (db.serial(), db.server_connection_id());
    let child = child(|| {
        assert_eq!(db.serial(), None, "nothing is open in the child");
        for n in 0..50 {
            lookup(&db, n);
        }
        assert!(id.is_none() || db.server_connection_id() != id);
        assert_ne!(db.serial(), serial);
        assert_eq!((story.opened(), story.closed()), (1, 0), "what was inherited is not closed");
        connections.close_old_connections();
        lookup(&db, 100);
        assert_eq!(story.opened(), 1, "and keeps its own");
        let request = connections.request();
        lookup(&db, 200);
        drop(request);
        assert_eq!(story.opened(), 1);
    });
    child.join(|| lookup(&db, 7));
    lookup(&db, 9);
    assert_eq!((db.serial(), db.server_connection_id()), (serial, id), "the parent keeps its own");
    assert_eq!((story.opened(), story.closed()), (0, 0));
}

/// The first process of a namespace has the id 1, and so has a child of it that is the first one of a namespace within.
fn a_child_with_its_parents_process_id(connections: &Connections) {
    let own_ids = || unshare(CloneFlags::CLONE_NEWPID);
    let forked = child(|| {
        // If it is not allowed as it is, it may be with users of one's own.
        if let Err(error) = own_ids().or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)) {
            return eprintln!("skipped: no namespace of process ids can be made here: {error}");
        }
        child(|| {
            let (db, id) = (open(connections), std::process::id());
            lookup(&db, 1);
            let serial = db.serial();
            own_ids().expect("a namespace within the namespace");
            child(|| {
                assert_eq!(std::process::id(), id);
                assert_eq!(db.serial(), None, "nothing is open in the child");
                lookup(&db, 3);
                assert_ne!(db.serial(), serial);
            })
            .wait();
            lookup(&db, 5);
            assert_eq!(db.serial(), serial, "the parent keeps its own");
        })
        .wait();
    });
    forked.wait();
}

fn a_child_that_does_nothing_says_nothing(connections: &Connections) {
    let db = open(connections);
    lookup(&db, 1);
    let id = db.server_connection_id();
    // The destructors of thread-locals run in the first, for `exit` runs those of the thread that calls it; nothing does in the
    // second.
    child(|| ()).wait();
    child(|| kill(Pid::this(), Signal::SIGKILL).unwrap()).wait_for_signal();
    child(|| connections.close_all()).wait();
    child(|| db.close()).wait();
    child(|| connections.close_old_connections()).wait();
    child(|| drop(connections.request())).wait();
    child(|| assert!(!db.is_connected())).wait();
    lookup(&db, 1);
    assert_eq!(db.server_connection_id(), id);
}

fn assert_lost(error: &Error) {
    assert!(error.is_work_lost(), "{error:?}");
    assert!(error.to_string().contains("the process was forked"), "{error}");
}

/// After a transaction was left to the parent, a child works on; but SQLite cannot tell its locks from the parent's.
fn works_on_its_own(db: &Connection, expected: &[i64]) {
    if is_sqlite(db) {
        let error = db.query("SELECT 1", ()).unwrap_err();
        assert!(error.to_string().contains("forked in the middle of a transaction"), "{error}");
    } else {
        assert_eq!(items(db), expected);
    }
}

fn a_transaction_stays_with_the_parent(connections: &Connections) {
    let db = open(connections);
    table(&db);
    let committed = Arc::new(AtomicU64::new(0));
    db.atomic(|| {
        db.execute("INSERT INTO item VALUES (?)", params![1])?;
        let (hook, parent) = (Arc::clone(&committed), std::process::id());
        db.on_commit(move || {
            assert_eq!(std::process::id(), parent, "a hook is the parent's");
            hook.fetch_add(1, Ordering::SeqCst);
        })?;
        child(|| {
            let inside = db.execute("INSERT INTO item VALUES (?)", params![2]).unwrap_err();
            assert!(inside.is_disconnect());
            assert_lost(&inside);
            // The child leaves the closure of the block as well, by a panic in place of it.
        })
        .wait();
        // What the child does with its copy of the block is nothing to the parent's.
        db.execute("INSERT INTO item VALUES (?)", params![3])
    })
    .unwrap();
    assert_eq!(items(&db), [1, 3]);
    assert_eq!(committed.load(Ordering::SeqCst), 1);

    // The ends of the block, in the child.
    let block = db.begin_atomic(dockline::Atomic::new()).unwrap();
    db.execute("INSERT INTO item VALUES (?)", params![4]).unwrap();
    let hook = Arc::clone(&committed);
    db.on_commit(move || {
        hook.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    let mut block = Some(block);
    let mut ended = child(|| {
        assert_lost(&block.take().expect("a block").commit().unwrap_err());
        assert_eq!(committed.load(Ordering::SeqCst), 1, "no hook runs");
        works_on_its_own(&db, &[1, 3]);
    });
    ended.wait();
    ended = child(|| {
        drop(block.take());
        works_on_its_own(&db, &[1, 3]);
    });
    ended.wait();
    ended = child(|| {
        connections.close_old_connections();
        assert_lost(&block.take().expect("a block").commit().unwrap_err());
        works_on_its_own(&db, &[1, 3]);
    });
    ended.wait();
    block.expect("a block").commit().unwrap();
    assert_eq!((items(&db), committed.load(Ordering::SeqCst)), (vec![1, 3, 4], 2));
}

fn a_transaction_by_hand_stays_with_the_parent(connections: &Connections) {
    let db = open(connections);
    table(&db);
    db.set_autocommit(false).unwrap();
    db.execute("INSERT INTO item VALUES (?)", params![1]).unwrap();
    child(|| {
        assert_lost(&db.execute("INSERT INTO item VALUES (?)", params![2]).unwrap_err());
        db.close();
        works_on_its_own(&db, &[]);
    })
    .wait();
    child(|| assert_lost(&db.commit().unwrap_err())).wait();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    assert_eq!(items(&db), [1]);
    // One that was sent as text.
    db.execute("BEGIN", ()).unwrap();
    db.execute("INSERT INTO item VALUES (?)", params![3]).unwrap();
    child(|| assert_lost(&db.execute("COMMIT", ()).unwrap_err())).wait();
    db.execute("COMMIT", ()).unwrap();
    assert_eq!(items(&db), [1, 3]);
}

fn state_is_missed_and_not_in_silence(connections: &Connections) {
    let db = open(connections);
    db.execute("CREATE TEMPORARY TABLE mine (n BIGINT)", ()).unwrap();
    db.execute("INSERT INTO mine VALUES (1)", ()).unwrap();
    child(|| {
        let error = db.query("SELECT 1", ()).unwrap_err();
        assert!(error.is_disconnect() && !error.is_work_lost(), "{error:?}");
        assert!(error.to_string().contains("the process was forked"), "{error}");
        connections.close_old_connections();
        lookup(&db, 1);
    })
    .wait();
    assert_eq!(db.query_value::<i64>("SELECT n FROM mine", ()).unwrap(), 1);
    connections.close_all();

    lookup(&db, 1);
    let hold = db.hold();
    child(|| {
        let error = db.query("SELECT 1", ()).unwrap_err();
        assert!(error.is_disconnect(), "{error:?}");
    })
    .wait();
    lookup(&db, 1);
    drop(hold);
}

/// Says so when it is dropped, also by a panic: threads wait for it.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn many_children_beside_busy_threads(connections: &Connections) {
    const THREADS: usize = 4;
    let db = open(connections);
    table(&db);
    lookup(&db, 1);
    let (over, running) = (AtomicBool::new(false), AtomicU64::new(0));
    let pauses = is_sqlite(&db);
    // SQLite must not be forked in the middle of a statement.
    let gate = std::sync::RwLock::new(());
    thread::scope(|scope| {
        let _over = AtEnd(&over);
        for _ in 0..THREADS {
            scope.spawn(|| {
                let db = open(connections);
                lookup(&db, 1);
                running.fetch_add(1, Ordering::SeqCst);
                while !over.load(Ordering::SeqCst) {
                    let guard = pauses.then(|| gate.read().unwrap());
                    lookup(&db, 5);
                    drop(guard);
                    thread::yield_now();
                }
            });
        }
        while running.load(Ordering::SeqCst) < THREADS as u64 {
            thread::yield_now();
        }
        for n in 0..12 {
            let guard = pauses.then(|| gate.write().unwrap());
            let child = child(|| {
                let work = |n: i64| {
                    let db = open(connections);
                    db.execute("INSERT INTO item VALUES (?)", params![n]).unwrap();
                    lookup(&db, n);
                };
                thread::scope(|scope| {
                    for at in 1..4 {
                        scope.spawn(move || work(n * 10 + at));
                    }
                    work(n * 10);
                });
                lookup(&db, 3);
            });
            drop(guard);
            child.join(|| lookup(&db, 1));
        }
    });
    let wanted: Vec<i64> = (0..12).flat_map(|n| (0..4).map(move |at| n * 10 + at)).collect();
    assert_eq!(items(&db), wanted);
}

/// The parent's cap is reached, and one of its threads waits: neither is there in the child, whose threads take turns of their own.
fn a_child_has_a_cap_of_its_own(_: &Connections) {
    let capped = settings_of_story().max_connections(Some(1)).acquire_timeout(Duration::from_secs(50));
    let connections = crate::connections(capped);
    let waiting = || connections.cap_status("default").unwrap().unwrap().waiting;
    let db = open(&connections);
    let request = connections.request();
    lookup(&db, 1);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| connections.in_request(|| open(&connections).query_value::<i64>("SELECT 1", ())));
        crate::wait_until("it waits", || waiting() == 1);
        let child = child(|| {
            let status = || connections.cap_status("default").unwrap().unwrap();
            assert_eq!((status().in_use, status().waiting), (0, 0));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..10 {
                            let look_up = || open(&connections).query_value::<i64>("SELECT 1", ());
                            assert_eq!(connections.in_request(look_up).unwrap(), 1);
                        }
                    });
                }
            });
            assert_eq!(status().timeouts, 0);
        });
        child.wait();
        assert_eq!(waiting(), 1);
        lookup(&db, 1);
        drop(request);
        assert_eq!(waiter.join().unwrap().unwrap(), 1);
    });
}

fn a_fork_among_rows(connections: &Connections) {
    let db = open(connections);
    table(&db);
    // More than the driver reads at once.
    db.atomic(|| db.execute_many("INSERT INTO item VALUES (?)", (0..20_000).map(|n| params![n]))).unwrap();
    let parent = std::process::id();
    let is_child = || std::process::id() != parent;
    for inside in [false, true] {
        let mut count = 0;
        let mut forked = None;
        let mut rows = || {
            db.query_each("SELECT n FROM item", (), |_| {
                count += 1;
                if count == 10 && forked.is_none() {
                    forked = fork_inside();
                    // In the child it is busy with the parent's statement.
                    assert!(db.query("SELECT 1", ()).is_err());
                }
                Ok(ControlFlow::<()>::Continue(()))
            })
        };
        let result = if inside { db.atomic(rows) } else { rows() };
        if is_child() {
            let error = result.expect_err("no further row comes in the child");
            assert!(error.to_string().contains("the process was forked"), "{error}");
            assert_eq!(count, 10);
            db.close();
            works_on_in_child(&db);
            std::process::exit(0);
        }
        result.expect("all rows come in the parent");
        assert_eq!(count, 20_000);
        forked.expect("a child").wait();
        lookup(&db, 1);
    }
    if db.vendor() == "postgresql" {
        a_fork_among_rows_of_a_new_text(&db);
    }
}

/// A text that is prepared inside a transaction has a savepoint before it, which is taken away with the statement.
fn a_fork_among_rows_of_a_new_text(db: &Connection) {
    let parent = std::process::id();
    for (text, (count, at)) in [(20, 10), (20, 20), (20_000, 10)].into_iter().enumerate() {
        let mut forked = None;
        let mut given = 0;
        let result = db.atomic(|| {
            lookup(db, 1);
            let sql = format!("UPDATE item SET n = n + ? WHERE n < ? RETURNING n + {text}");
            db.query_each(&sql, params![0, count], |_| {
                given += 1;
                if given == at {
                    forked = fork_inside();
                }
                Ok(ControlFlow::<()>::Continue(()))
            })?;
            db.execute("UPDATE item SET n = n WHERE n = ?", params![text as i64])
        });
        if std::process::id() != parent {
            let error = result.expect_err("no further row comes in the child");
            assert!(error.to_string().contains("the process was forked"), "{error}");
            std::process::exit(0);
        }
        forked.expect("a child").wait();
        assert_eq!((result.expect("the transaction is the parent's"), given), (1, count));
    }
}

fn works_on_in_child(db: &Connection) {
    if is_sqlite(db) {
        assert!(db.query("SELECT 1", ()).unwrap_err().to_string().contains("forked in the middle"));
    } else {
        lookup(db, 1);
    }
}

fn a_fork_inside_native(connections: &Connections) {
    let db = open(connections);
    lookup(&db, 1);
    let id = db.server_connection_id();
    let parent = std::process::id();
    let child = match db.vendor() {
        "postgresql" => db.native::<postgres::Client, _>(|_| fork_inside()),
        "mysql" => db.native::<mysql::Conn, _>(|_| fork_inside()),
        _ => db.native::<dockline::rusqlite::Connection, _>(|_| fork_inside()),
    }
    .unwrap();
    if std::process::id() != parent {
        db.close();
        lookup(&db, 1);
        std::process::exit(0);
    }
    child.expect("a child").wait();
    lookup(&db, 1);
    assert_eq!(db.server_connection_id(), id);
}

/// Forks where code of the program's own runs in the middle of something. In the child it is `None`.
fn fork_inside() -> Option<Child> {
    // SAFETY: as for `child`; the stories that call this have no other threads that use locks of the process.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Parent { child } => Some(Child(child)),
        ForkResult::Child => None,
    }
}

fn a_boundary_of_the_connections_own_comes_first(connections: &Connections) {
    connections.replace("default", settings_of_story().conn_max_age(Some(Duration::ZERO))).unwrap();
    for fails in [false, true] {
        let db = open(connections);
        lookup(&db, 1);
        if fails {
            db.query("SELECT nonsense FROM nowhere", ()).unwrap_err();
        }
        let (id, story) = (db.server_connection_id(), Story::of(connections));
        child(|| {
            db.close_if_unusable_or_obsolete();
            assert_eq!(story.closed(), 0);
            lookup(&db, 1);
        })
        .wait();
        lookup(&db, 1);
        assert_eq!(db.server_connection_id(), id);
        connections.close_all();
    }
}

fn a_fork_in_a_receiver_that_closes(connections: &Connections) {
    connections.replace("default", settings_of_story().conn_max_age(Some(Duration::ZERO))).unwrap();
    connections.add("other", settings_of_story().conn_max_age(Some(Duration::ZERO))).unwrap();
    let parent = std::process::id();
    let forked = Arc::new(Mutex::new(None));
    let told = Arc::clone(&forked);
    connections.signals().connection_closed.connect(move |_| {
        assert_eq!(std::process::id(), parent, "the child closes nothing of its parent's");
        let mut told = told.lock().unwrap();
        if told.is_none() {
            *told = fork_inside().or(Some(Child(Pid::this())));
        }
    });
    for shuts_down in [false, true] {
        for alias in ["default", "other"] {
            lookup(&connections.get(alias).unwrap(), 1);
        }
        if shuts_down {
            connections.shutdown(Duration::from_secs(5));
        } else {
            connections.close_old_connections();
        }
        if std::process::id() != parent {
            // What is sent on a connection of the parent's would be seen there.
            std::process::exit(0);
        }
        forked.lock().unwrap().take().expect("a child").wait();
    }
}

fn a_retry_goes_on_in_the_parent_alone(connections: &Connections) {
    let db = open(connections);
    table(&db);
    let parent = std::process::id();
    let (mut runs, mut forked) = (0, None);
    let result = Retry::new().run(&db, || {
        runs += 1;
        db.execute("INSERT INTO item VALUES (?)", params![runs])?;
        if forked.is_none() && std::process::id() == parent {
            forked = fork_inside();
        }
        Ok::<_, Error>(())
    });
    if std::process::id() != parent {
        assert_eq!(runs, 1);
        assert_lost(&result.unwrap_err());
        std::process::exit(0);
    }
    result.unwrap();
    forked.expect("a child").wait();
    assert_eq!((items(&db), runs), (vec![1], 1));
}

fn a_fork_among_rows_of_parameters(connections: &Connections) {
    let db = open(connections);
    table(&db);
    let parent = std::process::id();
    for block in [false, true] {
        let mut forked = None;
        let mut insert = || {
            let first = if block { 1_000 } else { 0 };
            let rows = (first..first + 200).map(|n| {
                if n == first + 100 {
                    forked = fork_inside();
                }
                params![if std::process::id() == parent { n } else { n + 100_000 }]
            });
            db.execute_many("INSERT INTO item VALUES (?)", rows)
        };
        let result = if block { db.atomic(insert) } else { insert() };
        if std::process::id() != parent {
            let error = result.unwrap_err();
            assert!(error.to_string().contains("the process was forked"), "{error}");
            std::process::exit(0);
        }
        assert_eq!(result.unwrap(), 200);
        forked.expect("a child").wait();
    }
    assert_eq!(items(&db), (0..200).chain(1_000..1_200).collect::<Vec<_>>());
    // As the first thing that a child does.
    child(|| {
        assert_eq!(db.execute_many("INSERT INTO item VALUES (?)", (2_000..2_010).map(|n| params![n])).unwrap(), 10);
    })
    .wait();
    assert_eq!(items(&db).len(), 410);
}

fn hooks_after_one_that_forks_are_the_parents(connections: &Connections) {
    let db = open(connections);
    table(&db);
    let parent = std::process::id();
    let forked = Arc::new(Mutex::new(None));
    let ran = Arc::new(AtomicU64::new(0));
    db.atomic(|| {
        let (forked, ran) = (Arc::clone(&forked), Arc::clone(&ran));
        db.on_commit(move || *forked.lock().unwrap() = fork_inside())?;
        db.on_commit(move || {
            ran.fetch_add(1, Ordering::SeqCst);
        })
    })
    .unwrap();
    if std::process::id() != parent {
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        lookup(&db, 1);
        std::process::exit(0);
    }
    forked.lock().unwrap().take().expect("a child").wait();
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

/// SQLite keeps the locks of a file for all registries of the process.
fn several_registries_are_left_at_once(connections: &Connections) {
    let others = [crate::connections(settings_of_story()), crate::connections(settings_of_story())];
    let db = open(connections);
    table(&db);
    let of_others = others.each_ref().map(open);
    of_others.iter().for_each(|other| lookup(other, 1));
    parent_closes_while_the_child_writes(&db, || {
        connections.close_all();
        others.iter().for_each(|other| other.close_all());
    });
    of_others.iter().for_each(|other| lookup(other, 1));
    // One of them in a transaction, from which it reads.
    of_others[0].execute("BEGIN", ()).unwrap();
    assert_eq!(items(&of_others[0]), [1, 2, 3]);
    child(|| {
        works_on_its_own(&db, &[1, 2, 3]);
        // Also where it was refused before.
        child(|| works_on_its_own(&db, &[1, 2, 3])).wait();
    })
    .wait();
    of_others[0].execute("COMMIT", ()).unwrap();
}

fn children_of_children(connections: &Connections) {
    let db = open(connections);
    lookup(&db, 1);
    let daughter = child(|| {
        lookup(&db, 2);
        let id = db.server_connection_id();
        let granddaughter = child(|| {
            lookup(&db, 3);
            assert!(id.is_none() || db.server_connection_id() != id);
            // Its mother has not used what it got.
            child(|| child(|| lookup(&db, 4)).wait()).wait();
            lookup(&db, 3);
        });
        granddaughter.join(|| lookup(&db, 2));
        lookup(&db, 2);
        assert_eq!(db.server_connection_id(), id);
    });
    daughter.join(|| lookup(&db, 1));
    lookup(&db, 1);
}

/// SQLite's last connection to a file removes the write-ahead log: the parent's must notice that the child has one.
fn the_parent_closes_while_the_child_writes(connections: &Connections) {
    let db = open(connections);
    table(&db);
    parent_closes_while_the_child_writes(&db, || connections.close_all());
}

fn parent_closes_while_the_child_writes(db: &Connection, close: impl Fn()) {
    let (near, mut far) = UnixStream::pair().unwrap();
    let child = child(|| {
        let mut say = |n: i64| {
            db.execute("INSERT INTO item VALUES (?)", params![n]).unwrap();
            far.write_all(&[0]).unwrap();
            far.read_exact(&mut [0]).unwrap();
        };
        say(1);
        // The parent has closed its last connection by now.
        say(2);
        // And another has been opened and closed.
        say(3);
    });
    let hear = || (&near).read_exact(&mut [0]).unwrap();
    let say = || (&near).write_all(&[0]).unwrap();
    hear();
    close();
    say();
    hear();
    assert_eq!(items(db), [1, 2]);
    close();
    say();
    hear();
    say();
    child.wait();
    assert_eq!(items(db), [1, 2, 3]);
}

fn a_child_shuts_down_what_is_its_own(connections: &Connections) {
    let db = open(connections);
    lookup(&db, 1);
    let id = db.server_connection_id();
    child(|| {
        let report = connections.shutdown(Duration::from_secs(5));
        assert_eq!((report.closed, report.left.len()), (0, 0));
        assert!(db.query("SELECT 1", ()).is_err());
    })
    .wait();
    child(|| {
        lookup(&db, 1);
        let report = connections.shutdown(Duration::from_secs(5));
        assert_eq!((report.closed, report.left.len()), (1, 0));
    })
    .wait();
    lookup(&db, 1);
    assert_eq!(db.server_connection_id(), id);
    assert_eq!(connections.shutdown(Duration::from_secs(5)).closed, 1);
}

fn a_child_cancels_nothing_of_its_parents(connections: &Connections) {
    let db = open(connections);
    let sql = match db.vendor() {
        "postgresql" => "SELECT 1 FROM pg_sleep(1)",
        "mysql" => "SELECT sleep(1)",
        _ => "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) SELECT count(*) FROM c",
    };
    lookup(&db, 1);
    let canceller = db.canceller();
    let started = AtomicBool::new(false);
    thread::scope(|scope| {
        let forking = scope.spawn(|| {
            while !started.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            // While the statement runs, as far as that can be told.
            thread::sleep(Duration::from_millis(100));
            child(|| assert!(!canceller.cancel().unwrap())).wait();
        });
        started.store(true, Ordering::SeqCst);
        db.query(sql, ()).expect("nobody cancels it");
        forking.join().unwrap();
    });
}

fn handles_and_guards_outlive_the_fork(connections: &Connections) {
    let db = open(connections);
    lookup(&db, 1);
    let request = connections.request();
    lookup(&db, 1);
    let mut request = Some(request);
    child(|| {
        lookup(&db, 1);
        drop(request.take());
        lookup(&db, 1);
        let task = connections.task(|| lookup(&open(connections), 1));
        task();
        thread::spawn({
            let connections = connections.clone();
            move || lookup(&open(&connections), 1)
        })
        .join()
        .unwrap();
        assert_eq!(connections.initialized(), ["default"]);
    })
    .wait();
    lookup(&db, 1);
    drop(request);
    lookup(&db, 1);
}

fn aliases_change_in_the_child_alone(connections: &Connections) {
    let db = open(connections);
    lookup(&db, 1);
    child(|| {
        connections.add("other", crate::memory()).unwrap();
        lookup(&connections.get("other").unwrap(), 1);
        connections.replace("default", crate::memory()).unwrap();
        lookup(&db, 1);
        assert_eq!(db.vendor(), "sqlite");
        connections.remove("other").unwrap();
    })
    .wait();
    assert_eq!(connections.aliases().unwrap(), ["default"]);
    lookup(&db, 1);
}

fn a_child_has_a_housekeeper_and_counts_of_its_own(_: &Connections) {
    let settings = settings_of_story().housekeeper(true).conn_max_idle(Some(Duration::from_millis(60)));
    let connections = crate::connections(settings);
    let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&told);
    connections.events().listen(move |event| {
        if matches!(event, dockline::events::Event::StatementDone { .. }) {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let totals = || connections.status().aliases[0].totals.clone();
    let db = open(&connections);
    for round in 1..=2 {
        lookup(&db, 1);
        crate::wait_until("the housekeeper has closed it", || totals().closed_by(CloseReason::MaxIdle) >= round);
    }
    lookup(&db, 1);
    child(|| {
        assert_eq!((totals().opened, totals().statements), (0, 0), "the counts are the parent's");
        for round in 1..=2 {
            lookup(&db, 5);
            crate::wait_until("the child's own has closed it", || totals().closed_by(CloseReason::MaxIdle) >= round);
        }
        assert!(totals().opened >= 2);
        assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 10, "listeners go on in the child");
    })
    .wait();
    assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 6);
    let closed = totals().closed_by(CloseReason::MaxIdle);
    lookup(&db, 1);
    crate::wait_until("the parent's goes on", || totals().closed_by(CloseReason::MaxIdle) > closed);
}
