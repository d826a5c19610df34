use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use dockline::signals::CloseReason;
use dockline::{Connection, Connections, Databases, Error, ErrorKind, Request, Settings, params};
use dockline_tests::{Database, Story, connections, in_memory, memory, on_thread};

static_assertions::assert_impl_all!(Connections: Clone, Send, Sync);
static_assertions::assert_not_impl_any!(Connection: Send, Sync);
static_assertions::assert_impl_all!(Connection: Clone);
static_assertions::assert_not_impl_any!(Request: Send, Sync);
static_assertions::assert_not_impl_any!(dockline::Hold: Send, Sync);
static_assertions::assert_impl_all!(dockline::Canceller: Clone, Send, Sync);
static_assertions::assert_impl_all!(dockline::Row: Send, Sync);
static_assertions::assert_impl_all!(Error: Send, Sync, std::error::Error);

#[test]
fn looking_an_alias_up_opens_nothing() {
    let connections = in_memory();
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    let state = db.state();
    assert!(!state.connected && !state.autocommit && !state.errors_occurred);
    assert_eq!((db.serial(), story.opened()), (None, 0));
    db.query("SELECT 1", ()).unwrap();
    assert!(db.state().connected && db.state().autocommit);
    assert_eq!(story.opened(), 1);
}

#[test]
fn each_thread_has_a_connection_of_its_own_and_keeps_it() {
    let connections = in_memory();
    let serials = |connections: &Connections| {
        (0..3)
            .map(|_| {
                let db = connections.get("default").unwrap();
                db.query("SELECT 1", ()).unwrap();
                db.serial().unwrap()
            })
            .collect::<BTreeSet<u64>>()
    };
    let here = serials(&connections);
    let there = on_thread({
        let connections = connections.clone();
        move || serials(&connections)
    });
    assert_eq!((here.len(), there.len()), (1, 1));
    assert!(here.is_disjoint(&there));
}

#[test]
fn handles_of_one_thread_are_one_connection() {
    let connections = in_memory();
    let (one, other) = (connections.get("default").unwrap(), connections.get("default").unwrap());
    one.query("SELECT 1", ()).unwrap();
    assert_eq!(one.serial(), other.serial());
    other.close();
    assert!(!one.is_connected());
}

#[test]
fn aliases_are_those_of_the_configuration_and_initialized_those_of_the_thread() {
    let databases = Databases::new().with("default", memory()).with("replica", memory());
    let connections = Connections::new(databases).unwrap();
    assert_eq!(connections.aliases().unwrap(), ["default", "replica"]);
    assert!(connections.initialized().is_empty());
    connections.get("replica").unwrap();
    assert_eq!(connections.initialized(), ["replica"]);
    let other = connections.clone();
    assert!(on_thread(move || other.initialized()).is_empty());
}

#[test]
fn many_aliases_are_told_apart() {
    let names: Vec<String> = (0..40).map(|n| format!("a_rather_long_prefix_for_tenant_{n}")).collect();
    let databases = names
        .iter()
        .fold(Databases::new().with("default", memory()), |databases, name| databases.with(name.clone(), memory()));
    let connections = Connections::new(databases).unwrap();
    for name in &names {
        assert_eq!(connections.get(name).unwrap().alias(), name);
        connections.get(name).unwrap().execute("CREATE TABLE t (name)", ()).unwrap();
        connections.get(name).unwrap().execute("INSERT INTO t VALUES (?)", params![name]).unwrap();
    }
    for name in &names {
        let found: String = connections.get(name).unwrap().query_value("SELECT name FROM t", ()).unwrap();
        assert_eq!(&found, name);
    }
}

#[test]
fn registries_side_by_side_do_not_share_connections() {
    let (one, other) = (in_memory(), in_memory());
    one.get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    assert!(other.get("default").unwrap().query("SELECT * FROM t", ()).is_err());
    one.close_all();
    assert!(!one.get("default").unwrap().is_connected());
    assert!(other.get("default").unwrap().is_connected());
}

#[test]
fn a_configuration_that_fails_to_load_is_tried_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let connections = Connections::lazy({
        let calls = Arc::clone(&calls);
        move || match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Error::config("the file is not there yet")),
            _ => Ok(Databases::new().with("default", memory())),
        }
    });
    let _request = connections.request();
    assert_eq!(calls.load(Ordering::SeqCst), 0, "a request reads no configuration");
    let error = connections.get("default").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::ImproperlyConfigured, "the file is not there yet"));
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
    connections.get("default").unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn threads_that_start_together_load_the_configuration_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let connections = Connections::lazy({
        let calls = Arc::clone(&calls);
        move || {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(Databases::new().with("default", memory()))
        }
    });
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
            });
        }
    });
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn an_alias_added_at_run_time_is_there_for_every_thread_and_cleaned_up() {
    let connections = connections(memory().conn_max_age(None));
    let story = Story::of(&connections);
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
    assert!(connections.get("tenant").is_err());
    connections.add("tenant", memory().conn_max_age(Some(std::time::Duration::ZERO))).unwrap();
    assert_eq!(connections.aliases().unwrap(), ["default", "tenant"]);
    connections.get("tenant").unwrap().query("SELECT 1", ()).unwrap();
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::MaxAge]);
    let other = connections.clone();
    on_thread(move || other.get("tenant").unwrap().query("SELECT 1", ()).map(drop)).unwrap();
}

#[test]
fn a_replaced_alias_is_swapped_at_the_next_boundary() {
    let (old, new) = (Database::new(), Database::new());
    let connections = old.connections_with(|settings| settings.conn_max_age(None));
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE only_in_old (a)", ()).unwrap();

    connections.replace("default", new.settings()).unwrap();
    db.query("SELECT * FROM only_in_old", ()).unwrap();
    assert_eq!(story.closed(), 0, "until the boundary the thread keeps its connection");

    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::Replaced]);
    assert!(db.query("SELECT * FROM only_in_old", ()).is_err(), "the old handle has the new database");
    connections.close_old_connections();
    assert_eq!(story.closed(), 1);
}

#[test]
fn a_thread_without_a_connection_takes_the_new_settings_at_once() {
    let (old, new) = (Database::new(), Database::new());
    let connections = old.connections();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE only_in_old (a)", ()).unwrap();
    db.close();
    connections.replace("default", new.settings()).unwrap();
    assert!(db.query("SELECT * FROM only_in_old", ()).is_err());
}

#[test]
fn a_removed_alias_is_gone_for_get_and_closed_at_the_boundary() {
    let databases = Databases::new().with("default", memory()).with("tenant", memory());
    let connections = Connections::new(databases).unwrap();
    let story = Story::of(&connections);
    let tenant = connections.get("tenant").unwrap();
    tenant.query("SELECT 1", ()).unwrap();
    connections.remove("tenant").unwrap();
    assert_eq!(connections.get("tenant").unwrap_err().kind(), ErrorKind::ConnectionDoesNotExist);
    assert!(connections.initialized().is_empty());
    tenant.query("SELECT 1", ()).unwrap();
    connections.close_old_connections();
    assert_eq!(story.reasons(), [CloseReason::Removed]);
    assert_eq!(tenant.query("SELECT 1", ()).unwrap_err().kind(), ErrorKind::ConnectionDoesNotExist);

    connections.add("tenant", memory()).unwrap();
    tenant.query("SELECT 1", ()).unwrap();
    assert_eq!(connections.initialized(), ["tenant"]);
}

#[test]
fn dropping_the_last_clone_closes_what_is_idle_in_every_thread() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.query("SELECT 1", ()).unwrap();
    let (opened, gone) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let worker = thread::spawn({
        let (connections, opened, gone) = (connections.clone(), Arc::clone(&opened), Arc::clone(&gone));
        move || {
            let db = connections.get("default").unwrap();
            db.query("SELECT 1", ()).unwrap();
            drop(connections);
            opened.wait();
            gone.wait();
            db.query("SELECT 1", ()).unwrap_err()
        }
    });
    opened.wait();
    drop(connections);
    assert_eq!(story.reasons(), [CloseReason::Shutdown, CloseReason::Shutdown]);
    gone.wait();
    assert_eq!(worker.join().unwrap().kind(), ErrorKind::Interface);
    assert_eq!(db.query("SELECT 1", ()).unwrap_err().kind(), ErrorKind::Interface);
}

#[test]
fn a_task_does_not_keep_the_registry_alive() {
    let connections = in_memory();
    let story = Story::of(&connections);
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
    let task = connections.task(|| 7);
    drop(connections);
    assert_eq!(story.open(), 0);
    assert_eq!(on_thread(task), 7);
}

#[test]
fn nothing_configured_is_an_alias_default_that_says_so_when_it_is_used() {
    let connections = Connections::new(Databases::new()).unwrap();
    assert_eq!(connections.aliases().unwrap(), ["default"]);
    let db = connections.get("default").unwrap();
    assert_eq!(db.vendor(), "unknown");
    let error = db.query("SELECT 1", ()).unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::ImproperlyConfigured, Some("default")));
    assert!(error.message().contains("DATABASE_URL"), "{error}");

    connections.add("default", memory()).unwrap();
    db.query("SELECT 1", ()).unwrap();
}

#[test]
fn settings_reach_the_connection_from_a_url() {
    let database = Database::new();
    let url =
        format!("sqlite:{}?options.busy_timeout=1234ms&init_sql=PRAGMA%20cache_size%3D123", database.path().display());
    let connections = connections(Settings::from_url(&url).unwrap());
    let db = connections.get("default").unwrap();
    assert_eq!(db.query_value::<i64>("PRAGMA busy_timeout", ()).unwrap(), 1234);
    assert_eq!(db.query_value::<i64>("PRAGMA cache_size", ()).unwrap(), 123);
}

#[test]
fn a_loader_that_uses_its_own_registry_gets_an_error_and_no_deadlock() {
    let inner = Arc::new(std::sync::OnceLock::<Connections>::new());
    let connections = Connections::lazy({
        let inner = Arc::clone(&inner);
        move || {
            let registry = inner.get().unwrap();
            let uses = [registry.get("default").map(drop), registry.configure(Databases::new())];
            for error in uses.map(Result::unwrap_err) {
                assert!(error.message().contains("loader"), "{error}");
            }
            Ok(Databases::new().with("default", memory()))
        }
    });
    inner.set(connections.clone()).unwrap();
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
}

#[test]
fn a_boundary_reads_no_configuration() {
    let connections = Connections::lazy(|| panic!("nobody asked for a connection"));
    connections.close_old_connections();
    connections.close_all();
    connections.reset_queries();
    drop(connections.request());
    connections.task(|| ())();
    assert!(connections.initialized().is_empty());
}

#[test]
fn dropping_the_registry_lets_a_transaction_of_this_thread_end() {
    let database = Database::new();
    let connections = database.connections();
    let story = Story::of(&connections);
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.execute("BEGIN", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    drop(connections);
    // Another registry on this thread does not end it either.
    in_memory().get("default").unwrap().query("SELECT 1", ()).unwrap();
    assert_eq!(story.open(), 1);
    db.execute("COMMIT", ()).unwrap();
    assert_eq!(story.reasons(), [CloseReason::Shutdown]);
    assert_eq!(db.query("SELECT 1", ()).unwrap_err().kind(), ErrorKind::Interface);
    let other = database.connections();
    assert_eq!(other.get("default").unwrap().query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);
}

#[test]
fn settings_of_a_removed_alias_are_dropped_where_their_closures_may_use_the_registry() {
    struct OnDrop(Connections);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.get("default").unwrap();
        }
    }
    let connections = in_memory();
    let on_drop = OnDrop(connections.clone());
    let provider = move || {
        let _kept = &on_drop;
        Err("no password".into())
    };
    connections.add("tenant", memory().password_provider(provider)).unwrap();
    drop(connections.get("tenant").unwrap());
    connections.remove("tenant").unwrap();
    connections.close_old_connections();
    connections.get("default").unwrap().query("SELECT 1", ()).unwrap();
}
