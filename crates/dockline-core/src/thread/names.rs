//! The aliases that a thread has looked up: what `get` reads.

use std::rc::Rc;

use crate::slot::Slot;

/// The aliases of a registry that this thread has looked up, for as long as the registry's aliases do not change. All that
/// `get` reads stands here, in one piece.
#[derive(Default)]
pub(crate) struct Names {
    generation: u64,
    known: Vec<Named>,
}

impl Names {
    /// The slot of an alias, where it was looked up in this generation of the registry's aliases.
    #[inline]
    pub(crate) fn find(&self, generation: u64, alias: &str) -> Option<Rc<Slot>> {
        if self.generation != generation {
            return None;
        }
        let key = AliasKey::of(alias);
        self.known.iter().find(|named| named.is(alias, key)).map(|named| Rc::clone(&named.slot))
    }

    pub(crate) fn remember(&mut self, generation: u64, alias: &str, slot: Rc<Slot>) {
        if self.generation != generation {
            *self = Self { generation, known: Vec::new() };
        }
        self.known.push(Named { key: AliasKey::of(alias), slot });
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
}
