//! The PostgreSQL backend of Dockline, on the [postgres](https://docs.rs/postgres) crate.
//!
//! `postgres://user:password@host:port/name`, with the settings of
//! [`Settings`](dockline_core::Settings) in the query. The port is 5432 where none is given, the host `localhost`; a host that
//! begins with a slash is the folder of a Unix socket.
//!
//! # What it does
//!
//! - The stream between the driver and the server is watched, so the transaction state, the process id and a COMMIT that
//!   became a ROLLBACK are the server's word, on TCP and on Unix sockets.
//! - Statements are prepared once for each connection. With `prepared_statements = false` nothing is prepared, as poolers in
//!   transaction mode need it: each statement is one round trip, and its parameters are sent as text.
//! - A statement that the driver has prepared is sent and answered past the driver, on the same socket, if all is as it should be. Anything
//!   else in an answer is the driver's to read. On a connection that `native` has lent, the driver does all of it.
//! - With autocommit off, the first statement begins a transaction, as psycopg does it; so does that of an atomic block. The
//!   BEGIN goes out in one piece with the statement, and takes no round trip of its own.
//! - A password that is not in the settings comes from `~/.pgpass` (or `PGPASSFILE`), as with libpq; the file must not be
//!   readable by others.
//!
//! # Values
//!
//! | column | value |
//! |---|---|
//! | `boolean`, `smallint`, `integer`, `bigint`, `oid` | `Bool`, `Int` |
//! | `real`, `double precision` | `Float`, `Double` |
//! | `text`, `varchar`, `char`, `name`, `citext`, `xml`, enums | `Text` |
//! | `bytea` | `Bytes` |
//! | `numeric` | `Decimal` with the feature `decimal`, if it has at most 28 digits; else `Other`, which is its digits |
//! | `date`, `time`, `timestamp`, `timestamptz` | `Date`, `Time`, `DateTime`, `DateTimeTz` with the feature `chrono`; else, and for infinity, `Other` |
//! | `interval` | `Interval` |
//! | `uuid` | `Uuid` with the feature; else `Text` |
//! | `json`, `jsonb` | `Json`, which is the text |
//! | arrays | `Array` |
//! | ranges, composites, `money`, `inet`, `bit`, geometric types, … | `Other`, which is the text |
//! | types whose text is not known, such as `tsvector` | `Other`, which can be read as nothing |
//!
//! | option | default | |
//! |---|---|---|
//! | `options` | none | what libpq calls so: settings of the session, `-csearch_path=app`, and Neon's `endpoint=…`; in a URL also `?options=…` |
//!
//! A parameter is sent in the form that its place in the statement asks for, also as text that the server reads.
//!
//! # Many rows
//!
//! `execute_many` of `INSERT INTO t (a, b) VALUES (?, ?)` runs `INSERT INTO t (a, b) SELECT pg_catalog.unnest($1), pg_catalog.unnest($2)` with
//! up to 1,024 rows as arrays: that is the text which the server's statistics and log show. It does so if every value of the row is a
//! placeholder and nothing stands behind the row, the server prepares statements and is PostgreSQL itself, the columns are of built-in types
//! (`bool`, `bytea`, integers, floats, `numeric`, `text`, `varchar`, `char`, `date`, `time`, `timestamp`, `timestamptz`, `interval`, `uuid`,
//! `json`, `jsonb`), and the values are of these types. Other rows, such as those with a text for a date or an enum, go out up to 64 in one
//! `VALUES`. What is stored is the same both ways. A statement that fails changes nothing of its rows, and the error says which rows it
//! had; `statement_timeout`, `read_timeout` and a trigger of the statement see as many at once.
//!
//! # Async programs
//!
//! The driver blocks, so its place in an async program is a blocking thread: `spawn_blocking`, or the crate `dockline-tokio`. On
//! the threads of a tokio runtime that has several, a statement works too: it runs in `block_in_place`, and the runtime goes on
//! on another thread, while the other futures of the same task wait. On a runtime's only thread, in a `LocalSet`, and by `native`
//! outside `block_in_place`, it is an error of the kind [`Interface`](dockline_core::ErrorKind::Interface) that is given before
//! anything is sent, and the connection stays as it was. Closing works on every thread.
//!
//! # Security
//!
//! With encryption, a password is bound to the server's certificate (`SCRAM-SHA-256-PLUS`, `tls-server-end-point`) if the server
//! offers that, so nobody in the middle can pass the proof of it on. It cannot be bound if the server asks for the password in
//! another way (`md5`, `password`), or its certificate is signed by Ed25519 or RSA-PSS. A cancel request is encrypted if the session
//! is.
//!
//! # Limits
//!
//! A Unix socket needs TCP on loopback as well: the driver lets nobody between itself and a Unix socket, and so it connects to a
//! listener of this process, for a moment, and is given the Unix socket instead. The driver's own `cancel_token` does not work;
//! [`Canceller`](dockline_core::Canceller) does.
//!
//! In a `LocalSet` of a runtime with several threads, and in a task that is `unconstrained`, the error is certain, but tokio says
//! so by a panic, which is caught, and which the panic hook has printed by then.

#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod array;
mod backend;
mod binding;
mod cancel;
mod connector;
#[cfg(unix)]
mod decoy;
mod direct;
mod error;
mod frame;
mod info;
mod line;
mod literal;
mod numeric;
mod observed;
mod open;
mod param;
mod pgpass;
mod plan;
mod portal;
mod prefix;
mod protocol;
mod rows;
mod runtime;
mod session;
mod transport;
mod types;
mod value;
mod watch;
mod wire;

pub use backend::Postgres;
pub use postgres;
