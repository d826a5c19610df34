//! [Dockline](https://docs.rs/dockline) in async programs: handlers are async, and the code for the database is not.
//!
//! A connection of Dockline belongs to a thread, and a statement blocks it. An async task has no thread: it may go on on
//! another one after each `await`, and a thread that is blocked runs no other task. So what uses the database is a section of
//! its own: a closure that runs on one thread that may block, from its first statement to its last, and returns what the async
//! code needs. [`Blocking`] runs such sections.
//!
//! ```
//! use dockline::{Connections, Databases, Settings, params};
//! use dockline_tokio::Blocking;
//!
//! # #[tokio::main]
//! # async fn main() -> dockline::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("app.db");
//! # let settings = Settings::new().engine("sqlite").name(file.to_str().unwrap());
//! let connections = Connections::new(Databases::new().with("default", settings))?;
//! let blocking = Blocking::new(&connections).limit(16);
//!
//! let db = connections.clone();
//! let count: i64 = blocking
//!     .request(move || {
//!         let db = db.get("default")?; // that thread's
//!         db.execute("CREATE TABLE job (name TEXT)", ())?;
//!         db.execute("INSERT INTO job VALUES (?)", params!["resize"])?;
//!         db.query_value("SELECT count(*) FROM job", ())
//!     })
//!     .await?;
//! assert_eq!(count, 1);
//! # Ok::<_, dockline::Error>(())
//! # }
//! ```
//!
//! A section of [`request`](Blocking::request) is a request of Dockline: connections that are due are closed at both its ends,
//! aliases with [`atomic_requests`](dockline_core::Settings::atomic_requests) get their transaction, and one that was left open
//! is rolled back. A section of [`task`](Blocking::task) is a task.
//!
//! # What goes into a section
//!
//! All that belongs to one transaction: the next section may run on another thread, with another connection. A handle
//! ([`Connection`](dockline_core::Connection)) cannot leave its thread, and so none can be kept across an `await`: that does not
//! compile in a task that is spawned. Rows and values can.
//!
//! ```compile_fail
//! # async fn elsewhere() {}
//! # fn main() {
//! tokio::spawn(async {
//!     let db = dockline::connection().unwrap();
//!     elsewhere().await; // the rest may run on another thread
//!     db.close();
//! });
//! # }
//! ```
//!
//! On a runtime of one thread and in a [`LocalSet`](tokio::task::LocalSet) it does compile, for such tasks stay on their thread. They
//! share its connection: if task A holds a transaction over an `.await`, a statement of task B would become part of it, and be
//! committed or rolled back with it. So a transaction remembers the task that began it, and a statement of any other task on that
//! thread is an error that is returned before anything is sent ([`watch_tasks`], which [`Blocking::new`] calls). Futures that are
//! joined inside one task are one task; nothing can tell them apart. Begin and end a transaction without an `.await` between.
//!
//! What waits for something else does not belong into it: while a section sleeps or asks another service, its thread and its
//! connection wait with it. Two short sections with the `await` between them are better.
//!
//! # How many connections
//!
//! Each thread that runs sections keeps a connection for each alias that it has used, until that is due or the thread ends. A
//! `Blocking` has threads of its own, [`DEFAULT_LIMIT`] unless [`limit`](Blocking::limit) says otherwise: that is the most
//! connections for each alias, and the most sections at a time. More of them wait, without a thread. Threads that have had
//! nothing to do for a minute end, and close what they have.
//!
//! Sections can also run by `spawn_blocking` on tokio's own blocking threads: [`unlimited`](Blocking::unlimited). There are up to
//! 512 of these, more than most servers take, and they come and go: one that had nothing to do for 10 s ends.
//!
//! # What ends a section
//!
//! Only itself. Where the future that waits for it is dropped, because a client has hung up or a time limit is over, a section
//! that still waits for its place never runs; one that has it runs to its end, commits what it commits, and keeps its place until
//! then. (A future cannot stop a thread. [`statement_timeout`](dockline_core::Settings::statement_timeout) ends a statement that
//! runs for too long.)
//!
//! A panic of the section goes on in the task that waits for it. Its transaction is rolled back, and its connection is as good
//! as Dockline finds it.
//!
//! # The other way round
//!
//! Where a statement is run on a thread of the runtime itself, by mistake, SQLite, MySQL and MariaDB block that thread as any
//! blocking call does. PostgreSQL, whose driver has a runtime of its own, makes way for the other tasks where the runtime
//! has several threads, and gives an error that says what to do where it has one.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `tower` | `Blocking` is a layer, which puts itself into the extensions of HTTP requests |
//! | `axum` | and an extractor, which takes it from there |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "tower")]
mod layer;
mod tasks;
mod threads;

pub use blocking::{Blocking, DEFAULT_LIMIT};
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use extract::NoBlocking;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use layer::WithBlocking;
pub use tasks::watch_tasks;
