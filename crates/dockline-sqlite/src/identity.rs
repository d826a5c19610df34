//! Which database it is, however it is spelled: two aliases, relative paths and links are one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What two connections to the same database have in common. The order is the one in which turns are taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Identity {
    /// The device and the number of a file.
    File(u64, u64),
    /// A path without links, where files have no number.
    #[cfg_attr(unix, allow(dead_code, reason = "files have numbers on Unix"))]
    Path(PathBuf),
    /// The name of a database in memory.
    Memory(Arc<str>),
}

impl Identity {
    /// That of the file which is at this path now. It is not opened: closing it again would drop the locks that SQLite holds on it
    /// for other connections of this process (POSIX).
    pub(crate) fn of_file(path: &Path) -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let found = std::fs::metadata(path)?;
            Ok(Self::File(found.dev(), found.ino()))
        }
        #[cfg(not(unix))]
        path.canonicalize().map(Self::Path)
    }
}
