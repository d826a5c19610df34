//! From the program's types to values.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::{Element, Value};

/// A type that can be a parameter of a statement; [`params!`](crate::params) calls it.
///
/// ```
/// use dockline::{ToValue, Value, params};
///
/// struct Celsius(f64);
///
/// impl ToValue for Celsius {
///     fn to_value(&self) -> Value {
///         Value::Double(self.0)
///     }
/// }
///
/// assert_eq!(params![Celsius(21.5), "kitchen"], [Value::Double(21.5), Value::Text("kitchen".into())]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a statement",
    label = "not a type of a parameter",
    note = "implement `ToValue` for it, or derive it; numbers, text, bytes and `Option` of them need no feature",
    note = "dates, decimals, UUIDs and JSON need a feature of dockline: `chrono`, `jiff`, `time`, `decimal`, `uuid`, `json`"
)]
pub trait ToValue {
    /// The value, as the database gets it.
    fn to_value(&self) -> Value;
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

macro_rules! by_deref {
    ($($outer:ty),*) => {$(
        impl<T: ToValue + ?Sized> ToValue for $outer {
            fn to_value(&self) -> Value {
                (**self).to_value()
            }
        }
    )*};
}

by_deref!(&T, &mut T, Box<T>, Rc<T>, Arc<T>);

impl<T: ToValue + ToOwned + ?Sized> ToValue for Cow<'_, T> {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

macro_rules! by_conversion {
    ($($from:ty => $variant:ident as $to:ty),* $(,)?) => {$(
        impl ToValue for $from {
            fn to_value(&self) -> Value {
                Value::$variant(<$to>::from(self.clone()))
            }
        }
    )*};
}

by_conversion! {
    bool => Bool as bool,
    i8 => Int as i64, i16 => Int as i64, i32 => Int as i64, i64 => Int as i64,
    u8 => Int as i64, u16 => Int as i64, u32 => Int as i64, u64 => UInt as u64,
    f32 => Float as f32, f64 => Double as f64,
    String => Text as String,
}

#[cfg(feature = "decimal")]
by_conversion! { rust_decimal::Decimal => Decimal as rust_decimal::Decimal }
#[cfg(feature = "chrono")]
by_conversion! {
    chrono::NaiveDate => Date as chrono::NaiveDate,
    chrono::NaiveTime => Time as chrono::NaiveTime,
    chrono::NaiveDateTime => DateTime as chrono::NaiveDateTime,
}
#[cfg(feature = "uuid")]
by_conversion! { uuid::Uuid => Uuid as uuid::Uuid }

// `usize` and `isize` are at most 64 bits wide on every target of Rust.
impl ToValue for usize {
    fn to_value(&self) -> Value {
        Value::UInt(*self as u64)
    }
}

impl ToValue for isize {
    fn to_value(&self) -> Value {
        Value::Int(*self as i64)
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Bytes(self.clone())
    }
}

/// An array of PostgreSQL, as for `= ANY(?)`. For `IN (?)` on every database there is [`list`](crate::list).
impl<T: ToValue + Element> ToValue for [T] {
    fn to_value(&self) -> Value {
        Value::Array(self.iter().map(T::to_value).collect())
    }
}

impl<T: ToValue + Element, const N: usize> ToValue for [T; N] {
    fn to_value(&self) -> Value {
        self.as_slice().to_value()
    }
}

/// An array of PostgreSQL, as for `= ANY(?)`. For `IN (?)` on every database there is [`list`](crate::list).
impl<T: ToValue + Element> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        self.as_slice().to_value()
    }
}
