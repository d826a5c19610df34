//! A worker pool over a table of jobs, and a program that was written for a pool of connections.

use std::sync::mpsc::channel;
use std::time::Duration;

use dockline::{Connection, Connections, Error, ErrorKind, FromRow, FromValue, Result, ToValue, params};
use dockline_tests::servers::Server;
use dockline_tests::wait_until;

use crate::opened::Opened;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ToValue, FromValue)]
#[dockline(rename_all = "lowercase")]
enum State {
    Waiting,
    Done,
    Failed,
}

#[derive(Debug, FromRow)]
struct Job {
    id: i64,
    payload: String,
    tries: i32,
}

const JOBS: i64 = 60;

/// Takes a job that nobody has, works, and stores the outcome, as one transaction: a worker that dies gives its job back.
fn work_off_one(db: &Connection) -> Result<bool> {
    db.atomic(|| {
        let sql = "SELECT id, payload, tries FROM job WHERE state = ? ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED";
        let Some(row) = db.query_opt(sql, (State::Waiting,))? else { return Ok(false) };
        let job: Job = row.decode()?;
        // What a job does is undone if it fails, and that it has failed is stored.
        let outcome = db.atomic(|| {
            db.execute("INSERT INTO done (job, tries) VALUES (?, ?)", params![job.id, job.tries + 1])?;
            match job.payload.as_str() {
                "bad" => Err(Error::new(ErrorKind::Data, "a bad payload")),
                "flaky" if job.tries == 0 => Err(Error::new(ErrorKind::Data, "not this time")),
                _ => Ok(()),
            }
        });
        let state = match outcome {
            Ok(()) => State::Done,
            Err(_) if job.tries == 0 => State::Waiting,
            Err(_) => State::Failed,
        };
        db.execute("UPDATE job SET state = ?, tries = tries + 1 WHERE id = ?", params![state, job.id])?;
        Ok(true)
    })
}

pub(super) fn each_job_is_done_once(server: &Server) {
    let Opened { connections, db, .. } = &Opened::new(server);
    db.execute(
        "CREATE TABLE job (id BIGINT PRIMARY KEY, payload TEXT, state VARCHAR(10), tries INTEGER DEFAULT 0)",
        (),
    )
    .unwrap();
    db.execute("CREATE TABLE done (job BIGINT PRIMARY KEY, tries INTEGER)", ()).unwrap();
    let payload = |n: i64| ["good", "bad", "flaky"][n as usize % 3];
    let rows = (0..JOBS).map(|n| params![n, payload(n), State::Waiting]);
    db.execute_many("INSERT INTO job (id, payload, state) VALUES (?, ?, ?)", rows).unwrap();

    let pool = threadpool::ThreadPool::new(4);
    let (tell, told) = channel();
    for _ in 0..8 {
        let (registry, tell) = (connections.clone(), tell.clone());
        pool.execute(connections.task(move || {
            let worked = (|| {
                let db = registry.get("default")?;
                let mut worked = 0;
                while work_off_one(&db)? {
                    worked += 1;
                }
                Ok::<_, Error>(worked)
            })();
            tell.send(worked).unwrap();
        }));
    }
    drop(tell);
    let worked: i64 = told.iter().map(|worked| worked.unwrap()).sum();
    // What fails at first is tried twice.
    assert_eq!(worked, JOBS / 3 + 2 * (JOBS / 3) + 2 * (JOBS / 3));
    let count = |state| db.query_value::<i64>("SELECT count(*) FROM job WHERE state = ?", (state,)).unwrap();
    assert_eq!([State::Waiting, State::Done, State::Failed].map(count), [0, JOBS / 3 * 2, JOBS / 3]);
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM done", ()).unwrap(), JOBS / 3 * 2);
    pool.join();
    drop(pool);
    let open = || connections.status().aliases[0].connections.len();
    wait_until("the workers' connections are closed", || open() == 1);
}

/// What a program for r2d2 has of the pool. `get` took a connection out of it, and dropping that gave it back.
struct Pool(Connections);

impl Pool {
    fn get(&self) -> Result<Connection> {
        self.0.get("default")
    }

    fn max_size(&self) -> u32 {
        self.0.status().aliases[0].max_connections.unwrap_or_default()
    }
}

pub(super) fn a_program_for_a_pool_runs_on_a_cap(server: &Server) {
    let opened =
        Opened::with(server, |settings| settings.max_connections(Some(2)).acquire_timeout(Duration::from_secs(100)));
    let pool = Pool(opened.connections.clone());
    assert_eq!(pool.max_size(), 2);
    pool.get().unwrap().execute("CREATE TABLE hit (thread INTEGER, n INTEGER)", ()).unwrap();
    // Its place is another thread's when its request ends.
    drop(opened.connections.request());
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..5 {
                    // A unit of work was the life of a pooled connection; here it is a request.
                    let request = pool.0.request();
                    let db = pool.get().unwrap();
                    let insert = db.transaction(|| {
                        db.execute("INSERT INTO hit VALUES (?, ?)", (thread, n))?;
                        assert_eq!(
                            pool.get()?.serial(),
                            db.serial(),
                            "a second get is the same connection, not another one"
                        );
                        db.query_value::<i64>("SELECT count(*) FROM hit WHERE thread = ?", (thread,))
                    });
                    assert_eq!(insert.unwrap(), n + 1);
                    drop(request);
                }
            });
        }
    });
    let db = pool.get().unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM hit", ()).unwrap(), 30);
    let caps = opened.connections.cap_status("default").unwrap().unwrap();
    assert!(caps.timeouts == 0 && caps.max == 2, "{caps:?}");
}
