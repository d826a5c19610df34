//! Values as parameters of PostgreSQL.

use std::error::Error as StdError;
use std::fmt::{self, Write};

use bytes::{BufMut, BytesMut};
#[cfg(feature = "chrono")]
use chrono::{Datelike, SubsecRound};
use dockline_core::{Error, ErrorKind, Value};
use postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

#[cfg(feature = "chrono")]
use crate::value::EPOCH;

use crate::error::Passed;

/// A parameter, on its way into the driver.
///
/// Where value and type are the same on both sides, it goes in binary form. Else it goes as text, which the server reads
/// as it reads a literal: so a text can be a UUID, an address or a label of an enum, and 1 can be a numeric.
pub(crate) struct Param<'a>(pub(crate) &'a Value);

/// Calls with the parameters of a prepared statement, as the driver takes them.
pub(crate) fn with_params<R>(params: &[Value], call: impl FnOnce(&[&(dyn ToSql + Sync)]) -> R) -> R {
    // Few need no memory.
    match params {
        [] => return call(&[]),
        [a] => return call(&[&Param(a)]),
        [a, b] => return call(&[&Param(a), &Param(b)]),
        [a, b, c] => return call(&[&Param(a), &Param(b), &Param(c)]),
        _ => {}
    }
    let params: Vec<Param<'_>> = params.iter().map(Param).collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
    call(&params)
}

/// The same for a statement that is not prepared: the server finds out their types, and gets text.
pub(crate) fn with_typed<R>(params: &[Value], call: impl FnOnce(&[(&(dyn ToSql + Sync), Type)]) -> R) -> R {
    let params: Vec<Param<'_>> = params.iter().map(Param).collect();
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        params.iter().map(|param| (param as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
    call(&params)
}

/// The driver writes its parameters to the log, and they may be secret.
impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.type_name())
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Send + Sync>> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        let written = if is_binary(self.0, of) { binary(self.0, of, out) } else { text(self.0, of, out) };
        written.map(|()| IsNull::No).map_err(Passed::boxed)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, of: &Type) -> Format {
        if is_binary(self.0, of) { Format::Binary } else { Format::Text }
    }

    to_sql_checked!();
}

fn is_text(of: &Type) -> bool {
    matches!(*of, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME)
}

fn is_binary(value: &Value, of: &Type) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => *of == Type::BOOL,
        Value::Int(_) | Value::UInt(_) => matches!(*of, Type::INT2 | Type::INT4 | Type::INT8),
        Value::Double(_) => *of == Type::FLOAT8,
        Value::Text(_) => is_text(of),
        // Bytes for a text are its bytes, if they are UTF-8.
        Value::Bytes(_) => *of == Type::BYTEA || is_text(of),
        #[cfg(feature = "uuid")]
        Value::Uuid(_) => *of == Type::UUID,
        #[cfg(feature = "chrono")]
        Value::Date(_) => *of == Type::DATE,
        #[cfg(feature = "chrono")]
        Value::Time(_) => *of == Type::TIME,
        #[cfg(feature = "chrono")]
        Value::DateTime(_) => *of == Type::TIMESTAMP,
        #[cfg(feature = "chrono")]
        Value::DateTimeTz(_) => *of == Type::TIMESTAMPTZ,
        _ => false,
    }
}

fn binary(value: &Value, of: &Type, out: &mut BytesMut) -> Result<(), Error> {
    match value {
        Value::Bool(flag) => out.put_u8((*flag).into()),
        Value::Int(n) => integer((*n).into(), of, out)?,
        Value::UInt(n) => integer((*n).into(), of, out)?,
        Value::Double(double) => out.put_f64(*double),
        Value::Text(text) => out.put_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.put_slice(bytes),
        #[cfg(feature = "uuid")]
        Value::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
        #[cfg(feature = "chrono")]
        Value::Date(date) => {
            let days = date.signed_duration_since(EPOCH).num_days();
            out.put_i32(i32::try_from(days).map_err(|_| out_of_range(of))?);
        }
        #[cfg(feature = "chrono")]
        Value::Time(time) => out.put_i64(micros(time.signed_duration_since(chrono::NaiveTime::MIN), of)?),
        #[cfg(feature = "chrono")]
        Value::DateTime(moment) => out.put_i64(micros(moment.signed_duration_since(EPOCH.into()), of)?),
        #[cfg(feature = "chrono")]
        Value::DateTimeTz(instant) => {
            out.put_i64(micros(instant.naive_utc().signed_duration_since(EPOCH.into()), of)?);
        }
        _ => return Err(no_such(value)),
    }
    Ok(())
}

/// In microseconds; what is finer is cut off.
#[cfg(feature = "chrono")]
fn micros(since: chrono::TimeDelta, of: &Type) -> Result<i64, Error> {
    let whole = since.num_microseconds().ok_or_else(|| out_of_range(of))?;
    // Towards the past, also before 2000, so that a moment does not depend on which side of it it is.
    let finer = since.subsec_nanos() % 1_000;
    Ok(if finer < 0 { whole - 1 } else { whole })
}

fn integer(n: i128, of: &Type, out: &mut BytesMut) -> Result<(), Error> {
    let range = |_| out_of_range(of);
    match *of {
        Type::INT2 => out.put_i16(n.try_into().map_err(range)?),
        Type::INT4 => out.put_i32(n.try_into().map_err(range)?),
        _ => out.put_i64(n.try_into().map_err(range)?),
    }
    Ok(())
}

fn text(value: &Value, of: &Type, out: &mut BytesMut) -> Result<(), Error> {
    let written = match value {
        Value::Bool(flag) => out.write_str(if *flag { "t" } else { "f" }),
        Value::Int(n) => write!(out, "{n}"),
        Value::UInt(n) => write!(out, "{n}"),
        Value::Double(double) if double.is_infinite() => {
            out.write_str(if *double > 0.0 { "Infinity" } else { "-Infinity" })
        }
        Value::Double(double) => write!(out, "{double:?}"),
        Value::Text(text) => out.write_str(text),
        Value::Bytes(bytes) if matches!(*of, Type::UNKNOWN | Type::BYTEA) => hex(bytes, out),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => out.write_str(text),
            Err(_) => return Err(Error::new(ErrorKind::Data, format!("bytes that are not UTF-8 cannot be a {of}"))),
        },
        #[cfg(feature = "chrono")]
        Value::Date(date) => moment(*date, None, "", out),
        #[cfg(feature = "chrono")]
        Value::Time(time) => write!(out, "{}", time.trunc_subsecs(6)),
        #[cfg(feature = "chrono")]
        Value::DateTime(both) => moment(both.date(), Some(both.time()), "", out),
        #[cfg(feature = "chrono")]
        Value::DateTimeTz(instant) => {
            let both = instant.naive_utc();
            moment(both.date(), Some(both.time()), "+00", out)
        }
        other => match other.portable_text() {
            Some(text) => out.write_str(&text),
            None => return Err(no_such(value)),
        },
    };
    // The buffer grows as it has to.
    written.map_err(|_| out_of_range(of))
}

/// PostgreSQL writes no sign before a year, and counts those before the first from one again. It would round what is finer
/// than a microsecond, and the binary form cuts it off.
#[cfg(feature = "chrono")]
fn moment(date: chrono::NaiveDate, time: Option<chrono::NaiveTime>, zone: &str, out: &mut BytesMut) -> fmt::Result {
    let (year, era) = if date.year() < 1 { (1 - i64::from(date.year()), " BC") } else { (date.year().into(), "") };
    write!(out, "{year:04}-{:02}-{:02}", date.month(), date.day())?;
    if let Some(time) = time {
        write!(out, " {}{zone}", time.trunc_subsecs(6))?;
    }
    out.write_str(era)
}

fn hex(bytes: &[u8], out: &mut BytesMut) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + bytes.len() * 2);
    out.put_slice(b"\\x");
    for byte in bytes {
        out.put_u8(DIGITS[usize::from(byte >> 4)]);
        out.put_u8(DIGITS[usize::from(byte & 15)]);
    }
    Ok(())
}

fn out_of_range(of: &Type) -> Error {
    Error::new(ErrorKind::Data, format!("a value is out of the range of {of}"))
}

fn no_such(value: &Value) -> Error {
    Error::new(ErrorKind::NotSupported, format!("PostgreSQL cannot store a {}", value.type_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &Value, of: &Type) -> Result<(bool, Vec<u8>), String> {
        let mut out = BytesMut::new();
        let param = Param(value);
        let binary = matches!(param.encode_format(of), Format::Binary);
        param.to_sql(of, &mut out).map_err(|error| error.to_string())?;
        Ok((binary, out.to_vec()))
    }

    #[test]
    fn what_is_the_same_on_both_sides_is_binary() {
        assert_eq!(sent(&Value::Int(7), &Type::INT4), Ok((true, vec![0, 0, 0, 7])));
        assert_eq!(sent(&Value::UInt(7), &Type::INT2), Ok((true, vec![0, 7])));
        assert_eq!(sent(&Value::Text("a".into()), &Type::VARCHAR), Ok((true, b"a".to_vec())));
        assert_eq!(sent(&Value::Bool(true), &Type::BOOL), Ok((true, vec![1])));
        assert!(sent(&Value::Int(70_000), &Type::INT2).is_err());
        assert!(sent(&Value::UInt(u64::MAX), &Type::INT8).is_err());
    }

    #[test]
    fn the_rest_is_text_that_the_server_reads() {
        assert_eq!(sent(&Value::Int(7), &Type::NUMERIC), Ok((false, b"7".to_vec())));
        assert_eq!(sent(&Value::Int(7), &Type::TEXT), Ok((false, b"7".to_vec())));
        assert_eq!(sent(&Value::Text("10.0.0.1".into()), &Type::INET), Ok((false, b"10.0.0.1".to_vec())));
        assert_eq!(sent(&Value::Double(f64::NEG_INFINITY), &Type::NUMERIC), Ok((false, b"-Infinity".to_vec())));
        assert_eq!(sent(&Value::Double(0.1), &Type::UNKNOWN), Ok((false, b"0.1".to_vec())));
        assert_eq!(sent(&Value::Bytes(vec![0, 255]), &Type::UNKNOWN), Ok((false, b"\\x00ff".to_vec())));
        assert_eq!(sent(&Value::Bool(false), &Type::UNKNOWN), Ok((false, b"f".to_vec())));
        assert!(sent(&Value::Bytes(vec![255]), &Type::JSON).is_err());
    }

    #[test]
    fn the_drivers_log_does_not_see_values() {
        assert_eq!(format!("{:?}", Param(&Value::Text("hunter2".into()))), "text");
    }
}
