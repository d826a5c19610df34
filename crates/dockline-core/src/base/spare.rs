//! What a row that is dropped leaves to the next row of the same thread: rows that are read one after the other share one vector, the
//! memory of their texts, and their heading.
//!
//! Its values stay in the vector until the next row is written over them. Nobody sees them there: a vector leaves this file only as the
//! inside of a [`RowValues`](crate::backend::RowValues), which gives out what was written into it and nothing else. That they stay in the
//! process's memory for longer changes little: memory that is freed is not wiped either.

use std::cell::RefCell;
use std::mem::{swap, take};
use std::sync::Arc;

use crate::base::heading::Heading;
use crate::base::value::Value;

/// A row with more columns is rare, and its memory is not worth holding.
const MOST_COLUMNS: usize = 64;

/// Memory of a text or of bytes that is larger is let go. With as many columns as may be, a thread holds 16 KiB.
const LARGEST_KEPT: usize = 256;

struct Spare {
    values: Vec<Value>,
    heading: Option<Arc<Heading>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { values: Vec::new(), heading: None }) };
}

/// Takes the vector, with the values of the row that it was of.
#[inline]
pub(super) fn take_values() -> Vec<Value> {
    // A thread that is ending has none any more.
    SPARE.try_with(|spare| take(&mut spare.borrow_mut().values)).unwrap_or_default()
}

/// Returns the heading: the one that the last row had, if it is the same, so that the count of those who share it, which other threads
/// may be writing, stays as it is.
#[inline]
pub(crate) fn heading_as(wanted: &Arc<Heading>) -> Arc<Heading> {
    match SPARE.try_with(|spare| spare.borrow_mut().heading.take()) {
        Ok(Some(heading)) if Arc::ptr_eq(&heading, wanted) => heading,
        _ => Arc::clone(wanted),
    }
}

/// Keeps the vector and the heading of a row that is dropped. Of two vectors the larger one stays.
#[inline]
pub(super) fn keep(values: &mut Vec<Value>, heading: &mut Option<Arc<Heading>>) {
    if values.capacity() == 0 || values.capacity() > MOST_COLUMNS {
        return;
    }
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.values.capacity() >= values.capacity() {
            return;
        }
        for value in &mut *values {
            if !is_worth_keeping(value) {
                *value = Value::Null;
            }
        }
        // The row drops what it gets for them.
        swap(&mut spare.values, values);
        swap(&mut spare.heading, heading);
    });
}

/// Whether the memory of a value is bounded. What only a type of a feature holds is written anew for each row.
#[inline]
fn is_worth_keeping(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.capacity() <= LARGEST_KEPT,
        Value::Bytes(bytes) => bytes.capacity() <= LARGEST_KEPT,
        Value::Json(_) | Value::Array(_) | Value::List(_) | Value::Named(_) | Value::Other(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::row::Row;

    fn drop_row(values: Vec<Value>) {
        drop(Row::new(["a", "b"], values));
    }

    #[test]
    fn a_row_leaves_its_vector_to_one_other() {
        drop(take_values());
        let mut values = Vec::with_capacity(2);
        values.extend([Value::Int(1), Value::Null]);
        let memory = values.as_ptr();
        drop_row(values);
        let next = take_values();
        assert_eq!(next.as_ptr(), memory);
        assert_eq!(take_values().capacity(), 0, "it is in use");
    }

    #[test]
    fn what_a_row_has_given_away_is_not_kept() {
        drop(take_values());
        let values = Row::new(["a"], vec![Value::Int(1)]).into_values();
        assert_eq!(take_values().capacity(), 0);
        assert_eq!(values, [Value::Int(1)]);
    }

    #[test]
    fn a_row_of_many_columns_leaves_nothing() {
        drop(take_values());
        keep(&mut Vec::with_capacity(MOST_COLUMNS + 1), &mut None);
        assert_eq!(take_values().capacity(), 0);
    }

    #[test]
    fn large_memory_is_let_go_with_its_row() {
        drop(take_values());
        drop_row(vec![Value::Text(String::with_capacity(LARGEST_KEPT + 1)), Value::Text("x".into())]);
        assert_eq!(take_values(), [Value::Null, Value::Text("x".into())]);
        drop_row(vec![Value::Bytes(vec![0; LARGEST_KEPT + 1]), Value::Array(vec![Value::Int(1)])]);
        assert_eq!(take_values(), [Value::Null, Value::Null]);
    }

    #[test]
    fn only_the_heading_that_is_wanted_comes_back() {
        let heading = || Arc::new(Heading::new(None, Arc::default()));
        let (first, second) = (heading(), heading());
        drop(take_values());
        keep(&mut vec![Value::Null], &mut Some(Arc::clone(&first)));
        assert!(Arc::ptr_eq(&heading_as(&first), &first));
        assert!(SPARE.with_borrow(|spare| spare.heading.is_none()), "it was handed on");
        drop(take_values());
        keep(&mut vec![Value::Null], &mut Some(first));
        assert!(Arc::ptr_eq(&heading_as(&second), &second));
    }
}
