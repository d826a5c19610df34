//! How databases are made for tests, and dropped.

use crate::base::error::Result;

/// How a backend makes databases for tests beside the one of its settings, copies them, and drops them: see
/// [`testing::TestDatabase`](crate::testing::TestDatabase). Names have lower-case letters, digits and underscores alone.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TestDatabases {
    /// By statements, on a server.
    BySql(SqlOfDatabases),
    /// By functions, if databases are files.
    ByFiles(FilesOfDatabases),
}

/// The statements that make databases and drop them.
#[derive(Debug, Clone, Copy)]
pub struct SqlOfDatabases {
    /// The database to be connected to meanwhile; empty: none.
    pub maintenance: &'static str,
    /// What is run on that connection first: a limit for waiting, for example.
    pub session: &'static str,
    /// Returns the statement that makes a database.
    pub create: fn(name: &str) -> String,
    /// Returns the statement that makes a copy of a database that nobody is connected to; `None` if the server has no such statement.
    pub copy: Option<fn(name: &str, of: &str) -> String>,
    /// Returns the statement that drops a database, whoever is connected to it.
    pub drop: fn(name: &str) -> String,
    /// A query for the names of all databases.
    pub names: &'static str,
}

/// What makes databases that are files, and drops them.
#[derive(Debug, Clone, Copy)]
pub struct FilesOfDatabases {
    /// Returns the path of a database of that name that is not there yet.
    pub create: fn(name: &str) -> Result<String>,
    /// Makes a copy of a database that nobody has open, and returns its path.
    pub copy: fn(name: &str, of: &str) -> Result<String>,
    /// Removes a database that nobody has open.
    pub drop: fn(path: &str) -> Result<()>,
    /// Returns the paths of the databases whose names begin so.
    pub named: fn(prefix: &str) -> Vec<String>,
}
