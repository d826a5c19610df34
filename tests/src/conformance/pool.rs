//! The step that runs tasks on a pool of threads.

use std::sync::mpsc;
use std::thread;

use dockline::Connections;
use serde_json::{Value, json};

use super::failure::Failure;
use super::physicals::Physicals;
use super::scenario::{Hook, Pool};
use super::statement::Prepared;

/// Runs the tasks, says how many connections are open then, and ends the pool.
pub(super) fn run(
    pool: &Pool,
    statement: &Prepared<'_>,
    alias: &str,
    connections: &Connections,
    physicals: &Physicals,
) -> Result<Value, Failure> {
    let task = &|| -> Result<(), Failure> {
        statement.first_column(&connections.get(alias)?)?;
        match pool.hook {
            Hook::CloseAll => connections.close_all(),
            Hook::CloseOldConnections => connections.close_old_connections(),
            Hook::None => {}
        }
        Ok(())
    };
    let workers = pool.workers.get();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let begin = |first: usize| {
            // The worker stays until this is dropped: an idle thread of a pool keeps its connections.
            let (stay, leave) = mpsc::channel::<()>();
            let tell = tell.clone();
            let worker = scope.spawn(move || {
                let mine = (first..pool.tasks).step_by(workers);
                let failed: Vec<_> = mine.filter_map(|number| task().err().map(|failure| (number, failure))).collect();
                physicals.tell(connections);
                // Nobody listens any more where another worker panicked.
                let _ = tell.send(failed);
                drop(tell);
                let _ = leave.recv();
            });
            (worker, stay)
        };
        let running: Vec<_> = (0..workers).map(begin).collect();
        drop(tell);
        let mut failed: Vec<(usize, Failure)> = told.into_iter().flatten().collect();
        let open = physicals.count_listed();
        for (worker, stay) in running {
            drop(stay);
            let id = worker.thread().id();
            // Joined one by one: the end of the scope alone does not wait for what a thread does in its destructors.
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
            physicals.forget(id);
        }
        failed.sort_by_key(|(number, _)| *number);
        if let Some((_, failure)) = failed.into_iter().next() {
            return Err(failure);
        }
        let mut report = json!({ "ran": pool.tasks });
        if let Some(open) = open.map_err(Failure::broken)? {
            report["open_after"] = open.into();
        }
        Ok(report)
    })
}
