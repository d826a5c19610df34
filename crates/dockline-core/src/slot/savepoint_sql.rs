//! The statements that make, release and roll back to savepoints.

use std::fmt::{self, Write as _};

/// The longest statement there is, with the largest number.
const LONGEST: usize = "ROLLBACK TO SAVEPOINT dockline_18446744073709551615".len();

/// A statement about a savepoint. It is not kept on the heap: a nested block is to cost two statements, and nothing else.
pub(crate) struct SavepointSql {
    bytes: [u8; LONGEST],
    length: usize,
}

impl SavepointSql {
    pub(crate) fn create(number: u64) -> Self {
        Self::new("SAVEPOINT", number)
    }

    pub(crate) fn release(number: u64) -> Self {
        Self::new("RELEASE SAVEPOINT", number)
    }

    pub(crate) fn roll_back(number: u64) -> Self {
        Self::new("ROLLBACK TO SAVEPOINT", number)
    }

    fn new(verb: &str, number: u64) -> Self {
        let mut sql = Self { bytes: [0; LONGEST], length: 0 };
        // It is long enough for each of the three.
        let _ = write!(sql, "{verb} dockline_{number}");
        sql
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for SavepointSql {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_fits() {
        assert_eq!(SavepointSql::create(7).as_str(), "SAVEPOINT dockline_7");
        assert_eq!(SavepointSql::release(12).as_str(), "RELEASE SAVEPOINT dockline_12");
        let longest = SavepointSql::roll_back(u64::MAX);
        assert_eq!(longest.as_str(), "ROLLBACK TO SAVEPOINT dockline_18446744073709551615");
    }
}
