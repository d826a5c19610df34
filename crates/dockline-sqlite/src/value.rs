//! Values into parameters of SQLite, and out of its columns.

use dockline_core::backend::RowValues;
use dockline_core::{Error, ErrorKind, Result, Value};
use rusqlite::Statement;
use rusqlite::types::{Null, ValueRef};

use crate::error::map;

/// Binds the parameters of a statement, which has as many.
pub(crate) fn bind(statement: &mut Statement<'_>, params: &[Value]) -> Result<()> {
    for (index, value) in params.iter().enumerate() {
        bind_one(statement, index + 1, value)?;
    }
    Ok(())
}

fn bind_one(statement: &mut Statement<'_>, at: usize, value: &Value) -> Result<()> {
    let lossy = |what: &str| Err(Error::new(ErrorKind::Data, format!("parameter {at}: {what}")));
    let bound = match value {
        Value::Null => statement.raw_bind_parameter(at, Null),
        Value::Bool(flag) => statement.raw_bind_parameter(at, flag),
        Value::Int(n) => statement.raw_bind_parameter(at, n),
        Value::UInt(n) => match i64::try_from(*n) {
            Ok(n) => statement.raw_bind_parameter(at, n),
            Err(_) => return lossy("it does not fit SQLite's integers, which are signed and have 64 bits"),
        },
        // SQLite would store null.
        Value::Float(single) if single.is_nan() => return lossy("SQLite has no NaN"),
        Value::Double(double) if double.is_nan() => return lossy("SQLite has no NaN"),
        Value::Float(single) => statement.raw_bind_parameter(at, f64::from(*single)),
        Value::Double(double) => statement.raw_bind_parameter(at, double),
        Value::Text(text) => statement.raw_bind_parameter(at, text),
        Value::Bytes(bytes) => statement.raw_bind_parameter(at, bytes),
        Value::List(_) => {
            let message = format!("parameter {at}: a list can stand for IN (?) alone");
            return Err(Error::new(ErrorKind::Programming, message));
        }
        other => match other.portable_text() {
            Some(text) => statement.raw_bind_parameter(at, &*text),
            None => {
                let message = format!("parameter {at}: SQLite has no type for {}", other.type_name());
                return Err(Error::new(ErrorKind::NotSupported, message));
            }
        },
    };
    bound.map_err(map)
}

/// Text that is not UTF-8 comes out as bytes: nothing is lost, and reading it as text is an error that says so.
#[inline]
pub(crate) fn column(row: &mut RowValues, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => row.null(),
        ValueRef::Integer(n) => row.int(n),
        ValueRef::Real(double) => row.value(Value::Double(double)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => row.text(text),
            Err(_) => row.bytes(text),
        },
        ValueRef::Blob(bytes) => row.bytes(bytes),
    }
}
