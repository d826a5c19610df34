//! A thread pool of rayon: jobs that are spawned, scoped and iterated over in parallel, and the handler of its threads' ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use dockline::signals::CloseReason;
use dockline::{Connection, TaskPolicy};
use dockline_tests::servers::Server;
use dockline_tests::{wait_until, wait_while_it_moves};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::load::{Expected, LEAVING, Load, WORKERS, hundred_connections, tasks};
use crate::case::{Case, case};
use crate::opened::Opened;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(load_on_rayon).own_server_with(hundred_connections),
        case!(each_policy_on_rayon).own_server_with(hundred_connections),
        case!(rayons_exit_handler_may_close),
        case!(a_job_that_a_waiting_thread_picks_up_is_inside_its_block),
    ]
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
}

/// One job on each of the threads, all of them at once.
fn run_on_each(pool: &ThreadPool, load: &Load<'_>, aliases: usize) {
    let threads = pool.current_num_threads();
    let all = Arc::new(Barrier::new(threads + 1));
    let (connections, job, each) = (load.connections.clone(), load.job(), Arc::clone(&all));
    let done = Arc::new(AtomicUsize::new(0));
    let ended = Arc::clone(&done);
    pool.spawn_broadcast(move |_| {
        connections.task(|| job.run_with(&each))();
        ended.fetch_add(1, Ordering::SeqCst);
    });
    load.wait_until_seen(threads * aliases);
    all.wait();
    wait_until("each thread has run its job", || done.load(Ordering::SeqCst) == threads);
}

/// Jobs that nobody waits for; their number is counted by the load.
fn spawn(pool: &ThreadPool, load: &Load<'_>, tasks: usize) {
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..tasks {
        let (job, done) = (load.job(), Arc::clone(&done));
        let task = load.connections.task(move || job.run());
        pool.spawn(move || {
            task();
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    wait_while_it_moves("all that was spawned has run", tasks, || done.load(Ordering::SeqCst));
}

fn scoped(pool: &ThreadPool, load: &Load<'_>, tasks: usize) {
    let job = load.job();
    pool.scope(|scope| {
        for _ in 0..tasks {
            let task = load.connections.task(|| job.run());
            scope.spawn(move |_| task());
        }
    });
}

fn iterated(pool: &ThreadPool, load: &Load<'_>, tasks: usize) {
    let job = load.job();
    pool.install(|| (0..tasks).into_par_iter().for_each(|_| load.connections.task(|| job.run())()));
}

fn load_on_rayon(server: &Server) {
    let load = Load::new(server, &["default", "other"], TaskPolicy::CloseDue);
    let pool = pool(WORKERS);
    run_on_each(&pool, &load, 2);
    let a_third = tasks() / 3;
    spawn(&pool, &load, a_third);
    scoped(&pool, &load, a_third);
    iterated(&pool, &load, tasks() - 2 * a_third - WORKERS);
    assert_eq!(load.story.opened(), WORKERS * 2, "each thread has opened each alias once");
    load.check(&Expected { jobs: tasks(), at_most: WORKERS * 2, left: WORKERS * 2 });
}

fn each_policy_on_rayon(server: &Server) {
    for (policy, tasks) in [(TaskPolicy::CloseAll, 100), (TaskPolicy::Keep, 2_000)] {
        let load = Load::new(server, &["default"], policy);
        let pool = pool(WORKERS);
        run_on_each(&pool, &load, 1);
        for run in [spawn, scoped, iterated] {
            run(&pool, &load, tasks);
        }
        let jobs = WORKERS + 3 * tasks;
        let close_all = policy == TaskPolicy::CloseAll;
        assert_eq!(load.story.opened(), if close_all { jobs } else { WORKERS });
        // What is closed after every task may still be listed when the next one is opened.
        let (left, leaving) = if close_all { (0, LEAVING) } else { (WORKERS, 0) };
        load.check(&Expected { jobs, at_most: WORKERS + leaving, left });
    }
}

/// Dropping a pool does not wait for its threads. Who has to know that their connections are gone closes them there.
fn rayons_exit_handler_may_close(server: &Server) {
    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let ended = Arc::new(AtomicUsize::new(0));
    let pool = {
        let (connections, ended) = (load.connections.clone(), Arc::clone(&ended));
        let at_exit = move |_| {
            connections.close_all();
            ended.fetch_add(1, Ordering::SeqCst);
        };
        ThreadPoolBuilder::new().num_threads(4).exit_handler(at_exit).build().expect("a pool")
    };
    run_on_each(&pool, &load, 1);
    assert_eq!(load.story.open(), 4);
    drop(pool);
    wait_until("the handler has run on each thread", || ended.load(Ordering::SeqCst) == 4);
    assert_eq!(load.story.reasons(), [CloseReason::Asked; 4]);
    load.check(&Expected { jobs: 4, at_most: 4, left: 0 });
}

/// A thread of rayon that waits for jobs runs others meanwhile, on its own connection: why nobody should wait for them in
/// the middle of a block.
fn a_job_that_a_waiting_thread_picks_up_is_inside_its_block(server: &Server) {
    let opened = Opened::new(server);
    opened.db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    let connections = &opened.connections;
    let insert = |n: i64| connections.get("default")?.execute("INSERT INTO t VALUES (?)", dockline::params![n]);
    // With one thread there is no other that could pick the job up.
    let undone: dockline::Result<()> = pool(1).install(|| {
        connections.get("default")?.atomic(|| {
            insert(1)?;
            rayon::scope(|scope| scope.spawn(|_| connections.task(|| insert(2).map(drop).unwrap())()));
            Err(dockline::Error::config("the block is undone, and the job with it"))
        })
    });
    assert!(undone.is_err());
    assert_eq!(count(&opened.db), 0);
    pool(1).install(|| {
        insert(1).unwrap();
        rayon::scope(|scope| scope.spawn(|_| connections.task(|| insert(2).map(drop).unwrap())()));
    });
    assert_eq!(count(&opened.db), 2);
}

fn count(db: &Connection) -> i64 {
    db.query_value("SELECT count(*) FROM t", ()).unwrap()
}
