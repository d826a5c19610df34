//! Values as parameters of PostgreSQL.

use std::error::Error as StdError;
use std::fmt;

use bytes::{BufMut, BytesMut};
use dockline_core::{Error, ErrorKind, Interval, Value};
use postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::error::Carried;
use crate::literal;
#[cfg(feature = "chrono")]
use crate::value::EPOCH;

/// A parameter, on its way into the driver, and which one it is, counted from 0.
///
/// If value and type are the same on both sides, it goes in binary form. Else it goes as text, which the server reads
/// as it reads a literal: so a text can be a UUID, an address or a label of an enum, and 1 can be a numeric.
pub(crate) struct Param<'a>(pub(crate) usize, pub(crate) &'a Value);

/// Calls with the parameters of a prepared statement, as the driver takes them.
pub(crate) fn with_params<R>(params: &[Value], call: impl FnOnce(&[&(dyn ToSql + Sync)]) -> R) -> R {
    // Few need no memory.
    match params {
        [] => return call(&[]),
        [a] => return call(&[&Param(0, a)]),
        [a, b] => return call(&[&Param(0, a), &Param(1, b)]),
        [a, b, c] => return call(&[&Param(0, a), &Param(1, b), &Param(2, c)]),
        _ => {}
    }
    let params: Vec<Param<'_>> = numbered(params).collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
    call(&params)
}

/// The same for a statement that is not prepared, with the types that the server is told. Of the others it finds out the types,
/// and gets text.
pub(crate) fn with_typed<R>(
    params: &[Value],
    told: &[Type],
    call: impl FnOnce(&[(&(dyn ToSql + Sync), Type)]) -> R,
) -> R {
    let params: Vec<Param<'_>> = numbered(params).collect();
    let of = |at: usize| told.get(at).cloned().unwrap_or(Type::UNKNOWN);
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        params.iter().map(|param| (param as &(dyn ToSql + Sync), of(param.0))).collect();
    call(&params)
}

pub(crate) fn numbered(params: &[Value]) -> impl ExactSizeIterator<Item = Param<'_>> + Clone {
    params.iter().enumerate().map(|(at, value)| Param(at, value))
}

/// The driver writes its parameters to the log, and they may be secret.
impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1.type_name())
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Send + Sync>> {
        let Self(at, value) = self;
        if value.is_null() {
            return Ok(IsNull::Yes);
        }
        let written = if is_binary(value, of) { binary(value, of, out) } else { text(value, of, out) };
        let numbered = |error: Error| Carried::boxed(error.with_context(format_args!("parameter {}", at + 1)));
        written.map(|()| IsNull::No).map_err(numbered)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, of: &Type) -> Format {
        if is_binary(self.1, of) { Format::Binary } else { Format::Text }
    }

    to_sql_checked!();
}

fn is_text(of: &Type) -> bool {
    matches!(*of, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME)
}

pub(crate) fn is_binary(value: &Value, of: &Type) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => *of == Type::BOOL,
        Value::Int(_) | Value::UInt(_) => matches!(*of, Type::INT2 | Type::INT4 | Type::INT8),
        Value::Float(_) => matches!(*of, Type::FLOAT4 | Type::FLOAT8),
        Value::Double(_) => *of == Type::FLOAT8,
        // Text for a bytea is its bytes, whatever backslashes are in it.
        Value::Text(_) => is_text(of) || *of == Type::BYTEA,
        Value::Json(_) => is_text(of) || matches!(*of, Type::BYTEA | Type::JSON | Type::JSONB),
        // Bytes for a text are its bytes, if they are UTF-8.
        Value::Bytes(bytes) => is_text(of) || *of == Type::BYTEA || (*of == Type::UUID && bytes.len() == 16),
        Value::Interval(_) => *of == Type::INTERVAL,
        #[cfg(feature = "uuid")]
        Value::Uuid(_) => matches!(*of, Type::UUID | Type::BYTEA),
        #[cfg(feature = "chrono")]
        Value::Date(_) => *of == Type::DATE,
        #[cfg(feature = "chrono")]
        Value::Time(_) => *of == Type::TIME,
        #[cfg(feature = "chrono")]
        Value::DateTime(_) | Value::DateTimeUtc(_) => *of == Type::TIMESTAMP,
        #[cfg(feature = "chrono")]
        Value::DateTimeTz(_) => *of == Type::TIMESTAMPTZ,
        _ => false,
    }
}

pub(crate) fn binary(value: &Value, of: &Type, out: &mut BytesMut) -> Result<(), Error> {
    match value {
        Value::Bool(flag) => out.put_u8((*flag).into()),
        Value::Int(n) => integer((*n).into(), of, out)?,
        Value::UInt(n) => integer((*n).into(), of, out)?,
        Value::Float(single) if *of == Type::FLOAT4 => out.put_f32(*single),
        Value::Float(single) => out.put_f64((*single).into()),
        Value::Double(double) => out.put_f64(*double),
        Value::Text(text) => out.put_slice(text.as_bytes()),
        Value::Json(json) => {
            if *of == Type::JSONB {
                // The version of the form.
                out.put_u8(1);
            }
            out.put_slice(json.as_str().as_bytes());
        }
        Value::Bytes(bytes) => out.put_slice(bytes),
        Value::Interval(Interval { months, days, micros }) => {
            out.put_i64(*micros);
            out.put_i32(*days);
            out.put_i32(*months);
        }
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
        Value::DateTime(moment) | Value::DateTimeUtc(moment) => {
            out.put_i64(micros(moment.signed_duration_since(EPOCH.into()), of)?);
        }
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
    match value {
        Value::List(_) => {
            let message = "a list can stand for IN (?) alone; give a vector to = ANY(?), and to arrays";
            return Err(Error::new(ErrorKind::Programming, message));
        }
        Value::Bytes(bytes) if *of != Type::UNKNOWN && !matches!(of.kind(), Kind::Array(_)) => {
            match std::str::from_utf8(bytes) {
                Ok(text) => out.put_slice(text.as_bytes()),
                Err(_) => {
                    return Err(Error::new(ErrorKind::Data, format!("bytes that are not UTF-8 cannot be a {of}")));
                }
            }
            return Ok(());
        }
        _ => {}
    }
    if has_fraction_for(of, value) {
        let message =
            format!("a number with a fraction is no {of}; round it, or write its type, as in CAST(? AS numeric)");
        return Err(Error::new(ErrorKind::Data, message));
    }
    match literal::write(value, out) {
        Ok(true) => Ok(()),
        Ok(false) => Err(no_such(value)),
        // The buffer grows as it has to.
        Err(fmt::Error) => Err(out_of_range(of)),
    }
}

/// Whether a number is written with a fraction, and the server wants an integer.
pub(crate) fn has_fraction_for(of: &Type, value: &Value) -> bool {
    if !matches!(*of, Type::INT2 | Type::INT4 | Type::INT8) {
        return false;
    }
    match value {
        Value::Float(single) => single.fract() != 0.0,
        Value::Double(double) => double.fract() != 0.0,
        #[cfg(feature = "decimal")]
        Value::Decimal(_) => value.text().is_some_and(|text| text.contains('.')),
        _ => false,
    }
}

/// How many bytes a parameter takes, about.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 16,
    }
}

fn out_of_range(of: &Type) -> Error {
    Error::new(ErrorKind::Data, format!("it is out of the range of {of}"))
}

fn no_such(value: &Value) -> Error {
    Error::new(ErrorKind::NotSupported, format!("PostgreSQL cannot store a {}", value.type_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &Value, of: &Type) -> Result<(bool, Vec<u8>), String> {
        let mut out = BytesMut::new();
        let param = Param(0, value);
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
        assert_eq!(sent(&Value::Text("\\x41".into()), &Type::BYTEA), Ok((true, b"\\x41".to_vec())));
        assert_eq!(sent(&Value::Float(0.5), &Type::FLOAT4), Ok((true, 0.5_f32.to_be_bytes().to_vec())));
        assert_eq!(sent(&Value::Float(0.5), &Type::FLOAT8), Ok((true, 0.5_f64.to_be_bytes().to_vec())));
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
        let array = Value::Array(vec![Value::Int(1), Value::Null, Value::Text("a b".into())]);
        assert_eq!(sent(&array, &Type::TEXT_ARRAY), Ok((false, br#"{"1",NULL,"a b"}"#.to_vec())));
        assert!(sent(&Value::List(vec![]), &Type::INT4).is_err());
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn a_uuid_is_its_bytes_in_a_bytea() {
        let id = dockline_core::FromValue::from_value(Value::Bytes(vec![7; 16])).unwrap();
        for of in [Type::UUID, Type::BYTEA] {
            assert_eq!(sent(&Value::Uuid(id), &of), Ok((true, vec![7; 16])));
        }
        assert_eq!(sent(&Value::Uuid(id), &Type::TEXT), Ok((false, id.to_string().into_bytes())));
    }

    #[test]
    fn the_drivers_log_does_not_see_values() {
        assert_eq!(format!("{:?}", Param(0, &Value::Text("hunter2".into()))), "text");
    }
}
