//! Prepared statements by their text.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lru::LruCache;

/// A connection's prepared statements: the least recently used goes when it is full. A long text is kept when it comes again:
/// most are built by programs, never come back, and would push out those that do.
pub struct StatementCache<S> {
    capacity: usize,
    /// Of all texts.
    bytes: usize,
    entries: LruCache<Arc<str>, S>,
    /// The long texts that were put in last, whether they were kept or not.
    seen: Seen,
}

/// A longer text is kept from its second time on.
const LONG: usize = 64 << 10;
/// A longer text is never kept: it would leave too little for others.
const LONGEST: usize = MOST_BYTES / 4;
/// So many bytes all texts of a connection may have.
const MOST_BYTES: usize = 2 << 20;

/// A memory of texts, by their hashes. It takes none before the first.
#[derive(Default)]
struct Seen(Vec<u64>);

impl Seen {
    const MOST: usize = 8;

    /// Whether the text is one of the last. From now on it is the very last.
    fn saw(&mut self, sql: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        sql.hash(&mut hasher);
        let hash = hasher.finish();
        let place = self.0.iter().position(|seen| *seen == hash);
        if let Some(at) = place.or((self.0.len() == Self::MOST).then_some(0)) {
            self.0.remove(at);
        }
        self.0.push(hash);
        place.is_some()
    }
}

impl<S: Clone> StatementCache<S> {
    /// A cache for that many; 0 keeps none.
    pub fn new(capacity: u32) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        // Unbounded, and held at its size by `put`: a bounded one takes all of its memory at once, for each connection.
        Self { capacity, bytes: 0, entries: LruCache::unbounded(), seen: Seen::default() }
    }

    /// The statement of this text; it counts as used now.
    pub fn get(&mut self, sql: &str) -> Option<S> {
        match self.entries.peek_mru() {
            // The same again, as in a loop, is found without its hash.
            Some((text, statement)) if **text == *sql => Some(statement.clone()),
            _ => self.entries.get(sql).cloned(),
        }
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
        if self.capacity == 0 || sql.len() > LONGEST || (sql.len() > LONG && !self.seen.saw(sql)) {
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
        assert_eq!((cache.get("b"), cache.get("a"), cache.get("a")), (Some(2), Some(1), Some(1)));
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

    /// A text of that many bytes.
    fn text(length: usize, n: usize) -> String {
        let number = n.to_string();
        " ".repeat(length - number.len()) + &number
    }

    #[test]
    fn texts_have_a_size() {
        let mut cache = StatementCache::new(1_000);
        let text = |n: usize| text(LONG, n);
        let fits = MOST_BYTES / LONG;
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

    #[test]
    fn a_long_text_is_kept_from_its_second_time_on() {
        let mut cache = StatementCache::new(10);
        for n in 0..100 {
            assert_eq!(cache.put(&text(LONGEST, n), n), [n], "it does not come back");
        }
        assert!(cache.put("short", 100).is_empty());
        assert!(cache.put(&text(LONGEST, 99), 99).is_empty());
        assert_eq!((cache.get(&text(LONGEST, 99)), cache.get("short")), (Some(99), Some(100)));
        assert_eq!(cache.put(&text(LONGEST, 0), 0), [0], "it came too long ago");
        let mut gone = Vec::new();
        for n in 1..=4 {
            assert_eq!(cache.put(&text(LONGEST, n), n), [n]);
            gone.extend(cache.put(&text(LONGEST, n), n));
        }
        assert_eq!(gone, [99, 100], "four have the room of all");
        assert_eq!(cache.put(&text(LONGEST + 1, 0), 0), [0]);
        assert_eq!(cache.put(&text(LONGEST + 1, 0), 0), [0], "it would take the room of too many");
    }

    #[test]
    fn a_long_text_that_is_prepared_anew_is_kept_at_once() {
        let mut cache = StatementCache::new(10);
        let text = text(LONG + 1, 0);
        assert_eq!(cache.put(&text, 0), [0]);
        assert!(cache.put(&text, 0).is_empty());
        assert_eq!(cache.remove(&text), Some(0));
        assert!(cache.put(&text, 1).is_empty());
        cache.clear();
        assert!(cache.put(&text, 2).is_empty());
    }
}
