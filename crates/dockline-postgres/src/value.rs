//! Columns of PostgreSQL as values.

use std::error::Error as StdError;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use dockline_core::{Error, ErrorKind, Value};
use postgres::types::{FromSql, Kind, Type};

use crate::error::Passed;
use crate::numeric;

/// A column's value, on its way out of the driver.
pub(crate) struct Column(pub(crate) Value);

impl<'a> FromSql<'a> for Column {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        decode(of, raw).map(Self).map_err(Passed::boxed)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn decode(of: &Type, raw: &[u8]) -> Result<Value, Error> {
    let broken = || Error::new(ErrorKind::Data, format!("a {of} cannot be read: it has {} bytes", raw.len()));
    Ok(match *of {
        Type::BOOL => Value::Bool(raw.first().is_some_and(|byte| *byte != 0)),
        Type::INT8 => Value::Int(i64::from_be_bytes(array(raw).ok_or_else(broken)?)),
        Type::INT4 => Value::Int(i32::from_be_bytes(array(raw).ok_or_else(broken)?).into()),
        Type::INT2 => Value::Int(i16::from_be_bytes(array(raw).ok_or_else(broken)?).into()),
        Type::OID => Value::Int(u32::from_be_bytes(array(raw).ok_or_else(broken)?).into()),
        Type::FLOAT8 => Value::Double(f64::from_be_bytes(array(raw).ok_or_else(broken)?)),
        Type::FLOAT4 => Value::Double(f32::from_be_bytes(array(raw).ok_or_else(broken)?).into()),
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN
        | Type::XML
        | Type::CHAR
        | Type::VOID => text(raw),
        Type::BYTEA => Value::Bytes(raw.to_vec()),
        Type::NUMERIC => number(numeric::text(raw).ok_or_else(broken)?),
        Type::DATE => date(i32::from_be_bytes(array(raw).ok_or_else(broken)?)),
        Type::TIME => time(i64::from_be_bytes(array(raw).ok_or_else(broken)?)),
        Type::TIMESTAMP => timestamp(i64::from_be_bytes(array(raw).ok_or_else(broken)?), false),
        Type::TIMESTAMPTZ => timestamp(i64::from_be_bytes(array(raw).ok_or_else(broken)?), true),
        Type::UUID => uuid(array(raw).ok_or_else(broken)?),
        Type::JSON => json(raw)?,
        // A byte with the version stands before the text.
        Type::JSONB => json(raw.get(1..).ok_or_else(broken)?)?,
        _ => match of.kind() {
            Kind::Enum(_) => text(raw),
            Kind::Domain(inner) => decode(inner, raw)?,
            _ if of.name() == "citext" => text(raw),
            _ => {
                let message = format!(
                    "a column has the type {of}, which has no value here; cast it, as in column::text, or read it by native"
                );
                return Err(Error::new(ErrorKind::NotSupported, message));
            }
        },
    })
}

fn array<const N: usize>(raw: &[u8]) -> Option<[u8; N]> {
    raw.try_into().ok()
}

/// Text that is not UTF-8 comes out as bytes: nothing is lost, and reading it as text is an error that says so.
fn text(raw: &[u8]) -> Value {
    match std::str::from_utf8(raw) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes(raw.to_vec()),
    }
}

fn number(digits: String) -> Value {
    #[cfg(feature = "decimal")]
    if let Ok(decimal) = rust_decimal::Decimal::from_str_exact(&digits) {
        return Value::Decimal(decimal);
    }
    #[cfg(not(feature = "decimal"))]
    if let Ok(whole) = digits.parse() {
        return Value::Int(whole);
    }
    Value::Text(digits)
}

/// PostgreSQL counts from 2000.
pub(crate) const EPOCH: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(date) => date,
    None => NaiveDate::MIN,
};

fn date(days: i32) -> Value {
    match days {
        i32::MAX => return Value::Text("infinity".to_owned()),
        i32::MIN => return Value::Text("-infinity".to_owned()),
        _ => {}
    }
    match EPOCH.checked_add_signed(TimeDelta::days(days.into())) {
        Some(date) => {
            #[cfg(feature = "chrono")]
            return Value::Date(date);
            #[cfg(not(feature = "chrono"))]
            return Value::Text(date.to_string());
        }
        None => Value::Text(format!("{days} days after 2000-01-01")),
    }
}

fn time(micros: i64) -> Value {
    let seconds = u32::try_from(micros / 1_000_000).unwrap_or(u32::MAX);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(u32::MAX);
    match NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos) {
        Some(time) => {
            #[cfg(feature = "chrono")]
            return Value::Time(time);
            #[cfg(not(feature = "chrono"))]
            return Value::Text(time.to_string());
        }
        // The end of the day is a time for PostgreSQL.
        None => Value::Text("24:00:00".to_owned()),
    }
}

fn timestamp(micros: i64, has_zone: bool) -> Value {
    match micros {
        i64::MAX => return Value::Text("infinity".to_owned()),
        i64::MIN => return Value::Text("-infinity".to_owned()),
        _ => {}
    }
    let moment: Option<NaiveDateTime> =
        EPOCH.and_hms_opt(0, 0, 0).and_then(|epoch| epoch.checked_add_signed(TimeDelta::microseconds(micros)));
    let Some(moment) = moment else { return Value::Text(format!("{micros} us after 2000-01-01")) };
    let instant = DateTime::<chrono::Utc>::from_naive_utc_and_offset(moment, chrono::Utc);
    #[cfg(feature = "chrono")]
    return if has_zone { Value::DateTimeTz(instant) } else { Value::DateTime(moment) };
    #[cfg(not(feature = "chrono"))]
    return Value::Text(if has_zone { format!("{}+00:00", instant.naive_utc()) } else { moment.to_string() });
}

fn uuid(bytes: [u8; 16]) -> Value {
    let uuid = uuid::Uuid::from_bytes(bytes);
    #[cfg(feature = "uuid")]
    return Value::Uuid(uuid);
    #[cfg(not(feature = "uuid"))]
    return Value::Text(uuid.to_string());
}

#[cfg(feature = "json")]
fn json(raw: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(raw).map(Value::Json).map_err(|error| {
        Error::new(ErrorKind::Data, "a JSON document has what Rust's reader of it does not take").with_source(error)
    })
}

#[cfg(not(feature = "json"))]
fn json(raw: &[u8]) -> Result<Value, Error> {
    Ok(text(raw))
}
