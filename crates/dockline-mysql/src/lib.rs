//! The MySQL and MariaDB backend of [Dockline](https://docs.rs/dockline), on the [`mysql`] crate with rustls.
//!
//! Programs use it through the crate `dockline`, with its feature `mysql`: `mysql://user:password@host:port/name`, or
//! `mariadb://…`, which is the same. A host that starts with `/` (`%2F` in a URL) is the path of a Unix socket, as is the option
//! `socket`. Where there is no host it is `127.0.0.1`.
//!
//! Every connection counts found rows, as Django asks for, reads committed rows, speaks utf8mb4, and tells by session
//! tracking, without a round trip, whether a transaction is open and whether it has state of its own.
//!
//! | option | default | |
//! |---|---|---|
//! | `socket` | none | the path of a Unix socket; goes before `host` |
//! | `read_default_file` | `~/.my.cnf`, where it exists | a file of options of MySQL's own form, for what the settings leave out |
//! | `read_default_group` | none | a section of that file besides `[client]` |
//! | `sql_mode` | the server's | the modes of every new connection |
//! | `charset` | `utf8mb4` | only that; the name is here for those who look for it |
//! | `uuid` | as the server says | how a bare `Uuid` is written: `text`, for CHAR(36) and MariaDB's UUID, or `binary`, for BINARY(16) |
//! | `collation` | the server's for utf8mb4 | what text of the connection itself is compared by |
//!
//! # What to know
//!
//! - **Option files.** `[client]` and the group give user, password, and (where the settings have neither host nor socket) host,
//!   port and socket. A password is taken only together with the user that the file names, or where it names none. The file
//!   is read at every connect. `!include` is not followed.
//! - **TLS.** The certificates to trust are those that browsers trust (compiled in), and those of `tls_ca_file` besides them. The
//!   name of the host is sent, as some proxies need it, with `verify-full` only. There is no TLS on Unix sockets.
//! - **Instants.** There is no column with a zone. Sessions are at `+00:00` unless `time_zone` says otherwise, and an instant
//!   (`DateTime<Utc>`) is its time in UTC, in a DATETIME and in a TIMESTAMP. In a session that is elsewhere, an instant as a parameter is an
//!   error, and a column cannot be read as one. `time_zone=server` leaves sessions where the server puts them.
//! - **Several results.** Of a CALL, the rows of all its results are given one after the other, each with its own columns.
//! - **Time limits.** `statement_timeout` is `max_statement_time` on MariaDB, for every statement, and `max_execution_time` on
//!   MySQL, which ends only a SELECT (and no SLEEP in one, which returns 1 at once). `read_timeout` ends everything, and the
//!   connection with it; the statement may go on at the server.
//! - **Prepared statements.** What servers cannot prepare (1295), what has more than 65,535 parameters, and text in which the driver
//!   would misread a colon as a parameter of its own, runs as text, with parameters as literals. So does everything with `prepared_statements = false`, a
//!   `CALL` with parameters on MySQL, and what finds no room at the server (1461, `max_prepared_stmt_count`). A text is
//!   prepared for the current database, and anew after `sql_mode`, role or collation have changed. MySQL fixes the types of parameters when
//!   a prepared statement first runs; it is prepared anew for parameters of other types, so alternating types cost a round trip each.
//!   From a connection's third atomic block on, `SET autocommit` is prepared, unless something stands before the server.
//! - **Parameters that go out.** On MySQL give a variable: `CALL p(?, @out)`, then `SELECT @out`.
//! - **`execute_many`** turns an INSERT of one row into statements of up to 1,024 (of many columns, fewer). One that fails changes nothing of its rows (on
//!   engines with transactions), and the error says which rows it had.
//! - **State.** Session variables, `USE` and temporary tables are reported by the server; locks, roles, handlers, prepared statements and
//!   variables set in a SELECT are read off the texts of statements, and forgotten when a text ends them. What a function called in a SELECT
//!   does on MariaDB goes unseen: use `hold` for that. A proxy without session tracking is noticed, and the texts alone count.
//! - **The statement before.** `LAST_INSERT_ID()`, `ROW_COUNT()` and their like are an error on a connection that has run nothing yet that
//!   they could ask for, because a connection that was replaced would answer 0.
//! - **Character set.** Sessions speak utf8mb4. `SET NAMES` and its like for another one are taken back at once, and are an error.
//! - **Types.** Decimals are sent as text in prepared statements, which is exact where they are stored; a comparison with a column
//!   is done as double by the server: write `CAST(? AS DECIMAL(30, 10))` where it matters. Digits of a second beyond the sixth are cut
//!   off, for servers keep no more. `TINYINT` is an integer, and reads as `bool`.
//! - **UUIDs.** MySQL, from 8.0.22 on, says of a prepared statement which parameters are bytes, and a `Uuid` goes there as its sixteen bytes.
//!   MariaDB does not say it, and nobody does with `prepared_statements = false`: there a `Uuid` is text, unless `options.uuid=binary` is set.
//! - **Zero dates** come as text, and a TIME beyond 24 hours as an `Interval`.

#![deny(unsafe_code)]

mod ask;
mod backend;
mod cancel;
mod colon;
mod dialect;
mod error;
mod info;
mod kinds;
mod liveness;
mod many;
mod open;
mod options_file;
mod plan;
mod receive;
mod refusal;
mod session;
mod statement;
mod told;
mod tracking;
mod uuids;
mod value;
mod wire;

pub use backend::Mysql;
pub use mysql;
