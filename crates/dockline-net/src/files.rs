//! Files that settings name, and those that a user keeps in the home folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use dockline_core::{Error, Result, Settings};

/// Checks that the files for TLS are there and readable, when the configuration is read.
///
/// # Errors
///
/// [`ImproperlyConfigured`](dockline_core::ErrorKind::ImproperlyConfigured), naming the setting.
pub fn check_tls_files(settings: &Settings) -> Result<()> {
    let files = [
        ("tls_ca_file", settings.get_tls_ca_file()),
        ("tls_client_cert", settings.get_tls_client_cert()),
        ("tls_client_key", settings.get_tls_client_key()),
    ];
    for (setting, path) in files {
        let Some(path) = path else { continue };
        if let Err(error) = File::open(path) {
            return Err(Error::config(format!("setting {setting}: {path:?} cannot be read: {error}")));
        }
    }
    match (settings.get_tls_client_cert(), settings.get_tls_client_key()) {
        (Some(_), None) => Err(Error::config("setting tls_client_key: it is missing; tls_client_cert needs it")),
        (None, Some(_)) => Err(Error::config("setting tls_client_cert: it is missing; tls_client_key needs it")),
        _ => Ok(()),
    }
}

/// A file in the user's home folder.
pub fn home_file(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(name))
}

/// Whether others than the owner can read a file, where the system can tell.
#[cfg(unix)]
pub fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Whether others than the owner can read a file, where the system can tell.
#[cfg(not(unix))]
pub fn is_readable_by_others(_: &Path) -> bool {
    false
}
