//! Values into parameters of SQLite.

use dockline_core::{Error, ErrorKind, Result, Value};

use crate::prepared::{Bound, Statement};

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
        Value::Null => Bound::Null,
        Value::Bool(flag) => Bound::Int((*flag).into()),
        Value::Int(n) => Bound::Int(*n),
        Value::UInt(n) => match i64::try_from(*n) {
            Ok(n) => Bound::Int(n),
            Err(_) => return lossy("it does not fit SQLite's integers, which are signed and have 64 bits"),
        },
        // SQLite would store null.
        Value::Float(single) if single.is_nan() => return lossy("SQLite has no NaN"),
        Value::Double(double) if double.is_nan() => return lossy("SQLite has no NaN"),
        Value::Float(single) => Bound::Double(f64::from(*single)),
        Value::Double(double) => Bound::Double(*double),
        Value::Text(text) => Bound::Text(text),
        Value::Bytes(bytes) => Bound::Bytes(bytes),
        Value::List(_) => {
            let message = format!("parameter {at}: a list can stand for IN (?) alone");
            return Err(Error::new(ErrorKind::Programming, message));
        }
        other => match other.portable_text() {
            Some(text) => return statement.bind(at, Bound::Text(&text)),
            None => {
                let message = format!("parameter {at}: SQLite has no type for {}", other.type_name());
                return Err(Error::new(ErrorKind::NotSupported, message));
            }
        },
    };
    statement.bind(at, bound)
}
