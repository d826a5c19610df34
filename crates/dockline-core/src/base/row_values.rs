//! The values of a row that a session is about to give.

use std::fmt;

use crate::base::spare;
use crate::base::value::Value;

/// The values of one row, written by a session column by column, in the memory of the row before where that has been dropped.
///
/// ```
/// use dockline::Value;
/// use dockline::backend::RowValues;
///
/// let mut row = RowValues::with_columns(3);
/// row.int(7);
/// row.text("resize");
/// row.value(Value::Null);
/// assert_eq!(row.finish(), [Value::Int(7), Value::Text("resize".into()), Value::Null]);
/// ```
pub struct RowValues {
    /// What stands behind those that are written is of a row that is gone.
    values: Vec<Value>,
    written: usize,
}

impl RowValues {
    /// Begins a row of so many columns.
    #[inline]
    pub fn with_columns(columns: usize) -> Self {
        let mut values = spare::take_values();
        if values.len() != columns {
            values.resize(columns, Value::Null);
        }
        Self { values, written: 0 }
    }

    /// Writes a value of any kind.
    #[inline]
    pub fn value(&mut self, value: Value) {
        put(self.next(), value);
    }

    /// Writes null.
    #[inline]
    pub fn null(&mut self) {
        put(self.next(), Value::Null);
    }

    /// Writes a signed integer.
    #[inline]
    pub fn int(&mut self, n: i64) {
        put(self.next(), Value::Int(n));
    }

    /// Writes a text, by copying it. One that is at hand as a `String` is better off with [`value`](RowValues::value).
    #[inline]
    pub fn text(&mut self, text: &str) {
        let value = self.next();
        match value {
            Value::Text(kept) if kept.capacity() >= text.len() => {
                kept.clear();
                kept.push_str(text);
            }
            _ => put(value, Value::Text(text.to_owned())),
        }
    }

    /// Writes bytes, by copying them. Those that are at hand as a vector are better off with [`value`](RowValues::value).
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let value = self.next();
        match value {
            Value::Bytes(kept) if kept.capacity() >= bytes.len() => {
                kept.clear();
                kept.extend_from_slice(bytes);
            }
            _ => put(value, Value::Bytes(bytes.to_vec())),
        }
    }

    /// Ends the row, and returns what was written.
    #[inline]
    pub fn finish(mut self) -> Vec<Value> {
        if self.written < self.values.len() {
            self.values.truncate(self.written);
        }
        self.values
    }

    #[inline]
    fn next(&mut self) -> &mut Value {
        let at = self.written;
        self.written += 1;
        if at >= self.values.len() {
            self.values.push(Value::Null);
        }
        &mut self.values[at]
    }
}

impl fmt::Debug for RowValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().take(self.written)).finish()
    }
}

/// Writes a value over another, of which most own no memory that would have to be freed.
#[inline]
fn put(place: &mut Value, value: Value) {
    match place {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => {
            std::mem::forget(std::mem::replace(place, value));
        }
        _ => *place = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::row::Row;

    fn leave(values: Vec<Value>) {
        drop(spare::take_values());
        drop(Row::new(["a", "b"], values));
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn a_text_is_written_into_the_memory_of_the_one_before() {
        let before = "a longer one".to_owned();
        let memory = before.as_ptr();
        leave(vec![Value::Text(before), Value::Bytes(vec![1, 2, 3])]);
        let mut row = RowValues::with_columns(2);
        row.text("short");
        row.bytes(&[9]);
        let values = row.finish();
        assert_eq!(values, [text("short"), Value::Bytes(vec![9])]);
        assert!(matches!(&values[0], Value::Text(text) if text.as_ptr() == memory));
    }

    #[test]
    fn a_longer_text_asks_for_no_more_than_it_needs() {
        leave(vec![text("x"), Value::Null]);
        let mut row = RowValues::with_columns(1);
        row.text("much longer");
        assert!(matches!(&row.finish()[0], Value::Text(text) if text.capacity() == text.len()));
    }

    #[test]
    fn every_kind_is_written_over_every_other() {
        let kinds = || {
            let other = Value::Other(Box::new(crate::base::value::Other::new("point", "(1,2)")));
            [Value::Null, Value::Int(7), text("x"), Value::Bytes(vec![7]), Value::Bool(true), Value::Double(0.5), other]
        };
        for before in kinds() {
            for after in kinds() {
                leave(vec![before.clone(), before.clone()]);
                let mut row = RowValues::with_columns(2);
                row.value(Value::Null);
                match &after {
                    Value::Null => row.null(),
                    Value::Int(n) => row.int(*n),
                    Value::Text(text) => row.text(text),
                    Value::Bytes(bytes) => row.bytes(bytes),
                    _ => row.value(after.clone()),
                }
                assert_eq!(row.finish(), [Value::Null, after], "over {before:?}");
            }
        }
    }

    #[test]
    fn what_is_not_written_is_not_given() {
        leave(vec![text("secret"), text("secret")]);
        let mut row = RowValues::with_columns(2);
        row.text("x");
        assert_eq!(format!("{row:?}"), r#"[Text("x")]"#);
        assert_eq!(row.finish(), [text("x")]);
        leave(vec![text("secret"), text("secret")]);
        assert_eq!(RowValues::with_columns(5).finish(), []);
    }

    #[test]
    fn more_may_be_written_than_was_said() {
        drop(spare::take_values());
        let mut row = RowValues::with_columns(1);
        row.int(1);
        row.int(2);
        assert_eq!(row.finish(), [Value::Int(1), Value::Int(2)]);
    }

    #[test]
    fn a_value_that_was_taken_out_is_not_in_the_next_row() {
        drop(spare::take_values());
        let mut row = Row::new(["a", "b"], vec![text("mine"), Value::Int(1)]);
        let taken: String = row.take(0).unwrap();
        drop(row);
        let mut next = RowValues::with_columns(2);
        next.text("next");
        next.null();
        assert_eq!((taken.as_str(), next.finish()), ("mine", vec![text("next"), Value::Null]));
    }
}
