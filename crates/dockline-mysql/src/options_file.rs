//! MySQL's option files, as `~/.my.cnf`: the part of their form that says how to connect.

use std::path::Path;

use dockline_core::{Error, ErrorKind, Result, SecretString};
use dockline_net::home_file;

use crate::plan::Plan;

/// What a file gives for connecting.
#[derive(Default)]
pub(crate) struct FileOptions {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) socket: Option<String>,
}

impl FileOptions {
    /// Reads the file that the settings name, which has to be there; else the one in the home folder, where it is needed and
    /// there.
    pub(crate) fn read(plan: &Plan, needed: bool) -> Result<Self> {
        let group = plan.options_group.as_deref();
        let text = match &plan.options_file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?,
            None if !needed && group.is_none() => return Ok(Self::default()),
            None => match home_file(".my.cnf").map(std::fs::read_to_string) {
                Some(Ok(text)) => text,
                _ => return Ok(Self::default()),
            },
        };
        Ok(Self::parse(&text, group))
    }

    /// What stands later goes before what stands earlier, as with MySQL's own programs.
    fn parse(text: &str, group: Option<&str>) -> Self {
        let mut found = Self::default();
        let mut counts = false;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[') {
                let section = section.split(']').next().unwrap_or_default().trim();
                counts = section == "client" || group == Some(section);
            } else if counts && !line.starts_with(['#', ';', '!']) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                found.set(name.trim_end(), &unquote(value.trim_start()));
            }
        }
        found
    }

    fn set(&mut self, name: &str, value: &str) {
        match name {
            "user" => self.user = Some(value.to_owned()),
            "password" => self.password = Some(SecretString::from(value)),
            "host" => self.host = Some(value.to_owned()),
            "port" => self.port = value.parse().ok().filter(|port| *port != 0),
            "socket" => self.socket = Some(value.to_owned()),
            _ => {}
        }
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let message = format!("setting options.read_default_file: {path:?} cannot be read: {error}");
    Error::new(ErrorKind::Operational, message).with_source(error)
}

/// A value without its quotes and without the comment behind it, and with its escapes replaced.
fn unquote(text: &str) -> String {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut rest = text[quote.map_or(0, char::len_utf8)..].chars();
    let mut value = String::new();
    while let Some(c) = rest.next() {
        match c {
            _ if Some(c) == quote => return value,
            // A comment begins with a #, outside quotes.
            '#' if quote.is_none() => break,
            '\\' => match rest.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some('b') => value.push('\u{8}'),
                Some('s') => value.push(' '),
                Some(c @ ('\\' | '"' | '\'')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    if quote.is_none() {
        value.truncate(value.trim_end().len());
    }
    value
}

#[cfg(test)]
mod tests {
    use dockline_core::ExposeSecret;

    use super::*;

    fn password(line: &str) -> String {
        let found = FileOptions::parse(&format!("[client]\n{line}"), None);
        found.password.unwrap_or_else(|| panic!("{line}")).expose_secret().to_owned()
    }

    #[test]
    fn values_with_quotes_comments_and_escapes() {
        assert_eq!(password("password=secret"), "secret");
        assert_eq!(password("  password =  se cret  # not this"), "se cret");
        assert_eq!(password("password=\"se#cret\" # not this"), "se#cret");
        assert_eq!(password("password='it''"), "it");
        assert_eq!(password(r"password='it\'s'"), "it's");
        assert_eq!(password(r"password=a\sb\\c\x"), r"a b\c\x");
        assert_eq!(password("password="), "");
        assert_eq!(password("password=\"open"), "open");
        assert_eq!(password("password=gehéim=x"), "gehéim=x");
    }

    #[test]
    fn sections_and_their_order() {
        let text = "user=nobody\n[mysqld]\nuser=mysql\nport=1\n[client]\nuser=app\nport=3307\n# user=x\n!include /x\n\
                    skip-name-resolve\n[billing]\nuser=billing\nhost=db.example\nsocket=/run/s.sock\n";
        let client = FileOptions::parse(text, None);
        assert_eq!((client.user.as_deref(), client.port, client.host), (Some("app"), Some(3307), None));
        let billing = FileOptions::parse(text, Some("billing"));
        assert_eq!((billing.user.as_deref(), billing.host.as_deref()), (Some("billing"), Some("db.example")));
        assert_eq!((billing.port, billing.socket.as_deref()), (Some(3307), Some("/run/s.sock")));
    }
}
