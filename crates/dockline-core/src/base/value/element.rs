//! What a list can be made of.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Interval, RawJson, Value};

/// A type of which a vector or a slice is a list: parameters of a statement, or an array.
///
/// Every type that can be a parameter has it, except `u8`: a list of those is bytes. The derive macros implement it; beside
/// an [`ToValue`](super::ToValue) of your own, write `impl Element for MyType {}`.
///
/// ```
/// use dockline::{Element, ToValue, Value, list};
///
/// struct JobId(i64);
///
/// impl ToValue for JobId {
///     fn to_value(&self) -> Value {
///         self.0.to_value()
///     }
/// }
///
/// impl Element for JobId {} // for IN (?) and arrays; a derive of ToValue writes it
///
/// let ids = list([JobId(1), JobId(2)]);
/// # let _ = ids;
/// ```
#[diagnostic::on_unimplemented(
    message = "a list of `{Self}` is neither a list of parameters nor an array",
    label = "not a list of values",
    note = "a list of `u8` is bytes, which are one value: write `params![bytes]` or `(bytes,)`",
    note = "for a type of your own, write `impl dockline::Element for {Self} {{}}`, or derive `ToValue`"
)]
pub trait Element {}

macro_rules! elements {
    ($($type:ty),* $(,)?) => {$( impl Element for $type {} )*};
}

elements! {
    bool, i8, i16, i32, i64, i128, isize, u16, u32, u64, u128, usize, f32, f64, str, String, [u8],
    Value, RawJson, Interval, Duration, std::net::IpAddr, std::net::Ipv4Addr, std::net::Ipv6Addr,
}

#[cfg(feature = "chrono")]
elements! {
    chrono::NaiveDate, chrono::NaiveTime, chrono::NaiveDateTime, chrono::TimeDelta,
}
#[cfg(feature = "chrono")]
impl<Zone: chrono::TimeZone> Element for chrono::DateTime<Zone> {}
#[cfg(feature = "decimal")]
elements! { rust_decimal::Decimal }
#[cfg(feature = "uuid")]
elements! { uuid::Uuid, super::Binary<uuid::Uuid> }
#[cfg(feature = "json")]
elements! { serde_json::Value }

impl<T> Element for Vec<T> {}
impl<const N: usize> Element for [u8; N] {}
impl<T: Element> Element for Option<T> {}
impl<T: Element + ?Sized> Element for &T {}
impl<T: Element + ?Sized> Element for &mut T {}
impl<T: Element + ?Sized> Element for Box<T> {}
impl<T: Element + ?Sized> Element for Rc<T> {}
impl<T: Element + ?Sized> Element for Arc<T> {}
impl<T: Element + ToOwned + ?Sized> Element for Cow<'_, T> {}
impl Element for dyn super::ToValue + '_ {}
