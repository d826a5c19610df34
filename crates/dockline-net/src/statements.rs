//! Prepared statements by their text.

use std::sync::Arc;

use lru::LruCache;

/// A connection's prepared statements: the least recently used goes when it is full.
pub struct StatementCache<S> {
    capacity: usize,
    entries: LruCache<Arc<str>, S>,
}

impl<S: Clone> StatementCache<S> {
    /// A cache for that many; 0 keeps none.
    pub fn new(capacity: u32) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        // Unbounded, and held at its size by `put`: a bounded one takes all of its memory at once, for each connection.
        Self { capacity, entries: LruCache::unbounded() }
    }

    /// The statement of this text; it counts as used now.
    pub fn get(&mut self, sql: &str) -> Option<S> {
        self.entries.get(sql).cloned()
    }

    /// Keeps a statement. The answer is what went for it: the oldest, or the same where nothing is kept.
    pub fn put(&mut self, sql: &str, statement: S) -> Option<S> {
        if self.capacity == 0 {
            return Some(statement);
        }
        if let Some((_, same)) = self.entries.push(sql.into(), statement) {
            return Some(same);
        }
        if self.entries.len() > self.capacity { self.entries.pop_lru().map(|(_, gone)| gone) } else { None }
    }

    /// Takes a statement out.
    pub fn remove(&mut self, sql: &str) -> Option<S> {
        self.entries.pop(sql)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = StatementCache::new(2);
        assert_eq!(cache.put("a", 1), None);
        assert_eq!(cache.put("b", 2), None);
        assert_eq!(cache.get("a"), Some(1));
        assert_eq!(cache.put("c", 3), Some(2));
        assert_eq!((cache.get("a"), cache.get("b"), cache.get("c")), (Some(1), None, Some(3)));
        assert_eq!(cache.put("c", 4), Some(3), "the same text again");
        assert_eq!(cache.remove("c"), Some(4));
        cache.clear();
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn a_cache_of_none_gives_back_what_it_gets() {
        let mut cache = StatementCache::new(0);
        assert_eq!(cache.put("a", 1), Some(1));
        assert_eq!(cache.get("a"), None);
    }
}
