//! Places in the program's source, as numbers that fit into an atomic.
//!
//! A table without a lock, which is never emptied: a program has so many places as it calls from.

use std::panic::Location;

use once_cell::race::OnceRef;

/// So many places are told apart; those that come after them are not named.
const PLACES: usize = 1024;

static TABLE: [OnceRef<'static, Location<'static>>; PLACES] = [const { OnceRef::new() }; PLACES];

/// Returns the number of a place, counted from 1; 0 if the table is full.
pub(crate) fn number(place: &'static Location<'static>) -> u32 {
    // One call has one address, mostly.
    let start = (std::ptr::from_ref(place).addr() >> 3) % PLACES;
    for step in 0..PLACES {
        let at = (start + step) % PLACES;
        let there = TABLE[at].get_or_init(|| place);
        if there == place {
            return u32::try_from(at + 1).unwrap_or(0);
        }
    }
    0
}

/// Returns the place of a number.
pub(crate) fn place(number: u32) -> Option<&'static Location<'static>> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    TABLE.get(at)?.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_place_again() {
        let (here, there) = (Location::caller(), Location::caller());
        assert_ne!(number(here), number(there));
        assert_eq!(number(here), number(here));
        assert_eq!(place(number(here)), Some(here));
        assert_eq!(place(0), None);
        assert_eq!(place(u32::MAX), None);
    }
}
