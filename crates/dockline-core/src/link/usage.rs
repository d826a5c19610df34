//! What a thread is doing with a connection, for others to read: kept only where somebody may ask, and torn rather than locked.

use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::moment::{coarse_stamp, elapsed};
use crate::base::places;

/// So much of a statement is kept.
const WORDS: usize = 10;

/// What a thread is doing with a connection. The owner alone writes it.
#[derive(Default)]
pub(crate) struct Usage {
    /// When the thread took the connection, as a stamp of the coarse clock: it is taken back in each request.
    since: AtomicU64,
    place: AtomicU32,
    /// The beginning of the last statement, and its length.
    statement: [AtomicU64; WORDS],
    length: AtomicU32,
}

impl Usage {
    /// The owner has taken the connection, there in the program.
    pub(crate) fn began(&self, place: u32) {
        self.since.store(coarse_stamp(), Ordering::Relaxed);
        self.place.store(place, Ordering::Relaxed);
        self.length.store(0, Ordering::Relaxed);
    }

    /// The owner runs a statement.
    #[inline]
    pub(crate) fn runs(&self, sql: &str) {
        let (whole, rest) = sql.as_bytes()[..sql.len().min(WORDS * 8)].as_chunks::<8>();
        for (word, bytes) in self.statement.iter().zip(whole) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if let Some(last) = self.statement.get(whole.len()).filter(|_| !rest.is_empty()) {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            last.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        self.length.store(u32::try_from(sql.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Returns for how long the owner has had it.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        elapsed(self.since.load(Ordering::Relaxed), now).unwrap_or_default()
    }

    /// Returns where in the program the owner took it.
    pub(crate) fn place(&self) -> Option<&'static Location<'static>> {
        places::place(self.place.load(Ordering::Relaxed))
    }

    /// Returns the beginning of the last statement, on one line.
    pub(crate) fn statement(&self) -> Option<String> {
        let length = usize::try_from(self.length.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        if length == 0 {
            return None;
        }
        let bytes: Vec<u8> =
            self.statement.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).take(length).collect();
        // The end may be in the middle of a character.
        let text = String::from_utf8_lossy(&bytes);
        let mut line =
            text.trim_end_matches(char::REPLACEMENT_CHARACTER).split_whitespace().collect::<Vec<_>>().join(" ");
        if length > WORDS * 8 {
            line.push('…');
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_statement_is_kept() {
        let usage = Usage::default();
        assert_eq!(usage.statement(), None);
        usage.runs("SELECT 1\n  FROM t");
        assert_eq!(usage.statement().unwrap(), "SELECT 1 FROM t");
        usage.runs("x");
        assert_eq!(usage.statement().unwrap(), "x");
        usage.runs(&"é".repeat(100));
        assert_eq!(usage.statement().unwrap(), format!("{}…", "é".repeat(40)));
        usage.runs(&format!("a{}", "é".repeat(100)));
        assert_eq!(usage.statement().unwrap(), format!("a{}…", "é".repeat(39)));
    }
}
