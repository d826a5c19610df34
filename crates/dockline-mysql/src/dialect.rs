//! Which SQL a server speaks.

use dockline_core::statement::Dialect;

/// The SQL of a server of this version, as it tells it.
pub(crate) fn dialect(version: &str) -> Dialect {
    let dialect = if version.contains("MariaDB") { Dialect::MARIADB } else { Dialect::MYSQL };
    match number(version) {
        Some(number) => dialect.with_version(number),
        None => dialect,
    }
}

/// As comments write it: 80,036 for 8.0.36.
fn number(version: &str) -> Option<u32> {
    // MariaDB puts it before its own number when it talks to programs that know MySQL alone.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    Some(next()? * 10_000 + next()? * 100 + next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_as_in_comments() {
        for (version, wanted) in [
            ("8.0.36", Some(80_036)),
            ("9.7.4-2", Some(90_704)),
            ("10.11.19-MariaDB-0+deb12u1", Some(101_119)),
            ("5.5.5-10.6.1-MariaDB", Some(100_601)),
            ("8.0", Some(80_000)),
            ("unknown", None),
        ] {
            assert_eq!(number(version), wanted, "{version}");
        }
        assert!(dialect("10.11.19-MariaDB").is_mariadb() && dialect("9.7.4").is_mysql());
    }
}
