//! What the file system lets SQLite do: whether a file is on this machine, and a folder takes new ones. The write-ahead log has an index in shared memory, which machines do not share.

use std::path::Path;

use dockline_core::{Error, ErrorKind, Result};

/// Refuses the write-ahead log of a file that is on a network file system.
pub(crate) fn refuse_shared_log(path: &Path) -> Result<()> {
    match network_of(path) {
        None => Ok(()),
        Some(name) => Err(refused(path, name)),
    }
}

fn refused(path: &Path, name: &str) -> Error {
    let message = format!(
        "{} is on a network file system ({name}), where the write-ahead log cannot work, for its index is memory that processes of one \
         machine share; put the file on a local disk, use a database server, or set options.journal_mode=delete",
        path.display()
    );
    Error::new(ErrorKind::NotSupported, message)
}

/// Whether files can be made in a folder, as far as can be told.
pub(crate) fn is_writable(folder: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Access, access};
        access(folder, Access::WRITE_OK).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    folder.metadata().map_or(true, |found| !found.permissions().readonly())
}

#[cfg(target_os = "linux")]
fn network_of(path: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(path).ok()?;
    // The type of the field differs from one processor to the next.
    #[allow(clippy::unnecessary_cast, reason = "it is of another type on other processors")]
    name_of(found.f_type as u64 & 0xffff_ffff)
}

#[cfg(not(target_os = "linux"))]
fn network_of(_: &Path) -> Option<&'static str> {
    None
}

/// The network file systems of Linux, by the numbers of statfs(2). FUSE is none: most of what it mounts is local.
#[cfg(any(target_os = "linux", test))]
fn name_of(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "nfs",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "smb",
        0x0102_1997 => "9p",
        0x5346_414f | 0x6b41_4653 => "afs",
        0x00c3_6400 => "ceph",
        0x0bd0_0bd0 => "lustre",
        0x4750_4653 => "gpfs",
        0x7375_7245 => "coda",
        0x564c => "ncp",
        0x7461_636f => "ocfs2",
        0x0116_1970 => "gfs2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_and_local_ones_are_not() {
        assert_eq!(network_of(&std::env::temp_dir()), None);
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(name_of(local), None, "{local:x}");
        }
        for network in [0x6969, 0xff53_4d42, 0x0102_1997] {
            assert!(name_of(network).is_some(), "{network:x}");
        }
        let error = refused(Path::new("/srv/app.db"), "nfs");
        assert_eq!(error.kind(), ErrorKind::NotSupported);
        assert!(error.message().contains("/srv/app.db") && error.message().contains("journal_mode=delete"), "{error}");
    }
}
