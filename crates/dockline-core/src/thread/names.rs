//! The aliases that a thread has looked up: what `get` reads.

use std::rc::Rc;

use crate::slot::Slot;

/// The aliases of a registry that this thread has looked up, for as long as the registry's aliases do not change. All that
/// `get` reads stands here, in one piece.
#[derive(Default)]
pub(crate) struct Names {
    generation: u64,
    known: Vec<Named>,
    /// Where in `known` an alias stands, by its hash, once there are many: a place more than that, or 0. A power of two of them, at
    /// least half of which are 0.
    table: Vec<u32>,
}

/// Up to so many are looked through one by one, which is faster for that few.
const FEW: usize = 16;

impl Names {
    /// As [`find`](Names::find), if that can be told without a call: of one among few whose key is the whole of it.
    #[inline]
    pub(crate) fn find_at_once(&self, generation: u64, alias: &str) -> Option<Rc<Slot>> {
        if self.generation != generation || alias.len() > AliasKey::WHOLE || !self.table.is_empty() {
            return None;
        }
        let key = AliasKey::of(alias);
        self.known.iter().find(|named| named.key == key).map(|named| Rc::clone(&named.slot))
    }

    /// The slot of an alias, where it was looked up in this generation of the registry's aliases.
    pub(crate) fn find(&self, generation: u64, alias: &str) -> Option<Rc<Slot>> {
        if self.generation != generation {
            return None;
        }
        let key = AliasKey::of(alias);
        if self.table.is_empty() {
            self.known.iter().find(|named| named.is(alias, key)).map(|named| Rc::clone(&named.slot))
        } else {
            self.find_among_many(alias, key)
        }
    }

    fn find_among_many(&self, alias: &str, key: AliasKey) -> Option<Rc<Slot>> {
        let mut at = key.hash(alias);
        loop {
            // Some are free, so this ends.
            let place = self.table[at as usize & (self.table.len() - 1)].checked_sub(1)?;
            let named = &self.known[place as usize];
            if named.is(alias, key) {
                return Some(Rc::clone(&named.slot));
            }
            at = at.wrapping_add(1);
        }
    }

    pub(crate) fn remember(&mut self, generation: u64, alias: &str, slot: Rc<Slot>) {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
        self.known.push(Named { key: AliasKey::of(alias), slot });
        if self.known.len() <= FEW {
            return;
        }
        if self.table.len() >= 2 * self.known.len() {
            self.enter(self.known.len() - 1);
        } else {
            self.table = vec![0; (4 * self.known.len()).next_power_of_two()];
            (0..self.known.len()).for_each(|place| self.enter(place));
        }
    }

    fn enter(&mut self, place: usize) {
        let named = &self.known[place];
        let mask = self.table.len() - 1;
        let mut at = named.key.hash(named.slot.alias()) as usize & mask;
        while self.table[at] != 0 {
            at = (at + 1) & mask;
        }
        self.table[at] = u32::try_from(place + 1).expect("fewer aliases than memory has places");
    }
}

/// A slot, with the key of its alias beside it: looking for one among ten then reads a few lines of memory in a row,
/// and follows no pointer.
struct Named {
    key: AliasKey,
    slot: Rc<Slot>,
}

/// The ends of an alias and its length: the whole of it, up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct AliasKey {
    first: u64,
    last: u64,
    length: usize,
}

impl AliasKey {
    const WHOLE: usize = 16;

    #[inline]
    fn of(alias: &str) -> Self {
        let bytes = alias.as_bytes();
        let (first, last) = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else {
            (bytes.iter().fold(0, |key, byte| (key << 8) | u64::from(*byte)), 0)
        };
        Self { first, last, length: bytes.len() }
    }

    /// A number that is mostly another one for another alias. All of the alias counts: many may differ only in their midst.
    #[inline]
    fn hash(self, alias: &str) -> u32 {
        let mut hash = mixed(self.length as u64 ^ self.first);
        if self.length > Self::WHOLE {
            for bytes in alias.as_bytes()[8..].chunks_exact(8) {
                hash = mixed(hash ^ bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
            }
        }
        (mixed(hash ^ self.last) >> 32) as u32
    }
}

/// Spreads each bit over the upper half.
#[inline]
fn mixed(hash: u64) -> u64 {
    let product = u128::from(hash) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

impl Named {
    #[inline]
    fn is(&self, alias: &str, key: AliasKey) -> bool {
        self.key == key && (key.length <= AliasKey::WHOLE || self.slot.alias() == alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_short_aliases_apart() {
        let aliases = ["", "a", "b", "aa", "ab", "ba", "aaa", "aaaa", "aaab", "default", "replica", "aaaaaaa"];
        let longer =
            ["aaaaaaaa", "aaaaaaaab", "baaaaaaaa", "tenant_1", "tenant_2", "aaaaaaaabbbbbbbb", "aaaaaaabbbbbbbbb"];
        let all: Vec<&str> = aliases.into_iter().chain(longer).collect();
        for one in &all {
            for other in &all {
                assert_eq!(AliasKey::of(one) == AliasKey::of(other), one == other, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn aliases_that_differ_anywhere_have_places_of_their_own() {
        let alike: Vec<String> = (0..4_096)
            .map(|n| match n % 4 {
                0 => format!("tenant_{n}"),
                1 => format!("{n}"),
                2 => format!("customers-of-the-year-{n:06}-in-the-archive"),
                _ => format!("{n:020}"),
            })
            .collect();
        let places: std::collections::HashSet<u32> =
            alike.iter().map(|alias| AliasKey::of(alias).hash(alias) & 0xffff).collect();
        // As many as chance would give them, or nearly.
        assert!(places.len() > 3_800, "{}", places.len());
    }
}
