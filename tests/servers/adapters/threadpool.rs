//! The crate `threadpool`, whose workers end when a task panics, and are replaced.

use std::panic::resume_unwind;
use std::sync::{Arc, Barrier};

use dockline::TaskPolicy;
use dockline_tests::servers::Server;
use threadpool::ThreadPool;

use super::load::{Expected, LEAVING, Load, WORKERS, hundred_connections, tasks};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(load_on_threadpool).own_server_with(hundred_connections),
        case!(each_policy_on_threadpool).own_server_with(hundred_connections),
        case!(threadpool_replaces_workers_that_panic).own_server_with(hundred_connections),
    ]
}

/// One job on each of the workers, all of them at once.
fn run_on_each(pool: &ThreadPool, load: &Load<'_>, aliases: usize) {
    let all = Arc::new(Barrier::new(pool.max_count() + 1));
    for _ in 0..pool.max_count() {
        let (job, all) = (load.job(), Arc::clone(&all));
        pool.execute(load.connections.task(move || job.run_with(&all)));
    }
    load.wait_until_seen(pool.max_count() * aliases);
    all.wait();
}

fn run_tasks(pool: &ThreadPool, load: &Load<'_>, tasks: usize) {
    for _ in 0..tasks {
        let job = load.job();
        pool.execute(load.connections.task(move || job.run()));
    }
}

fn load_on_threadpool(server: &Server) {
    let load = Load::new(server, &["default", "other"], TaskPolicy::CloseDue);
    let pool = ThreadPool::new(WORKERS);
    run_on_each(&pool, &load, 2);
    run_tasks(&pool, &load, tasks() - WORKERS);
    pool.join();
    assert_eq!(load.story.opened(), WORKERS * 2, "each worker has opened each alias once");
    load.check(&Expected { jobs: tasks(), at_most: WORKERS * 2, left: WORKERS * 2 });
}

fn each_policy_on_threadpool(server: &Server) {
    for (policy, tasks) in [(TaskPolicy::CloseAll, 300), (TaskPolicy::Keep, 5_000)] {
        let load = Load::new(server, &["default"], policy);
        let pool = ThreadPool::new(WORKERS);
        run_on_each(&pool, &load, 1);
        run_tasks(&pool, &load, tasks);
        pool.join();
        let jobs = WORKERS + tasks;
        let close_all = policy == TaskPolicy::CloseAll;
        assert_eq!(load.story.opened(), if close_all { jobs } else { WORKERS });
        // What is closed after every task may still be listed when the next one is opened.
        let (left, leaving) = if close_all { (0, LEAVING) } else { (WORKERS, 0) };
        load.check(&Expected { jobs, at_most: WORKERS + leaving, left });
    }
}

/// A worker that panicked takes its connection with it, and is replaced before its thread has quite ended.
fn threadpool_replaces_workers_that_panic(server: &Server) {
    const PANICS: usize = 100;

    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let pool = ThreadPool::new(WORKERS);
    for _ in 0..PANICS {
        run_tasks(&pool, &load, 20);
        let job = load.job();
        pool.execute(load.connections.task(move || {
            job.run();
            // A panic that is not printed.
            resume_unwind(Box::new("the task panics"));
        }));
    }
    pool.join();
    assert_eq!((pool.panic_count(), pool.max_count()), (PANICS, WORKERS));
    run_on_each(&pool, &load, 1);
    pool.join();
    // Each worker, the one that it came for, and what the server has not noticed yet.
    let at_most = 2 * WORKERS + LEAVING;
    load.check(&Expected { jobs: PANICS * 21 + WORKERS, at_most, left: WORKERS });
}
