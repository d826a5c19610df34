//! The stream of events of a registry: what happens on the connections of all of its threads, as it happens.
//!
//! [`Registry::events`](crate::Registry::events) has it. A listener hears all threads, and each from its first statement on; an
//! [execute wrapper](crate::Connection::execute_wrapper) belongs to one thread and one alias. Log lines, metrics and traces
//! tell of the same events.
//!
//! ```
//! use dockline::events::Event;
//! # fn listen(registry: &dockline::Registry) {
//! let id = registry.events().listen(|event| {
//!     if let Event::StatementDone { source, sql, elapsed, failure, .. } = event {
//!         eprintln!("{}: {elapsed:?} {sql} {failure:?}", source.alias());
//!     }
//! });
//! // …
//! registry.events().remove(id);
//! # }
//! ```
//!
//! What holds of listeners:
//!
//! - They run on the thread on which it happens, with nothing locked, so they may use the registry. What a listener does with the
//!   registry is not told itself. A thread that is ending is the exception: another thread tells of its connections.
//! - One that panics is logged at error (target `dockline::events`); the others run all the same, and the statement goes on.
//! - No event carries a value or a parameter. [`sql`](Event::StatementDone::sql) is the text as the program wrote it, so what the program
//!   writes into the text is in it.
//! - Where nobody listens, a statement pays one load of memory that nobody writes.

mod event;
mod failure;
mod listeners;
mod source;

pub use self::event::{Event, Seen, TransactionOutcome, WaitOutcome};
pub use self::failure::Failure;
pub use self::listeners::{Events, ListenerId};
pub use self::source::Source;
pub use crate::slot::reason::CloseReason;
