//! libpq's password file.

use std::path::{Path, PathBuf};

use dockline_core::SecretString;
use dockline_net::{Passwords, home_file, read_passwords};

/// What a connection is looked up by. `localhost` stands for a Unix socket too.
pub(crate) struct Target<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) name: &'a str,
    pub(crate) user: &'a str,
}

/// Who connects if the settings do not say: the owner of the process, as with libpq and with the driver. It takes 16 KiB of the stack, which
/// who is named does not need.
#[inline(never)]
pub(crate) fn user_of_the_process() -> Option<String> {
    whoami::username().ok().filter(|user| !user.is_empty())
}

/// The password for a connection, from `PGPASSFILE` or `~/.pgpass`. As with libpq, a file that others can read does not count.
pub(crate) fn password(target: &Target<'_>) -> Option<SecretString> {
    let (path, is_named) = match std::env::var_os("PGPASSFILE") {
        Some(path) => (PathBuf::from(path), true),
        None => (home_file(".pgpass")?, false),
    };
    let ignored = |path: &Path, why: &dyn std::fmt::Display| {
        log::warn!(target: "dockline::connection", "the password file {} does not count: {why}", path.display());
    };
    match read_passwords(&path) {
        Ok(Passwords::Read(bytes)) => return find(&bytes, target).map(SecretString::from),
        Ok(Passwords::Exposed(_)) => ignored(&path, &"others than its owner can read it; chmod 600 it"),
        Ok(Passwords::Missing) if is_named => ignored(&path, &"PGPASSFILE names it, and it is not there"),
        Ok(Passwords::Missing) => {}
        Err(error) => ignored(&path, &format_args!("it cannot be read: {error}")),
    }
    None
}

/// The first line that fits: `host:port:name:user:password`, where a star fits everything, and a backslash takes the meaning
/// from a colon. A line that is not UTF-8 fits nothing, and hides no other.
fn find(bytes: &[u8], target: &Target<'_>) -> Option<String> {
    let port = target.port.to_string();
    let wanted = [target.host, &port, target.name, target.user];
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.starts_with(b"#")).find_map(|line| {
        let (fields, password) = split(std::str::from_utf8(line).ok()?)?;
        let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then_some(password)
    })
}

fn split(line: &str) -> Option<(Vec<String>, String)> {
    let mut parts = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => parts.last_mut()?.extend(characters.next()),
            // The password may have colons.
            ':' if parts.len() < 5 => parts.push(String::new()),
            c => parts.last_mut()?.push(c),
        }
    }
    let password = (parts.len() == 5).then(|| parts.pop()).flatten()?;
    Some((parts, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(text: impl AsRef<[u8]>) -> Option<String> {
        find(text.as_ref(), &Target { host: "db.example", port: 5432, name: "app", user: "me" })
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        assert_eq!(lookup("db.example:5432:app:me:secret").as_deref(), Some("secret"));
        assert_eq!(lookup("# x\nother:*:*:*:no\n*:*:app:me:a\\:b\\\\c:d\n*:*:*:*:later").as_deref(), Some("a:b\\c:d"));
        assert_eq!(lookup("db.example:5432:app:me:secret\r\n").as_deref(), Some("secret"));
        assert_eq!(lookup("*:5433:*:*:no"), None);
        assert_eq!(lookup("db.example:5432:app"), None);
        assert_eq!(lookup(""), None);
    }

    #[test]
    fn a_line_that_is_not_utf_8_hides_no_other() {
        assert_eq!(lookup(b"# \xe9t\xe9\n*:*:*:*:secret").as_deref(), Some("secret"));
        assert_eq!(lookup(b"*:*:*:*:\xe9\n*:*:*:*:secret").as_deref(), Some("secret"));
    }

    #[test]
    fn the_process_has_an_owner() {
        assert!(user_of_the_process().is_some());
    }
}
