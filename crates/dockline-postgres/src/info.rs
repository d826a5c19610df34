//! What the server says of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use dockline_core::ServerInfo;

/// One row that has it all; what a version does not have is null.
pub(crate) const QUESTION: &str = "\
SELECT current_setting('server_version') AS version, \
 current_setting('server_version_num') AS number, \
 current_setting('max_connections') AS max, \
 current_setting('superuser_reserved_connections') AS reserved, \
 current_setting('reserved_connections', true) AS reserved_too, \
 (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used, \
 (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit, \
 (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user) AS role_used, \
 (SELECT setting FROM pg_settings WHERE name = 'idle_session_timeout') AS idle, \
 (SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS idle_in_transaction, \
 pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only, \
 current_setting('server_encoding') AS charset, \
 (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone') AS zone, \
 (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted";

/// The oldest version that Dockline is made for, and its number as the server writes it.
const OLDEST: (&str, u32) = ("12", 120_000);

/// Whether a server that reports this of itself is PostgreSQL, and one that Dockline is made for. Databases that speak its protocol report a
/// version of it as well, mostly with something of their own.
pub(crate) fn is_postgresql(reported: &BTreeMap<String, String>) -> bool {
    let Some(version) = reported.get("server_version") else { return false };
    let version = version.split_ascii_whitespace().next().unwrap_or_default();
    let digits = version.bytes().take_while(u8::is_ascii_digit).count();
    let (major, rest) = version.split_at(digits);
    let is_minor = |rest: &str| rest.strip_prefix('.').is_some_and(|minor| minor.parse::<u16>().is_ok());
    let is_early = |rest: &str| ["beta", "rc", "devel", "alpha"].iter().any(|word| rest.starts_with(word));
    let oldest = OLDEST.1 / 10_000;
    major.parse::<u32>().is_ok_and(|major| major >= oldest)
        && (is_minor(rest) || is_early(rest))
        && !reported.contains_key("crdb_version")
}

/// Reads the answer to [`QUESTION`].
pub(crate) fn read<'row>(column: impl Fn(&str) -> Option<&'row str>, over_network: bool) -> ServerInfo {
    let number = |name: &str| column(name).and_then(|text| text.parse::<u64>().ok());
    let flag = |name: &str| column(name).map(|text| text == "t");
    let millis = |name: &str| number(name).filter(|millis| *millis > 0).map(Duration::from_millis);
    let mut info = ServerInfo::new("PostgreSQL", column("version").unwrap_or_default());
    info.older_than = number("number").filter(|number| *number < OLDEST.1.into()).map(|_| OLDEST.0);
    info.idle_session_timeout = millis("idle");
    info.idle_in_transaction_session_timeout = millis("idle_in_transaction");
    info.max_connections = number("max");
    info.connections_in_use = number("used");
    info.connections_left = info.max_connections.map(|max| {
        let kept = number("reserved").unwrap_or(0) + number("reserved_too").unwrap_or(0);
        let of_server = max.saturating_sub(kept).saturating_sub(number("used").unwrap_or(0));
        // A limit of -1 is none, and does not read as a number here.
        let of_role = number("role_limit").map(|limit| limit.saturating_sub(number("role_used").unwrap_or(0)));
        of_role.map_or(of_server, |left| left.min(of_server))
    });
    info.read_only = flag("read_only");
    info.charset = column("charset").map(str::to_owned);
    info.time_zone = column("zone").map(str::to_owned);
    info.encrypted = flag("encrypted");
    info.over_network = over_network;
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_postgresql_is_not_taken_for_it() {
        let is_it = |version: &str, other: &str| {
            is_postgresql(
                &[("server_version", version), (other, "")].map(|(name, value)| (name.into(), value.into())).into(),
            )
        };
        for version in ["12.0", "15.20 (Debian 15.20-0+deb12u1)", "18beta1", "17rc1", "19devel"] {
            assert!(is_it(version, "TimeZone"), "{version}");
        }
        for version in
            ["", "9.6.24", "8.0.2", "11.2-YB-2.18.0.0-b0", "15.2-YB-2.25.0.0-b0", "15.4.0", "13", "v24.1", "10.5"]
        {
            assert!(!is_it(version, "TimeZone"), "{version}");
        }
        assert!(!is_it("13.0", "crdb_version"));
        assert!(!is_postgresql(&BTreeMap::new()));
    }

    #[test]
    fn slots_are_what_is_left_for_this_user() {
        let answer = |limit: &'static str| {
            move |name: &str| match name {
                "version" => Some("11.3"),
                "number" => Some("110003"),
                "max" => Some("100"),
                "reserved" => Some("3"),
                "used" => Some("10"),
                "role_limit" => Some(limit),
                "role_used" => Some("4"),
                "idle" => Some("0"),
                "idle_in_transaction" => Some("2000"),
                "encrypted" => Some("f"),
                _ => None,
            }
        };
        let info = read(answer("-1"), true);
        assert_eq!(info.connections_left, Some(87));
        assert_eq!((info.idle_session_timeout, info.older_than), (None, Some("12")));
        assert_eq!(info.idle_in_transaction_session_timeout, Some(Duration::from_secs(2)));
        assert_eq!((info.encrypted, info.over_network), (Some(false), true));
        assert_eq!(read(answer("5"), false).connections_left, Some(1));
    }
}
