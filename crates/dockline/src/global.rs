//! The registry of the whole process, and its calls as functions.

use dockline_core::{Connection, DEFAULT_ALIAS, Databases, Error, Request, Result, Task};
use once_cell::sync::OnceCell;

use crate::connections::Connections;

/// The registry of the process (Django's `django.db.connections`).
///
/// It never fails: the configuration is read by the first call that needs it, from [`init`] or else from the
/// environment ([`Databases::from_env`]). Where that fails, that call has the error, and the next one tries again.
///
/// ```no_run
/// let replica = dockline::connections().get("replica")?;
/// let jobs: i64 = replica.query_value("SELECT count(*) FROM job", ())?;
/// # let _ = jobs;
/// # Ok::<_, dockline::Error>(())
/// ```
#[inline]
pub fn connections() -> &'static Connections {
    static CONNECTIONS: OnceCell<Connections> = OnceCell::new();
    CONNECTIONS.get_or_init(|| Connections::lazy(Databases::from_env))
}

/// Configures the registry of the process. Call it once, before the first connection is asked for.
///
/// ```no_run
/// use dockline::Databases;
///
/// fn main() -> dockline::Result<()> {
///     dockline::init(Databases::from_toml_file("/etc/shop/databases.toml")?)
/// }
/// ```
///
/// # Errors
///
/// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where the configuration is wrong, or there is one
/// already.
pub fn init(databases: Databases) -> Result<()> {
    connections().configure(databases)
}

/// This thread's connection for the alias `default` (Django's `django.db.connection`). Opens nothing.
///
/// ```no_run
/// let jobs: i64 = dockline::connection()?.query_value("SELECT count(*) FROM job", ())?;
/// # let _ = jobs;
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// # Errors
///
/// As [`Registry::get`](crate::Registry::get).
#[inline]
pub fn connection() -> Result<Connection> {
    connections().get(DEFAULT_ALIAS)
}

/// [`Registry::close_old_connections`](crate::Registry::close_old_connections) of the registry of the process.
///
/// ```no_run
/// loop {
///     dockline::connection()?.execute("DELETE FROM job WHERE done", ())?;
///     dockline::close_old_connections();
///     std::thread::sleep(std::time::Duration::from_secs(60));
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
pub fn close_old_connections() {
    connections().close_old_connections();
}

/// [`Registry::reset_queries`](crate::Registry::reset_queries) of the registry of the process.
///
/// ```no_run
/// dockline::connection()?.force_query_log(true);
/// dockline::reset_queries();
/// # Ok::<_, dockline::Error>(())
/// ```
pub fn reset_queries() {
    connections().reset_queries();
}

/// [`Registry::request`](crate::Registry::request) of the registry of the process.
///
/// ```no_run
/// fn handle() -> dockline::Result<i64> {
///     let _request = dockline::request(); // until this is dropped, also by a panic
///     dockline::connection()?.query_value("SELECT count(*) FROM job", ())
/// }
/// ```
pub fn request() -> Request {
    connections().request()
}

/// [`Registry::in_request`](crate::Registry::in_request) of the registry of the process.
///
/// ```no_run
/// let jobs: i64 = dockline::in_request(|| dockline::connection()?.query_value("SELECT count(*) FROM job", ()))?;
/// # let _ = jobs;
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// # Errors
///
/// The closure's own, and those of its atomic blocks.
#[track_caller]
pub fn in_request<T, E: From<Error>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    connections().in_request(call)
}

/// [`Registry::task`](crate::Registry::task) of the registry of the process.
///
/// ```no_run
/// let work = dockline::task(|| dockline::connection()?.execute("DELETE FROM job WHERE done", ()));
/// std::thread::spawn(work).join().unwrap()?; // or any pool's execute
/// # Ok::<_, dockline::Error>(())
/// ```
pub fn task<T, F>(call: F) -> impl FnOnce() -> T + Send + use<T, F>
where
    F: FnOnce() -> T + Send,
{
    connections().task(call)
}

/// [`Registry::task_with`](crate::Registry::task_with) of the registry of the process.
///
/// ```no_run
/// use dockline::{Task, TaskPolicy};
///
/// let task = Task::new().policy(TaskPolicy::CloseAll);
/// let work = dockline::task_with(task, || dockline::connection()?.execute("DELETE FROM job WHERE done", ()));
/// std::thread::spawn(work).join().unwrap()?;
/// # Ok::<_, dockline::Error>(())
/// ```
pub fn task_with<T, F>(task: Task, call: F) -> impl FnOnce() -> T + Send + use<T, F>
where
    F: FnOnce() -> T + Send,
{
    connections().task_with(task, call)
}
