//! Sections of blocking code, on threads that may block.

use std::fmt;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use dockline_core::{Error, ErrorKind, Registry, Result, ShutdownReport, Task};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::tasks::watch_tasks;
use crate::threads::Threads;

/// How many threads a [`Blocking`] has, where [`limit`](Blocking::limit) does not say it: fewer than the servers' own defaults
/// for connections (100 on PostgreSQL, 151 on MySQL and MariaDB).
pub const DEFAULT_LIMIT: usize = 32;

/// Runs sections of blocking code for async code, each as a request or as a task, on threads that may block.
///
/// It is cheap to clone, and the clones share their threads. It keeps its registry alive, as the registry's own clones do. What it
/// is for stands at the [crate](crate).
///
/// With the feature `tower` it is a layer that puts itself into the extensions of requests, and with `axum` an extractor that
/// finds it there:
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Router, routing::get};
/// use axum::http::StatusCode;
/// use dockline::{Connections, Databases, Settings};
/// use dockline_tokio::Blocking;
///
/// async fn jobs(blocking: Blocking) -> Result<String, StatusCode> {
///     let registry = blocking.registry().clone();
///     let count = blocking.request(move || registry.get("default")?.query_value::<i64>("SELECT count(*) FROM job", ()));
///     count.await.map(|count| count.to_string()).map_err(|error| {
///         eprintln!("{error}");
///         StatusCode::INTERNAL_SERVER_ERROR
///     })
/// }
///
/// # fn main() -> dockline::Result<()> {
/// # let settings = Settings::from_url("sqlite::memory:")?;
/// let connections = Connections::new(Databases::new().with("default", settings))?;
/// let router: Router = Router::new().route("/jobs", get(jobs)).layer(Blocking::new(&connections));
/// # let _ = router;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Blocking {
    registry: Registry,
    threads: Threads,
}

impl Blocking {
    /// Sections on a registry's connections, on [`DEFAULT_LIMIT`] threads. A `&Connections` of the crate `dockline` will do.
    /// Nothing is started before the first section. From now on a transaction is that of one async task: see [`watch_tasks`].
    pub fn new(registry: &Registry) -> Self {
        watch_tasks();
        Self { registry: registry.clone(), threads: Threads::own(DEFAULT_LIMIT) }
    }

    /// So many threads at the most, and so sections at a time, and connections for each alias. Sections that find no place wait for
    /// their turn, first come first served. Clones that were made before have their own threads.
    ///
    /// Threads are started as they are needed. They end when they had nothing to do for a minute, and when the last clone is
    /// dropped. They belong to a runtime of their own, which has neither I/O nor timers: a section that wants to spawn
    /// something takes the program's [`Handle`] along.
    ///
    /// A section that waits for another one keeps its own place: where all do, they wait for ever.
    ///
    /// # Panics
    ///
    /// With 0: nothing would ever run.
    #[must_use]
    pub fn limit(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a limit of 0 threads lets no section run; it is 1 or more");
        self.threads = Threads::own(threads);
        self
    }

    /// On the blocking threads of the runtime that waits for a section, by
    /// [`spawn_blocking`](tokio::task::spawn_blocking): up to 512, and as many connections for each alias, unless the runtime
    /// was built with [`max_blocking_threads`](tokio::runtime::Builder::max_blocking_threads). The program's files and look-ups
    /// of names have the same threads.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.threads = Threads::Here;
        self
    }

    /// On the blocking threads of this runtime, whichever waits for a section. It has to outlive the sections.
    ///
    /// ```
    /// # use dockline::{Connections, Databases, Settings};
    /// # use dockline_tokio::Blocking;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let connections = Connections::new(Databases::new().with("default", Settings::from_url("sqlite::memory:")?))?;
    /// let threads = tokio::runtime::Builder::new_multi_thread()
    ///     .worker_threads(1)
    ///     .max_blocking_threads(16)
    ///     .thread_keep_alive(Duration::from_secs(300)) // how long a thread that does nothing keeps its connections
    ///     .thread_name("database")
    ///     .build()?;
    /// let blocking = Blocking::new(&connections).on(threads.handle());
    /// # let _ = blocking;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on(mut self, runtime: &Handle) -> Self {
        self.threads = Threads::Of(runtime.clone());
        self
    }

    /// The registry whose connections the sections use.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Runs a section as a request: see [`Registry::in_request`], by whose rules it begins and ends.
    ///
    /// Where this future is dropped, a section that runs is not stopped: see the [crate](crate#what-ends-a-section).
    ///
    /// # Errors
    ///
    /// The section's own, and those of its transactions. Where it cannot run, and has not:
    /// [`Operational`](ErrorKind::Operational) where no threads can be had, and [`Interface`](ErrorKind::Interface) where the
    /// threads of a runtime are to be used, and there is none here, or it has been shut down, and in a process that was forked
    /// since this was made.
    ///
    /// # Panics
    ///
    /// With what the section panicked with.
    pub async fn request<T, E>(&self, section: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let registry = self.registry.clone();
        self.run(move || registry.in_request(section)).await?
    }

    /// Runs a section as a task, with the registry's policy: see [`Registry::task`].
    ///
    /// # Errors
    ///
    /// Where it cannot run, as for [`request`](Self::request). What the section itself answers is in the `Ok`.
    ///
    /// # Panics
    ///
    /// With what the section panicked with.
    pub async fn task<T: Send + 'static>(&self, section: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.task_with(Task::new(), section).await
    }

    /// As [`task`](Self::task), with a policy and with hooks of its own. The hooks run on the thread of the section.
    ///
    /// ```
    /// # use dockline::{Connections, Databases, Settings};
    /// # use dockline_tokio::Blocking;
    /// use dockline::{Task, TaskPolicy};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> dockline::Result<()> {
    /// # let connections = Connections::new(Databases::new().with("default", Settings::from_url("sqlite::memory:")?))?;
    /// # let blocking = Blocking::new(&connections);
    /// let report = Task::new()
    ///     .policy(TaskPolicy::CloseAll)
    ///     .on_done(|report| println!("{} statements in {:?}", report.statements(), report.elapsed()));
    /// let one = blocking.task_with(report, move || connections.get("default")?.query_value::<i64>("SELECT 1", ()));
    /// assert_eq!(one.await??, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    ///
    /// # Panics
    ///
    /// With what the section panicked with.
    pub async fn task_with<T: Send + 'static>(
        &self,
        task: Task,
        section: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        self.run(self.registry.task_with(task, section)).await
    }

    /// Shuts the registry down, and waits for what runs up to `limit`: see [`Registry::shutdown`]. It waits for no place.
    /// To be called when the server has ended: a section that begins later gets errors for its statements.
    ///
    /// # Errors
    ///
    /// [`Operational`](ErrorKind::Operational) where there is no thread to wait on; then nothing was shut down.
    pub async fn shutdown(&self, limit: Duration) -> Result<ShutdownReport> {
        let registry = self.registry.clone();
        let (done, report) = oneshot::channel();
        let shut_down = move || {
            // Nobody may wait for it any more.
            let _ = done.send(registry.shutdown(limit));
        };
        thread::Builder::new().name("dockline-shutdown".to_owned()).spawn(shut_down).map_err(|error| {
            Error::new(ErrorKind::Operational, format!("no thread can be started: {error}")).with_source(error)
        })?;
        report.await.map_err(|error| {
            let message = "shutting down panicked; the log says which receiver or driver did";
            Error::new(ErrorKind::Interface, message).with_source(error)
        })
    }

    async fn run<T: Send + 'static>(&self, section: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (runtime, place) = self.threads.take().await?;
        let section = move || {
            // Until the section has ended, whoever waits for it or not.
            let _place = place;
            section()
        };
        match runtime.spawn_blocking(section).await {
            Ok(value) => Ok(value),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => {
                let message = "the tokio runtime has been shut down, and this was not run";
                Err(Error::new(ErrorKind::Interface, message).with_source(error))
            }
        }
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("registry", &self.registry).field("threads", &self.threads).finish()
    }
}

#[cfg(test)]
mod tests;
