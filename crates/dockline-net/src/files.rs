//! Files that settings name, and those that a user keeps in the home folder.

use std::fs;
use std::path::{Path, PathBuf};

use dockline_core::{Error, Result, Settings};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Checks that the files for TLS are there, and have what they are for, when the configuration is read.
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
        let text = fs::read(path)
            .map_err(|error| Error::config(format!("setting {setting}: {path:?} cannot be read: {error}")))?;
        let (found, wanted) = if setting == "tls_client_key" {
            (PrivateKeyDer::from_pem_slice(&text).is_ok(), "a key")
        } else {
            let mut certificates = CertificateDer::pem_slice_iter(&text).peekable();
            (certificates.peek().is_some() && certificates.all(|one| one.is_ok()), "a certificate")
        };
        if !found {
            return Err(Error::config(format!("setting {setting}: {path:?} does not have {wanted} in PEM form")));
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
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Whether others than the owner can read a file, where the system can tell.
#[cfg(not(unix))]
pub fn is_readable_by_others(_: &Path) -> bool {
    false
}
