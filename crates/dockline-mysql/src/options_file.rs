//! MySQL's option files, as `~/.my.cnf`: the part of their form that says how to connect.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use dockline_core::{Error, ErrorKind, Result, SecretString};
use dockline_net::{Passwords, home_file, read_passwords};

use crate::plan::{Endpoint, Plan};

/// What a file gives for connecting.
#[derive(Default)]
pub(crate) struct FileOptions {
    pub(crate) user: Option<String>,
    password: Option<SecretString>,
    host: Option<String>,
    port: Option<u16>,
    socket: Option<String>,
    path: PathBuf,
    /// Others than its owner can read it, so the password in it does not count.
    exposed: bool,
}

impl FileOptions {
    /// Reads the file that the settings name, which has to be there; else the one in the home folder, if it is needed and there. What
    /// is wrong with that one is a warning, and it gives nothing.
    pub(crate) fn read(plan: &Plan, needed: bool) -> Result<Self> {
        let group = plan.options_group.as_deref();
        if let Some(path) = &plan.options_file {
            return Self::read_file(path, group).map_err(|why| wrong(path, why));
        }
        if !needed && group.is_none() {
            return Ok(Self::default());
        }
        let Some(path) = home_file(".my.cnf").filter(|path| path.exists()) else { return Ok(Self::default()) };
        Ok(Self::read_file(&path, group).unwrap_or_else(|why| {
            warn(&path, &why);
            Self::default()
        }))
    }

    fn read_file(path: &Path, group: Option<&str>) -> Result<Self, String> {
        let (bytes, exposed) = match read_passwords(path) {
            Ok(Passwords::Read(bytes)) => (bytes, false),
            Ok(Passwords::Exposed(bytes)) => (bytes, true),
            Ok(Passwords::Missing) => return Err("it is not there".to_owned()),
            Err(error) => return Err(format!("it cannot be read: {error}")),
        };
        Ok(Self { path: path.to_owned(), exposed, ..Self::parse(&bytes, group)? })
    }

    /// The password. One that others can read does not count: with a file that the settings name, that is an error.
    pub(crate) fn take_password(&mut self, plan: &Plan) -> Result<Option<SecretString>> {
        const EXPOSED: &str = "others than its owner can read it, so the password in it does not count; chmod 600 it";
        match self.password.take() {
            Some(_) if self.exposed && plan.options_file.is_some() => Err(wrong(&self.path, EXPOSED)),
            Some(_) if self.exposed => {
                warn(&self.path, &EXPOSED);
                Ok(None)
            }
            password => Ok(password),
        }
    }

    /// Where the server is. As with MySQL's own programs, a host goes before a socket, unless it is `localhost`.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match (self.host.as_deref(), &self.socket) {
            (None | Some("localhost"), Some(socket)) => Endpoint::Socket(socket.clone()),
            (host, _) => Endpoint::of(host.unwrap_or("127.0.0.1"), self.port),
        }
    }

    /// What stands later goes before what stands earlier, as with MySQL's own programs.
    fn parse(bytes: &[u8], group: Option<&str>) -> Result<Self, String> {
        let mut found = Self::default();
        let mut counts = false;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if let Some(section) = line.strip_prefix(b"[") {
                let section = section.split(|byte| *byte == b']').next().unwrap_or_default().trim_ascii();
                counts = section == b"client" || group.is_some_and(|group| section == group.as_bytes());
            } else if counts && !line.starts_with(b"#") && !line.starts_with(b";") && !line.starts_with(b"!") {
                let equals = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
                let name = String::from_utf8_lossy(line[..equals].trim_ascii_end());
                let value = line.get(equals + 1..).unwrap_or_default().trim_ascii_start();
                // What the other options are in is no matter.
                if OPTIONS.contains(&&*name) {
                    let value = std::str::from_utf8(value).map_err(|_| {
                        format!("the value of {name} in line {} is not UTF-8; save the file as UTF-8", at + 1)
                    })?;
                    found.set(&name, &unquote(value));
                }
            }
        }
        Ok(found)
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

/// The options that say how to connect.
const OPTIONS: [&str; 5] = ["user", "password", "host", "port", "socket"];

fn wrong(path: &Path, why: impl Display) -> Error {
    Error::new(ErrorKind::Operational, format!("setting options.read_default_file: {path:?}: {why}"))
}

fn warn(path: &Path, why: &dyn Display) {
    log::warn!(target: "dockline::connection", "the option file {}: {why}", path.display());
}

/// A value without its quotes and without the comment behind it, and with its escapes replaced.
fn unquote(text: &str) -> String {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut rest = text[quote.map_or(0, char::len_utf8)..].chars();
    let mut value = String::new();
    // Space at the end does not count, unless it is written as an escape.
    let mut kept = 0;
    while let Some(c) = rest.next() {
        match c {
            _ if Some(c) == quote => return value,
            // A comment begins with a #, outside quotes.
            '#' if quote.is_none() => break,
            '\\' => {
                match rest.next() {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    Some('b') => value.push('\u{8}'),
                    Some('s') => value.push(' '),
                    Some(c @ ('\\' | '"' | '\'')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                    None => value.push('\\'),
                }
                kept = value.len();
            }
            c => {
                value.push(c);
                if !c.is_whitespace() {
                    kept = value.len();
                }
            }
        }
    }
    if quote.is_none() {
        value.truncate(kept);
    }
    value
}

#[cfg(test)]
mod tests {
    use dockline_core::ExposeSecret;

    use super::*;

    fn password(line: &str) -> String {
        let found = FileOptions::parse(format!("[client]\n{line}").as_bytes(), None).unwrap();
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
        assert_eq!(password(r"password=secret\s"), "secret ");
        assert_eq!(password(r"password = secret\s  # not this"), "secret ");
        assert_eq!(password(r"password=secret\t "), "secret\t");
        assert_eq!(password("password="), "");
        assert_eq!(password("password=\"open"), "open");
        assert_eq!(password("password=gehéim=x"), "gehéim=x");
    }

    #[test]
    fn sections_and_their_order() {
        let text = "user=nobody\n[mysqld]\nuser=mysql\nport=1\n[client]\nuser=app\nport=3307\n# user=x\n!include /x\n\
                    skip-name-resolve\n[billing]\nuser=billing\nhost=db.example\nsocket=/run/s.sock\n";
        let client = FileOptions::parse(text.as_bytes(), None).unwrap();
        assert_eq!((client.user.as_deref(), client.port, client.host), (Some("app"), Some(3307), None));
        let billing = FileOptions::parse(text.as_bytes(), Some("billing")).unwrap();
        assert_eq!((billing.user.as_deref(), billing.host.as_deref()), (Some("billing"), Some("db.example")));
        assert_eq!((billing.port, billing.socket.as_deref()), (Some(3307), Some("/run/s.sock")));
    }

    #[test]
    fn a_host_goes_before_a_socket_unless_it_is_this_one() {
        let endpoint =
            |text: &str| FileOptions::parse(format!("[client]\n{text}").as_bytes(), None).unwrap().endpoint();
        let socket = Endpoint::Socket("/run/s.sock".to_owned());
        assert_eq!(endpoint("host=db.example\nsocket=/run/s.sock"), Endpoint::of("db.example", None));
        assert_eq!(endpoint("host=127.0.0.1\nport=3307\nsocket=/run/s.sock"), Endpoint::of("127.0.0.1", Some(3307)));
        assert_eq!(endpoint("host=localhost\nsocket=/run/s.sock"), socket);
        assert_eq!(endpoint("socket=/run/s.sock"), socket);
        assert_eq!(endpoint(""), Endpoint::of("127.0.0.1", None));
    }

    #[test]
    fn what_is_not_utf_8_matters_only_in_a_value_that_counts() {
        let found = FileOptions::parse(b"# \xe9t\xe9\n[client]\ncomment=\xe9\nuser=app", None).unwrap();
        assert_eq!(found.user.as_deref(), Some("app"));
        let error = FileOptions::parse(b"[client]\nuser=app\npassword=s3cret\xe9", None).err().unwrap();
        assert!(
            error.contains("password in line 3") && error.contains("UTF-8") && !error.contains("s3cret"),
            "{error}"
        );
    }
}
