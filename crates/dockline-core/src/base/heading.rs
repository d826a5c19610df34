//! What the rows of one result share: the names of their columns, and whose they are.

use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Heading {
    /// `None` for a row that was made by hand.
    pub(crate) alias: Option<Arc<str>>,
    pub(crate) columns: Arc<[String]>,
    /// No name stands twice, so the first column of a name is the only one.
    are_unique: bool,
}

/// Where a name stands among columns.
pub(crate) enum Found {
    Nowhere,
    Once(usize),
    Twice(usize, usize),
}

/// Names of more columns are not compared with each other: that would take the square of their number.
const MOST_COMPARED: usize = 64;

impl Heading {
    pub(crate) fn new(alias: Option<Arc<str>>, columns: Arc<[String]>) -> Self {
        let are_unique = columns.len() <= MOST_COMPARED
            && columns.iter().enumerate().all(|(at, name)| !columns[..at].contains(name));
        Self { alias, columns, are_unique }
    }

    /// Finds a column. Letter case decides only between names that differ in nothing else.
    pub(crate) fn find(&self, name: &str) -> Found {
        if self.are_unique
            && let Some(at) = self.columns.iter().position(|column| column == name)
        {
            return Found::Once(at);
        }
        match self.only(|column| column == name) {
            Found::Nowhere => self.only(|column| column.eq_ignore_ascii_case(name)),
            found => found,
        }
    }

    fn only(&self, is_meant: impl Fn(&str) -> bool) -> Found {
        let mut meant = self.columns.iter().enumerate().filter(|(_, name)| is_meant(name)).map(|(at, _)| at);
        match (meant.next(), meant.next()) {
            (None, _) => Found::Nowhere,
            (Some(at), None) => Found::Once(at),
            (Some(first), Some(second)) => Found::Twice(first, second),
        }
    }
}
