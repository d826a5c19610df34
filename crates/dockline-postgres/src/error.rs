//! PostgreSQL's errors as kinds and facts. The kinds are those of psycopg under Django, by SQLSTATE.

use std::error::Error as StdError;
use std::io;

use dockline_core::backend::is_out_of_descriptors;
use dockline_core::placeholder::original_position;
use dockline_core::statement::Dialect;
use dockline_core::{Constraint, ConstraintKind, Error, ErrorKind, Fact};
use postgres::error::{DbError, ErrorPosition};

use crate::protocol::Fatal;

/// How far a statement had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The connection was being made.
    Connecting,
    /// No statement of the caller's was sent: one was being prepared, or the server was asked something.
    Before,
    /// A statement was sent, unless sending is what failed.
    Sent,
}

/// Maps an error of the driver. That it may have been executed is added where something was sent.
pub(crate) fn map(error: postgres::Error, phase: Phase) -> Error {
    if let Some(ours) = find::<Carried>(&error).and_then(Carried::take) {
        return if phase == Phase::Sent { ours.with_fact(Fact::MayHaveExecuted) } else { ours };
    }
    if let Some(server) = error.as_db_error() {
        return of_server(server, phase).with_source(error);
    }
    // It comes inside an I/O error.
    if let Some(tls) = find::<rustls::Error>(&error) {
        return of_tls(tls, phase).with_source(error);
    }
    if let Some(io) = find::<io::Error>(&error) {
        let mapped = lost(phase, &describe_io(io));
        let mapped = if is_out_of_descriptors(io) { mapped.with_fact(Fact::Exhausted) } else { mapped };
        return mapped.with_source(error);
    }
    if error.is_closed() {
        return lost(phase, "the server closed the connection").with_source(error);
    }
    match (phase, error.source()) {
        (Phase::Connecting, Some(why)) => Error::new(ErrorKind::Operational, why.to_string()).with_source(error),
        (Phase::Connecting, None) => Error::new(ErrorKind::Operational, error.to_string()).with_source(error),
        // What remains is a message that does not fit the protocol, or cannot be read: nothing can be trusted any more.
        _ => lost(phase, &error.to_string()).with_source(error),
    }
}

/// The driver wanted a row, and got two. It has no other name for that than its text; a test holds it.
pub(crate) fn is_more_than_one_row(error: &postgres::Error) -> bool {
    error.source().is_none() && error.to_string() == "query returned an unexpected number of rows"
}

/// The connection is lost, and the server did not say why.
pub(crate) fn lost(phase: Phase, why: &str) -> Error {
    let mut error = Error::new(ErrorKind::Operational, why.to_owned()).with_fact(Fact::Disconnect);
    if phase == Phase::Sent {
        error = error.with_fact(Fact::MayHaveExecuted);
    }
    error
}

/// The connection is lost, and the server said why on its way out.
pub(crate) fn of_fatal(fatal: &Fatal, phase: Phase) -> Error {
    lost(phase, &fatal.message).with_code(fatal.sqlstate.clone())
}

fn of_server(error: &DbError, phase: Phase) -> Error {
    let sqlstate = error.code().code();
    // That connecting fails is an operation that fails, whatever its reason.
    let kind = if phase == Phase::Connecting { ErrorKind::Operational } else { kind(sqlstate) };
    let mut mapped = Error::new(kind, error.message().to_owned()).with_code(sqlstate.to_owned());
    mapped = with_details(mapped, error);
    for fact in facts(sqlstate) {
        mapped = mapped.with_fact(*fact);
    }
    if let Some(kind) = constraint(sqlstate) {
        let name = error.constraint().or(error.column()).map(str::to_owned);
        mapped = mapped.with_constraint(Constraint::new(kind, name));
    }
    // Severity as it is in every language; servers before 9.6 do not send that.
    let ends = match error.parsed_severity() {
        Some(severity) => matches!(severity, postgres::error::Severity::Fatal | postgres::error::Severity::Panic),
        None => matches!(error.severity(), "FATAL" | "PANIC"),
    };
    // A pooler that does not reach its server says so, and a server that starts up or shuts down is not there yet, or no more.
    if phase == Phase::Connecting && (sqlstate.starts_with("08") || sqlstate == "57P03") {
        mapped = mapped.with_fact(Fact::Disconnect);
    }
    if ends && phase != Phase::Connecting {
        mapped = mapped.with_fact(Fact::Disconnect);
        if phase == Phase::Sent {
            mapped = mapped.with_fact(Fact::MayHaveExecuted);
        }
    }
    mapped
}

/// What psql shows besides the message. The position of an error in the statement is added where the statement is known.
fn with_details(mut mapped: Error, error: &DbError) -> Error {
    if let Some(detail) = error.detail() {
        mapped = mapped.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        mapped = mapped.with_hint(hint);
    }
    // A statement of a function's: the caller has no other way to see it.
    if let Some(ErrorPosition::Internal { position, query }) = error.position() {
        mapped = mapped.with_position(query, *position as usize);
    }
    mapped
}

/// Adds where in its statement an error is, if the server has said so. `sql` is the statement as the caller wrote it.
pub(crate) fn placed(mapped: Error, sql: &str, dialect: Dialect) -> Error {
    let cause = mapped.source().and_then(|cause| cause.downcast_ref::<postgres::Error>());
    match cause.and_then(postgres::Error::as_db_error).and_then(DbError::position) {
        Some(ErrorPosition::Original(position)) => {
            let position = original_position(sql, *position as usize, dialect);
            mapped.with_position(sql, position)
        }
        _ => mapped,
    }
}

fn kind(sqlstate: &str) -> ErrorKind {
    match sqlstate.get(..2).unwrap_or_default() {
        "22" => ErrorKind::Data,
        "23" => ErrorKind::Integrity,
        "0A" => ErrorKind::NotSupported,
        "24" | "25" | "2B" | "2D" => ErrorKind::Internal,
        "10" | "20" | "21" | "26" | "34" | "3D" | "3F" | "42" | "44" => ErrorKind::Programming,
        "08" | "27" | "28" | "2F" | "38" | "39" | "3B" | "40" | "53" | "54" | "55" | "57" | "58" => {
            ErrorKind::Operational
        }
        class => match class.chars().next() {
            Some('X') => ErrorKind::Internal,
            Some('P') => ErrorKind::Programming,
            Some('F' | 'H') => ErrorKind::Operational,
            _ => ErrorKind::Database,
        },
    }
}

fn facts(sqlstate: &str) -> &'static [Fact] {
    match sqlstate {
        "40001" | "40P01" => &[Fact::Retryable],
        "55P03" => &[Fact::LockTimeout, Fact::Retryable],
        "57014" => &[Fact::Cancelled],
        "25006" => &[Fact::ReadOnly],
        "3B001" | "25P01" => &[Fact::SavepointMissing],
        "53300" => &[Fact::Exhausted, Fact::ServerFull],
        _ if sqlstate.starts_with("53") => &[Fact::Exhausted],
        // Not 08: a server that lives says it of connections of its own, to a foreign one.
        _ => &[],
    }
}

fn constraint(sqlstate: &str) -> Option<ConstraintKind> {
    Some(match sqlstate {
        "23505" => ConstraintKind::Unique,
        "23503" => ConstraintKind::ForeignKey,
        "23502" => ConstraintKind::NotNull,
        "23514" => ConstraintKind::Check,
        "23P01" => ConstraintKind::Exclusion,
        _ if sqlstate.starts_with("23") => ConstraintKind::Other,
        _ => return None,
    })
}

fn of_tls(error: &rustls::Error, phase: Phase) -> Error {
    let message = format!("encryption: {}", dockline_net::explain(error));
    if phase == Phase::Connecting { Error::new(ErrorKind::Operational, message) } else { lost(phase, &message) }
}

/// What the system says of a socket of our own.
pub(crate) fn of_io(error: io::Error) -> Error {
    Error::new(ErrorKind::Operational, describe_io(&error)).with_source(error)
}

/// Whether the driver's stream has run into its time limit.
pub(crate) fn is_late(error: &postgres::Error) -> bool {
    find::<io::Error>(error).is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
}

fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        io::ErrorKind::TimedOut => "the server did not answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// The first error of that type among the causes.
fn find<E: StdError + 'static>(error: &postgres::Error) -> Option<&E> {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        // What an I/O error wraps is not among its causes.
        cause = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => current.source(),
        };
    }
    None
}

/// Carries an error of Dockline through the driver, for example of a parameter that has no type there.
#[derive(Debug)]
pub(crate) struct Carried(std::sync::Mutex<Option<Error>>);

impl Carried {
    pub(crate) fn boxed(error: Error) -> Box<dyn StdError + Send + Sync> {
        Box::new(Self(std::sync::Mutex::new(Some(error))))
    }

    fn take(&self) -> Option<Error> {
        self.0.lock().ok()?.take()
    }
}

impl std::fmt::Display for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value cannot be converted")
    }
}

impl StdError for Carried {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_psycopgs() {
        for (sqlstate, wanted) in [
            ("22003", ErrorKind::Data),
            ("23505", ErrorKind::Integrity),
            ("0A000", ErrorKind::NotSupported),
            ("25P02", ErrorKind::Internal),
            ("25006", ErrorKind::Internal),
            ("XX000", ErrorKind::Internal),
            ("42P01", ErrorKind::Programming),
            ("3D000", ErrorKind::Programming),
            ("P0001", ErrorKind::Programming),
            ("28P01", ErrorKind::Operational),
            ("40P01", ErrorKind::Operational),
            ("53300", ErrorKind::Operational),
            ("57014", ErrorKind::Operational),
            ("F0000", ErrorKind::Operational),
            ("HV000", ErrorKind::Operational),
            ("01000", ErrorKind::Database),
            ("", ErrorKind::Database),
        ] {
            assert_eq!(kind(sqlstate), wanted, "{sqlstate}");
        }
    }

    #[test]
    fn facts_are_what_callers_act_on() {
        assert_eq!(facts("40001"), [Fact::Retryable]);
        assert_eq!(facts("55P03"), [Fact::LockTimeout, Fact::Retryable]);
        assert_eq!(facts("53300"), [Fact::Exhausted, Fact::ServerFull]);
        assert_eq!(facts("53200"), [Fact::Exhausted]);
        assert_eq!(facts("08006"), []);
        assert_eq!(facts("42601"), []);
        assert_eq!(constraint("23503"), Some(ConstraintKind::ForeignKey));
        assert_eq!(constraint("23999"), Some(ConstraintKind::Other));
        assert_eq!(constraint("42601"), None);
    }
}
