//! The parameters of a statement.

use crate::base::value::{Element, ToValue, Value};

/// The parameters of one statement: what [`params!`](crate::params) makes, a tuple of up to sixteen values, `()` for none,
/// or values that are at hand already as a vector, an array or a slice.
///
/// A `Vec<Value>` is taken as it is, without a copy: the way to hand over large bytes. A vector of bytes is one value, and
/// no list of parameters: `(bytes,)`.
///
/// ```
/// # use dockline::{Connection, Result, params};
/// # fn run(db: &Connection, ids: &[i64]) -> Result<()> {
/// db.execute("INSERT INTO job (id, name) VALUES (?, ?)", (1, "resize"))?;
/// db.execute("INSERT INTO job (id, name) VALUES (?, ?)", params![2, "crop"])?;
/// db.execute("DELETE FROM job WHERE id = ? OR id = ?", &[1, 2])?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the parameters of a statement",
    label = "no parameters",
    note = "write `()` for none, a tuple `(a, b)` or `params![a, b]`; for one value `(a,)` or `params![a]`"
)]
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

impl<T: ToValue + Element> Params for &[T] {
    type Values = Vec<Value>;

    fn into_values(self) -> Self::Values {
        self.iter().map(T::to_value).collect()
    }
}

impl<T: ToValue + Element> Params for &Vec<T> {
    type Values = Vec<Value>;

    fn into_values(self) -> Self::Values {
        self.as_slice().into_values()
    }
}

impl<T: ToValue + Element, const N: usize> Params for &[T; N] {
    type Values = Vec<Value>;

    fn into_values(self) -> Self::Values {
        self.as_slice().into_values()
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident $at:tt),+;)*) => {$(
        impl<$($name: ToValue),+> Params for ($($name,)+) {
            type Values = [Value; $count];

            fn into_values(self) -> Self::Values {
                [$(self.$at.to_value()),+]
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
    13: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12;
    14: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13;
    15: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14;
    16: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15;
}

/// The parameters of a statement, each of its own type: `params![1, "x", None::<i64>]`.
///
/// The expressions are borrowed, so what they name can be used again afterwards.
///
/// ```
/// use dockline::{Value, params};
///
/// let name = String::from("resize");
/// assert_eq!(params![name, 3], [Value::Text(name.clone()), Value::Int(3)]);
/// assert_eq!(params![].len(), 0);
/// ```
#[macro_export]
macro_rules! params {
    () => { <[$crate::Value; 0]>::default() };
    ($($value:expr),+ $(,)?) => {{
        use $crate::element::Parameter as _;
        [$($crate::element::call!(to_parameter $value)),+]
    }};
}

/// What [`params!`](crate::params) and [`named!`](crate::named) call, in a way that lets a compile error point at the element.
#[doc(hidden)]
pub mod element {
    pub use dockline_macros::call;

    use crate::base::value::{ToValue, Value};

    /// Every type, so that the error is of the bound alone.
    pub trait Parameter {
        /// The value.
        fn to_parameter(&self) -> Value
        where
            Self: ToValue;
    }

    impl<T: ?Sized> Parameter for T {
        #[inline]
        fn to_parameter(&self) -> Value
        where
            Self: ToValue,
        {
            self.to_value()
        }
    }
}
