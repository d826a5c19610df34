//! What other texts mean, and which statements change that.

use std::fmt;

/// Something that a text's meaning depends on. What was prepared before it changed may mean something else after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Meaning {
    /// The current database: `USE`.
    Database,
    /// PostgreSQL's `search_path`.
    SearchPath,
    /// `sql_mode`, and other settings of MySQL and MariaDB that a statement is prepared with.
    SqlMode,
    /// The current role, with its rights.
    Role,
    /// Who the session is: `SET SESSION AUTHORIZATION`.
    Authorization,
    /// A temporary table, view or sequence was made or dropped, and shadows or uncovers another of its name.
    TemporaryTables,
    /// A type was made, changed or dropped.
    Types,
    /// How text is encoded on its way: `SET NAMES`, `client_encoding`.
    CharacterSet,
    /// How quotes are read: `standard_conforming_strings`.
    Strings,
    /// A database file was attached or detached.
    Attached,
}

/// A set of [`Meaning`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Meanings(u16);

impl Meanings {
    const EVERY: [Meaning; 10] = [
        Meaning::Database,
        Meaning::SearchPath,
        Meaning::SqlMode,
        Meaning::Role,
        Meaning::Authorization,
        Meaning::TemporaryTables,
        Meaning::Types,
        Meaning::CharacterSet,
        Meaning::Strings,
        Meaning::Attached,
    ];

    /// Returns the set of everything.
    pub fn all() -> Self {
        Self::EVERY.into_iter().collect()
    }

    /// Returns whether it is in the set.
    pub fn contains(self, meaning: Meaning) -> bool {
        self.0 & Self::bit(meaning) != 0
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Goes through the set.
    pub fn iter(self) -> impl Iterator<Item = Meaning> {
        Self::EVERY.into_iter().filter(move |meaning| self.contains(*meaning))
    }

    pub(crate) fn insert(&mut self, meaning: Meaning) {
        self.0 |= Self::bit(meaning);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0 |= others.0;
    }

    fn bit(meaning: Meaning) -> u16 {
        1 << meaning as u16
    }
}

impl FromIterator<Meaning> for Meanings {
    fn from_iter<I: IntoIterator<Item = Meaning>>(meanings: I) -> Self {
        let mut set = Self::default();
        meanings.into_iter().for_each(|meaning| set.insert(meaning));
        set
    }
}

impl fmt::Debug for Meanings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
