//! Rows of a result, and how their columns are read.

use std::fmt;
use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Fact, Result};
use crate::base::heading::{Found, Heading};
use crate::base::spare;
use crate::base::value::{FromValue, FromValueRef, Value, ValueError};

/// One row of a result. It owns its values, and may go to another thread.
///
/// ```
/// # use dockline::{Row, Value};
/// # let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
/// let id: i64 = row.get("id")?;
/// let name: String = row.get(1)?;
/// let (same_id, _): (i64, String) = row.decode()?;
/// # assert_eq!((id, name.as_str(), same_id), (7, "resize", 7));
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Clone)]
pub struct Row {
    /// Some, until the row is dropped.
    heading: Option<Arc<Heading>>,
    values: Vec<Value>,
}

impl Row {
    /// Makes a row by hand, for tests of an implementation of [`FromRow`].
    ///
    /// ```
    /// use dockline::{FromRow, Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// let (id, name) = <(i64, String)>::from_row(row)?;
    /// assert_eq!((id, name.as_str()), (7, "resize"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Where the number of columns is not that of the values.
    pub fn new<Name: Into<String>>(columns: impl IntoIterator<Item = Name>, values: Vec<Value>) -> Self {
        let columns: Arc<[String]> = columns.into_iter().map(Into::into).collect();
        assert_eq!(columns.len(), values.len(), "a row has one value a column");
        Self { heading: Some(Arc::new(Heading::new(None, columns))), values }
    }

    #[inline]
    pub(crate) fn of(heading: Arc<Heading>, values: Vec<Value>) -> Self {
        Self { heading: Some(heading), values }
    }

    /// Reads a column, by its index (from 0) or by its name (letter case decides only between names that differ in
    /// nothing else). `&str` and `&[u8]` are borrowed from the row.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// let id: i64 = row.get("id")?;
    /// let name: &str = row.get(1)?; // borrowed
    /// assert_eq!((id, name), (7, "resize"));
    /// assert!(row.get::<i64, _>("name").is_err()); // names the column
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data), naming the column, if the value cannot be read as `T` without loss: null into a
    /// type that is no `Option`, a number out of range, text that is not UTF-8, another type.
    /// [`Programming`](ErrorKind::Programming) if there is no such column, and if there are several of that name.
    #[inline]
    pub fn get<'row, T: FromValueRef<'row>, I: RowIndex>(&'row self, index: I) -> Result<T> {
        let at = index.find_in(self)?;
        T::from_value_ref(&self.values[at]).map_err(|error| unreadable(self.heading.as_deref(), at, &error))
    }

    /// Reads a column as [`get`](Row::get) does, and leaves null in its place: large text and bytes are not copied.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let mut row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// let name: String = row.take("name")?; // moved, not copied
    /// assert_eq!(name, "resize");
    /// assert_eq!(row.values()[1], Value::Null);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Row::get).
    #[inline]
    pub fn take<T: FromValue, I: RowIndex>(&mut self, index: I) -> Result<T> {
        let at = index.find_in(self)?;
        let place = &mut self.values[at];
        let read = T::from_place(place);
        *place = Value::Null;
        read.map_err(|error| unreadable(self.heading.as_deref(), at, &error))
    }

    /// The value of a column, as the backend gave it.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// assert_eq!(row.value("id")?, &Value::Int(7));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Programming`](ErrorKind::Programming) where there is no such column.
    pub fn value<I: RowIndex>(&self, index: I) -> Result<&Value> {
        index.find_in(self).map(|at| &self.values[at])
    }

    /// Reads the whole row as a type of yours, or as a tuple.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// let (id, name): (i64, String) = row.decode()?;
    /// assert_eq!((id, name.as_str()), (7, "resize"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As the type's [`FromRow`].
    pub fn decode<T: FromRow>(self) -> Result<T> {
        T::from_row(self)
    }

    /// The names of the columns.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// assert_eq!(row.columns(), ["id", "name"]);
    /// ```
    pub fn columns(&self) -> &[String] {
        self.heading.as_ref().map_or(&[], |heading| &*heading.columns)
    }

    /// The values.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// assert_eq!(row.values()[0], Value::Int(7));
    /// ```
    #[inline]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The values, out of the row.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// assert_eq!(row.into_values(), [Value::Int(7), Value::Text("resize".into())]);
    /// ```
    pub fn into_values(mut self) -> Vec<Value> {
        std::mem::take(&mut self.values)
    }

    /// The number of columns.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// assert_eq!(row.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the row has no columns.
    ///
    /// ```
    /// use dockline::{Row, Value};
    ///
    /// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
    /// assert!(!row.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The statement that gave this row has been executed, whatever is wrong with reading it.
    #[cold]
    fn error(&self, kind: ErrorKind, message: String) -> Error {
        error_of(self.heading.as_deref(), kind, message)
    }

    #[cold]
    fn lacks_column(&self, at: usize) -> Error {
        let message = format!("there is no column {at}: the result has {} (the first is 0)", self.values.len());
        self.error(ErrorKind::Programming, message)
    }

    #[cold]
    fn is_no_tuple_of(&self, columns: usize) -> Error {
        let message = format!("the result has {} columns and the tuple {columns}", self.len());
        self.error(ErrorKind::Programming, message)
    }
}

#[cold]
fn unreadable(heading: Option<&Heading>, at: usize, error: &ValueError) -> Error {
    let name = heading.and_then(|heading| heading.columns.get(at)).map_or("", String::as_str);
    error_of(heading, ErrorKind::Data, format!("column {name:?}: {error}"))
}

fn error_of(heading: Option<&Heading>, kind: ErrorKind, message: String) -> Error {
    let error = Error::new(kind, message).with_fact(Fact::MayHaveExecuted);
    match heading.and_then(|heading| heading.alias.as_ref()) {
        Some(alias) => error.with_alias(Arc::clone(alias)),
        None => error,
    }
}

impl Drop for Row {
    #[inline]
    fn drop(&mut self) {
        spare::keep(&mut self.values, &mut self.heading);
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.columns().iter().zip(&self.values)).finish()
    }
}

/// What a column can be found by: its index or its name.
///
/// ```
/// use dockline::{Row, Value};
///
/// let row = Row::new(["id"], vec![Value::Int(7)]);
/// assert_eq!(row.get::<i64, _>("id")?, row.get::<i64, _>(0)?);
/// # Ok::<_, dockline::Error>(())
/// ```
pub trait RowIndex: sealed::Sealed {
    /// The index of the column.
    #[doc(hidden)]
    fn find_in(&self, row: &Row) -> Result<usize>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for str {}
    impl Sealed for String {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
}

impl RowIndex for usize {
    #[inline]
    fn find_in(&self, row: &Row) -> Result<usize> {
        if *self < row.values.len() { Ok(*self) } else { Err(row.lacks_column(*self)) }
    }
}

impl RowIndex for str {
    fn find_in(&self, row: &Row) -> Result<usize> {
        let message = match row.heading.as_ref().map_or(Found::Nowhere, |heading| heading.find(self)) {
            Found::Once(at) => return Ok(at),
            Found::Nowhere => format!("there is no column {self:?}: the result has {}", row.columns().join(", ")),
            Found::Twice(first, second) => format!(
                "columns {first} and {second} are both named {self:?}: give one another name by AS, or read them by index"
            ),
        };
        Err(row.error(ErrorKind::Programming, message))
    }
}

impl RowIndex for String {
    fn find_in(&self, row: &Row) -> Result<usize> {
        self.as_str().find_in(row)
    }
}

impl<T: RowIndex + ?Sized> RowIndex for &T {
    #[inline]
    fn find_in(&self, row: &Row) -> Result<usize> {
        (**self).find_in(row)
    }
}

/// A type that a whole row can be read as.
///
/// Tuples of up to sixteen columns are. A struct derives it (feature `derive` of the crate `dockline`), or does it by hand:
///
/// ```
/// use dockline::{FromRow, Result, Row, Value};
///
/// struct Job { id: i64, name: String }
///
/// impl FromRow for Job {
///     fn from_row(mut row: Row) -> Result<Self> {
///         Ok(Self { id: row.get("id")?, name: row.take("name")? })
///     }
/// }
///
/// let row = Row::new(["id", "name"], vec![Value::Int(7), Value::Text("resize".into())]);
/// let job: Job = row.decode()?;
/// assert_eq!((job.id, job.name.as_str()), (7, "resize"));
/// # Ok::<_, dockline::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a row cannot be read as `{Self}`",
    label = "not a type of a row",
    note = "tuples of up to sixteen columns and `Row` are; for one column alone write `({Self},)`; a struct derives `FromRow`"
)]
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// Where a column is missing or cannot be read.
    fn from_row(row: Row) -> Result<Self>;
}

impl FromRow for Row {
    fn from_row(row: Row) -> Result<Self> {
        Ok(row)
    }
}

macro_rules! tuples {
    ($($columns:literal: $($name:ident $at:literal),+;)*) => {$(
        impl<$($name: FromValue),+> FromRow for ($($name,)+) {
            #[inline]
            fn from_row(mut row: Row) -> Result<Self> {
                let Row { heading, values } = &mut row;
                let Ok(values) = <&mut [Value; $columns]>::try_from(values.as_mut_slice()) else {
                    return Err(row.is_no_tuple_of($columns));
                };
                // Read where they stand: nobody sees the row afterwards.
                Ok(($(
                    $name::from_place(&mut values[$at])
                        .map_err(|error| unreadable(heading.as_deref(), $at, &error))?,
                )+))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row::new(["id", "Name"], vec![Value::Int(300), Value::Null])
    }

    #[test]
    fn columns_are_found_by_index_and_by_name() {
        assert_eq!(row().get::<i64, _>(0).unwrap(), 300);
        assert_eq!(row().get::<i64, _>("ID").unwrap(), 300);
        assert_eq!(row().get::<Option<String>, _>("name").unwrap(), None);
    }

    #[test]
    fn an_exact_name_wins_over_another_case() {
        let row = Row::new(["A", "a"], vec![Value::Int(1), Value::Int(2)]);
        assert_eq!(row.get::<i64, _>("a").unwrap(), 2);
    }

    #[test]
    fn two_columns_of_one_name_are_an_error_by_name() {
        let row = Row::new(["id", "Id", "id"], vec![Value::Int(1), Value::Int(2), Value::Int(3)]);
        let error = row.get::<i64, _>("id").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Programming);
        assert!(error.message().starts_with("columns 0 and 2 are both named \"id\""), "{error}");
        assert_eq!(row.get::<i64, _>("Id").unwrap(), 2);
        assert!(row.get::<i64, _>("ID").is_err(), "three names differ from it in case alone");
        assert_eq!(row.get::<i64, _>(2).unwrap(), 3);
    }

    #[test]
    fn text_is_borrowed_from_the_row() {
        let row = Row::new(["a", "b"], vec![Value::Text("x".into()), Value::Null]);
        let (a, b): (&str, Option<&str>) = (row.get("a").unwrap(), row.get("b").unwrap());
        assert!(std::ptr::eq(a, row.get::<&str, _>(0).unwrap()) && b.is_none());
        let error = row.get::<&str, _>("b").unwrap_err();
        assert_eq!(error.message(), r#"column "b": null cannot be read as &str; read it as Option<&str>"#);
    }

    #[test]
    fn errors_name_the_column() {
        let error = row().get::<u8, _>("id").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert_eq!(error.to_string(), r#"column "id": does not fit u8, 0 to 255"#);
        assert!(error.may_have_executed());

        let error = row().get::<String, _>("Name").unwrap_err();
        assert_eq!(error.to_string(), r#"column "Name": null cannot be read as String; read it as Option<String>"#);
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_exist() {
        let error = row().get::<i64, _>("size").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Programming);
        assert_eq!(error.to_string(), r#"there is no column "size": the result has id, Name"#);
        assert!(row().get::<i64, _>(2).is_err());
    }

    #[test]
    fn a_tuple_has_as_many_columns_as_the_result() {
        assert_eq!(row().decode::<(i64, Option<i64>)>().unwrap(), (300, None));
        assert!(row().decode::<(i64,)>().is_err());
    }
}
