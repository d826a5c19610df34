//! The cap on connections: below it nothing is different, at it threads take turns.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use dockline::signals::CloseReason;
use dockline::{CapStatus, Connections, Databases, ErrorKind, ResetOnHandover, Settings, TaskPolicy, params};
use dockline_tests::scripted::Script;
use dockline_tests::{Database, Story, connections, memory, on_thread, wait_until};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(50);

fn capped(max: u32) -> Settings {
    memory().max_connections(Some(max)).acquire_timeout(LONG)
}

fn status(connections: &Connections) -> CapStatus {
    connections.cap_status("default").unwrap().expect("it has a cap")
}

fn look_up(connections: &Connections, alias: &str) -> dockline::Result<i64> {
    connections.get(alias)?.query_value("SELECT 1", ())
}

/// A thread that has a connection in a request until it is told to end it.
struct Holder {
    release: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Holder {
    fn of(connections: &Connections, alias: &'static str) -> Self {
        let (release, released) = mpsc::channel();
        let (tell, has) = mpsc::channel();
        let connections = connections.clone();
        let hold = move || {
            let _request = connections.request();
            look_up(&connections, alias).unwrap();
            tell.send(()).unwrap();
            let _ = released.recv();
        };
        let thread = thread::Builder::new().name("holder".to_owned()).spawn(hold).unwrap();
        has.recv().unwrap();
        Self { release, thread }
    }

    fn end(self) {
        self.release.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn wait_until_waiting(connections: &Connections, count: usize) {
    wait_until(&format!("{count} wait"), || status(connections).waiting == count);
}

#[test]
fn below_the_cap_each_thread_has_its_own() {
    let registry = connections(capped(4));
    let story = Story::of(&registry);
    let all = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let serials: Vec<_> = (0..5)
                    .map(|_| {
                        let _request = registry.request();
                        let db = registry.get("default").unwrap();
                        db.execute("SELECT 1", ()).unwrap();
                        all.wait();
                        db.serial()
                    })
                    .collect();
                assert!(serials.windows(2).all(|two| two[0] == two[1]), "{serials:?}");
            });
        }
    });
    assert_eq!(story.opened(), 4);
    assert_eq!((status(&registry).handed_over, status(&registry).timeouts), (0, 0));
}

#[test]
fn at_the_cap_threads_take_turns_and_nobody_fails() {
    let registry = connections(capped(3));
    let story = Story::of(&registry);
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                for _ in 0..50 {
                    registry
                        .in_request(|| {
                            look_up(&registry, "default")?;
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            assert!(now <= 3, "{now} have a connection");
                            look_up(&registry, "default")?;
                            inside.fetch_sub(1, Ordering::SeqCst);
                            Ok::<_, dockline::Error>(())
                        })
                        .unwrap();
                }
            });
        }
    });
    // A scope may return before its threads have closed what they had, and receivers are told of that later still.
    wait_until("nothing is in use", || status(&registry).in_use == 0 && story.open() <= 3);
    let status = status(&registry);
    assert_eq!((status.waiting, status.timeouts), (0, 0), "{status:?}");
    assert!(status.handed_over > 0, "{status:?}");
}

#[test]
fn who_comes_first_is_served_first() {
    let registry = connections(capped(1));
    let holder = Holder::of(&registry, "default");
    let order = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (worker, order) = (registry.clone(), Arc::clone(&order));
            let thread = thread::spawn(move || {
                worker.in_request(|| {
                    look_up(&worker, "default")?;
                    order.lock().unwrap().push(n);
                    Ok::<_, dockline::Error>(())
                })
            });
            wait_until_waiting(&registry, n + 1);
            thread
        })
        .collect();
    holder.end();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
}

#[test]
fn who_parked_it_is_not_served_before_those_who_wait() {
    let registry = connections(capped(1));
    // This thread's own connection: parked when the request ends, and handed over at once.
    let request = registry.request();
    look_up(&registry, "default").unwrap();
    let (worker, (tell, told)) = (registry.clone(), mpsc::channel());
    let (go_on, may_go) = mpsc::channel();
    let other = thread::spawn(move || {
        let _request = worker.request();
        look_up(&worker, "default").unwrap();
        tell.send(()).unwrap();
        may_go.recv().unwrap();
    });
    wait_until_waiting(&registry, 1);
    drop(request);
    told.recv().unwrap();
    assert!(!registry.get("default").unwrap().is_connected());
    go_on.send(()).unwrap();
    // It waits for its turn, and gets it.
    registry.in_request(|| look_up(&registry, "default")).unwrap();
    other.join().unwrap();
    assert!(status(&registry).handed_over >= 1);
}

#[test]
fn the_owner_takes_his_own_back_while_nobody_waits() {
    let registry = connections(capped(2));
    let holder = Holder::of(&registry, "default");
    let serials: Vec<_> = (0..3)
        .map(|_| {
            registry.in_request(|| look_up(&registry, "default")).unwrap();
            assert_eq!((status(&registry).parked, status(&registry).in_use), (1, 1));
            registry.get("default").unwrap().serial().unwrap()
        })
        .collect();
    assert!(serials.windows(2).all(|two| two[0] == two[1]));
    holder.end();
}

#[test]
fn a_wait_that_is_in_vain_says_who_holds_them() {
    let registry = connections(capped(1).acquire_timeout(SHORT));
    let holder = Holder::of(&registry, "default");
    let error = look_up(&registry, "default").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Operational);
    assert!(error.is_exhausted() && !error.may_have_executed() && !error.is_disconnect(), "{error:?}");
    assert_eq!(error.alias(), Some("default"));
    for part in [
        "acquire_timeout (50ms)",
        "max_connections of alias \"default\" allows 1",
        "1 in use, 0 parked",
        "thread holder",
        "tests/behaviour/cap.rs:",
        "last statement: SELECT 1",
        "raise the cap",
    ] {
        assert!(error.message().contains(part), "{part:?} is not in {:?}", error.message());
    }
    assert_eq!(status(&registry).timeouts, 1);
    holder.end();
    assert_eq!(look_up(&registry, "default").unwrap(), 1);
}

#[test]
fn what_is_open_or_held_is_never_taken() {
    let file = Database::new();
    let registry = file.connections_with(|settings| settings.max_connections(Some(1)).acquire_timeout(SHORT));
    let db = registry.get("default").unwrap();
    let taken = || {
        let other = registry.clone();
        on_thread(move || look_up(&other, "default").is_ok())
    };
    // In a request, in a block, in a transaction by text, on hold, with a temporary table, with autocommit off.
    let request = registry.request();
    look_up(&registry, "default").unwrap();
    assert!(!taken());
    drop(request);
    assert!(taken());
    registry
        .in_request(|| {
            db.atomic(|| {
                look_up(&registry, "default")?;
                // A boundary inside a request leaves a block alone.
                registry.close_old_connections();
                assert!(!taken());
                Ok::<_, dockline::Error>(())
            })
        })
        .unwrap();
    db.execute("BEGIN", ()).unwrap();
    registry.close_old_connections();
    assert!(!taken());
    db.execute("ROLLBACK", ()).unwrap();
    let hold = db.hold();
    registry.close_old_connections();
    assert!(!taken());
    drop(hold);
    registry.in_request(|| db.execute("CREATE TEMP TABLE mine (n INTEGER)", ())).unwrap();
    assert!(!taken());
    registry.in_request(|| db.execute("DROP TABLE mine", ())).unwrap();
    let is_empty = db.state().held.is_empty();
    registry.close_old_connections();
    assert_eq!(taken(), is_empty);
}

#[test]
fn a_hold_on_what_is_parked_keeps_it() {
    let registry = connections(capped(1).acquire_timeout(SHORT));
    let db = registry.get("default").unwrap();
    registry.in_request(|| look_up(&registry, "default")).unwrap();
    let (serial, hold) = (db.serial(), db.hold());
    let other = registry.clone();
    assert!(on_thread(move || look_up(&other, "default")).unwrap_err().is_exhausted());
    assert_eq!(look_up(&registry, "default").unwrap(), 1);
    assert_eq!(db.serial(), serial);
    drop(hold);
}

#[test]
fn tasks_park_whatever_their_policy_keeps() {
    for policy in [TaskPolicy::CloseDue, TaskPolicy::Keep, TaskPolicy::CloseAll] {
        let builder = Connections::builder().task_policy(policy);
        let registry = Connections::from(builder.build(Databases::new().with("default", capped(1))).unwrap());
        let worker = registry.clone();
        let (release, released) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        // A worker that lives on after its task.
        let thread = thread::spawn(move || {
            worker.task(|| look_up(&worker, "default").unwrap())();
            tell.send(()).unwrap();
            let _ = released.recv();
        });
        told.recv().unwrap();
        assert_eq!(look_up(&registry, "default").unwrap(), 1, "{policy:?}");
        release.send(()).unwrap();
        thread.join().unwrap();
    }
}

#[test]
fn a_thread_that_panics_or_ends_passes_it_on() {
    let registry = connections(capped(1));
    let worker = registry.clone();
    let panicked = thread::spawn(move || {
        let _request = worker.request();
        look_up(&worker, "default").unwrap();
        panic!("in the middle of a request");
    });
    assert!(panicked.join().is_err());
    let worker = registry.clone();
    // Without a request: it has it until it ends.
    on_thread(move || look_up(&worker, "default").unwrap());
    assert_eq!(look_up(&registry, "default").unwrap(), 1);
}

#[test]
fn a_connection_that_cannot_be_opened_serves_the_next() {
    let (registry, script) = Script::connections(|settings| settings.max_connections(Some(1)).acquire_timeout(LONG));
    let holder = Holder::of(&registry, "default");
    let waiters: Vec<_> = (0..3)
        .map(|n| {
            let worker = registry.clone();
            let thread = thread::spawn(move || worker.in_request(|| look_up(&worker, "default")));
            wait_until_waiting(&registry, n + 1);
            thread
        })
        .collect();
    script.connects.store(false, Ordering::SeqCst);
    // Its connection is closed, so that those who wait have to open one.
    script.has_state.store(true, Ordering::SeqCst);
    holder.end();
    let results: Vec<_> = waiters.into_iter().map(|thread| thread.join().unwrap()).collect();
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.code().as_deref(), Some("2003"), "{error:?}");
    }
    script.has_state.store(false, Ordering::SeqCst);
    script.connects.store(true, Ordering::SeqCst);
    assert_eq!(look_up(&registry, "default").unwrap(), 1);
}

#[test]
fn a_cap_is_raised_and_lowered_while_the_program_runs() {
    let registry = connections(capped(1));
    let story = Story::of(&registry);
    let holder = Holder::of(&registry, "default");
    let worker = registry.clone();
    let waiter = thread::spawn(move || worker.in_request(|| look_up(&worker, "default")));
    wait_until_waiting(&registry, 1);
    registry.replace("default", capped(3)).unwrap();
    // It kept its place, and has the new room.
    waiter.join().unwrap().unwrap();
    let other = Holder::of(&registry, "default");
    assert_eq!(status(&registry).max, 3);
    registry.replace("default", capped(1)).unwrap();
    assert_eq!(status(&registry).in_use, 2);
    holder.end();
    other.end();
    wait_until("what was too much is closed", || story.open() <= 1);
    assert_eq!(look_up(&registry, "default").unwrap(), 1);
}

#[test]
fn what_is_parked_and_too_much_is_closed_when_the_cap_is_lowered() {
    let registry = connections(capped(2));
    let story = Story::of(&registry);
    let (worker, (release, released)) = (registry.clone(), mpsc::channel::<()>());
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        worker.in_request(|| look_up(&worker, "default")).unwrap();
        tell.send(()).unwrap();
        let _ = released.recv();
    });
    told.recv().unwrap();
    registry.in_request(|| look_up(&registry, "default")).unwrap();
    registry.replace("default", capped(1)).unwrap();
    assert_eq!(story.reasons(), [CloseReason::MadeRoom]);
    release.send(()).unwrap();
    thread.join().unwrap();
}

#[test]
fn those_who_wait_for_an_alias_that_is_removed_are_told_at_once() {
    let databases = Databases::new().with("default", memory()).with("other", capped(1));
    let registry = Connections::new(databases).unwrap();
    let holder = Holder::of(&registry, "other");
    let worker = registry.clone();
    let waiter = thread::spawn(move || look_up(&worker, "other"));
    wait_until("it waits", || registry.cap_status("other").unwrap().unwrap().waiting == 1);
    registry.remove("other").unwrap();
    assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionDoesNotExist);
    holder.end();
}

/// What it is now may be another database, as after a failover.
#[test]
fn those_who_wait_for_an_alias_that_is_replaced_get_what_it_is_now() {
    let (before, after) = (Database::new(), Database::new());
    let registry = before.connections_with(|settings| settings.max_connections(Some(1)).acquire_timeout(LONG));
    let holder = Holder::of(&registry, "default");
    let worker = registry.clone();
    let file = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let waiter = thread::spawn(move || worker.get("default")?.query_value::<String>(file, ()));
    wait_until_waiting(&registry, 1);
    registry.replace("default", after.settings().max_connections(Some(1)).acquire_timeout(LONG)).unwrap();
    assert_eq!(status(&registry).waiting, 1, "it keeps its place");
    holder.end();
    let found = waiter.join().unwrap().unwrap();
    assert_eq!(std::fs::canonicalize(found).unwrap(), std::fs::canonicalize(after.path()).unwrap());
}

#[test]
fn those_who_wait_go_on_when_the_cap_is_taken_away() {
    let registry = connections(capped(1));
    let holder = Holder::of(&registry, "default");
    let waiters: Vec<_> = (0..3)
        .map(|n| {
            let worker = registry.clone();
            let waiter = thread::spawn(move || look_up(&worker, "default"));
            wait_until_waiting(&registry, n + 1);
            waiter
        })
        .collect();
    registry.replace("default", memory()).unwrap();
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap().unwrap(), 1);
    }
    assert_eq!(registry.cap_status("default").unwrap(), None);
    holder.end();
}

/// The deadline is that of the first moment, whatever happens to the alias meanwhile.
#[test]
fn whoever_is_woken_to_think_again_has_no_more_time_than_before() {
    let timeout = Duration::from_millis(500);
    let settings =
        |n: u32| memory().max_connections(Some(1)).cap(format!("cap_{n}_of_no_more_time")).acquire_timeout(timeout);
    let registry = connections(settings(0));
    let waits = AtomicBool::new(true);
    let result = thread::scope(|scope| {
        // Each cap that the alias gets is full at once.
        let full = |n| {
            let other = connections(settings(n));
            Holder::of(&other, "default")
        };
        let first = full(0);
        let waiter = scope.spawn(|| {
            let result = look_up(&registry, "default");
            waits.store(false, Ordering::SeqCst);
            result
        });
        let mut holders = vec![first];
        // Far longer than the limit, if each change began it anew.
        for n in 1..600 {
            if !waits.load(Ordering::SeqCst) {
                break;
            }
            holders.push(full(n));
            registry.replace("default", settings(n)).unwrap();
            thread::sleep(timeout / 10);
        }
        assert!(!waits.load(Ordering::SeqCst), "it waits still");
        holders.into_iter().for_each(Holder::end);
        waiter.join().unwrap()
    });
    let error = result.unwrap_err();
    assert!(error.is_exhausted(), "{error:?}");
}

#[test]
fn whoever_gives_up_at_the_head_of_the_queue_leaves_the_others_their_turns() {
    let shared = |timeout| memory().max_connections(Some(1)).cap("of_who_gives_up").acquire_timeout(timeout);
    let databases = Databases::new().with("default", shared(LONG)).with("hasty", shared(SHORT));
    let registry = Connections::new(databases).unwrap();
    let holder = Holder::of(&registry, "default");
    let wait = |alias: &'static str, count| {
        let worker = registry.clone();
        let waiter = thread::spawn(move || look_up(&worker, alias));
        wait_until(&format!("{count} wait, or one has given up"), || {
            let status = status(&registry);
            status.waiting + usize::try_from(status.timeouts).unwrap() == count
        });
        waiter
    };
    let (hasty, patient) = (wait("hasty", 1), wait("default", 2));
    assert!(hasty.join().unwrap().unwrap_err().is_exhausted());
    wait_until_waiting(&registry, 1);
    holder.end();
    assert_eq!(patient.join().unwrap().unwrap(), 1);
}

#[test]
fn a_thread_that_panics_with_what_it_has_waited_for_passes_it_on() {
    let registry = connections(capped(1));
    let holder = Holder::of(&registry, "default");
    let worker = registry.clone();
    let waiter = thread::spawn(move || {
        let _request = worker.request();
        look_up(&worker, "default").unwrap();
        panic!("with what it has waited for");
    });
    wait_until_waiting(&registry, 1);
    holder.end();
    assert!(waiter.join().is_err());
    assert_eq!(look_up(&registry, "default").unwrap(), 1);
}

#[test]
fn a_thread_that_ends_leaves_its_connection_to_who_waits() {
    let registry = connections(capped(1));
    let story = Story::of(&registry);
    let worker = registry.clone();
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let owner = thread::spawn(move || {
        // Outside requests and tasks: it is the thread's until it ends.
        look_up(&worker, "default").unwrap();
        tell.send(worker.get("default").unwrap().serial()).unwrap();
        let _ = released.recv();
    });
    let serial = told.recv().unwrap();
    let worker = registry.clone();
    let waiter = thread::spawn(move || {
        let _request = worker.request();
        look_up(&worker, "default").map(|_| worker.get("default").unwrap().serial())
    });
    wait_until_waiting(&registry, 1);
    release.send(()).unwrap();
    owner.join().unwrap();
    assert_eq!(waiter.join().unwrap().unwrap(), serial);
    assert_eq!((story.opened(), status(&registry).handed_over), (1, 1));
}

#[test]
fn an_owner_that_sleeps_in_its_stint_keeps_nobody_waiting() {
    let registry = connections(capped(1));
    let worker = registry.clone();
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let owner = thread::spawn(move || {
        worker.in_request(|| look_up(&worker, "default")).unwrap();
        tell.send(()).unwrap();
        let _ = released.recv();
    });
    told.recv().unwrap();
    // In the owner's stint or after it: the owner never comes back.
    assert_eq!(registry.in_request(|| look_up(&registry, "default")).unwrap(), 1);
    assert_eq!(status(&registry).handed_over, 1);
    release.send(()).unwrap();
    owner.join().unwrap();
}

#[test]
fn those_who_wait_when_the_registry_is_shut_down_are_told_at_once() {
    let registry = connections(capped(1));
    let holder = Holder::of(&registry, "default");
    let worker = registry.clone();
    let waiter = thread::spawn(move || look_up(&worker, "default"));
    wait_until_waiting(&registry, 1);
    registry.shutdown(Duration::ZERO);
    assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Interface);
    holder.end();
}

#[test]
fn aliases_share_a_cap_by_its_name() {
    let shared = |max| capped(max).cap("role_app_of_this_test").acquire_timeout(SHORT);
    let databases = Databases::new().with("default", shared(1)).with("other", shared(1));
    let registry = Connections::new(databases).unwrap();
    let story = Story::of(&registry);
    let holder = Holder::of(&registry, "default");
    assert!(look_up(&registry, "other").unwrap_err().is_exhausted());
    // What another thread has parked makes room for another alias.
    let worker = registry.clone();
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    holder.end();
    let parked = thread::spawn(move || {
        worker.in_request(|| look_up(&worker, "default")).unwrap();
        tell.send(()).unwrap();
        let _ = released.recv();
    });
    told.recv().unwrap();
    assert_eq!(look_up(&registry, "other").unwrap(), 1);
    assert!(story.reasons().contains(&CloseReason::MadeRoom));
    release.send(()).unwrap();
    parked.join().unwrap();

    let disagree = Databases::new().with("default", shared(1)).with("other", shared(2));
    let error = Connections::new(disagree).and_then(|registry| registry.get("default")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImproperlyConfigured);
    for part in ["max_connections", "role_app_of_this_test", "1", "2"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_thread_that_would_wait_for_itself_is_told_at_once() {
    let shared = || capped(1).cap("of_one_thread");
    let registry = Connections::new(Databases::new().with("default", shared()).with("other", shared())).unwrap();
    let _request = registry.request();
    look_up(&registry, "default").unwrap();
    let error = look_up(&registry, "other").unwrap_err();
    assert!(error.is_exhausted() && error.message().contains("would wait for itself"), "{error}");
}

#[test]
fn threads_that_wait_for_each_other_are_named() {
    let timeout = Duration::from_secs(2);
    let each = || capped(1).acquire_timeout(timeout);
    let registry = Connections::new(Databases::new().with("default", each()).with("other", each())).unwrap();
    let both = Arc::new(Barrier::new(2));
    let threads: Vec<_> = [("default", "other"), ("other", "default")]
        .map(|(first, second)| {
            let (registry, both) = (registry.clone(), Arc::clone(&both));
            thread::spawn(move || {
                let _request = registry.request();
                look_up(&registry, first).unwrap();
                both.wait();
                look_up(&registry, second)
            })
        })
        .into();
    let errors: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect();
    assert!(!errors.is_empty());
    let first = errors.iter().find(|error| error.message().contains("wait for each other"));
    assert!(first.is_some_and(|error| error.is_exhausted()), "{errors:?}");
}

#[test]
fn wrong_caps_are_errors_of_the_configuration() {
    for (settings, part) in [
        (memory().max_connections(Some(0)), "max_connections: it cannot be 0"),
        (memory().cap("one"), "max_connections, which says how many it allows, is missing"),
        (capped(1).acquire_timeout(Duration::ZERO), "acquire_timeout: it cannot be zero"),
        (
            memory().reset_on_handover(ResetOnHandover::Server),
            "reset_on_handover: connections go from thread to thread",
        ),
        (capped(1).reset_on_handover(ResetOnHandover::Server), "reset_on_handover: sqlite has no server"),
    ] {
        let registry = Connections::new(Databases::new().with("default", settings));
        let error = registry.and_then(|registry| registry.get("default")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImproperlyConfigured);
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = Settings::from_url("sqlite::memory:?max_connections=4&acquire_timeout=none").unwrap_err();
    assert!(error.to_string().contains("acquire_timeout"), "{error}");
    for name in ["min_idle", "minimumIdle", "min_connections"] {
        let error = Settings::from_url(&format!("sqlite::memory:?max_connections=4&{name}=2")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImproperlyConfigured);
        for part in [name, "ensure_connection", "leave it out"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    let error = Settings::from_url("sqlite::memory:?max_connections=4&reset_on_handover=discard").unwrap_err();
    for part in ["reset_on_handover", "discard", "none", "server"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// A backend of the program's own, say: a new connection is as clean as one that was reset.
#[test]
fn what_a_backend_cannot_reset_is_replaced_at_each_handover() {
    let (registry, script) = Script::connections(|settings| {
        settings.max_connections(Some(1)).acquire_timeout(LONG).reset_on_handover(ResetOnHandover::Server)
    });
    let story = Story::of(&registry);
    for n in 1..=3 {
        registry.in_request(|| look_up(&registry, "default")).unwrap();
        let other = registry.clone();
        on_thread(move || other.in_request(|| look_up(&other, "default"))).unwrap();
        assert_eq!(story.opened(), 2 * n);
    }
    assert_eq!(script.closed.load(Ordering::SeqCst), 6 - story.open());
    assert_eq!(status(&registry).waiting, 0);
}

#[test]
fn hundreds_of_threads_share_a_few() {
    let file = Database::new();
    let registry = file.connections_with(|settings| settings.max_connections(Some(4)).acquire_timeout(LONG));
    registry.get("default").unwrap().execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    registry.close_old_connections();
    let story = Story::of(&registry);
    let threads: Vec<_> = (0..400)
        .map(|n| {
            let registry = registry.clone();
            let work = move || {
                registry.in_request(|| registry.get("default")?.execute("INSERT INTO t VALUES (?)", params![n]))
            };
            thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert!(story.opened() <= 400);
    let count: i64 = registry.get("default").unwrap().query_value("SELECT count(*) FROM t", ()).unwrap();
    assert_eq!(count, 400);
    assert_eq!(status(&registry).timeouts, 0);
}
