//! What must not compile, each beside a twin that differs in the one thing that is wrong, and runs. (The number of the error is
//! checked by nightly compilers only; E0277 is that of a value that is not `Send`, or not `Sync`.)

/// A connection cannot leave its thread. What goes there is the registry, and the thread asks for its own.
///
/// ```compile_fail,E0277
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.get("default")?;
/// let thread = std::thread::spawn(move || db.query_value::<i64>("SELECT 1", ()));
/// assert_eq!(thread.join().unwrap()?, 1);
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.clone();
/// let thread = std::thread::spawn(move || db.get("default")?.query_value::<i64>("SELECT 1", ()));
/// assert_eq!(thread.join().unwrap()?, 1);
/// # Ok::<_, dockline::Error>(())
/// ```
struct ConnectionOnAnotherThread;

/// Nor can it be borrowed there: it is not `Sync` either.
///
/// ```compile_fail,E0277
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.get("default")?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| db.alias().len());
/// });
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = &connections;
/// std::thread::scope(|scope| {
///     scope.spawn(|| db.get("default").map(|db| db.alias().len()));
/// });
/// # Ok::<_, dockline::Error>(())
/// ```
struct ConnectionBorrowedByAnotherThread;

/// A request ends on the thread that it began on.
///
/// ```compile_fail,E0277
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let request = connections.request();
/// std::thread::spawn(move || drop(request)).join().unwrap();
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let request = connections.clone();
/// std::thread::spawn(move || drop(request.request())).join().unwrap();
/// # Ok::<_, dockline::Error>(())
/// ```
struct RequestEndedByAnotherThread;

/// A connection is let go of on the thread that holds it.
///
/// ```compile_fail,E0277
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let hold = connections.get("default")?.hold();
/// std::thread::spawn(move || drop(hold)).join().unwrap();
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let hold = connections.clone();
/// std::thread::spawn(move || drop(hold.get("default").map(|db| db.hold()))).join().unwrap();
/// # Ok::<_, dockline::Error>(())
/// ```
struct HoldOnAnotherThread;

/// A block ends on the thread that it began on.
///
/// ```compile_fail,E0277
/// # use dockline::{Atomic, Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.get("default")?;
/// let block = db.begin_atomic(Atomic::new())?;
/// std::thread::spawn(move || block.commit()).join().unwrap()?;
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Atomic, Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.clone();
/// let block = move || db.get("default")?.begin_atomic(Atomic::new());
/// std::thread::spawn(move || block()?.commit()).join().unwrap()?;
/// # Ok::<_, dockline::Error>(())
/// ```
struct BlockOnAnotherThread;

/// A task is made for another thread, so it cannot take this thread's connection along, wherever it runs in the end.
///
/// ```compile_fail,E0277
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.get("default")?;
/// let task = connections.task(move || db.query_value::<i64>("SELECT 1", ()));
/// assert_eq!(task()?, 1);
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.clone();
/// let task = connections.task(move || db.get("default")?.query_value::<i64>("SELECT 1", ()));
/// assert_eq!(task()?, 1);
/// # Ok::<_, dockline::Error>(())
/// ```
struct TaskWithAConnection;

/// Nor can what is given to it when it is done.
///
/// ```compile_fail,E0277
/// # use dockline::{Connections, Databases, Settings, Task};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.get("default")?;
/// let task = Task::new().on_done(move |_| drop(db.query("SELECT 1", ())));
/// connections.task_with(task, || ())();
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Connections, Databases, Settings, Task};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.clone();
/// let task = Task::new().on_done(move |_| drop(db.get("default").map(|db| db.query("SELECT 1", ()))));
/// connections.task_with(task, || ())();
/// # Ok::<_, dockline::Error>(())
/// ```
struct HookWithAConnection;

/// In a function whose error takes many others, as that of `anyhow::Result`, nothing says which error a block has. `transaction` has
/// Dockline's, and `atomic` takes the one that its closure names.
///
/// ```compile_fail,E0283
/// # use dockline::Connection;
/// # struct Anyhow;
/// # impl<E: std::error::Error> From<E> for Anyhow { fn from(_: E) -> Self { Self } }
/// fn sweep(db: &Connection) -> Result<u64, Anyhow> {
///     let gone = db.atomic(|| Ok(db.execute("DELETE FROM job", ())?))?;
///     Ok(gone)
/// }
/// ```
///
/// ```
/// # use dockline::Connection;
/// # struct Anyhow;
/// # impl<E: std::error::Error> From<E> for Anyhow { fn from(_: E) -> Self { Self } }
/// fn sweep(db: &Connection) -> Result<u64, Anyhow> {
///     let gone = db.transaction(|| Ok(db.execute("DELETE FROM job", ())?))?;
///     Ok(gone)
/// }
///
/// fn sweep_and_parse(db: &Connection, text: &str) -> Result<u64, Anyhow> {
///     db.atomic(|| -> Result<_, Anyhow> {
///         let least: i64 = text.parse()?;
///         Ok(db.execute("DELETE FROM job WHERE id < ?", (least,))?)
///     })
/// }
/// ```
struct BlockWithoutATypeOfError;

/// Bytes are one parameter, and no list of parameters.
///
/// ```compile_fail,E0277
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.get("default")?;
/// let bytes: Vec<u8> = vec![97];
/// db.query("SELECT ?", &bytes)?;
/// # Ok::<_, dockline::Error>(())
/// ```
///
/// ```
/// # use dockline::{Connections, Databases, Settings};
/// # let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:")?);
/// # let connections = Connections::new(databases)?;
/// let db = connections.get("default")?;
/// let bytes: Vec<u8> = vec![97];
/// db.query("SELECT ?", (&bytes,))?;
/// # Ok::<_, dockline::Error>(())
/// ```
struct BytesAsAList;
