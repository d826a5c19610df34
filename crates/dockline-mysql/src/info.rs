//! What a server says of itself.

use std::time::Duration;

use dockline_core::ServerInfo;
use mysql::Conn;

use crate::ask::{ask, is_on};

/// Two round trips at the most.
pub(crate) fn server_info(conn: &mut Conn, mariadb: bool) -> mysql::Result<ServerInfo> {
    const LIMITS: &str = "SELECT @@version, @@wait_timeout, @@interactive_timeout, @@max_connections, \
                          @@session.max_user_connections, @@global.read_only, @@sql_mode, @@character_set_database, \
                          IF(@@global.time_zone = 'SYSTEM', @@system_time_zone, @@global.time_zone), @@max_prepared_stmt_count";
    // Its own threads every user sees, which is what the limit of a user is about.
    const IN_USE: &str = "SHOW GLOBAL STATUS LIKE 'Threads_connected'";
    const OF_USER: &str = "SELECT COUNT(*), COUNT(*) FROM information_schema.PROCESSLIST \
                           WHERE USER = SUBSTRING_INDEX(USER(), '@', 1)";

    let limits = ask(conn, LIMITS)?;
    let in_use = ask(conn, IN_USE)?;
    let text = |at: usize| limits.get(at).and_then(Option::as_deref).unwrap_or_default();
    let number = |at: usize| text(at).parse::<u64>().ok();
    let second =
        |row: &[Option<String>]| row.get(1).and_then(Option::as_deref).and_then(|text| text.parse::<u64>().ok());

    let in_use = second(&in_use);
    let max = number(3);
    let mut left = max.zip(in_use).map(|(max, in_use)| max.saturating_sub(in_use));
    if let Some(of_user) = number(4).filter(|limit| *limit > 0) {
        let used = match ask(conn, OF_USER) {
            // MySQL cannot list its threads while one runs a statement with certain characters (3854).
            Err(mysql::Error::MySqlError(_)) => Vec::new(),
            used => used?,
        };
        let left_to_user = of_user.saturating_sub(second(&used).unwrap_or_default());
        left = Some(left.map_or(left_to_user, |left| left.min(left_to_user)));
    }

    let version = text(0).to_owned();
    let (product, oldest, oldest_text) = if mariadb { ("MariaDB", (10, 6), "10.6") } else { ("MySQL", (8, 0), "8.0") };
    let mut info = ServerInfo::new(product, version.clone());
    info.older_than = major_minor(&version).is_some_and(|version| version < oldest).then_some(oldest_text);
    info.wait_timeout = number(1).map(Duration::from_secs);
    info.interactive_timeout = number(2).map(Duration::from_secs);
    info.max_connections = max;
    info.connections_in_use = in_use;
    info.connections_left = left;
    info.time_zone = Some(text(8).to_owned()).filter(|zone| !zone.is_empty());
    info.max_prepared_statements = number(9);
    info.read_only = Some(is_on(text(5)));
    info.strict = Some(text(6).split(',').any(|mode| mode == "STRICT_TRANS_TABLES" || mode == "STRICT_ALL_TABLES"));
    info.charset = Some(text(7).to_owned()).filter(|charset| !charset.is_empty());
    Ok(info)
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(major_minor("10.11.19-MariaDB-0+deb12u1"), Some((10, 11)));
        assert_eq!(major_minor("9.7.4-2"), Some((9, 7)));
        assert!(major_minor("5.7.44-log") < Some((8, 0)));
        assert_eq!(major_minor("unknown"), None);
    }
}
