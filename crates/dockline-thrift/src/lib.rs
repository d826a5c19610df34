//! [Dockline](https://docs.rs/dockline) in servers of [Apache Thrift](https://docs.rs/thrift): every message is a request.
//!
//! A worker of a Thrift server belongs to one client for as long as that stays, and spends its time waiting for the client's next
//! message, inside the processor. A processor that began a request before it calls another one would count the wait as a
//! part of it. [`RequestProcessor`] reads the head of the message first, which is where the wait is, and begins the request then:
//!
//! ```
//! # use thrift::protocol::{TInputProtocol, TOutputProtocol};
//! use dockline::{Connections, Databases, Settings};
//! use dockline_thrift::RequestProcessor;
//! use thrift::protocol::{TBinaryInputProtocolFactory, TBinaryOutputProtocolFactory};
//! use thrift::server::{TProcessor, TServer};
//! use thrift::transport::{TBufferedReadTransportFactory, TBufferedWriteTransportFactory};
//!
//! # struct JobsHandler;
//! # struct JobsSyncProcessor(JobsHandler);
//! # impl JobsSyncProcessor {
//! #     fn new(handler: JobsHandler) -> Self {
//! #         Self(handler)
//! #     }
//! # }
//! # impl TProcessor for JobsSyncProcessor {
//! #     fn process(&self, _: &mut dyn TInputProtocol, _: &mut dyn TOutputProtocol) -> thrift::Result<()> {
//! #         Ok(())
//! #     }
//! # }
//! # fn main() -> dockline::Result<()> {
//! # let settings = Settings::from_url("sqlite::memory:")?;
//! let connections = Connections::new(Databases::new().with("default", settings))?;
//! // What the Thrift compiler has made of the service, with the handler of the program.
//! let jobs = JobsSyncProcessor::new(JobsHandler);
//! let server = TServer::new(
//!     TBufferedReadTransportFactory::new(),
//!     TBinaryInputProtocolFactory::new(),
//!     TBufferedWriteTransportFactory::new(),
//!     TBinaryOutputProtocolFactory::new(),
//!     RequestProcessor::new(&connections, jobs),
//!     16, // workers, and so connections for each alias
//! );
//! # let _ = server;
//! # Ok(())
//! # }
//! ```
//!
//! # What a request is
//!
//! It begins when the head of a message has been read, and ends when the processor inside has written its answer, or has failed
//! or panicked. (A panic ends the worker in a `TServer`, and its connections with it; the server starts another worker.)
//! Messages that are one-way are requests too. At both ends, connections that are due are closed.
//!
//! Handlers take [`connection`](https://docs.rs/dockline/latest/dockline/fn.connection.html) or
//! [`get`](dockline_core::Registry::get) as anywhere else. A request cannot be a transaction here: a generated processor makes an
//! answer of a handler's error, so that nobody outside the handler knows which it was, and the answer is on its way by
//! then. A handler that is to be one says so, by [`atomic`](dockline_core::Connection::atomic) or
//! [`in_request`](dockline_core::Registry::in_request) around what it does, and answers when it has committed. That is also what an
//! alias with `atomic_requests` needs; it is a request inside this one then, and both are told of.
//!
//! # How many connections
//!
//! A worker has one for each alias that it has used, also while it waits: 16 workers, 16 connections. What becomes of them
//! when the client leaves is [`when_client_leaves`](RequestProcessor::when_client_leaves). With
//! [`conn_max_age`](dockline_core::Settings::conn_max_age) of zero, each message has a connection of its own.
//!
//! # Other servers
//!
//! `TServer` runs until the process ends. A program with threads of its own calls [`serve`](RequestProcessor::serve) on the
//! thread of each client.
//!
//! The crate works with `thrift` 0.17 to 0.25; cargo takes the version that the program's own dependency names.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod processor;

pub use processor::RequestProcessor;
