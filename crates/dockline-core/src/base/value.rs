//! Values as they travel between a program and a database.

mod borrowed;
mod element;
mod from_value;
mod interval;
mod json;
mod list;
mod named;
mod net;
#[cfg(feature = "chrono")]
mod of_chrono;
#[cfg(feature = "jiff")]
mod of_jiff;
#[cfg(feature = "time")]
mod of_time;
mod other;
mod portable;
mod text;
mod to_value;
#[cfg(feature = "uuid")]
mod uuids;

use std::fmt;

pub use borrowed::FromValueRef;
pub use element::Element;
pub use from_value::FromValue;
pub use interval::Interval;
pub use json::RawJson;
pub use list::list;
pub use named::{NamedParams, NamedValue};
pub use other::Other;
pub use to_value::ToValue;
#[cfg(feature = "uuid")]
pub use uuids::Binary;

/// A value of a parameter or of a column.
///
/// A backend answers with the variant that its server declares; [`FromValue`] turns it into the type that the program
/// asks for, if nothing is lost by it. The variants of dates, decimals and UUIDs exist with the features of those names;
/// without them such a column comes as [`Other`], and can be read as a `String` either way. A database that has no such type
/// (SQLite) stores [`portable_text`](Value::portable_text), and reading accepts that text again.
///
/// ```
/// use dockline::{ToValue, Value, params};
///
/// assert_eq!(params![7, "resize", None::<i64>], [Value::Int(7), Value::Text("resize".into()), Value::Null]);
/// assert_eq!(true.to_value(), Value::Bool(true));
/// ```
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
    /// A single-precision number.
    Float(f32),
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
    /// A date and a time of which nobody says in which zone they are.
    #[cfg(feature = "chrono")]
    DateTime(chrono::NaiveDateTime),
    /// A date and a time that the database keeps without a zone, in a session that is at UTC: it can be read as an instant
    /// too.
    #[cfg(feature = "chrono")]
    DateTimeUtc(chrono::NaiveDateTime),
    /// An instant; zones are normalised to UTC.
    #[cfg(feature = "chrono")]
    DateTimeTz(chrono::DateTime<chrono::Utc>),
    /// A length of time.
    Interval(Interval),
    /// A UUID.
    #[cfg(feature = "uuid")]
    Uuid(uuid::Uuid),
    /// A JSON document, as the text that it was written as.
    Json(RawJson),
    /// An array (PostgreSQL). One with several dimensions holds arrays.
    Array(Vec<Self>),
    /// A list for `IN (?)`, as a parameter: see [`list`].
    List(Vec<Self>),
    /// A parameter with a name: see [`named!`](crate::named).
    Named(Box<NamedValue>),
    /// A value of a type that has no variant here.
    Other(Box<Other>),
}

impl Value {
    /// Whether this is [`Value::Null`].
    ///
    /// ```
    /// use dockline::Value;
    ///
    /// assert!(Value::Null.is_null());
    /// assert!(!Value::Int(0).is_null());
    /// ```
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What kind of value this is, in a word, as error messages name it.
    ///
    /// ```
    /// use dockline::Value;
    ///
    /// assert_eq!(Value::Int(7).type_name(), "integer");
    /// ```
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "integer",
            Self::UInt(_) => "unsigned integer",
            Self::Float(_) => "float",
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
            Self::DateTime(_) | Self::DateTimeUtc(_) => "datetime",
            #[cfg(feature = "chrono")]
            Self::DateTimeTz(_) => "datetime with zone",
            Self::Interval(_) => "interval",
            #[cfg(feature = "uuid")]
            Self::Uuid(_) => "uuid",
            Self::Json(_) => "json",
            Self::Array(_) => "array",
            Self::List(_) => "list",
            Self::Named(named) => named.value.type_name(),
            Self::Other(other) => other.type_name(),
        }
    }
}

/// Why a [`Value`] could not become the type that was asked for. A row adds the column and makes it an
/// [`Error`](crate::Error) of kind [`Data`](crate::ErrorKind::Data).
///
/// ```
/// use dockline::{FromValue, Value, ValueError};
///
/// struct Percent(u8);
///
/// impl FromValue for Percent {
///     fn from_value(value: Value) -> Result<Self, ValueError> {
///         match u8::from_value(value)? {
///             percent @ 0..=100 => Ok(Self(percent)),
///             _ => Err(ValueError::new("is more than 100 percent")),
///         }
///     }
/// }
///
/// assert!(Percent::from_value(Value::Int(101)).is_err());
/// # Ok::<_, dockline::Error>(())
/// ```
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
            Value::Other(other) if other.text().is_none() => Self::new(format!(
                "the type {} has no value here; cast it in the statement, as in CAST(column AS text), or read it by native",
                other.type_name()
            )),
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
