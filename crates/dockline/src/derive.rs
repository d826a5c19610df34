//! What the code of derive macros calls.

use crate::{Error, ErrorKind, Fact, FromValue, Result, Row, Value};

/// A struct that derives [`FromRow`](crate::FromRow), as a part of another: its columns have names that begin with a prefix.
pub trait RowPart: Sized {
    /// Reads its columns.
    ///
    /// # Errors
    ///
    /// As [`FromRow::from_row`](crate::FromRow::from_row).
    fn from_part(row: &Row, prefix: &str) -> Result<Self>;

    /// Whether all of its columns are null, or not there.
    fn is_absent(row: &Row, prefix: &str) -> bool;
}

/// The other side of a LEFT JOIN that found nothing.
impl<T: RowPart> RowPart for Option<T> {
    fn from_part(row: &Row, prefix: &str) -> Result<Self> {
        if T::is_absent(row, prefix) { Ok(None) } else { T::from_part(row, prefix).map(Some) }
    }

    fn is_absent(row: &Row, prefix: &str) -> bool {
        T::is_absent(row, prefix)
    }
}

/// Reads a column of a part.
///
/// # Errors
///
/// As [`Row::get`].
pub fn get<T: FromValue>(row: &Row, prefix: &str, column: &str) -> Result<T> {
    if prefix.is_empty() { row.get(column) } else { row.get(format!("{prefix}{column}")) }
}

/// The same, or the default if the result has no such column.
///
/// # Errors
///
/// As [`Row::get`].
pub fn get_or_default<T: FromValue + Default>(row: &Row, prefix: &str, column: &str) -> Result<T> {
    let name = format!("{prefix}{column}");
    let is_there = row.columns().iter().any(|other| other.eq_ignore_ascii_case(&name));
    if is_there { row.get(name) } else { Ok(T::default()) }
}

/// Whether a column is null or not there.
pub fn is_absent(row: &Row, prefix: &str, column: &str) -> bool {
    row.value(format!("{prefix}{column}")).map_or(true, Value::is_null)
}

/// Refuses a row that has another number of columns.
///
/// # Errors
///
/// [`Programming`](ErrorKind::Programming), with both numbers.
pub fn has_columns(row: &Row, count: usize) -> Result<()> {
    if row.len() == count {
        return Ok(());
    }
    let message = format!("the result has {} columns and the struct {count} fields", row.len());
    Err(Error::new(ErrorKind::Programming, message).with_fact(Fact::MayHaveExecuted))
}

/// Parameters by name whose names begin with a prefix.
pub fn prefixed(values: Vec<Value>, prefix: &str) -> Vec<Value> {
    let with_prefix = |value| match value {
        Value::Named(named) => Value::named_optional(format!("{prefix}{}", named.name), named.value),
        other => other,
    };
    values.into_iter().map(with_prefix).collect()
}
