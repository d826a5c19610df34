//! Lists of any length as one parameter.

use super::{ToValue, Value};

/// A list of any length as one parameter, for `IN (?)`.
///
/// It works the same on every backend. PostgreSQL gets it as an array, SQLite and MySQL as a row of placeholders whose length is a
/// power of two, so that few texts are prepared; a long one goes to SQLite as one document of JSON. With an empty list, `IN` is
/// false and `NOT IN` is true.
///
/// ```
/// use dockline::{Connection, Result, list, params};
///
/// fn names(db: &Connection, ids: &[i64]) -> Result<Vec<(String,)>> {
///     db.query_as("SELECT name FROM job WHERE id IN (?) AND done = ?", params![list(ids), false])
/// }
/// ```
///
/// It can stand nowhere else: a statement with a list that is not alone in the parentheses behind `IN` is an error.
pub fn list<I>(items: I) -> Value
where
    I: IntoIterator,
    I::Item: ToValue,
{
    Value::List(items.into_iter().map(|item| item.to_value()).collect())
}
