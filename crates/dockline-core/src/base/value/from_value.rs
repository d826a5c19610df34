//! From values to the program's types. Nothing is converted where something would be lost.

use std::rc::Rc;
use std::sync::Arc;

use super::{Element, Value, ValueError};

/// A type that a column can be read as.
///
/// ```
/// use dockline::{FromValue, Value, ValueError};
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
#[diagnostic::on_unimplemented(
    message = "a column cannot be read as `{Self}`",
    label = "not a type of a column",
    note = "implement `FromValue` for it, or derive it; numbers, `String`, `Vec<u8>` and `Option` of them need no feature",
    note = "dates, decimals, UUIDs and JSON need a feature of dockline: `chrono`, `jiff`, `time`, `decimal`, `uuid`, `json`"
)]
pub trait FromValue: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// If the variant cannot be read as this type, or something would be lost: out of range, null, not UTF-8.
    fn from_value(value: Value) -> Result<Self, ValueError>;

    /// Reads the value where it stands. What is left there is of no account: it is written over, or dropped.
    #[doc(hidden)]
    #[inline]
    fn from_place(place: &mut Value) -> Result<Self, ValueError> {
        Self::from_value(std::mem::replace(place, Value::Null))
    }

    /// Reads a value that stays.
    #[doc(hidden)]
    #[inline]
    fn from_kept(value: &Value) -> Result<Self, ValueError> {
        Self::from_value(value.clone())
    }
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

    #[inline]
    fn from_place(place: &mut Value) -> Result<Self, ValueError> {
        if place.is_null() { Ok(None) } else { T::from_place(place).map(Some) }
    }

    #[inline]
    fn from_kept(value: &Value) -> Result<Self, ValueError> {
        if value.is_null() { Ok(None) } else { T::from_kept(value).map(Some) }
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
        Value::Other(other) => whole(other.digits()?),
        _ => None,
    }
}

/// The integer that a decimal is, if it is one.
fn whole(digits: &str) -> Option<i128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.bytes().all(|digit| digit == b'0') { whole.parse().ok() } else { None }
}

fn any_integer(value: &Value, wanted: &str) -> Result<i128, ValueError> {
    integer(value).ok_or_else(|| ValueError::mismatch(wanted, value))
}

#[cold]
fn does_not_fit<Int: std::fmt::Display>(wanted: &str, least: Int, most: Int) -> ValueError {
    ValueError::new(format!("does not fit {wanted}, {least} to {most}"))
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl FromValue for $int {
            #[inline]
            fn from_value(value: Value) -> Result<Self, ValueError> {
                Self::from_kept(&value)
            }

            #[inline]
            fn from_place(place: &mut Value) -> Result<Self, ValueError> {
                Self::from_kept(place)
            }

            #[inline]
            fn from_kept(value: &Value) -> Result<Self, ValueError> {
                let fitting = match value {
                    Value::Int(n) => <$int>::try_from(*n).ok(),
                    other => <$int>::try_from(any_integer(other, stringify!($int))?).ok(),
                };
                fitting.ok_or_else(|| does_not_fit::<$int>(stringify!($int), <$int>::MIN, <$int>::MAX))
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        Self::from_kept(&value)
    }

    fn from_place(place: &mut Value) -> Result<Self, ValueError> {
        Self::from_kept(place)
    }

    fn from_kept(value: &Value) -> Result<Self, ValueError> {
        match integer(value) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(_) => Err(ValueError::new("is neither 0 nor 1, so it is no bool")),
            None => Err(ValueError::mismatch("bool", value)),
        }
    }
}

impl FromValue for f64 {
    /// An integer has to be exact; of a decimal, such as an average, it is the nearest `f64`.
    fn from_value(value: Value) -> Result<Self, ValueError> {
        Self::from_kept(&value)
    }

    fn from_place(place: &mut Value) -> Result<Self, ValueError> {
        Self::from_kept(place)
    }

    fn from_kept(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Double(double) => Ok(*double),
            Value::Float(single) => Ok((*single).into()),
            Value::Int(n) => exact(i128::from(*n)),
            Value::UInt(n) => exact(i128::from(*n)),
            #[cfg(feature = "decimal")]
            Value::Decimal(decimal) => nearest(&decimal.to_string()).ok_or_else(|| ValueError::mismatch("f64", value)),
            Value::Other(other) => other.digits().and_then(nearest).ok_or_else(|| ValueError::mismatch("f64", value)),
            _ => Err(ValueError::mismatch("f64", value)),
        }
    }
}

fn exact(n: i128) -> Result<f64, ValueError> {
    let double = n as f64;
    if double as i128 == n { Ok(double) } else { Err(ValueError::new("has more digits than f64 keeps")) }
}

fn nearest<Float: std::str::FromStr>(digits: &str) -> Option<Float> {
    digits.parse().ok()
}

impl FromValue for f32 {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let digits = match &value {
            Value::Float(single) => return Ok(*single),
            #[cfg(feature = "decimal")]
            Value::Decimal(decimal) => Some(decimal.to_string()),
            Value::Other(other) => other.digits().map(str::to_owned),
            _ => None,
        };
        if let Some(single) = digits.as_deref().and_then(nearest) {
            return Ok(single);
        }
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
    /// Every value that has a text is read as it.
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Text(text) => Ok(text),
            Value::Json(json) => Ok(json.into_string()),
            Value::Bytes(bytes) => Self::from_utf8(bytes)
                .map_err(|error| ValueError::new(format!("is not UTF-8: {}; read it as bytes", error.utf8_error()))),
            other => match other.text() {
                Some(text) => Ok(text.into_owned()),
                None => Err(ValueError::mismatch("String", &other)),
            },
        }
    }

    #[inline]
    fn from_place(place: &mut Value) -> Result<Self, ValueError> {
        match place {
            Value::Text(text) => Ok(std::mem::take(text)),
            other => Self::from_value(std::mem::replace(other, Value::Null)),
        }
    }

    #[inline]
    fn from_kept(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            other => Self::from_value(other.clone()),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Text(text) => Ok(text.into_bytes()),
            Value::Json(json) => Ok(json.into_string().into_bytes()),
            other => Err(ValueError::mismatch("Vec<u8>", &other)),
        }
    }

    #[inline]
    fn from_place(place: &mut Value) -> Result<Self, ValueError> {
        match place {
            Value::Bytes(bytes) => Ok(std::mem::take(bytes)),
            other => Self::from_value(std::mem::replace(other, Value::Null)),
        }
    }
}

/// An array of PostgreSQL.
impl<T: FromValue + Element> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| {
                    T::from_value(item).map_err(|error| ValueError::new(format!("element {}: {error}", at + 1)))
                })
                .collect(),
            other => Err(ValueError::mismatch("Vec", &other)),
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
            Value::Other(other) => other.digits().map_or_else(|| Err(ValueError::mismatch("Decimal", &value)), parse),
            Value::Float(single) => parse(&single.to_string()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::value::Other;

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
    fn a_number_that_has_no_type_here_is_read_as_what_it_is() {
        let number = |digits: &str| Value::Other(Box::new(Other::number("numeric", digits)));
        assert_eq!(i64::from_value(number("12.00")).unwrap(), 12);
        assert_eq!(i128::from_value(number("-170141183460469231731687303715884105728")).unwrap(), i128::MIN);
        assert!(i64::from_value(number("12.5")).is_err() && i64::from_value(number("NaN")).is_err());
        assert_eq!(f64::from_value(number("0.1")).unwrap(), 0.1);
        assert_eq!(f64::from_value(number("Infinity")).unwrap(), f64::INFINITY);
        assert_eq!(f32::from_value(number("0.1")).unwrap(), 0.1);
        assert_eq!(String::from_value(number("12.00")).unwrap(), "12.00");
        let range = Value::Other(Box::new(Other::new("int4range", "[1,3)")));
        assert_eq!(String::from_value(range.clone()).unwrap(), "[1,3)");
        assert_eq!(i64::from_value(range).unwrap_err().to_string(), "int4range cannot be read as i64");
        let unknown = Value::Other(Box::new(Other::opaque("geometry")));
        let error = String::from_value(unknown).unwrap_err().to_string();
        assert!(error.starts_with("the type geometry has no value here; cast it"), "{error}");
    }

    #[test]
    fn an_array_is_a_vector() {
        let array = Value::Array(vec![Value::Int(1), Value::Null]);
        assert_eq!(Vec::<Option<i32>>::from_value(array.clone()).unwrap(), [Some(1), None]);
        let error = Vec::<i32>::from_value(array).unwrap_err().to_string();
        assert_eq!(error, "element 2: null cannot be read as i32; read it as Option<i32>");
        let nested = Value::Array(vec![Value::Array(vec![Value::Int(1)])]);
        assert_eq!(Vec::<Vec<i64>>::from_value(nested).unwrap(), [[1]]);
    }

    #[cfg(feature = "decimal")]
    #[test]
    fn of_a_decimal_a_double_is_the_nearest() {
        let average = Value::Decimal("3.3333333333333333".parse().unwrap());
        assert_eq!(f64::from_value(average).unwrap(), 3.333_333_333_333_333_3);
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
