//! From values to the program's types. Nothing is converted where something would be lost.

use std::rc::Rc;
use std::sync::Arc;

use super::{Value, ValueError};

/// A type that a column can be read as.
///
/// ```
/// use dockline_core::{FromValue, Value, ValueError};
///
/// #[derive(Debug, PartialEq)]
/// enum State { Open, Done }
///
/// impl FromValue for State {
///     fn from_value(value: Value) -> Result<Self, ValueError> {
///         match String::from_value(value)?.as_str() {
///             "open" => Ok(State::Open),
///             "done" => Ok(State::Done),
///             _ => Err(ValueError::new("is neither open nor done")),
///         }
///     }
/// }
///
/// assert_eq!(State::from_value(Value::Text("done".into())).unwrap(), State::Done);
/// assert!(State::from_value(Value::Null).is_err());
/// ```
pub trait FromValue: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// Where the variant cannot be read as this type, or something would be lost: out of range, null, not UTF-8.
    fn from_value(value: Value) -> Result<Self, ValueError>;
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        Ok(value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        if value.is_null() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

/// The integer that a value is, where it is one: also a boolean, for databases differ in what `count(*) > 0` is, and a
/// whole decimal, for they differ in what `sum(n)` is.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(n) => Some((*n).into()),
        Value::UInt(n) => Some((*n).into()),
        Value::Bool(b) => Some((*b).into()),
        #[cfg(feature = "decimal")]
        Value::Decimal(d) if d.is_integer() => i128::try_from(*d).ok(),
        _ => None,
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl FromValue for $int {
            fn from_value(value: Value) -> Result<Self, ValueError> {
                let n = integer(&value).ok_or_else(|| ValueError::mismatch(stringify!($int), &value))?;
                <$int>::try_from(n).map_err(|_| {
                    ValueError::new(format!("does not fit {}, {} to {}", stringify!($int), <$int>::MIN, <$int>::MAX))
                })
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match integer(&value) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(_) => Err(ValueError::new("is neither 0 nor 1, so it is no bool")),
            None => Err(ValueError::mismatch("bool", &value)),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match &value {
            Value::Double(d) => Ok(*d),
            Value::Int(n) => exact(i128::from(*n)),
            Value::UInt(n) => exact(i128::from(*n)),
            _ => Err(ValueError::mismatch("f64", &value)),
        }
    }
}

fn exact(n: i128) -> Result<f64, ValueError> {
    let double = n as f64;
    if double as i128 == n { Ok(double) } else { Err(ValueError::new("has more digits than f64 keeps")) }
}

impl FromValue for f32 {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let double = f64::from_value(value)?;
        let single = double as f32;
        if f64::from(single) == double || double.is_nan() {
            Ok(single)
        } else {
            Err(ValueError::new("has more digits than f32 keeps; read it as f64"))
        }
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Text(text) => Ok(text),
            Value::Bytes(bytes) => String::from_utf8(bytes)
                .map_err(|error| ValueError::new(format!("is not UTF-8: {}; read it as bytes", error.utf8_error()))),
            other => Err(ValueError::mismatch("String", &other)),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Text(text) => Ok(text.into_bytes()),
            other => Err(ValueError::mismatch("Vec<u8>", &other)),
        }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let bytes = Vec::from_value(value)?;
        bytes.try_into().map_err(|bytes: Vec<u8>| ValueError::new(format!("has {} bytes and not {N}", bytes.len())))
    }
}

macro_rules! by_wrapping {
    ($($wrapper:ty => $inner:ty),* $(,)?) => {$(
        impl FromValue for $wrapper {
            fn from_value(value: Value) -> Result<Self, ValueError> {
                <$inner>::from_value(value).map(<$wrapper>::from)
            }
        }
    )*};
}

by_wrapping! {
    Box<str> => String, Rc<str> => String, Arc<str> => String,
    Box<[u8]> => Vec<u8>, Rc<[u8]> => Vec<u8>, Arc<[u8]> => Vec<u8>,
}

/// Reads `$type` from its own variant, or from the text in which databases without such a type keep it.
#[cfg(any(feature = "chrono", feature = "json"))]
macro_rules! from_variant_or_text {
    ($type:ty, $variant:ident, $parse:expr) => {
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, ValueError> {
                match value {
                    Value::$variant(inner) => Ok(inner),
                    Value::Text(text) => $parse(&text)
                        .map_err(|error| ValueError::new(format!("text is no {}: {error}", stringify!($type)))),
                    other => Err(ValueError::mismatch(stringify!($type), &other)),
                }
            }
        }
    };
}

#[cfg(feature = "chrono")]
mod of_chrono {
    use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

    use super::{FromValue, Value, ValueError};

    from_variant_or_text!(NaiveDate, Date, str::parse::<NaiveDate>);
    from_variant_or_text!(NaiveTime, Time, str::parse::<NaiveTime>);
    from_variant_or_text!(NaiveDateTime, DateTime, |text: &str| iso(text).parse::<NaiveDateTime>());

    impl FromValue for DateTime<Utc> {
        fn from_value(value: Value) -> Result<Self, ValueError> {
            match value {
                Value::DateTimeTz(instant) => Ok(instant),
                // A database that has no type with a zone keeps instants in UTC: so they were written.
                Value::DateTime(moment) => Ok(moment.and_utc()),
                Value::Text(text) => match iso(&text).parse::<DateTime<FixedOffset>>() {
                    Ok(instant) => Ok(instant.to_utc()),
                    Err(error) => Err(ValueError::new(format!("is no DateTime<Utc>: {error}"))),
                },
                other => Err(ValueError::mismatch("DateTime<Utc>", &other)),
            }
        }
    }

    impl FromValue for DateTime<FixedOffset> {
        fn from_value(value: Value) -> Result<Self, ValueError> {
            DateTime::<Utc>::from_value(value).map(|instant| instant.fixed_offset())
        }
    }

    /// Databases write a space between date and time, chrono reads a T.
    fn iso(text: &str) -> String {
        text.replacen(' ', "T", 1)
    }
}

#[cfg(feature = "json")]
from_variant_or_text!(serde_json::Value, Json, serde_json::from_str);

#[cfg(feature = "decimal")]
impl FromValue for rust_decimal::Decimal {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        use rust_decimal::Decimal;

        let parse = |text: &str| {
            Decimal::from_str_exact(text).map_err(|error| ValueError::new(format!("is no exact decimal: {error}")))
        };
        match &value {
            Value::Decimal(decimal) => Ok(*decimal),
            Value::Int(n) => Ok(Decimal::from(*n)),
            Value::UInt(n) => Ok(Decimal::from(*n)),
            Value::Text(text) => parse(text),
            // What SQLite makes of a number in a DECIMAL column. Up to 15 digits, the shortest text that reads as this
            // double is the number that was written.
            Value::Double(double) => {
                let text = double.to_string();
                let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
                if digits > 15 {
                    return Err(ValueError::new("is a double, which keeps 15 digits of a decimal, and has more"));
                }
                parse(&text)
            }
            _ => Err(ValueError::mismatch("Decimal", &value)),
        }
    }
}

#[cfg(feature = "uuid")]
impl FromValue for uuid::Uuid {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let result = match &value {
            Value::Uuid(uuid) => return Ok(*uuid),
            Value::Text(text) => uuid::Uuid::try_parse(text),
            Value::Bytes(bytes) => uuid::Uuid::from_slice(bytes),
            _ => return Err(ValueError::mismatch("Uuid", &value)),
        };
        result.map_err(|error| ValueError::new(format!("is no UUID: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_refuse_what_does_not_fit() {
        assert_eq!(u8::from_value(Value::Int(255)).unwrap(), 255);
        assert_eq!(u8::from_value(Value::Int(256)).unwrap_err().to_string(), "does not fit u8, 0 to 255");
        assert_eq!(u64::from_value(Value::UInt(u64::MAX)).unwrap(), u64::MAX);
        assert!(i64::from_value(Value::UInt(u64::MAX)).is_err());
        assert!(u32::from_value(Value::Int(-1)).is_err());
        assert!(i32::from_value(Value::Double(1.0)).is_err());
        assert!(i32::from_value(Value::Text("1".into())).is_err());
    }

    #[test]
    fn null_is_only_an_option() {
        assert_eq!(Option::<i64>::from_value(Value::Null).unwrap(), None);
        let error = i64::from_value(Value::Null).unwrap_err().to_string();
        assert_eq!(error, "null cannot be read as i64; read it as Option<i64>");
    }

    #[test]
    fn doubles_keep_every_digit_or_fail() {
        assert_eq!(f64::from_value(Value::Int(1 << 53)).unwrap(), 9_007_199_254_740_992.0);
        assert!(f64::from_value(Value::Int((1 << 53) + 1)).is_err());
        assert_eq!(f32::from_value(Value::Double(0.5)).unwrap(), 0.5);
        assert!(f32::from_value(Value::Double(0.1)).is_err());
        assert!(f32::from_value(Value::Double(f64::NAN)).unwrap().is_nan());
    }

    #[test]
    fn bool_is_zero_or_one() {
        assert!(bool::from_value(Value::Int(1)).unwrap());
        assert!(bool::from_value(Value::Int(2)).is_err());
    }

    #[test]
    fn text_must_be_utf8() {
        assert_eq!(String::from_value(Value::Bytes(b"ok".to_vec())).unwrap(), "ok");
        let error = String::from_value(Value::Bytes(vec![0xff])).unwrap_err().to_string();
        assert!(error.starts_with("is not UTF-8"), "{error}");
    }
}
