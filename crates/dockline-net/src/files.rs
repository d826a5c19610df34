//! Files that settings name, and those that a user keeps in the home folder.

use std::fs;
use std::io::{self, Read};
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

/// What was found in the place of a file with passwords.
#[derive(Debug)]
pub enum Passwords {
    /// There is no file.
    Missing,
    /// Its bytes: whoever wrote it need not have written UTF-8.
    Read(Vec<u8>),
    /// It is readable by others than its owner, so the passwords in it do not count. Its bytes.
    Exposed(Vec<u8>),
}

/// Reads a file that holds passwords, and looks at who else can read it.
///
/// # Errors
///
/// If it is there and cannot be read.
pub fn read_passwords(path: &Path) -> io::Result<Passwords> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Passwords::Missing),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(if is_readable_by_others(&file) { Passwords::Exposed(bytes) } else { Passwords::Read(bytes) })
}

/// Whether others than the owner can read a file, if the system can tell.
#[cfg(unix)]
fn is_readable_by_others(file: &fs::File) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Whether others than the owner can read a file, if the system can tell.
#[cfg(not(unix))]
fn is_readable_by_others(_: &fs::File) -> bool {
    false
}
