//! A master that forks workers, each of which serves jobs from one table: what Gunicorn and PHP's FPM do.
//!
//! ```sh
//! cargo run --example prefork               # an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example prefork
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example prefork -- 8
//! ```
//!
//! The master has a connection before it forks and uses it after that. A worker has a copy of it, and neither speaks on it nor says
//! goodbye: its first statement notices that it is another process, and opens a connection of its own. One worker is
//! killed in the middle of its work, and the master forks another in its place. Ctrl-C ends them all.
//!
//! Fork before there are threads, as here: a child has a copy of every lock, and of one thread only.

#[cfg(unix)]
mod prefork {
    use std::collections::BTreeMap;
    use std::error::Error;
    use std::process::ExitCode;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::sleep;
    use std::time::Duration;

    use dockline::{Connection, params};
    use dockline_examples::databases;
    use nix::sys::signal::{SigHandler, Signal, kill, signal};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::{ForkResult, Pid, fork};

    const WORKERS: i64 = 4;
    const JOBS: i64 = 200;
    /// How long a job takes, besides the database.
    const WORK: Duration = Duration::from_millis(5);
    /// Where more die than that, another one would, too.
    const MOST_REPLACED: u32 = 5;

    type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

    /// SIGINT or SIGTERM has come.
    static ENDING: AtomicBool = AtomicBool::new(false);

    extern "C" fn end(_: nix::libc::c_int) {
        ENDING.store(true, Ordering::Relaxed);
    }

    pub fn main() -> ExitCode {
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
        match run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("prefork: {error}");
                ExitCode::from(2)
            }
        }
    }

    fn run() -> Fallible<()> {
        let workers = match std::env::args().nth(1) {
            None => WORKERS,
            Some(text) => text.parse().ok().filter(|n| (1..=64).contains(n)).ok_or("say how many workers: 1 to 64")?,
        };
        // Until this is dropped: the database of a run without DATABASE_URL.
        let folder = tempfile::tempdir()?;
        dockline::init(databases(&folder.path().join("jobs.db"))?)?;
        for ends in [Signal::SIGINT, Signal::SIGTERM] {
            // SAFETY: the handler only stores to an atomic.
            unsafe { signal(ends, SigHandler::Handler(end)) }?;
        }

        let db = dockline::connection()?;
        db.execute("DROP TABLE IF EXISTS dockline_job", ())?;
        db.execute("CREATE TABLE dockline_job (id BIGINT PRIMARY KEY, worker BIGINT, process BIGINT)", ())?;
        db.execute_many("INSERT INTO dockline_job (id) VALUES (?)", (1..=JOBS).map(|id| params![id]))?;
        println!("the master has connection {}", name_of(&db));

        let mut processes = BTreeMap::new();
        for worker in 1..=workers {
            processes.insert(start(worker)?, worker);
        }
        let outcome = watch(&db, &mut processes);
        // Where it failed, or the program is ending. They end when their job is done.
        for process in processes.keys() {
            let _ = kill(*process, Signal::SIGTERM);
        }
        for process in processes.into_keys() {
            waitpid(process, None)?;
        }
        let replaced = outcome?;

        println!("the master still has connection {}", name_of(&db));
        let per_worker = "SELECT worker, COUNT(*), COUNT(DISTINCT process) FROM dockline_job WHERE worker IS NOT NULL \
                          GROUP BY worker ORDER BY worker";
        for (worker, jobs, processes) in db.query_as::<(i64, i64, i64)>(per_worker, ())? {
            println!("worker {worker}: {jobs} jobs in {processes} process{}", if processes == 1 { "" } else { "es" });
        }
        println!("{} of {JOBS} jobs done, {replaced} worker replaced", done(&db)?);
        db.execute("DROP TABLE dockline_job", ())?;
        let report = dockline::connections().shutdown(Duration::from_secs(5));
        println!("closed at the end: {}, left: {}", report.closed, report.left.len());
        Ok(())
    }

    /// Watches the workers until they have ended, or are to end, and puts others in the place of those that have died. One of them is
    /// killed, for the example. It answers how many were replaced.
    fn watch(db: &Connection, processes: &mut BTreeMap<Pid, i64>) -> Fallible<u32> {
        let mut victim = processes.keys().next().copied();
        let mut replaced = 0;
        while !processes.is_empty() && !ENDING.load(Ordering::Relaxed) {
            if victim.is_some() && done(db)? > JOBS / 4 {
                // It may have ended by itself.
                let _ = victim.take().map(|process| kill(process, Signal::SIGKILL));
            }
            match waitpid(None, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::Exited(process, 0) => drop(processes.remove(&process)),
                WaitStatus::Exited(process, _) | WaitStatus::Signaled(process, ..) => {
                    let Some(worker) = processes.remove(&process) else { continue };
                    if replaced == MOST_REPLACED {
                        return Err("workers die again and again; what they said stands above".into());
                    }
                    println!("worker {worker} has died; another takes its place");
                    processes.insert(start(worker)?, worker);
                    replaced += 1;
                }
                _ => sleep(WORK),
            }
        }
        Ok(replaced)
    }

    /// Forks a worker.
    fn start(worker: i64) -> Fallible<Pid> {
        // SAFETY: this process has no other threads, so the child may do all that its parent may.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(child),
            ForkResult::Child => {
                let code = serve(worker).map_or_else(
                    |error| {
                        eprintln!("worker {worker}: {error}");
                        1
                    },
                    |()| 0,
                );
                // Not back into the master's code. What is open is closed, for this thread ends.
                std::process::exit(code)
            }
        }
    }

    /// Takes jobs until there are none.
    fn serve(worker: i64) -> Fallible<()> {
        let db = dockline::connection()?;
        let mut told = false;
        while !ENDING.load(Ordering::Relaxed) {
            let job = dockline::task(|| take(&dockline::connection()?, worker))()?;
            if !told {
                println!("worker {worker} has connection {}", name_of(&db));
                told = true;
            }
            match job {
                Some(_) => sleep(WORK),
                None => break,
            }
        }
        Ok(())
    }

    /// Claims a job; without a transaction, for the update alone decides whose it is.
    fn take(db: &Connection, worker: i64) -> dockline::Result<Option<i64>> {
        loop {
            let sql = "SELECT id FROM dockline_job WHERE worker IS NULL ORDER BY id LIMIT 1";
            let Some((id,)) = db.query_opt(sql, ())?.map(|row| row.decode::<(i64,)>()).transpose()? else {
                return Ok(None);
            };
            let sql = "UPDATE dockline_job SET worker = ?, process = ? WHERE id = ? AND worker IS NULL";
            if db.execute(sql, params![worker, i64::from(std::process::id()), id])? == 1 {
                return Ok(Some(id));
            }
        }
    }

    fn done(db: &Connection) -> dockline::Result<i64> {
        db.query_value("SELECT COUNT(*) FROM dockline_job WHERE worker IS NOT NULL", ())
    }

    /// The number of the connection at the server, where it has one.
    fn name_of(db: &Connection) -> String {
        match db.server_connection_id() {
            Some(id) => format!("{id} of the server"),
            None => format!("{} of process {}", db.serial().unwrap_or_default(), std::process::id()),
        }
    }
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    prefork::main()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("prefork: this system has no fork");
}
