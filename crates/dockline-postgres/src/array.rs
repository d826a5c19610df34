//! One parameter for a column of many rows: an array.

use std::error::Error as StdError;
use std::fmt;

use bytes::{BufMut, BytesMut};
use dockline_core::{Error, ErrorKind, Value};
use postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::error::Carried;
use crate::numeric;
use crate::param::{binary, is_binary};

/// The array of a built-in scalar type whose values go in binary form; `None` for all others. A value in an array is to become what it
/// is as a parameter of its own, so of domains, enums and what the database has besides there is none.
pub(crate) fn array_of(element: &Type) -> Option<Type> {
    Some(match *element {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::TEXT => Type::TEXT_ARRAY,
        Type::VARCHAR => Type::VARCHAR_ARRAY,
        Type::BPCHAR => Type::BPCHAR_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        Type::TIME => Type::TIME_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL => Type::INTERVAL_ARRAY,
        Type::UUID => Type::UUID_ARRAY,
        Type::JSON => Type::JSON_ARRAY,
        Type::JSONB => Type::JSONB_ARRAY,
        _ => return None,
    })
}

/// Whether a value can stand in an array of such elements.
pub(crate) fn can_hold(element: &Type, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Int(n) => holds_whole(element, (*n).into()),
        Value::UInt(n) => holds_whole(element, (*n).into()),
        // The server is told of other values for a text what they are, and makes a text of them.
        _ if *element == Type::TEXT => matches!(value, Value::Text(_)),
        #[cfg(feature = "decimal")]
        Value::Decimal(_) => *element == Type::NUMERIC,
        _ => is_binary(value, element),
    }
}

fn holds_whole(element: &Type, n: i128) -> bool {
    match *element {
        Type::INT2 => i16::try_from(n).is_ok(),
        Type::INT4 => i32::try_from(n).is_ok(),
        Type::INT8 => i64::try_from(n).is_ok(),
        Type::NUMERIC => true,
        _ => false,
    }
}

fn element(value: &Value, of: &Type, out: &mut BytesMut) -> Result<(), Error> {
    if *of != Type::NUMERIC {
        return binary(value, of, out);
    }
    let written = match value {
        Value::Int(n) => numeric::write(n, out),
        Value::UInt(n) => numeric::write(n, out),
        #[cfg(feature = "decimal")]
        Value::Decimal(number) => numeric::write(number, out),
        _ => None,
    };
    written.ok_or_else(|| Error::new(ErrorKind::Data, "it is no number"))
}

/// A column of rows that stand one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    rows: &'a [Value],
    /// How many values a row has.
    width: usize,
    at: usize,
}

/// The columns of rows that stand one behind the other, each of so many values.
pub(crate) fn columns(rows: &[Value], width: usize) -> impl ExactSizeIterator<Item = Column<'_>> + Clone {
    (0..width).map(move |at| Column { rows, width, at })
}

impl Column<'_> {
    fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.rows[self.at..].iter().step_by(self.width)
    }
}

/// The driver writes its parameters to the log, and they may be secret.
impl fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.values().len())
    }
}

impl ToSql for Column<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Send + Sync>> {
        let Kind::Array(element) = of.kind() else {
            let message = format!("the server takes a {of} for an array");
            return Err(Carried::boxed(Error::new(ErrorKind::Internal, message)));
        };
        write(self.values(), element, out).map_err(Carried::boxed)?;
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}

/// Writes an array of one dimension, whose first element is number 1.
fn write<'a>(values: impl ExactSizeIterator<Item = &'a Value>, of: &Type, out: &mut BytesMut) -> Result<(), Error> {
    let (dimensions, first) = (1, 1);
    out.put_i32(dimensions);
    let nulls = out.len();
    out.put_i32(0);
    out.put_u32(of.oid());
    out.put_i32(length(values.len())?);
    out.put_i32(first);
    let mut has_null = false;
    for value in values {
        let place = out.len();
        out.put_i32(-1);
        if value.is_null() {
            has_null = true;
            continue;
        }
        element(value, of, out)?;
        let written = length(out.len() - place - LENGTH)?;
        out[place..place + LENGTH].copy_from_slice(&written.to_be_bytes());
    }
    out[nulls..nulls + LENGTH].copy_from_slice(&i32::from(has_null).to_be_bytes());
    Ok(())
}

const LENGTH: usize = size_of::<i32>();

fn length(bytes: usize) -> Result<i32, Error> {
    i32::try_from(bytes).map_err(|_| Error::new(ErrorKind::Data, "it is too long for PostgreSQL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_an_array() {
        let text = |text: &str| Value::Text(text.into());
        let rows = [Value::Int(1), text("a"), Value::Null, text(""), Value::UInt(7), text("ü")];
        let [numbers, texts] = columns(&rows, 2).collect::<Vec<_>>().try_into().unwrap();
        let mut out = BytesMut::new();
        numbers.to_sql(&Type::INT2_ARRAY, &mut out).unwrap();
        let head =
            |nulls: u8, of: u8| [[0, 0, 0, 1], [0, 0, 0, nulls], [0, 0, 0, of], [0, 0, 0, 3], [0, 0, 0, 1]].concat();
        assert_eq!(out, [&head(1, 21)[..], &[0, 0, 0, 2, 0, 1], &[255; 4], &[0, 0, 0, 2, 0, 7]].concat());
        out.clear();
        texts.to_sql(&Type::TEXT_ARRAY, &mut out).unwrap();
        assert_eq!(out, [&head(0, 25)[..], b"\0\0\0\x01a", b"\0\0\0\0", b"\0\0\0\x02\xc3\xbc"].concat());
        assert!(numbers.to_sql(&Type::INT2, &mut out).is_err());
    }

    #[test]
    fn each_type_has_its_own_array() {
        let types = (1..10_000).filter_map(Type::from_oid);
        let pairs: Vec<(Type, Type)> = types.filter_map(|of| array_of(&of).map(|array| (of, array))).collect();
        assert_eq!(pairs.len(), 19);
        for (of, array) in pairs {
            assert_eq!(*array.kind(), Kind::Array(of));
        }
    }

    #[test]
    fn what_would_go_as_text_is_in_no_array() {
        assert!(can_hold(&Type::INT4, &Value::Int(7)) && can_hold(&Type::INT4, &Value::Null));
        assert!(!can_hold(&Type::INT4, &Value::Int(3_000_000_000)) && !can_hold(&Type::INT4, &Value::Text("7".into())));
        assert!(!can_hold(&Type::TEXT, &Value::Int(7)) && !can_hold(&Type::TIMESTAMP, &Value::Text("now".into())));
        assert!(can_hold(&Type::VARCHAR, &Value::Bytes(vec![65])) && !can_hold(&Type::TEXT, &Value::Bytes(vec![65])));
        assert!(!can_hold(&Type::INT8, &Value::UInt(u64::MAX)) && !can_hold(&Type::FLOAT8, &Value::Int(7)));
    }

    #[test]
    fn the_drivers_log_does_not_see_values() {
        let rows = [Value::Text("hunter2".into())];
        assert_eq!(format!("{:?}", columns(&rows, 1).next().unwrap()), "1 values");
    }
}
