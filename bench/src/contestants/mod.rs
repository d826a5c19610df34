//! Those that take part. Each keeps the promise of a server's thread: take a connection, work, give it back.

mod bare;
mod mysql_pool;
mod ours;
mod r2d2_pool;
#[cfg(feature = "rivals")]
mod rivals;

pub(crate) use bare::{Bare, mysql_options, open_sqlite, postgres_config};
pub(crate) use r2d2_pool::nothing as r2d2_of_nothing;

use crate::place::Place;
use crate::rounds::Outcome;

/// The statements of all contestants, with `?` for a parameter.
pub(crate) const LOOK_UP: &str = "SELECT name FROM item WHERE id = ?";
pub(crate) const READ: &str = "SELECT n FROM counter WHERE id = ?";
pub(crate) const WRITE: &str = "UPDATE counter SET n = ? WHERE id = ?";

/// A program's way to its database.
pub(crate) trait Contestant: Sync {
    fn name(&self) -> &'static str;

    /// Makes what one thread has.
    fn on_thread(&self) -> Box<dyn Worker + '_>;
}

/// What one thread of a program does with its way to the database.
pub(crate) trait Worker {
    /// A request: looks rows up by their keys, one statement each.
    fn look_ups(&mut self, ids: &[u32]) -> Outcome;

    /// A request whose transaction reads a row and writes it.
    fn read_and_write(&mut self, id: u32) -> Outcome;
}

/// Makes one that takes part: for so many threads.
type Make = fn(&Place, usize) -> Option<Box<dyn Contestant>>;

/// All of them, the baseline first. One that has no driver for a database gives `None` there.
const ALL: &[Make] = &[
    bare::make,
    ours::make,
    r2d2_pool::make,
    r2d2_pool::make_unchecked,
    mysql_pool::make,
    mysql_pool::make_unchecked,
    #[cfg(feature = "rivals")]
    rivals::deadpool::make,
    #[cfg(feature = "rivals")]
    rivals::sqlx::make,
    #[cfg(feature = "rivals")]
    rivals::sqlx::make_unchecked,
    #[cfg(feature = "rivals")]
    rivals::diesel::make,
];

/// Everybody who can take part on this database.
pub(crate) fn all(place: &Place, threads: usize) -> Vec<Box<dyn Contestant>> {
    ALL.iter().filter_map(|make| make(place, threads)).collect()
}

/// The bare driver, Dockline and r2d2, for what would take long with everybody.
pub(crate) fn three(place: &Place, threads: usize) -> Vec<Box<dyn Contestant>> {
    ALL[..3].iter().filter_map(|make| make(place, threads)).collect()
}

/// One of those three, made now.
pub(crate) fn one_of_three(place: &Place, threads: usize, at: usize) -> Box<dyn Contestant> {
    ALL[at](place, threads).expect("there on each database")
}

/// The bare driver and Dockline.
pub(crate) fn two(place: &Place, threads: usize) -> Vec<Box<dyn Contestant>> {
    ALL[..2].iter().filter_map(|make| make(place, threads)).collect()
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
