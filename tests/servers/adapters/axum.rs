//! `axum` over `dockline-tokio`: sections of handlers, on threads that are few, and on ones that come and go by the hundred.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use dockline::TaskPolicy;
use dockline_tests::servers::{Builder, Server};
use dockline_tests::wait_until;
use dockline_tokio::Blocking;
use tokio::runtime::Builder as Runtime;
use tower::ServiceExt;

use super::load::{Expected, Job, LEAVING, Load, WORKERS, hundred_connections, tasks};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(load_on_axum).own_server_with(hundred_connections),
        case!(load_on_axum_with_a_runtime).own_server_with(hundred_connections),
        case!(hundreds_of_blocking_threads_come_and_go).own_server_with(many_connections),
    ]
}

/// As many blocking threads as tokio has by default.
const THREADS: usize = 512;

fn many_connections(builder: Builder) -> Builder {
    let builder = hundred_connections(builder).setting("max_connections", "600");
    // It needs a file for each.
    if builder.kind().is_postgres() { builder } else { builder.setting("open-files-limit", "4096") }
}

async fn handler(blocking: Blocking, State(job): State<Job>) -> StatusCode {
    let section = move || {
        job.run();
        Ok::<_, dockline::Error>(())
    };
    match blocking.request(section).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// So many requests, by as many clients as there are workers.
fn ask(blocking: &Blocking, job: Job, requests: usize) {
    let router = Router::new().route("/", get(handler)).layer(blocking.clone()).with_state(job);
    let runtime = Runtime::new_multi_thread().worker_threads(2).build().unwrap();
    let clients: Vec<_> = (0..WORKERS)
        .map(|_| {
            let router = router.clone();
            runtime.spawn(async move {
                for _ in 0..requests / WORKERS {
                    let request = Request::get("/").body(Body::empty()).unwrap();
                    assert_eq!(router.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
                }
            })
        })
        .collect();
    for client in clients {
        runtime.block_on(client).unwrap();
    }
}

/// Threads that stay: what they have opened is what is left.
fn load_on_axum(server: &Server) {
    let load = Load::new(server, &["default", "other"], TaskPolicy::CloseDue);
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    load.connections.signals().request_started.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let blocking = Blocking::new(&load.connections).limit(WORKERS);
    ask(&blocking, load.job(), tasks());
    assert_eq!(started.load(Ordering::SeqCst), tasks(), "each section was a request");
    let left = load.story.opened();
    assert!((2..=WORKERS * 2).contains(&left), "{left}");
    load.check(&Expected { jobs: tasks(), at_most: WORKERS * 2, left });
}

/// On the blocking threads of a runtime, as many as that has.
fn load_on_axum_with_a_runtime(server: &Server) {
    const REQUESTS: usize = WORKERS * 1_000;

    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let mut threads = Runtime::new_current_thread();
    let threads = threads.max_blocking_threads(WORKERS).thread_keep_alive(Duration::from_secs(600)).build().unwrap();
    let blocking = Blocking::new(&load.connections).on(threads.handle());
    ask(&blocking, load.job(), REQUESTS);
    let left = load.story.opened();
    assert!((1..=WORKERS).contains(&left), "{left}");
    load.check(&Expected { jobs: REQUESTS, at_most: WORKERS, left });
}

/// Each wave has a thread for each section; then they have nothing to do, and end.
fn hundreds_of_blocking_threads_come_and_go(server: &Server) {
    const WAVES: usize = 2;

    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let threads = Runtime::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(THREADS)
        .thread_keep_alive(Duration::from_millis(100))
        .build()
        .unwrap();
    let blocking = Blocking::new(&load.connections).unlimited();
    for _ in 0..WAVES {
        let before = load.story.opened();
        let all = Arc::new(Barrier::new(THREADS));
        let sections: Vec<_> = (0..THREADS)
            .map(|_| {
                let (blocking, job, all) = (blocking.clone(), load.job(), Arc::clone(&all));
                threads.spawn(async move { blocking.task(move || job.run_with(&all)).await })
            })
            .collect();
        for section in sections {
            threads.block_on(section).unwrap().unwrap();
        }
        assert_eq!(load.story.opened() - before, THREADS);
        wait_until("the threads have ended", || load.story.open() == 0);
    }
    load.check(&Expected { jobs: THREADS * WAVES, at_most: THREADS + LEAVING, left: 0 });
}
