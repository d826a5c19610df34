//! UUIDs: as text, as sixteen bytes, and as a type of the server's.

use super::{FromValue, ToValue, Value, ValueError};

/// Writes a `Uuid` as its sixteen bytes: into `BINARY(16)` of MySQL and MariaDB, into a BLOB, and into PostgreSQL's `uuid` and `bytea`.
///
/// A bare `Uuid` is written as text where nobody knows that its column has bytes: on SQLite, on MariaDB, and on MySQL without prepared
/// statements. Reading needs no wrapper: `Uuid` takes either form.
///
/// ```
/// # extern crate dockline_core as dockline;
/// use dockline::{Binary, Value, params};
/// use uuid::Uuid;
///
/// let id = Uuid::from_u128(7);
/// assert_eq!(params![Binary(id)], [Value::Bytes(id.as_bytes().to_vec())]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Binary<T>(pub T);

impl ToValue for Binary<uuid::Uuid> {
    fn to_value(&self) -> Value {
        Value::Bytes(self.0.as_bytes().to_vec())
    }
}

impl FromValue for Binary<uuid::Uuid> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        uuid::Uuid::from_value(value).map(Self)
    }
}

impl FromValue for uuid::Uuid {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let result = match &value {
            Value::Uuid(uuid) => return Ok(*uuid),
            Value::Text(text) => Self::try_parse(text),
            Value::Bytes(bytes) => Self::from_slice(bytes),
            _ => return Err(ValueError::mismatch("Uuid", &value)),
        };
        result.map_err(|error| ValueError::new(format!("is no UUID: {error}")))
    }
}
