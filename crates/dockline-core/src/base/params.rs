//! The parameters of a statement.

use crate::base::value::{ToValue, Value};

/// The parameters of one statement: what [`params!`](crate::params) makes, `()` for none, or values that are at hand
/// already as a vector, an array or a slice of anything that is [`ToValue`].
///
/// A `Vec<Value>` is taken as it is, without a copy: the way to hand over large bytes.
pub trait Params {
    /// What the values are kept in while the statement runs.
    type Values: AsRef<[Value]>;

    /// Turns the parameters into values.
    fn into_values(self) -> Self::Values;
}

impl Params for () {
    type Values = [Value; 0];

    fn into_values(self) -> Self::Values {
        []
    }
}

impl<const N: usize> Params for [Value; N] {
    type Values = Self;

    fn into_values(self) -> Self::Values {
        self
    }
}

impl Params for Vec<Value> {
    type Values = Self;

    fn into_values(self) -> Self::Values {
        self
    }
}

impl<T: ToValue> Params for &[T] {
    type Values = Vec<Value>;

    fn into_values(self) -> Self::Values {
        self.iter().map(T::to_value).collect()
    }
}

impl<T: ToValue> Params for &Vec<T> {
    type Values = Vec<Value>;

    fn into_values(self) -> Self::Values {
        self.as_slice().into_values()
    }
}

impl<T: ToValue, const N: usize> Params for &[T; N] {
    type Values = Vec<Value>;

    fn into_values(self) -> Self::Values {
        self.as_slice().into_values()
    }
}

/// The parameters of a statement, each of its own type: `params![1, "x", None::<i64>]`.
///
/// The expressions are borrowed, so what they name can be used again afterwards.
///
/// ```
/// use dockline_core::{Value, params};
///
/// let name = String::from("resize");
/// assert_eq!(params![name, 3], [Value::Text(name.clone()), Value::Int(3)]);
/// assert_eq!(params![].len(), 0);
/// ```
#[macro_export]
macro_rules! params {
    () => { <[$crate::Value; 0]>::default() };
    ($($value:expr),+ $(,)?) => { [$($crate::ToValue::to_value(&$value)),+] };
}
