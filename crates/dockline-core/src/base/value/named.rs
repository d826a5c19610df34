//! Parameters with names.

use std::borrow::Cow;

use super::Value;
use crate::base::params::Params;

/// One parameter of [`named!`](crate::named).
///
/// ```
/// use dockline::{Value, named};
///
/// if let [Value::Named(id)] = &named! { id: 7 } {
///     assert_eq!((id.name.as_ref(), &id.value), ("id", &Value::Int(7)));
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NamedValue {
    /// The name, without the colon.
    pub name: Cow<'static, str>,
    /// The value.
    pub value: Value,
    /// Whether a statement may leave it out.
    pub is_optional: bool,
}

/// Parameters by name: what [`named!`](crate::named) makes, and what a struct with `#[derive(NamedParams)]` is.
///
/// In a statement with names, `:name` stands for a value, as often as it is written; `?` does not, and `::` is the cast of PostgreSQL.
///
/// ```
/// use dockline::{NamedParams, ToValue, Value};
///
/// struct Job {
///     id: i64,
///     name: String,
/// }
///
/// // What the derive of the feature `derive` writes:
/// impl NamedParams for Job {
///     fn named_values(&self) -> Vec<Value> {
///         vec![
///             Value::named_optional("id", self.id.to_value()),
///             Value::named_optional("name", self.name.to_value()),
///         ]
///     }
/// }
/// ```
pub trait NamedParams {
    /// The names and their values.
    fn named_values(&self) -> Vec<Value>;
}

impl Value {
    /// Gives the value a name, for a statement with `:name` in it.
    ///
    /// ```
    /// use dockline::{Value, named};
    ///
    /// // What named! makes of each of its pairs:
    /// assert_eq!(named! { id: 7 }, [Value::named("id", Value::Int(7))]);
    /// ```
    pub fn named(name: impl Into<Cow<'static, str>>, value: Self) -> Self {
        Self::Named(Box::new(NamedValue { name: name.into(), value, is_optional: false }))
    }

    /// The same, for one that a statement may leave out.
    ///
    /// ```
    /// use dockline::Value;
    ///
    /// // What a struct that derives NamedParams gives: a statement need not use all of its fields.
    /// assert_ne!(Value::named_optional("id", Value::Int(7)), Value::named("id", Value::Int(7)));
    /// ```
    #[doc(hidden)]
    pub fn named_optional(name: impl Into<Cow<'static, str>>, value: Self) -> Self {
        Self::Named(Box::new(NamedValue { name: name.into(), value, is_optional: true }))
    }
}

impl<T: NamedParams> Params for &T {
    type Values = Vec<Value>;

    fn into_values(self) -> Self::Values {
        self.named_values()
    }
}

/// The parameters of a statement by name, which is written `:name` in it, as often as it is needed.
///
/// ```
/// use dockline::{Connection, Result, named};
///
/// fn children(db: &Connection, id: i64) -> Result<Vec<(i64, String)>> {
///     db.query_as("SELECT id, name FROM node WHERE parent = :id OR id = :id", named! { id: id })
/// }
/// ```
///
/// Names that the statement does not have are an error, and so are those that it has and are not given. It is a form of its own: nothing
/// in a statement with `?` is taken for a name.
#[macro_export]
macro_rules! named {
    () => { <[$crate::Value; 0]>::default() };
    ($($name:ident : $value:expr),+ $(,)?) => {{
        use $crate::element::Parameter as _;
        [$($crate::Value::named(::core::stringify!($name), $crate::element::call!(to_parameter $value))),+]
    }};
}
