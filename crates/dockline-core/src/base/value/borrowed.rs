//! Columns that are read without a copy.

use super::{FromValue, Value, ValueError};

/// A type that a column of a row that stays can be read as: every [`FromValue`], and `&str`, `&[u8]` and `&Value`, which
/// borrow from the row, also as an `Option`.
///
/// ```
/// use dockline::{Row, Value};
///
/// let row = Row::new(["name", "note"], vec![Value::Text("resize".into()), Value::Null]);
/// let name: &str = row.get("name")?;
/// let note: Option<&str> = row.get("note")?;
/// assert_eq!((name, note), ("resize", None));
/// # Ok::<_, dockline::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a column cannot be read as `{Self}`",
    label = "not a type of a column",
    note = "implement `FromValue` for it, or derive it; numbers, `String`, `&str`, `Vec<u8>` and `Option` of them need no feature",
    note = "dates, decimals, UUIDs and JSON need a feature of dockline: `chrono`, `jiff`, `time`, `decimal`, `uuid`, `json`"
)]
pub trait FromValueRef<'row>: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// As [`FromValue::from_value`]; for `&str`, also a value that is no text itself, such as a number.
    fn from_value_ref(value: &'row Value) -> Result<Self, ValueError>;
}

impl<T: FromValue> FromValueRef<'_> for T {
    #[inline]
    fn from_value_ref(value: &Value) -> Result<Self, ValueError> {
        T::from_kept(value)
    }
}

impl<'row> FromValueRef<'row> for &'row Value {
    #[inline]
    fn from_value_ref(value: &'row Value) -> Result<Self, ValueError> {
        Ok(value)
    }
}

impl<'row> FromValueRef<'row> for &'row str {
    #[inline]
    fn from_value_ref(value: &'row Value) -> Result<Self, ValueError> {
        match value {
            Value::Text(text) => Ok(text),
            other => borrow_text(other),
        }
    }
}

fn borrow_text(value: &Value) -> Result<&str, ValueError> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Json(json) => Ok(json.as_str()),
        Value::Bytes(bytes) => std::str::from_utf8(bytes)
            .map_err(|error| ValueError::new(format!("is not UTF-8: {error}; read it as bytes"))),
        Value::Other(other) => other.text().ok_or_else(|| ValueError::mismatch("&str", value)),
        Value::Null => Err(ValueError::mismatch("&str", value)),
        other => {
            let kind = other.type_name();
            Err(ValueError::new(format!("{kind} cannot be borrowed as &str; read it as String")))
        }
    }
}

impl<'row> FromValueRef<'row> for &'row [u8] {
    #[inline]
    fn from_value_ref(value: &'row Value) -> Result<Self, ValueError> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Text(text) => Ok(text.as_bytes()),
            Value::Json(json) => Ok(json.as_str().as_bytes()),
            other => Err(ValueError::mismatch("&[u8]", other)),
        }
    }
}

impl<'row> FromValueRef<'row> for Option<&'row str> {
    #[inline]
    fn from_value_ref(value: &'row Value) -> Result<Self, ValueError> {
        if value.is_null() { Ok(None) } else { FromValueRef::from_value_ref(value).map(Some) }
    }
}

impl<'row> FromValueRef<'row> for Option<&'row [u8]> {
    #[inline]
    fn from_value_ref(value: &'row Value) -> Result<Self, ValueError> {
        if value.is_null() { Ok(None) } else { FromValueRef::from_value_ref(value).map(Some) }
    }
}
