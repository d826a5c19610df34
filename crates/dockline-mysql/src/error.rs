//! The errors of the driver and of the server as kinds and facts.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use dockline_core::{Constraint, ConstraintKind, Error, ErrorKind, Fact};
use mysql::{DriverError, MySqlError};

/// How far a statement had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connecting, preparing, asking: no statement of the caller's was sent.
    Before,
    /// A statement was sent, unless sending is what failed.
    Sent,
}

/// Maps an error of the driver. The kinds are those of mysqlclient under Django, by the number of the error.
///
/// `limit` is how long an answer may take here, for the text of the error.
pub(crate) fn map(error: mysql::Error, phase: Phase, limit: Option<Duration>) -> Error {
    match error {
        mysql::Error::MySqlError(error) => of_server(error, phase),
        mysql::Error::IoError(_) | mysql::Error::CodecError(_) => of_io(error, phase, limit),
        mysql::Error::DriverError(DriverError::MismatchedStmtParams(wanted, given)) => {
            let message = format!("the server found {wanted} parameters in the statement, and {given} were given");
            Error::new(ErrorKind::Programming, message)
        }
        mysql::Error::DriverError(error) => {
            // Whatever else it says comes from a protocol that is out of step.
            lost("2027", format!("malformed packet: {error}"), phase).with_source(mysql::Error::DriverError(error))
        }
        // Its text would show the row or the value.
        mysql::Error::FromValueError(_) | mysql::Error::FromRowError(_) => {
            let error = Error::new(ErrorKind::Interface, "the driver cannot read what the server sent");
            if phase == Phase::Sent { error.with_fact(Fact::MayHaveExecuted) } else { error }
        }
        error => lost("2026", format!("{error}"), phase).with_source(error),
    }
}

/// Whether an error leaves the connection in step with the server: only what the server itself said does.
pub(crate) fn keeps_step(error: &mysql::Error) -> bool {
    match error {
        mysql::Error::MySqlError(error) => !ends_session(error.code),
        mysql::Error::DriverError(DriverError::MismatchedStmtParams(..) | DriverError::MixedParams) => true,
        _ => false,
    }
}

/// The connection was found dead before anything was sent.
pub(crate) fn gone(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Operational, format!("MySQL server has gone away: {why}"))
        .with_code("2006")
        .with_fact(Fact::Disconnect)
}

/// An error of `init_sql`, without what it says: that quotes the text, which may be secret.
pub(crate) fn of_init_sql(error: mysql::Error, limit: Option<Duration>) -> Error {
    match error {
        mysql::Error::MySqlError(error) => {
            Error::new(kind(error.code), "init_sql: the server refuses it").with_code(error.code.to_string())
        }
        error => map(error, Phase::Before, limit).with_context("init_sql"),
    }
}

/// A parameter of a routine goes out, and a value was given for it.
const NOT_A_VARIABLE: u16 = 1414;

fn of_server(error: MySqlError, phase: Phase) -> Error {
    let code = error.code;
    let mut message = error.message.clone();
    if code == NOT_A_VARIABLE {
        message += "; give it a variable, CALL p(?, @name), and read it by SELECT @name";
    }
    let mut mapped = Error::new(kind(code), message).with_code(code.to_string());
    for fact in facts(code) {
        mapped = mapped.with_fact(*fact);
    }
    // The limits of an hour do not end with a connection.
    if code == 1226 && error.message.contains("max_user_connections") {
        mapped = mapped.with_fact(Fact::ServerFull);
    }
    // What ends the session in the middle of a statement does not say how far that had come.
    if ends_session(code) && phase == Phase::Sent && code != 4031 {
        mapped = mapped.with_fact(Fact::MayHaveExecuted);
    }
    if let Some(constraint) = constraint(code, &error.message) {
        mapped = mapped.with_constraint(constraint);
    }
    mapped.with_source(mysql::Error::MySqlError(error))
}

/// mysqlclient's classes (`_mysql_Exception`), and Django's three of integrity.
fn kind(code: u16) -> ErrorKind {
    match code {
        1007 | 1064 | 1102 | 1103 | 1110..=1113 | 1146 | 1149 | 1179 | 2014 => ErrorKind::Programming,
        1171 | 1230 | 1264 | 1265 | 1406 | 1441 => ErrorKind::Data,
        1048 | 1062 | 1169 | 1215..=1217 | 1364 | 1451 | 1452 | 1586 | 1690 | 3819 | 4025 => ErrorKind::Integrity,
        1196 | 1235 | 1286 | 1289 => ErrorKind::NotSupported,
        code if code < 1000 => ErrorKind::Internal,
        _ => ErrorKind::Operational,
    }
}

fn facts(code: u16) -> &'static [Fact] {
    match code {
        // Connections, of the server and of a user; memory and threads.
        1040 | 1203 => &[Fact::Exhausted, Fact::ServerFull],
        1041 | 1135 | 1226 => &[Fact::Exhausted],
        1205 | 3572 => &[Fact::LockTimeout, Fact::Retryable],
        1213 | 1614 | 1020 => &[Fact::Retryable],
        1317 | 1969 | 3024 => &[Fact::Cancelled],
        1305 => &[Fact::SavepointMissing],
        1792 => &[Fact::ReadOnly],
        code if ends_session(code) => &[Fact::Disconnect],
        _ => &[],
    }
}

/// After these the server has closed the connection, or is about to.
fn ends_session(code: u16) -> bool {
    matches!(code, 1053 | 1077..=1079 | 1152..=1161 | 1184 | 1927 | 2006 | 2013 | 2055 | 3169 | 4031)
}

/// Whether a statement that failed with this code left a transaction as it was, for sure: what is wrong with one row, or
/// with the text.
pub(crate) fn spares_transaction(code: &str) -> bool {
    const OF_ROWS: [&str; 22] = [
        "1048", "1062", "1169", "1216", "1217", "1242", "1264", "1265", "1292", "1364", "1365", "1366", "1406", "1411",
        "1451", "1452", "1644", "1690", "3819", "4025", "1526", "1369",
    ];
    // The last but one is a savepoint that does not exist, or a routine.
    const OF_THE_TEXT: [&str; 27] = [
        "1044", "1046", "1049", "1051", "1052", "1054", "1055", "1056", "1058", "1064", "1065", "1066", "1093", "1109",
        "1110", "1111", "1136", "1140", "1142", "1143", "1146", "1222", "1241", "1248", "1318", "1305", "1630",
    ];
    OF_ROWS.contains(&code) || OF_THE_TEXT.contains(&code)
}

/// Whether an error rolls a whole transaction back, for sure: a deadlock, a table of locks that is full, one that the other members
/// of a cluster refuse. Others do so by a setting of the server's (1205), and are asked about.
pub(crate) fn ends_transaction(code: &str) -> bool {
    ["1180", "1206", "1213", "1614", "3101"].contains(&code)
}

fn constraint(code: u16, message: &str) -> Option<Constraint> {
    let between = |before: &str, after: char| {
        let rest = &message[message.rfind(before)? + before.len()..];
        Some(rest[..rest.find(after)?].to_owned())
    };
    let (kind, name) = match code {
        1062 | 1169 | 1586 => {
            // MySQL puts the table before it.
            let key = between("for key '", '\'');
            (ConstraintKind::Unique, key.map(|key| key.rsplit('.').next().unwrap_or_default().to_owned()))
        }
        1216 | 1217 | 1451 | 1452 => (ConstraintKind::ForeignKey, between("CONSTRAINT `", '`')),
        1048 => (ConstraintKind::NotNull, between("Column '", '\'')),
        1364 => (ConstraintKind::NotNull, between("Field '", '\'')),
        3819 => (ConstraintKind::Check, between("Check constraint '", '\'')),
        4025 => (ConstraintKind::Check, between("CONSTRAINT `", '`')),
        _ => return None,
    };
    Some(Constraint::new(kind, name))
}

fn of_io(error: mysql::Error, phase: Phase, limit: Option<Duration>) -> Error {
    let io = io_error(&error);
    // A pipe breaks only in writing; the driver says the same of itself where it reads the end. Then the kernel has not
    // taken the whole of the packet, and the server cannot have run it.
    if matches!(error, mysql::Error::CodecError(_)) && io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe) {
        return gone("the connection is closed").with_source(error);
    }
    let timed_out = is_late(&error);
    let why = match (limit, io, &error) {
        (Some(limit), _, _) if timed_out => format!("no answer within {limit:?} (read_timeout)"),
        // In the words of TLS it is a missing goodbye.
        (_, Some(io), _) if io.kind() == io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        (_, Some(io), _) => io.to_string(),
        // The type of its own error has no name outside the driver.
        (_, None, mysql::Error::CodecError(codec)) => codec.to_string(),
        (_, None, error) => error.to_string(),
    };
    lost("2013", format!("Lost connection to server during query: {why}"), phase).with_source(error)
}

/// Whether the driver's socket has run into its time limit.
pub(crate) fn is_late(error: &mysql::Error) -> bool {
    io_error(error).is_some_and(|io| io.kind() == io::ErrorKind::WouldBlock)
}

/// The error of the system in an error of the driver.
pub(crate) fn io_error(error: &mysql::Error) -> Option<&io::Error> {
    match error {
        mysql::Error::IoError(error) => Some(error),
        mysql::Error::CodecError(error) => error.source().and_then(|source| source.downcast_ref()),
        _ => None,
    }
}

fn lost(code: &str, message: String, phase: Phase) -> Error {
    let error = Error::new(ErrorKind::Operational, message).with_code(code).with_fact(Fact::Disconnect);
    if phase == Phase::Sent { error.with_fact(Fact::MayHaveExecuted) } else { error }
}

/// What is larger than the server takes is not sent: the server would close the connection.
pub(crate) fn too_large(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Operational, format!("Got a packet bigger than 'max_allowed_packet' bytes: {what}"))
        .with_code("1153")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> Error {
        let error = MySqlError { state: "HY000".to_owned(), message: message.to_owned(), code };
        map(mysql::Error::MySqlError(error), Phase::Sent, None)
    }

    #[test]
    fn kinds_are_those_of_mysqlclient_under_django() {
        for (code, kind) in [
            (1064, ErrorKind::Programming),
            (1146, ErrorKind::Programming),
            (1054, ErrorKind::Operational),
            (1366, ErrorKind::Operational),
            (1406, ErrorKind::Data),
            (1062, ErrorKind::Integrity),
            (1690, ErrorKind::Integrity),
            (4025, ErrorKind::Integrity),
            (1235, ErrorKind::NotSupported),
            (999, ErrorKind::Internal),
            (1205, ErrorKind::Operational),
        ] {
            let error = server(code, "x");
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.code(), Some(code.to_string()));
            assert!(!error.is_disconnect() && !error.may_have_executed(), "{code}");
        }
    }

    #[test]
    fn facts_are_by_number() {
        assert!(server(1040, "x").is_exhausted() && server(1226, "x").is_exhausted());
        assert!(server(1205, "x").is_lock_timeout() && server(1205, "x").is_retryable());
        assert!(server(1213, "x").is_retryable() && !server(1213, "x").is_lock_timeout());
        assert!(
            server(1317, "x").is_cancelled() && server(3024, "x").is_cancelled() && server(1969, "x").is_cancelled()
        );
        assert!(server(1792, "x").is_read_only());
        for code in [1053, 1927, 3169] {
            assert!(server(code, "x").is_disconnect() && server(code, "x").may_have_executed(), "{code}");
        }
        assert!(server(4031, "x").is_disconnect() && !server(4031, "x").may_have_executed());
    }

    #[test]
    fn constraints_have_their_names() {
        let named = |code, message| {
            let error = server(code, message);
            let constraint = error.constraint().unwrap().clone();
            (constraint.kind(), constraint.name().unwrap().to_owned())
        };
        for (code, message, kind, name) in [
            (1062, "Duplicate entry 'it's' for key 't.by_name'", ConstraintKind::Unique, "by_name"),
            (1062, "Duplicate entry '1' for key 'PRIMARY'", ConstraintKind::Unique, "PRIMARY"),
            (
                1452,
                "Cannot add or update a child row: a foreign key constraint fails (`d`.`t`, CONSTRAINT `to_u` FOREIGN KEY (`u`))",
                ConstraintKind::ForeignKey,
                "to_u",
            ),
            (1048, "Column 'n' cannot be null", ConstraintKind::NotNull, "n"),
            (1364, "Field 'n' doesn't have a default value", ConstraintKind::NotNull, "n"),
            (3819, "Check constraint 'positive' is violated.", ConstraintKind::Check, "positive"),
            (4025, "CONSTRAINT `positive` failed for `d`.`t`", ConstraintKind::Check, "positive"),
        ] {
            assert_eq!(named(code, message), (kind, name.to_owned()));
        }
        assert_eq!(server(1062, "text of another kind").constraint().unwrap().name(), None);
    }

    #[test]
    fn a_lost_connection_is_one_in_every_shape() {
        let io = |kind| mysql::Error::IoError(io::Error::new(kind, "x"));
        let limit = Some(Duration::from_secs(3));
        for (error, code, may_have_run) in [
            (mysql::Error::server_disconnected(), "2013", true),
            (io(io::ErrorKind::ConnectionReset), "2013", true),
            (mysql::Error::CodecError(io::Error::from(io::ErrorKind::BrokenPipe).into()), "2006", false),
            (mysql::Error::CodecError(io::Error::from(io::ErrorKind::ConnectionReset).into()), "2013", true),
            (mysql::Error::DriverError(DriverError::UnexpectedPacket), "2027", true),
        ] {
            assert!(!keeps_step(&error));
            let error = map(error, Phase::Sent, limit);
            assert!(error.is_disconnect() && error.kind() == ErrorKind::Operational, "{error}");
            assert_eq!((error.code().as_deref(), error.may_have_executed()), (Some(code), may_have_run), "{error}");
        }
        assert!(!map(io(io::ErrorKind::ConnectionReset), Phase::Before, None).may_have_executed());
        let timeout = map(io(io::ErrorKind::WouldBlock), Phase::Sent, limit);
        assert!(timeout.message().contains("3s (read_timeout)") && timeout.may_have_executed(), "{timeout}");
    }

    #[test]
    fn values_do_not_show() {
        let error = map(mysql::Error::FromValueError(mysql::Value::from("secret")), Phase::Sent, None);
        assert!(!format!("{error:?}").contains("secret"));
        let init = MySqlError { state: "42000".to_owned(), message: "near 'secret'".to_owned(), code: 1064 };
        let error = of_init_sql(mysql::Error::MySqlError(init), None);
        assert!(!format!("{error:?}").contains("secret"));
        assert_eq!(error.code().as_deref(), Some("1064"));
    }
}
