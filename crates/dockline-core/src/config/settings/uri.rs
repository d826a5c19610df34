//! The parts of a URL, as they are written: percent-encoded, and not yet understood. It is the grammar of RFC 3986 as far as database
//! URLs go, with libpq's list of hosts. No error repeats any of the URL: it may hold a password.

use std::net::Ipv6Addr;

/// The parts of a URL, as they are written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'text> {
    /// In lower case.
    pub(super) scheme: String,
    /// `None`: no `//` stands behind the scheme.
    pub(super) authority: Option<Authority<'text>>,
    /// With the slash that it begins with, if it does.
    pub(super) path: &'text str,
    pub(super) query: &'text str,
}

/// What stands between `//` and the path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Authority<'text> {
    pub(super) user: Option<&'text str>,
    pub(super) password: Option<&'text str>,
    /// Those of which one has a name; none if no host is given.
    pub(super) hosts: Vec<Host<'text>>,
}

/// A host, and its port if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Host<'text> {
    /// Without the brackets of an IPv6 address.
    pub(super) name: &'text str,
    pub(super) port: Option<u16>,
}

/// Takes a URL apart. The error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Parts<'_>, &'static str> {
    if text.contains('#') {
        return Err("it has a #, which is written %23");
    }
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return Err("it does not begin with a scheme and a colon");
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        None => (None, rest),
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(Authority::parse(authority)?), path)
        }
    };
    Ok(Parts { scheme: scheme.to_ascii_lowercase(), authority, path, query })
}

/// The bytes that a part stands for. A % that no two hexadecimal digits follow is itself.
pub(super) fn decode(part: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (bytes, mut decoded, mut at) = (part.as_bytes(), Vec::with_capacity(part.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let code = match byte {
            b'%' => digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2))),
            _ => None,
        };
        // Two digits are a byte.
        let code = code.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        decoded.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    decoded
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

impl<'text> Authority<'text> {
    fn parse(text: &'text str) -> Result<Self, &'static str> {
        let (login, hosts) = match text.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, text),
        };
        let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
        };
        Ok(Self { user, password, hosts: if hosts.is_empty() { Vec::new() } else { read_hosts(hosts)? } })
    }
}

/// Reads `host`, `host:port`, `[address]:port`, or several of them with commas between.
pub(super) fn read_hosts(text: &str) -> Result<Vec<Host<'_>>, &'static str> {
    text.split(',').map(Host::parse).collect()
}

impl<'text> Host<'text> {
    fn parse(text: &'text str) -> Result<Self, &'static str> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or("an IPv6 address has no closing bracket")?;
                // A zone, as in fe80::1%25eth0, is for the system to judge.
                let without_zone = address.split('%').next().unwrap_or_default();
                without_zone.parse::<Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
                let port = rest.strip_prefix(':').or(rest.is_empty().then_some(""));
                (address, port.ok_or("something that is no port stands behind an IPv6 address")?)
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        if name.is_empty() {
            return Err("a host is empty");
        }
        if !text.starts_with('[') && (port.contains(':') || name.contains(is_no_hosts)) {
            return Err("a host has a character that no host has; an IPv6 address stands in brackets");
        }
        let port = if port.is_empty() { None } else { Some(read_port(port)?) };
        Ok(Self { name, port })
    }
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or("the port is no number from 1 to 65535")
}

/// What has to be percent-encoded in a host, by the rules of URLs.
fn is_no_hosts(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '<' | '>' | '[' | ']' | '\\' | '^' | '|' | '"' | '@' | '`' | '{' | '}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(name: &str, port: Option<u16>) -> Host<'_> {
        Host { name, port }
    }

    #[test]
    fn every_part_is_found() {
        let parts = parse("Postgres://ann:se%40cret@db.example:6432/my%20app?tls=require&a=b").unwrap();
        assert_eq!((parts.scheme.as_str(), parts.path, parts.query), ("postgres", "/my%20app", "tls=require&a=b"));
        let authority = parts.authority.unwrap();
        assert_eq!((authority.user, authority.password), (Some("ann"), Some("se%40cret")));
        assert_eq!(authority.hosts, [host("db.example", Some(6432))]);
    }

    #[test]
    fn parts_that_are_not_there_are_told_from_empty_ones() {
        let parts = parse("sqlite:app.db").unwrap();
        assert_eq!((&parts.authority, parts.path, parts.query), (&None, "app.db", ""));
        let authority = |text| parse(text).unwrap().authority.unwrap();
        assert_eq!(authority("sqlite:///app.db"), Authority::default());
        assert_eq!(authority("postgres://ann@/app").user, Some("ann"));
        assert_eq!(authority("postgres://ann:@h").password, Some(""));
        assert_eq!(authority("postgres://a@b:c@h/d").user, Some("a@b"), "the last @ ends the login");
        assert_eq!(authority("postgres://h:/d").hosts, [host("h", None)]);
    }

    #[test]
    fn hosts_are_names_addresses_and_lists() {
        let hosts = |text| parse(text).unwrap().authority.unwrap().hosts;
        assert_eq!(hosts("mysql://[::1]:3306/app"), [host("::1", Some(3306))]);
        assert_eq!(hosts("mysql://[fe80::1%25eth0]/app"), [host("fe80::1%25eth0", None)]);
        assert_eq!(hosts("postgres://%2Frun%2Fpg/app"), [host("%2Frun%2Fpg", None)]);
        assert_eq!(
            hosts("postgres://a:1,b,[::1]:2,10.0.0.1/app"),
            [host("a", Some(1)), host("b", None), host("::1", Some(2)), host("10.0.0.1", None)]
        );
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "",
            "app.db",
            "//h/d",
            "1a:b",
            "a b:c",
            "a://h#f",
            "a://h:port",
            "a://h:65536",
            "a://h:+1",
            "a://:1/d",
            "a://h,/d",
            "a://,h/d",
            "a://[::1/d",
            "a://[::g]/d",
            "a://[::1]1/d",
            "a://::1/d",
            "a://h h/d",
            "a://<h>/d",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (part, wanted) in [
            ("a%20b", "a b"),
            ("%c3%A4", "ä"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%%41", "%A"),
            ("", ""),
            ("+", "+"),
        ] {
            assert_eq!(decode(part), wanted.as_bytes(), "{part}");
        }
        assert_eq!(decode("%ff"), [0xff]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_encoded_and_decoded(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let encoded: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(&encoded), bytes);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}", tail in "[a-z:/@,?#\\[\\]%0-9]{0,30}") {
            let _ = parse(&text);
            let _ = parse(&format!("s://{tail}"));
        }

        #[test]
        fn what_is_put_together_is_taken_apart(
            user in "[a-z%]{1,6}", password in "[a-z%:]{0,6}", name in "[a-z.-]{1,9}", port in any::<u16>(), path in "[a-z/:.]{0,9}",
            query in "[a-z=&]{0,9}",
        ) {
            let text = format!("mysql://{user}:{password}@{name}:{port}/{path}?{query}");
            let parts = parse(&text).unwrap();
            let authority = parts.authority.unwrap();
            prop_assert_eq!(authority.user, Some(user.as_str()));
            prop_assert_eq!(authority.password, Some(password.as_str()));
            prop_assert_eq!(authority.hosts, [host(&name, Some(port))]);
            let path = format!("/{path}");
            prop_assert_eq!((parts.path, parts.query), (path.as_str(), query.as_str()));
        }
    }
}
