//! Threads of the standard library: long ones that run tasks, scoped ones, and short ones by the thousand.

use std::sync::{Arc, Barrier};
use std::thread;

use dockline::TaskPolicy;
use dockline_tests::servers::Server;

use super::load::{AtEnd, Expected, LEAVING, Load, WORKERS, hundred_connections, tasks};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(load_on_std_threads).own_server_with(hundred_connections),
        case!(load_on_scoped_threads).own_server_with(hundred_connections),
        case!(five_thousand_short_threads).own_server_with(hundred_connections),
    ]
}

fn load_on_std_threads(server: &Server) {
    let load = Load::new(server, &["default", "other"], TaskPolicy::CloseDue);
    // Each worker, and this thread.
    let ready = Arc::new((Barrier::new(WORKERS + 1), Barrier::new(WORKERS + 1)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (connections, job, ready) = (load.connections.clone(), load.job(), Arc::clone(&ready));
            thread::spawn(move || {
                for _ in 0..tasks() / WORKERS {
                    connections.task(|| job.run())();
                }
                ready.0.wait();
                ready.1.wait();
            })
        })
        .collect();
    ready.0.wait();
    {
        let _over = AtEnd(&ready.1);
        assert_eq!(load.story.opened(), WORKERS * 2, "each thread has opened each alias once");
        load.check(&Expected { jobs: tasks(), at_most: WORKERS * 2, left: WORKERS * 2 });
    }
    for worker in workers {
        worker.join().unwrap();
    }
}

/// A task may borrow there. Once for each policy.
fn load_on_scoped_threads(server: &Server) {
    let tasks = [(TaskPolicy::CloseDue, 2_000), (TaskPolicy::Keep, 500), (TaskPolicy::CloseAll, 20)];
    for (policy, each) in tasks {
        let load = Load::new(server, &["default"], policy);
        let [all, done, over] = [(); 3].map(|()| Barrier::new(WORKERS + 1));
        let job = load.job();
        let connections = load.connections.clone();
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    connections.task(|| job.run_with(&all))();
                    for _ in 1..each {
                        connections.task(|| job.run())();
                    }
                    done.wait();
                    over.wait();
                });
            }
            load.wait_until_seen(WORKERS);
            all.wait();
            done.wait();
            let _over = AtEnd(&over);
            // What is closed after every task may still be listed when the next one is opened.
            let (left, leaving) = if policy == TaskPolicy::CloseAll { (0, LEAVING) } else { (WORKERS, 0) };
            load.check(&Expected { jobs: WORKERS * each, at_most: WORKERS + leaving, left });
        });
    }
}

/// Fifty at any time, and a hundred places: what a thread leaves behind is gone before it is in the way of others.
fn five_thousand_short_threads(server: &Server) {
    const THREADS: usize = 5_000;
    const AT_A_TIME: usize = 50;

    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let job = load.job();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                for _ in 0..THREADS / AT_A_TIME {
                    let job = job.clone();
                    // Its thread-local destructors have run when this returns.
                    thread::spawn(move || job.run()).join().unwrap();
                }
            });
        }
    });
    assert_eq!(load.story.opened(), THREADS);
    load.check(&Expected { jobs: THREADS, at_most: AT_A_TIME + LEAVING, left: 0 });
}
