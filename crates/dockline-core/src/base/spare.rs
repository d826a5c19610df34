//! The memory of a row that is gone, kept for the next row of the same thread: rows that are read one after the other, and then dropped,
//! share one vector.

use std::cell::Cell;

use crate::base::value::Value;

/// A row with more columns is rare, and its memory is not worth holding.
const MOST_COLUMNS: usize = 64;

thread_local! {
    static SPARE: Cell<Vec<Value>> = const { Cell::new(Vec::new()) };
}

/// Returns an empty vector with room for so many values: for the row that a session gives next. A row that is dropped leaves its
/// vector behind for this, so that reading many rows asks for memory once.
pub fn empty_row(columns: usize) -> Vec<Value> {
    // A thread that is ending has none any more.
    let mut values = SPARE.try_with(Cell::take).unwrap_or_default();
    values.reserve(columns);
    values
}

/// Keeps the vector of a row that is dropped, unless there is one already.
pub(crate) fn keep(mut values: Vec<Value>) {
    if values.capacity() == 0 || values.capacity() > MOST_COLUMNS {
        return;
    }
    // The values go now: what they hold may be large.
    values.clear();
    let _ = SPARE.try_with(|spare| {
        let other = spare.take();
        spare.set(if other.capacity() < values.capacity() { values } else { other });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::row::Row;

    #[test]
    fn a_row_has_the_memory_of_the_one_before() {
        let mut values = empty_row(2);
        let memory = values.as_ptr();
        values.extend([Value::Int(1), Value::Null]);
        drop(Row::new(["a", "b"], values));
        let next = empty_row(2);
        assert!(next.is_empty() && next.as_ptr() == memory);
        let other = empty_row(2);
        assert_ne!(other.as_ptr(), memory, "it is in use");
    }

    #[test]
    fn what_a_row_has_given_away_is_not_kept() {
        drop(empty_row(1));
        let values = Row::new(["a"], vec![Value::Int(1)]).into_values();
        assert_eq!(empty_row(0).capacity(), 0);
        assert_eq!(values, [Value::Int(1)]);
    }

    #[test]
    fn a_row_of_many_columns_leaves_nothing() {
        drop(empty_row(0));
        keep(Vec::with_capacity(MOST_COLUMNS + 1));
        assert_eq!(empty_row(0).capacity(), 0);
    }
}
