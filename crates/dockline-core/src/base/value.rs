//! Values as they travel between a program and a database.

mod from_value;
mod portable;
mod to_value;

use std::fmt;

pub use from_value::FromValue;
pub use to_value::ToValue;

/// A value of a parameter or of a column.
///
/// A backend answers with the variant that its server declares; [`FromValue`] turns it into the type that the program
/// asks for, where nothing is lost by it. The variants of dates, decimals, UUIDs and JSON exist with the features of
/// those names; a database that has no such type (SQLite) stores [`portable_text`](Value::portable_text), and reading
/// accepts that text again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A double-precision number.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An exact decimal number.
    #[cfg(feature = "decimal")]
    Decimal(rust_decimal::Decimal),
    /// A calendar date.
    #[cfg(feature = "chrono")]
    Date(chrono::NaiveDate),
    /// A time of day.
    #[cfg(feature = "chrono")]
    Time(chrono::NaiveTime),
    /// A date and a time without a zone.
    #[cfg(feature = "chrono")]
    DateTime(chrono::NaiveDateTime),
    /// An instant; zones are normalised to UTC.
    #[cfg(feature = "chrono")]
    DateTimeTz(chrono::DateTime<chrono::Utc>),
    /// A UUID.
    #[cfg(feature = "uuid")]
    Uuid(uuid::Uuid),
    /// A JSON document.
    #[cfg(feature = "json")]
    Json(serde_json::Value),
}

impl Value {
    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What kind of value this is, in a word, as error messages name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "integer",
            Self::UInt(_) => "unsigned integer",
            Self::Double(_) => "double",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            #[cfg(feature = "decimal")]
            Self::Decimal(_) => "decimal",
            #[cfg(feature = "chrono")]
            Self::Date(_) => "date",
            #[cfg(feature = "chrono")]
            Self::Time(_) => "time",
            #[cfg(feature = "chrono")]
            Self::DateTime(_) => "datetime",
            #[cfg(feature = "chrono")]
            Self::DateTimeTz(_) => "datetime with zone",
            #[cfg(feature = "uuid")]
            Self::Uuid(_) => "uuid",
            #[cfg(feature = "json")]
            Self::Json(_) => "json",
        }
    }
}

/// Why a [`Value`] could not become the type that was asked for. A row adds the column and makes it an
/// [`Error`](crate::Error) of kind [`Data`](crate::ErrorKind::Data).
#[derive(Debug)]
pub struct ValueError {
    message: String,
}

impl ValueError {
    /// An error with a message of your own, for an implementation of [`FromValue`]. It should not hold the value:
    /// error messages end up in logs.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The error for a variant that the type cannot be read from.
    pub fn mismatch(wanted: &str, found: &Value) -> Self {
        match found {
            Value::Null => Self::new(format!("null cannot be read as {wanted}; read it as Option<{wanted}>")),
            other => Self::new(format!("{} cannot be read as {wanted}", other.type_name())),
        }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ValueError {}
