//! Prepared statements by their text.

use std::sync::Arc;

use lru::LruCache;

/// A connection's prepared statements: the least recently used goes when it is full. Long texts are not kept, because they are built by
/// programs and rarely come back.
pub struct StatementCache<S> {
    capacity: usize,
    /// Of all texts.
    bytes: usize,
    entries: LruCache<Arc<str>, S>,
}

/// A longer text is not kept.
const LONGEST: usize = 64 << 10;
/// So many bytes all texts of a connection may have.
const MOST_BYTES: usize = 2 << 20;

impl<S: Clone> StatementCache<S> {
    /// A cache for that many; 0 keeps none.
    pub fn new(capacity: u32) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        // Unbounded, and held at its size by `put`: a bounded one takes all of its memory at once, for each connection.
        Self { capacity, bytes: 0, entries: LruCache::unbounded() }
    }

    /// The statement of this text; it counts as used now.
    pub fn get(&mut self, sql: &str) -> Option<S> {
        self.entries.get(sql).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps a statement. The answer is what went for it: the oldest, one of the same text, or the statement itself if it is not kept.
    pub fn put(&mut self, sql: &str, statement: S) -> Vec<S> {
        if self.capacity == 0 || sql.len() > LONGEST {
            return vec![statement];
        }
        let mut gone = Vec::new();
        match self.entries.push(sql.into(), statement) {
            Some((_, same)) => gone.push(same),
            None => self.bytes += sql.len(),
        }
        while self.entries.len() > self.capacity || self.bytes > MOST_BYTES {
            gone.extend(self.pop());
        }
        gone
    }

    /// Takes a statement out.
    pub fn remove(&mut self, sql: &str) -> Option<S> {
        let gone = self.entries.pop(sql);
        if gone.is_some() {
            self.bytes -= sql.len();
        }
        gone
    }

    /// Takes the oldest out until there are so many left.
    pub fn shrink(&mut self, left: usize) -> Vec<S> {
        let mut gone = Vec::new();
        while self.entries.len() > left {
            gone.extend(self.pop());
        }
        gone
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    fn pop(&mut self) -> Option<S> {
        let (sql, gone) = self.entries.pop_lru()?;
        self.bytes -= sql.len();
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = StatementCache::new(2);
        assert!(cache.put("a", 1).is_empty() && cache.put("b", 2).is_empty());
        assert_eq!(cache.get("a"), Some(1));
        assert_eq!(cache.put("c", 3), [2]);
        assert_eq!((cache.get("a"), cache.get("b"), cache.get("c")), (Some(1), None, Some(3)));
        assert_eq!(cache.put("c", 4), [3], "the same text again");
        assert_eq!(cache.remove("c"), Some(4));
        cache.clear();
        assert_eq!((cache.get("a"), cache.len()), (None, 0));
    }

    #[test]
    fn a_cache_of_none_gives_back_what_it_gets() {
        let mut cache = StatementCache::new(0);
        assert_eq!(cache.put("a", 1), [1]);
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn texts_have_a_size() {
        let mut cache = StatementCache::new(1_000);
        let text = |n: usize| {
            let number = n.to_string();
            " ".repeat(LONGEST - number.len()) + &number
        };
        assert_eq!(cache.put(&format!("{} ", text(0)), 0), [0], "it is too long");
        let fits = MOST_BYTES / LONGEST;
        for n in 0..fits {
            assert!(cache.put(&text(n), n).is_empty());
        }
        assert_eq!(cache.put("short", fits), [0]);
        assert_eq!(cache.remove(&text(1)), Some(1));
        assert!(cache.put(&text(0), 0).is_empty(), "what was taken out has made room");
        assert_eq!(cache.put(&text(1), 1), [2]);
        assert_eq!(cache.shrink(1), (3..=fits).chain([0]).collect::<Vec<_>>());
        assert_eq!(cache.len(), 1);
    }
}
