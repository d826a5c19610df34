//! The cap against servers that count connections themselves: roles and users with a limit, and sessions that are ended while they
//! are parked.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dockline::{Connections, Settings, params};
use dockline_tests::servers::{LimitedUser, Server};
use dockline_tests::{connections, on_thread, wait_until};
use dockline_tokio::Blocking;

use crate::case::{Case, case};
use crate::opened::settings;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(more_threads_than_a_user_may_have_connections),
        case!(a_user_who_may_have_fewer_than_the_cap),
        case!(a_server_that_is_full_of_others_is_waited_for),
        case!(what_the_server_ended_while_it_was_parked_is_replaced),
        case!(what_holds_state_is_not_handed_over),
        case!(the_same_connection_is_handed_over),
        case!(a_silent_server_is_given_up_at_the_deadline),
        case!(queued_sections_hold_nothing_that_others_wait_for),
    ]
}

/// A limit that no test comes near, unless it is meant to.
fn patient(limited: &LimitedUser<'_>) -> Settings {
    limited.settings().acquire_timeout(Duration::from_secs(100))
}

fn look_up(connections: &Connections) -> dockline::Result<i64> {
    connections.in_request(|| connections.get("default")?.query_value::<i64>("SELECT ?", params![1]))
}

/// So many threads, each with so many requests. Nobody may fail.
fn work(connections: &Connections, threads: usize, requests: usize) {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..requests {
                    assert_eq!(look_up(connections).unwrap(), 1);
                }
            });
        }
    });
    let status = || connections.cap_status("default").unwrap().unwrap();
    wait_until("nothing is in use", || status().in_use == 0);
    assert_eq!((status().waiting, status().timeouts), (0, 0), "{:?}", status());
    connections.shutdown(Duration::from_secs(30));
}

fn more_threads_than_a_user_may_have_connections(server: &Server) {
    let limited = LimitedUser::new(server, 5);
    let connections = connections(patient(&limited).max_connections(Some(5)));
    work(&connections, 24, 15);
}

/// The server refuses below our cap: those who were refused take turns with those who were not.
fn a_user_who_may_have_fewer_than_the_cap(server: &Server) {
    let limited = LimitedUser::new(server, 3);
    let connections = connections(patient(&limited).max_connections(Some(12)));
    work(&connections, 12, 15);
}

fn a_server_that_is_full_of_others_is_waited_for(server: &Server) {
    let limited = LimitedUser::new(server, 2);
    let others: Vec<_> = (0..2).map(|_| connections(patient(&limited))).collect();
    for other in &others {
        assert_eq!(look_up(other).unwrap(), 1);
    }
    let ours = connections(patient(&limited).max_connections(Some(2)).acquire_timeout(Duration::from_secs(3)));
    let error = look_up(&ours).unwrap_err();
    assert!(error.is_exhausted() && !error.may_have_executed(), "{error:?}");
    let text = error.message();
    assert!(text.contains("acquire_timeout (3s)") && text.contains("the last error of connecting"), "{text}");

    let patient = connections(patient(&limited).max_connections(Some(2)));
    let waiting = patient.clone();
    let waiter = thread::spawn(move || look_up(&waiting));
    wait_until("it waits", || patient.cap_status("default").unwrap().unwrap().waiting == 1);
    others[0].close_all();
    assert_eq!(waiter.join().unwrap().unwrap(), 1);
    others[1].close_all();
}

fn what_the_server_ended_while_it_was_parked_is_replaced(server: &Server) {
    let limited = LimitedUser::new(server, 1);
    let connections = connections(patient(&limited).max_connections(Some(1)));
    let (worker, (release, released)) = (connections.clone(), mpsc::channel::<()>());
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        look_up(&worker).unwrap();
        tell.send(worker.get("default").unwrap().server_connection_id().unwrap()).unwrap();
        let _ = released.recv();
    });
    let id = told.recv().unwrap();
    limited.admin().kill_and_wait(id);
    assert_eq!(look_up(&connections).unwrap(), 1);
    release.send(()).unwrap();
    thread.join().unwrap();
    connections.close_all();
}

fn what_holds_state_is_not_handed_over(server: &Server) {
    let limited = LimitedUser::new(server, 1);
    let registry = connections(patient(&limited).max_connections(Some(1)).acquire_timeout(Duration::from_secs(3)));
    let db = registry.get("default").unwrap();
    let (sets, forgets) = if server.kind().is_postgres() {
        ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)")
    } else {
        ("SELECT GET_LOCK('mine', 0)", "SELECT RELEASE_LOCK('mine')")
    };
    registry.in_request(|| db.query(sets, ())).unwrap();
    let other = registry.clone();
    let error = on_thread(move || look_up(&other)).unwrap_err();
    assert!(error.is_exhausted(), "{error:?}");
    registry.in_request(|| db.query(forgets, ())).unwrap();
    let (is_clean, other) = (db.state().held.is_empty(), registry.clone());
    assert_eq!(on_thread(move || look_up(&other)).is_ok(), is_clean);
    registry.close_all();
}

fn the_same_connection_is_handed_over(server: &Server) {
    let limited = LimitedUser::new(server, 1);
    let registry = connections(patient(&limited).max_connections(Some(1)));
    assert_eq!(look_up(&registry).unwrap(), 1);
    let serial = registry.get("default").unwrap().serial();
    let other = registry.clone();
    let taken = on_thread(move || {
        other.in_request(|| {
            let db = other.get("default")?;
            assert_eq!(db.query_value::<i64>("SELECT ?", params![1])?, 1);
            Ok::<_, dockline::Error>(db.serial())
        })
    });
    assert_eq!(taken.unwrap(), serial);
    registry.close_all();
}

/// Sections of blocking code of async programs: more of them at a time than connections, and still more that are queued.
fn queued_sections_hold_nothing_that_others_wait_for(server: &Server) {
    let limited = LimitedUser::new(server, 2);
    let connections = connections(patient(&limited).max_connections(Some(2)));
    let blocking = Blocking::new(&connections).limit(6);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sections: Vec<_> = (0..60)
        .map(|_| {
            let (blocking, connections) = (blocking.clone(), connections.clone());
            runtime.spawn(async move {
                blocking.request(move || connections.get("default")?.query_value::<i64>("SELECT 1", ())).await
            })
        })
        .collect();
    for section in sections {
        assert_eq!(runtime.block_on(section).unwrap().unwrap(), 1);
    }
    connections.shutdown(Duration::from_secs(30));
}

/// Waiting and connecting have one limit together.
fn a_silent_server_is_given_up_at_the_deadline(server: &Server) {
    let proxy = dockline_tests::proxy::Proxy::start(server.address());
    proxy.deaf(true);
    let settings = settings(&server.url_via(proxy.port()))
        .connect_timeout(Duration::from_secs(100))
        .max_connections(Some(1))
        .acquire_timeout(Duration::from_millis(300));
    let error = look_up(&connections(settings)).unwrap_err();
    assert!(error.message().contains("acquire_timeout"), "{error}");
}
