//! libpq's password file.

use std::fs;
use std::path::PathBuf;

use dockline_core::SecretString;
use dockline_net::{home_file, is_readable_by_others};

/// What a connection is looked up by. `localhost` stands for a Unix socket too.
pub(crate) struct Target<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) name: &'a str,
    pub(crate) user: &'a str,
}

/// The password for a connection, from `PGPASSFILE` or `~/.pgpass`. As with libpq, a file that others can read does not count.
pub(crate) fn password(target: &Target<'_>) -> Option<SecretString> {
    let path = match std::env::var_os("PGPASSFILE") {
        Some(path) => PathBuf::from(path),
        None => home_file(".pgpass")?,
    };
    let text = fs::read_to_string(&path).ok()?;
    if is_readable_by_others(&path) {
        log::warn!(
            target: "dockline::connection",
            "the password file {} can be read by others, and does not count; chmod 600 it", path.display()
        );
        return None;
    }
    find(&text, target).map(SecretString::from)
}

/// The first line that fits: `host:port:name:user:password`, where a star fits everything, and a backslash takes the meaning
/// from a colon.
fn find(text: &str, target: &Target<'_>) -> Option<String> {
    let port = target.port.to_string();
    let wanted = [target.host, &port, target.name, target.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (fields, password) = split(line)?;
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

    fn lookup(text: &str) -> Option<String> {
        find(text, &Target { host: "db.example", port: 5432, name: "app", user: "me" })
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        assert_eq!(lookup("db.example:5432:app:me:secret").as_deref(), Some("secret"));
        assert_eq!(lookup("# x\nother:*:*:*:no\n*:*:app:me:a\\:b\\\\c:d\n*:*:*:*:later").as_deref(), Some("a:b\\c:d"));
        assert_eq!(lookup("*:5433:*:*:no"), None);
        assert_eq!(lookup("db.example:5432:app"), None);
        assert_eq!(lookup(""), None);
    }
}
