//! Sections of blocking code, on threads that may block.

use std::fmt;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use dockline_core::{Error, ErrorKind, Registry, Result, ShutdownReport, Task};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

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
    /// Nothing is started before the first section.
    pub fn new(registry: &Registry) -> Self {
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;
    use dockline::signals::CloseReason;
    use dockline::{Connections, Databases, Settings, TaskPolicy};
    use tokio::runtime::{Builder, Runtime};

    fn connections() -> Connections {
        of(Settings::from_url("sqlite::memory:").unwrap())
    }

    fn of(settings: Settings) -> Connections {
        Connections::new(Databases::new().with("default", settings)).unwrap()
    }

    fn both() -> [Runtime; 2] {
        [
            Builder::new_current_thread().enable_time().build().unwrap(),
            Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap(),
        ]
    }

    fn one(connections: &Connections) -> impl FnOnce() -> Result<i64> + Send + 'static {
        let connections = connections.clone();
        move || connections.get("default")?.query_value("SELECT 1", ())
    }

    #[test]
    fn a_request_is_one_on_its_thread() {
        for runtime in both() {
            let connections = connections();
            let (sends, events) = mpsc::channel();
            let (started, finished) = (Mutex::new(sends.clone()), Mutex::new(sends.clone()));
            let thread = || thread::current().id();
            connections
                .signals()
                .request_started
                .connect(move |_| started.lock().unwrap().send(("started", thread())).unwrap());
            connections
                .signals()
                .request_finished
                .connect(move |_| finished.lock().unwrap().send(("finished", thread())).unwrap());
            let section = one(&connections);
            let blocking = Blocking::new(&connections);
            let value = runtime.block_on(blocking.request(move || {
                sends.send(("runs", thread())).unwrap();
                section()
            }));
            assert_eq!(value.unwrap(), 1);
            let events: Vec<_> = events.try_iter().collect();
            let names: Vec<_> = events.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["started", "runs", "finished"]);
            assert!(events.iter().all(|(_, id)| *id == events[0].1 && *id != thread()), "{events:?}");
        }
    }

    #[test]
    fn requests_are_atomic_where_the_alias_says_so() {
        let runtime = &both()[0];
        let connections = of(Settings::from_url("sqlite::memory:").unwrap().atomic_requests(true));
        let blocking = Blocking::new(&connections);
        let db = connections.clone();
        runtime
            .block_on(blocking.request(move || db.get("default")?.execute("CREATE TABLE t (n INTEGER)", ())))
            .unwrap();
        let db = connections.clone();
        let failed = runtime.block_on(blocking.request(move || {
            db.get("default")?.execute("INSERT INTO t VALUES (1)", ())?;
            Err::<(), _>(Error::new(ErrorKind::Data, "undo"))
        }));
        assert_eq!(failed.unwrap_err().message(), "undo");
        let count = move || connections.get("default")?.query_value::<i64>("SELECT count(*) FROM t", ());
        assert_eq!(runtime.block_on(blocking.request(count)).unwrap(), 0);
    }

    #[test]
    fn a_task_has_the_policy_and_the_hooks_that_it_is_given() {
        let runtime = &both()[0];
        let connections = connections();
        let closed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&closed);
        connections.signals().connection_closed.connect(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let (sends, reports) = mpsc::channel();
        let blocking = Blocking::new(&connections);
        let task =
            Task::new().policy(TaskPolicy::CloseAll).on_done(move |report| sends.send(report.statements()).unwrap());
        assert_eq!(runtime.block_on(blocking.task_with(task, one(&connections))).unwrap().unwrap(), 1);
        assert_eq!((reports.recv().unwrap(), closed.load(Ordering::SeqCst)), (1, 1));
        assert_eq!(runtime.block_on(blocking.task(one(&connections))).unwrap().unwrap(), 1);
        assert_eq!(closed.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panic_goes_on_in_the_task_that_waits() {
        for runtime in both() {
            let connections = connections();
            let blocking = Blocking::new(&connections).limit(1);
            let panics = blocking.clone();
            let joined = runtime
                .block_on(runtime.spawn(async move { panics.request(|| -> Result<()> { panic!("mine") }).await }));
            let panic = joined.unwrap_err().into_panic();
            assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "mine");
            // Its place is free again.
            assert_eq!(runtime.block_on(blocking.request(one(&connections))).unwrap(), 1);
        }
    }

    #[test]
    fn no_more_run_at_a_time_than_the_limit() {
        let runtime = &both()[1];
        let connections = connections();
        let blocking = Blocking::new(&connections).limit(3);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (comes, came) = mpsc::channel();
        let gates: Vec<_> = (0..9)
            .map(|_| {
                let (opens, opened) = mpsc::channel::<()>();
                let (running, most, comes, blocking) = (running.clone(), most.clone(), comes.clone(), blocking.clone());
                runtime.spawn(async move {
                    let section = move || {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        comes.send(()).unwrap();
                        let _ = opened.recv();
                        running.fetch_sub(1, Ordering::SeqCst);
                    };
                    blocking.task(section).await.unwrap();
                });
                opens
            })
            .collect();
        for _ in 0..3 {
            came.recv().unwrap();
        }
        assert_eq!(runtime.metrics().num_alive_tasks(), 9, "the others wait");
        drop(gates);
        for _ in 3..9 {
            came.recv().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_section_whose_caller_is_gone_keeps_its_place_to_its_end() {
        let runtime = &both()[1];
        let connections = connections();
        let blocking = Blocking::new(&connections).limit(1);
        let (comes, came) = mpsc::channel();
        let (opens, opened) = mpsc::channel::<()>();
        let (ends, ended) = mpsc::channel();
        let caller = blocking.clone();
        let caller = runtime.spawn(async move {
            let section = move || {
                comes.send(()).unwrap();
                opened.recv().unwrap();
                ends.send(()).unwrap();
            };
            caller.task(section).await
        });
        came.recv().unwrap();
        caller.abort();
        assert!(runtime.block_on(caller).unwrap_err().is_cancelled());
        let free = || blocking.threads.free().unwrap();
        assert_eq!(free(), 0);
        // One that waits for its place and is given up never runs.
        let mut waits = Box::pin(blocking.task(|| unreachable!("it never had a place")));
        let polled = Future::poll(waits.as_mut(), &mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_pending());
        drop(waits);
        opens.send(()).unwrap();
        ended.recv().unwrap();
        assert_eq!(runtime.block_on(blocking.request(one(&connections))).unwrap(), 1);
    }

    #[test]
    fn a_runtime_that_is_gone_is_an_error() {
        let connections = connections();
        let gone = Builder::new_current_thread().build().unwrap();
        let blocking = Blocking::new(&connections).on(gone.handle());
        drop(gone);
        for _ in 0..2 {
            let error = both()[0].block_on(blocking.request(one(&connections))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interface);
            assert!(error.message().contains("shut down"), "{error}");
        }
        let error = both()[0].block_on(blocking.task(|| ())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interface);
    }

    /// As under an executor of another make.
    #[test]
    fn no_runtime_is_needed_for_threads_of_its_own() {
        let connections = connections();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let unlimited = Blocking::new(&connections).unlimited();
        let mut call = Box::pin(unlimited.request(one(&connections)));
        let polled = Future::poll(call.as_mut(), &mut context);
        let std::task::Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
        assert_eq!(error.kind(), ErrorKind::Interface);
        assert!(error.message().contains("Blocking::on"), "{error}");

        let own = Blocking::new(&connections);
        let mut call = Box::pin(own.request(one(&connections)));
        let value = loop {
            if let std::task::Poll::Ready(value) = Future::poll(call.as_mut(), &mut context) {
                break value;
            }
            thread::yield_now();
        };
        assert_eq!(value.unwrap(), 1);
    }

    #[test]
    fn sections_run_where_they_are_sent() {
        let threads = Builder::new_current_thread().max_blocking_threads(2).thread_name("database").build().unwrap();
        let connections = connections();
        let blocking = Blocking::new(&connections).on(threads.handle());
        let name = || thread::current().name().map(str::to_owned);
        for runtime in both() {
            assert_eq!(runtime.block_on(blocking.task(name)).unwrap().as_deref(), Some("database"));
        }
    }

    #[test]
    fn connections_are_no_more_than_the_limit() {
        let runtime = &both()[1];
        let connections = connections();
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        connections.signals().connection_created.connect(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let blocking = Blocking::new(&connections).limit(3);
        let tasks: Vec<_> = (0..300)
            .map(|_| {
                let (blocking, section) = (blocking.clone(), one(&connections));
                runtime.spawn(async move { blocking.request(section).await.unwrap() })
            })
            .collect();
        for task in tasks {
            assert_eq!(runtime.block_on(task).unwrap(), 1);
        }
        assert!((1..=3).contains(&opened.load(Ordering::SeqCst)), "{opened:?}");
        let name = || thread::current().name().map(str::to_owned);
        assert_eq!(runtime.block_on(blocking.task(name)).unwrap().as_deref(), Some("dockline-blocking"));
    }

    /// In a task, and on the threads themselves.
    #[test]
    fn threads_end_with_the_last_clone() {
        for runtime in both() {
            let (sends, closed) = mpsc::channel();
            let connections = connections();
            let sends = Mutex::new(sends);
            connections
                .signals()
                .connection_closed
                .connect(move |event| sends.lock().unwrap().send(event.reason()).unwrap());
            let blocking = Blocking::new(&connections).limit(1);
            let section = one(&connections);
            runtime.block_on(async move {
                assert_eq!(blocking.task(section).await.unwrap().unwrap(), 1);
                drop(blocking);
            });
            assert_eq!(closed.recv_timeout(Duration::from_secs(60)).unwrap(), CloseReason::ThreadExit);

            let blocking = Blocking::new(&connections).limit(1);
            let (opens, opened) = mpsc::channel::<()>();
            let (clone, section) = (blocking.clone(), one(&connections));
            let section = move || {
                opened.recv().unwrap();
                section().unwrap();
                drop(clone);
            };
            // It is given up, and goes on alone.
            let mut waits = Box::pin(async move { blocking.task(section).await });
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(Future::poll(waits.as_mut(), &mut context).is_pending());
            drop(waits);
            opens.send(()).unwrap();
            assert_eq!(closed.recv_timeout(Duration::from_secs(60)).unwrap(), CloseReason::ThreadExit);
        }
    }

    #[test]
    fn after_a_shutdown_sections_have_errors() {
        for runtime in both() {
            let connections = connections();
            let blocking = Blocking::new(&connections).limit(1);
            assert_eq!(runtime.block_on(blocking.request(one(&connections))).unwrap(), 1);
            // It waits for no place.
            let (opens, opened) = mpsc::channel::<()>();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let mut waits = Box::pin(blocking.task(move || opened.recv().unwrap()));
            assert!(Future::poll(waits.as_mut(), &mut context).is_pending());
            let report = runtime.block_on(blocking.shutdown(Duration::from_secs(60))).unwrap();
            assert_eq!((report.closed, report.left.len()), (1, 0));
            opens.send(()).unwrap();
            runtime.block_on(waits).unwrap();
            let error = runtime.block_on(blocking.request(one(&connections))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interface, "{error}");
        }
    }

    #[test]
    #[should_panic(expected = "a limit of 0")]
    fn a_limit_of_none_is_refused() {
        let _ = Blocking::new(&connections()).limit(0);
    }

    #[test]
    fn futures_can_be_spawned() {
        fn is_send<T: Send + Sync>(_: &T) {}
        let connections = connections();
        let blocking = Blocking::new(&connections);
        is_send(&blocking);
        fn can_be_spawned<T: Send>(_: T) {}
        can_be_spawned(blocking.request(one(&connections)));
        can_be_spawned(blocking.task(|| 1));
        can_be_spawned(blocking.shutdown(Duration::ZERO));
        assert_eq!(format!("{:?}", blocking.limit(7)).matches("limit: 7").count(), 1);
    }
}
