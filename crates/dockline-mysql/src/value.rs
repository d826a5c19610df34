//! Values into parameters, and out of columns.

use std::fmt::Write as _;

use dockline_core::{Error, ErrorKind, FromValue, Interval, Other, RawJson, Result, Value};
use mysql::Column;
use mysql::Value as Wire;
use mysql::consts::{ColumnFlags, ColumnType};

use crate::told::is_of_text;
use crate::uuids::Uuids;

/// The parameters of a prepared statement, of which the server says this.
pub(crate) fn params(values: &[Value], uuids: Uuids, told: &[Column]) -> Result<Vec<Wire>> {
    let mut wire = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let parameter = told.get(at);
        if let Some(bytes) = uuids.bytes(value, parameter) {
            wire.push(Wire::Bytes(bytes.to_vec()));
            continue;
        }
        wire.push(match param(at, value)? {
            // Turning one into a text, MySQL leaves out what is smaller than a second, as it left out for the value before.
            moment @ (Wire::Date(..) | Wire::Time(..)) if parameter.is_some_and(is_of_text) => {
                Wire::Bytes(moment_text(&moment, ColumnType::MYSQL_TYPE_DATETIME).into_bytes())
            }
            other => other,
        });
    }
    Ok(wire)
}

pub(crate) fn param(at: usize, value: &Value) -> Result<Wire> {
    Ok(match value {
        Value::Null => Wire::NULL,
        Value::Bool(flag) => Wire::Int((*flag).into()),
        Value::Int(n) => Wire::Int(*n),
        Value::UInt(n) => Wire::UInt(*n),
        Value::Float(single) if single.is_finite() => Wire::Float(*single),
        Value::Double(double) if double.is_finite() => Wire::Double(*double),
        Value::Float(_) | Value::Double(_) => {
            let message = format!("parameter {}: MySQL has neither NaN nor infinity", at + 1);
            return Err(Error::new(ErrorKind::Data, message));
        }
        Value::Text(text) => Wire::Bytes(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Wire::Bytes(bytes.clone()),
        // As text: the protocol's own form has a time, which a column of text would keep.
        #[cfg(feature = "chrono")]
        Value::Date(date) => Wire::Bytes(date.to_string().into_bytes()),
        #[cfg(feature = "chrono")]
        Value::Time(_) | Value::DateTime(_) | Value::DateTimeUtc(_) | Value::DateTimeTz(_) => of_chrono(value),
        Value::Interval(interval) => length(at, *interval)?,
        Value::List(_) => {
            let message = format!("parameter {}: a list can stand for IN (?) alone", at + 1);
            return Err(Error::new(ErrorKind::Programming, message));
        }
        other => match other.portable_text() {
            Some(text) => Wire::Bytes(text.into_owned().into_bytes()),
            None => {
                let message = format!("parameter {}: MySQL has no type for {}", at + 1, other.type_name());
                return Err(Error::new(ErrorKind::NotSupported, message));
            }
        },
    })
}

/// Refuses instants in a session that is in another zone than UTC: the server would take them for moments of its zone.
pub(crate) fn refuse_instants(values: &[Value]) -> Result<()> {
    match values.iter().position(|value| value.type_name() == "datetime with zone") {
        None => Ok(()),
        Some(at) => {
            let message = format!(
                "parameter {}: an instant cannot be sent in a session whose time_zone is not UTC, as the server would take it \
                 for a time of that zone; leave time_zone at its default, +00:00, or send a date and time without a zone",
                at + 1
            );
            Err(Error::new(ErrorKind::Data, message))
        }
    }
}

/// Digits of a second beyond the sixth are cut off. A year that the protocol cannot say goes as text, for the server to
/// refuse.
#[cfg(feature = "chrono")]
fn of_chrono(value: &Value) -> Wire {
    use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

    let datetime = |date: NaiveDate, time: NaiveTime| {
        let byte = |n: u32| u8::try_from(n).unwrap_or_default();
        // MariaDB would store others as a date of zeros, without a word.
        let Some(year) = u16::try_from(date.year()).ok().filter(|year| *year <= 9_999) else {
            return Wire::Bytes(NaiveDateTime::new(date, time).to_string().into_bytes());
        };
        let micros = (time.nanosecond() / 1_000).min(999_999);
        Wire::Date(
            year,
            byte(date.month()),
            byte(date.day()),
            byte(time.hour()),
            byte(time.minute()),
            byte(time.second()),
            micros,
        )
    };
    match value {
        Value::DateTime(both) | Value::DateTimeUtc(both) => datetime(both.date(), both.time()),
        Value::DateTimeTz(instant) => datetime(instant.naive_utc().date(), instant.naive_utc().time()),
        Value::Time(time) => {
            let byte = |n: u32| u8::try_from(n).unwrap_or_default();
            let micros = (time.nanosecond() / 1_000).min(999_999);
            Wire::Time(false, 0, byte(time.hour()), byte(time.minute()), byte(time.second()), micros)
        }
        _ => Wire::NULL,
    }
}

/// A TIME is a length of time, of up to 838 hours; what is longer goes as text, for the server to refuse.
fn length(at: usize, interval: Interval) -> Result<Wire> {
    let Some(micros) = interval.total_micros() else {
        let message =
            format!("parameter {}: an interval with months has no fixed length, and MySQL has no type for it", at + 1);
        return Err(Error::new(ErrorKind::NotSupported, message));
    };
    let seconds = micros.unsigned_abs() / 1_000_000;
    let byte = |n: u64| u8::try_from(n).unwrap_or_default();
    if seconds >= 839 * 3_600 {
        return Ok(Wire::Bytes(Interval { micros, ..Interval::default() }.to_string().into_bytes()));
    }
    let fraction = u32::try_from(micros.unsigned_abs() % 1_000_000).unwrap_or_default();
    let days = u32::try_from(seconds / 86_400).unwrap_or_default();
    let (hours, minutes, seconds) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    Ok(Wire::Time(micros < 0, days, byte(hours), byte(minutes), byte(seconds), fraction))
}

/// A parameter as a literal that says the same in every `sql_mode` and character set.
pub(crate) fn literal(sql: &mut String, at: usize, value: &Value, uuids: Uuids) -> Result<()> {
    // A value beside a name or an operator must not become a part of it.
    sql.push(' ');
    if let Some(bytes) = uuids.bytes(value, None) {
        hex(sql, "_binary X'", &bytes);
        sql.push(' ');
        return Ok(());
    }
    match value {
        Value::Text(text) => hex(sql, "_utf8mb4 X'", text.as_bytes()),
        Value::Bytes(bytes) => hex(sql, "_binary X'", bytes),
        #[cfg(feature = "decimal")]
        Value::Decimal(decimal) => write(sql, format_args!("{decimal}")),
        #[cfg(feature = "chrono")]
        Value::Date(date) => write(sql, format_args!("'{date}'")),
        other => match param(at, other)? {
            Wire::NULL => sql.push_str("NULL"),
            Wire::Int(n) => write(sql, format_args!("{n}")),
            Wire::UInt(n) => write(sql, format_args!("{n}")),
            Wire::Double(double) => write(sql, format_args!("{double:e}")),
            Wire::Float(single) => write(sql, format_args!("{single:e}")),
            Wire::Bytes(bytes) => hex(sql, "_utf8mb4 X'", &bytes),
            moment => {
                let text = moment_text(&moment, ColumnType::MYSQL_TYPE_DATETIME);
                write(sql, format_args!("'{text}'"));
            }
        },
    }
    sql.push(' ');
    Ok(())
}

fn write(sql: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = sql.write_fmt(text);
}

fn hex(sql: &mut String, before: &str, bytes: &[u8]) {
    sql.reserve(before.len() + bytes.len() * 2 + 2);
    sql.push_str(before);
    sql.extend(dockline_net::hex(bytes).map(char::from));
    sql.push('\'');
}

/// How many bytes a parameter takes, about.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 16,
    }
}

/// The size of a value that the server sent, about.
pub(crate) fn wire_size(value: &Wire) -> usize {
    match value {
        Wire::Bytes(bytes) => bytes.len(),
        _ => 8,
    }
}

const BINARY: u16 = 63;

/// A column of a row, of either protocol: as text, every value comes as bytes. In a session that is `at_utc`, dates and times
/// are instants too.
pub(crate) fn column(value: Wire, column: &Column, at_utc: bool) -> Value {
    let read = read(value, column);
    #[cfg(feature = "chrono")]
    if let (Value::DateTime(moment), true) = (&read, at_utc) {
        return Value::DateTimeUtc(*moment);
    }
    #[cfg(not(feature = "chrono"))]
    let _ = at_utc;
    read
}

fn read(value: Wire, column: &Column) -> Value {
    match value {
        Wire::NULL => Value::Null,
        Wire::Int(n) => Value::Int(n),
        Wire::UInt(n) => unsigned(n),
        Wire::Float(single) => Value::Float(single),
        Wire::Double(double) => Value::Double(double),
        Wire::Date(..) | Wire::Time(..) => moment(&value, column.column_type()),
        Wire::Bytes(bytes) => of_bytes(bytes, column),
    }
}

pub(crate) fn unsigned(n: u64) -> Value {
    i64::try_from(n).map_or(Value::UInt(n), Value::Int)
}

fn of_bytes(bytes: Vec<u8>, column: &Column) -> Value {
    use ColumnType as T;
    match column.column_type() {
        T::MYSQL_TYPE_TINY
        | T::MYSQL_TYPE_SHORT
        | T::MYSQL_TYPE_INT24
        | T::MYSQL_TYPE_LONG
        | T::MYSQL_TYPE_LONGLONG
        | T::MYSQL_TYPE_YEAR => {
            if column.flags().contains(ColumnFlags::UNSIGNED_FLAG) {
                parsed(bytes, unsigned)
            } else {
                parsed(bytes, Value::Int)
            }
        }
        T::MYSQL_TYPE_FLOAT => parsed(bytes, Value::Float),
        T::MYSQL_TYPE_DOUBLE => parsed(bytes, Value::Double),
        T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => decimal(bytes),
        T::MYSQL_TYPE_BIT => bytes
            .iter()
            .try_fold(0u64, |bits, byte| Some(bits.checked_mul(256)? + u64::from(*byte)))
            .map_or(Value::Bytes(bytes), unsigned),
        T::MYSQL_TYPE_JSON => match String::from_utf8(bytes) {
            Ok(text) => Value::Json(RawJson::new(text)),
            Err(error) => Value::Bytes(error.into_bytes()),
        },
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIME => {
            moment_of_text(bytes, column.column_type())
        }
        T::MYSQL_TYPE_GEOMETRY | T::MYSQL_TYPE_VECTOR => Value::Bytes(bytes),
        T::MYSQL_TYPE_ENUM | T::MYSQL_TYPE_SET => text(bytes),
        _ if column.character_set() == BINARY => Value::Bytes(bytes),
        _ => text(bytes),
    }
}

/// What is not UTF-8 comes as bytes: nothing is lost, and reading it as text is an error that says so.
fn text(bytes: Vec<u8>) -> Value {
    String::from_utf8(bytes).map_or_else(|error| Value::Bytes(error.into_bytes()), Value::Text)
}

fn parsed<T: std::str::FromStr>(bytes: Vec<u8>, value: impl FnOnce(T) -> Value) -> Value {
    match std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()) {
        Some(parsed) => value(parsed),
        None => text(bytes),
    }
}

/// A decimal has up to 65 digits; one that the type of the feature cannot keep without loss comes with its text.
fn decimal(bytes: Vec<u8>) -> Value {
    let Ok(digits) = String::from_utf8(bytes) else { return Value::Other(Box::new(Other::opaque("decimal"))) };
    #[cfg(feature = "decimal")]
    if let Ok(decimal) = rust_decimal::Decimal::from_str_exact(&digits) {
        return Value::Decimal(decimal);
    }
    Value::Other(Box::new(Other::number("decimal", digits)))
}

/// A date or a time of the binary protocol.
fn moment(value: &Wire, kind: ColumnType) -> Value {
    #[cfg(feature = "chrono")]
    if let Some(moment) = real_moment(value, kind) {
        return moment;
    }
    // One that is no time of a day is a length of time.
    if let Wire::Time(negative, days, hours, minutes, seconds, micros) = *value {
        let hours = i64::from(days) * 24 + i64::from(hours);
        let seconds = (hours * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
        let micros = seconds * 1_000_000 + i64::from(micros);
        return Value::Interval(Interval { micros: if negative { -micros } else { micros }, ..Interval::default() });
    }
    Value::Text(moment_text(value, kind))
}

#[cfg(feature = "chrono")]
fn real_moment(value: &Wire, kind: ColumnType) -> Option<Value> {
    use chrono::{NaiveDate, NaiveTime};

    match *value {
        Wire::Date(year, month, day, hour, minute, second, micros) => {
            let date = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into())?;
            // The zero date is none; chrono has a year 0.
            if year == 0 {
                return None;
            }
            if kind == ColumnType::MYSQL_TYPE_DATE {
                return Some(Value::Date(date));
            }
            date.and_hms_micro_opt(hour.into(), minute.into(), second.into(), micros).map(Value::DateTime)
        }
        Wire::Time(false, 0, hour, minute, second, micros) => {
            NaiveTime::from_hms_micro_opt(hour.into(), minute.into(), second.into(), micros).map(Value::Time)
        }
        _ => None,
    }
}

/// As the server writes it.
fn moment_text(value: &Wire, kind: ColumnType) -> String {
    let fraction = |micros: u32| if micros == 0 { String::new() } else { format!(".{micros:06}") };
    match *value {
        Wire::Date(year, month, day, ..) if kind == ColumnType::MYSQL_TYPE_DATE => {
            format!("{year:04}-{month:02}-{day:02}")
        }
        Wire::Date(year, month, day, hour, minute, second, micros) => {
            let fraction = fraction(micros);
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}")
        }
        Wire::Time(negative, days, hours, minutes, seconds, micros) => {
            let (sign, hours, fraction) =
                (if negative { "-" } else { "" }, days * 24 + u32::from(hours), fraction(micros));
            format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
        }
        _ => String::new(),
    }
}

/// A date or a time of the text protocol.
fn moment_of_text(bytes: Vec<u8>, kind: ColumnType) -> Value {
    let Ok(written) = std::str::from_utf8(&bytes) else { return Value::Bytes(bytes) };
    #[cfg(feature = "chrono")]
    if let Some(moment) = real_moment_of_text(written, kind) {
        return moment;
    }
    if kind == ColumnType::MYSQL_TYPE_TIME
        && let Ok(length) = Interval::from_value(Value::Text(written.to_owned()))
    {
        return Value::Interval(length);
    }
    text(bytes)
}

#[cfg(feature = "chrono")]
fn real_moment_of_text(written: &str, kind: ColumnType) -> Option<Value> {
    use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

    if written.starts_with("0000") {
        return None;
    }
    match kind {
        ColumnType::MYSQL_TYPE_DATE => written.parse::<NaiveDate>().ok().map(Value::Date),
        ColumnType::MYSQL_TYPE_TIME => written.parse::<NaiveTime>().ok().map(Value::Time),
        _ => NaiveDateTime::parse_from_str(written, "%Y-%m-%d %H:%M:%S%.f").ok().map(Value::DateTime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: ColumnType, bytes: &str) -> Value {
        column(Wire::Bytes(bytes.as_bytes().to_vec()), &Column::new(kind).with_character_set(255))
    }

    fn column(value: Wire, column: &Column) -> Value {
        super::column(value, column, false)
    }

    fn written(value: &Value) -> String {
        let mut sql = String::new();
        literal(&mut sql, 0, value, Uuids::AsTold).unwrap();
        sql.trim().to_owned()
    }

    #[test]
    fn literals_have_no_text_that_could_be_read_otherwise() {
        assert_eq!(written(&Value::Text(r"a'\é".into())), "_utf8mb4 X'61275cc3a9'");
        assert_eq!(written(&Value::Text(String::new())), "_utf8mb4 X''");
        assert_eq!(written(&Value::Bytes(vec![0, 255])), "_binary X'00ff'");
        assert_eq!(written(&Value::Int(i64::MIN)), "-9223372036854775808");
        assert_eq!(written(&Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(written(&Value::Double(0.1)), "1e-1");
        assert_eq!(written(&Value::Bool(true)), "1");
        assert_eq!(written(&Value::Null), "NULL");
        for double in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 1.0 / 3.0] {
            assert_eq!(written(&Value::Double(double)).parse::<f64>().unwrap(), double);
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_place() {
        for double in [f64::NAN, f64::INFINITY] {
            let error = params(&[Value::Null, Value::Double(double)], Uuids::AsTold, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(error.message().starts_with("parameter 2:"), "{error}");
        }
    }

    #[test]
    fn text_of_numbers_becomes_numbers() {
        assert_eq!(read(ColumnType::MYSQL_TYPE_LONG, "-7"), Value::Int(-7));
        assert_eq!(read(ColumnType::MYSQL_TYPE_DOUBLE, "1.5e300"), Value::Double(1.5e300));
        assert_eq!(read(ColumnType::MYSQL_TYPE_FLOAT, "0.1"), Value::Float(0.1));
        assert_eq!(read(ColumnType::MYSQL_TYPE_BIT, "\u{1}\u{2}"), Value::Int(258));
        let big = Column::new(ColumnType::MYSQL_TYPE_LONGLONG).with_flags(ColumnFlags::UNSIGNED_FLAG);
        assert_eq!(column(Wire::Bytes(u64::MAX.to_string().into_bytes()), &big), Value::UInt(u64::MAX));
        assert_eq!(column(Wire::UInt(7), &big), Value::Int(7));
    }

    #[test]
    fn text_and_bytes_are_told_apart_by_character_set() {
        assert_eq!(read(ColumnType::MYSQL_TYPE_VAR_STRING, "x"), Value::Text("x".into()));
        let binary = Column::new(ColumnType::MYSQL_TYPE_BLOB).with_character_set(BINARY);
        assert_eq!(column(Wire::Bytes(b"x".to_vec()), &binary), Value::Bytes(b"x".to_vec()));
        let latin = column(Wire::Bytes(vec![0xff]), &Column::new(ColumnType::MYSQL_TYPE_STRING).with_character_set(8));
        assert_eq!(latin, Value::Bytes(vec![0xff]));
        // Dates have that character set too.
        let date = Column::new(ColumnType::MYSQL_TYPE_DATE).with_character_set(BINARY);
        assert_eq!(
            column(Wire::Bytes(b"0000-00-00".to_vec()), &date),
            Value::Text("0000-00-00".into()),
            "no date, and no bytes"
        );
    }

    #[test]
    fn moments_that_are_none_come_as_the_server_writes_them() {
        let of = |value, kind| column(value, &Column::new(kind));
        let zero = Wire::Date(0, 0, 0, 0, 0, 0, 0);
        assert_eq!(of(zero.clone(), ColumnType::MYSQL_TYPE_DATE), Value::Text("0000-00-00".into()));
        assert_eq!(of(zero, ColumnType::MYSQL_TYPE_DATETIME), Value::Text("0000-00-00 00:00:00".into()));
        let long = Wire::Time(true, 34, 22, 59, 59, 500_000);
        let long = of(long, ColumnType::MYSQL_TYPE_TIME);
        assert_eq!(
            (&long, long.text().unwrap()),
            (&read(ColumnType::MYSQL_TYPE_TIME, "-838:59:59.500000"), "-838:59:59.5".into())
        );
    }

    #[cfg(feature = "chrono")]
    #[test]
    fn moments_are_the_same_in_both_protocols() {
        use chrono::{NaiveDate, NaiveTime};

        let date = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let both = date.and_hms_micro_opt(1, 2, 3, 45).unwrap();
        let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).unwrap();
        for (value, kind, text) in [
            (Value::Date(date), ColumnType::MYSQL_TYPE_DATE, "2026-11-22"),
            (Value::DateTime(both), ColumnType::MYSQL_TYPE_DATETIME, "2026-11-22 01:02:03.000045"),
            (Value::Time(time), ColumnType::MYSQL_TYPE_TIME, "23:59:59.999999"),
        ] {
            assert_eq!(read(kind, text), value);
            assert_eq!(column(param(0, &value).unwrap(), &Column::new(kind)), value);
            let at_utc = super::column(param(0, &value).unwrap(), &Column::new(kind), true);
            assert_eq!(matches!(at_utc, Value::DateTimeUtc(_)), kind == ColumnType::MYSQL_TYPE_DATETIME);
            assert!(written(&value).contains(text), "{}", written(&value));
        }
        assert_eq!(read(ColumnType::MYSQL_TYPE_TIME, "838:59:59").text().unwrap(), "838:59:59");
    }

    #[test]
    fn a_length_of_time_is_a_time_as_far_as_there_is_one() {
        let hours = |hours: i64| Value::Interval(Interval { micros: hours * 3_600_000_000, ..Interval::default() });
        for length in [hours(25), hours(-30), hours(838)] {
            assert_eq!(column(param(0, &length).unwrap(), &Column::new(ColumnType::MYSQL_TYPE_TIME)), length);
        }
        assert_eq!(param(0, &hours(839)).unwrap(), Wire::Bytes(b"839:00:00".to_vec()), "for the server to refuse");
        let month = Value::Interval(Interval { months: 1, ..Interval::default() });
        assert!(param(0, &month).unwrap_err().message().contains("parameter 1"));
    }

    #[cfg(feature = "decimal")]
    #[test]
    fn decimals_are_exact_or_text() {
        let number = "1234567890123456789012345.678";
        assert_eq!(read(ColumnType::MYSQL_TYPE_NEWDECIMAL, number), Value::Decimal(number.parse().unwrap()));
        let long = "12345678901234567890123456789012345.5";
        assert_eq!(String::from_value(read(ColumnType::MYSQL_TYPE_NEWDECIMAL, long)).unwrap(), long);
        assert!(f64::from_value(read(ColumnType::MYSQL_TYPE_NEWDECIMAL, long)).is_ok(), "the nearest");
        assert_eq!(written(&Value::Decimal("-1.50".parse().unwrap())), "-1.50");
    }
}
