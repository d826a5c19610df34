//! What is likely to go wrong with an alias: its settings, held against what its server says of itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::backend::Session;
use crate::config::engines::AliasConfig;
use crate::config::server_info::ServerInfo;
use crate::config::settings::{Settings, Tls};

/// The statements that switch autocommit for atomic blocks. A connection of MySQL or MariaDB keeps them prepared beside those of the program.
const SWITCHES: u64 = 2;

/// Something that [`Registry::check`](crate::Registry::check) found (as Django's `check --database`).
///
/// ```
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// for finding in connections.check()?.iter().filter(|finding| finding.id != "plain_text") {
///     println!("{}: {}", finding.alias, finding.message);
/// }
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The alias.
    pub alias: String,
    /// What it is, in a word that stays the same: `conn_max_age_too_long`, say.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The numbers, and what to do.
    pub message: String,
}

/// How bad a [`Finding`] is.
///
/// ```
/// use dockline::Severity;
///
/// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
/// let bad = connections.check()?.iter().any(|finding| finding.severity >= Severity::Warning);
/// assert!(!bad);
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Info,
    /// It works, and one day it will not.
    Warning,
    /// It does not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alias {:?}: {} ({}): {}", self.alias, self.severity, self.id, self.message)
    }
}

/// Logs what speaks against an alias, by the first of its connections. Whether the connection is still good.
pub(crate) fn warn_once(config: &Arc<AliasConfig>, session: &mut dyn Session, threads: usize) -> bool {
    if config.warned.swap(true, Ordering::Relaxed) || !log::log_enabled!(target: TARGET, log::Level::Warn) {
        return true;
    }
    let alias = &*config.alias;
    match session.server_info() {
        Ok(info) => {
            config.note(&info);
            let checked = Checked { alias, settings: &config.settings, info: &info, threads };
            for finding in checked.findings().iter().filter(|finding| finding.severity >= Severity::Warning) {
                log::warn!(target: TARGET, "{finding}");
            }
            true
        }
        Err(error) => {
            log::debug!(target: TARGET, "alias {alias:?}: the server cannot be asked for its limits: {error}");
            !error.is_disconnect()
        }
    }
}

const TARGET: &str = "dockline::check";

pub(crate) struct Checked<'a> {
    pub(crate) alias: &'a str,
    pub(crate) settings: &'a Settings,
    pub(crate) info: &'a ServerInfo,
    /// How many threads use the alias.
    pub(crate) threads: usize,
}

impl Checked<'_> {
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let found = [
            self.age(),
            self.transactions(),
            self.slots(),
            self.statements(),
            self.strictness(),
            self.charset(),
            self.time_zone(),
            self.encryption(),
            self.authorities(),
            self.password_file(),
            self.version(),
            self.log(),
        ];
        found.into_iter().flatten().collect()
    }

    fn warn(&self, id: &'static str, message: String) -> Option<Finding> {
        self.finding(id, Severity::Warning, message)
    }

    fn finding(&self, id: &'static str, severity: Severity, message: String) -> Option<Finding> {
        Some(Finding { alias: self.alias.to_owned(), id, severity, message })
    }

    fn age(&self) -> Option<Finding> {
        let limit = self.info.idle_limit()?;
        let age = self.settings.get_conn_max_age();
        if age.is_some_and(|age| age < limit) || self.settings.get_conn_max_idle().is_some_and(|idle| idle < limit) {
            return None;
        }
        let age = age.map_or("none".to_owned(), |age| format!("{age:?}"));
        self.warn(
            "conn_max_age_too_long",
            format!(
                "conn_max_age ({age}) is not below the {limit:?} after which the server closes an idle connection; \
                 lower conn_max_age, set conn_max_idle below that limit, or raise the limit of the server"
            ),
        )
    }

    /// What the server ends inside a transaction is an error, whatever Dockline does.
    fn transactions(&self) -> Option<Finding> {
        let limit = self.info.idle_in_transaction_session_timeout?;
        self.finding(
            "idle_in_transaction_limit",
            Severity::Info,
            format!(
                "the server ends a connection that pauses for {limit:?} inside a transaction, and the transaction with it; \
                 keep slow work out of transactions"
            ),
        )
    }

    fn slots(&self) -> Option<Finding> {
        let left = self.info.connections_left?;
        let max = self.info.max_connections.unwrap_or_default();
        let threads = self.connections();
        if threads > max {
            return self.warn(
                "more_threads_than_connections",
                format!(
                    "{threads} threads use this alias, and the server takes {max} connections (max_connections); set \
                     max_connections of the alias, so that threads take turns, use fewer threads, raise the limit, or put a pooler \
                     before the server"
                ),
            );
        }
        // This connection is counted as used already.
        if left < (max / 10).max(1) {
            return self.warn(
                "few_connections_left",
                format!(
                    "the server takes {max} connections (max_connections), and {left} are left; close what is not \
                     needed, or raise the limit"
                ),
            );
        }
        None
    }

    /// How many connections the threads may have at a time.
    fn connections(&self) -> u64 {
        let threads = u64::try_from(self.threads).unwrap_or(u64::MAX);
        self.settings.get_max_connections().map_or(threads, |cap| threads.min(u64::from(cap)))
    }

    /// Each thread keeps statements of its own, and two that switch autocommit; and the server counts those of everybody.
    fn statements(&self) -> Option<Finding> {
        let limit = self.info.max_prepared_statements?;
        let cache = u64::from(self.settings.get_statement_cache());
        let threads = self.connections().max(1);
        let most = threads.saturating_mul(cache + SWITCHES);
        (self.settings.get_prepared_statements() && cache > 0 && most > limit).then_some(())?;
        self.warn(
            "too_many_prepared_statements",
            format!(
                "{threads} threads with {cache} statements each (statement_cache) and {SWITCHES} for atomic blocks may prepare {most}, and \
                 the server holds {limit} for all its clients together (max_prepared_stmt_count); set statement_cache to {} at the most, \
                 or max_prepared_stmt_count to {most} at the least",
                (limit / threads).saturating_sub(SWITCHES)
            ),
        )
    }

    /// What a reader needs of SQLite's write-ahead log cannot be reused.
    fn log(&self) -> Option<Finding> {
        let bytes = self.info.log_held_back?;
        self.warn(
            "log_held_back",
            format!(
                "the write-ahead log has {} MiB, and cannot be emptied, for a connection has been reading since before they were \
                 written; end transactions that only read, and results that are read slowly, sooner",
                bytes >> 20
            ),
        )
    }

    fn strictness(&self) -> Option<Finding> {
        (self.info.strict == Some(false)).then_some(())?;
        self.warn(
            "not_strict",
            "the server cuts values that do not fit, instead of refusing them; add STRICT_TRANS_TABLES to sql_mode, on \
             the server or by init_sql"
                .to_owned(),
        )
    }

    /// Sessions of other programs are where the server puts them.
    fn time_zone(&self) -> Option<Finding> {
        let zone = self.info.time_zone.as_deref()?;
        let is_utc = ["+00:00", "UTC", "Etc/UTC", "GMT"].iter().any(|utc| zone.eq_ignore_ascii_case(utc));
        (self.settings.get_time_zone().is_none() && !is_utc).then_some(())?;
        self.finding(
            "time_zone_differs",
            Severity::Info,
            format!(
                "the server puts sessions at {zone}, and those of Dockline are at UTC: other programs see the times of TIMESTAMP and \
                 NOW() differently; set time_zone to server to be where they are"
            ),
        )
    }

    fn charset(&self) -> Option<Finding> {
        let charset = self.info.charset.as_deref()?;
        // What MySQL calls utf8 holds three bytes a character; on PostgreSQL it is all of Unicode.
        let good = if self.info.product == "PostgreSQL" { "utf8" } else { "utf8mb4" };
        if charset.eq_ignore_ascii_case(good) {
            return None;
        }
        self.warn(
            "charset",
            format!(
                "the character set of the database is {charset}, which does not hold every character; make it utf8mb4 on \
                 MySQL and MariaDB, UTF8 on PostgreSQL"
            ),
        )
    }

    fn encryption(&self) -> Option<Finding> {
        (self.info.encrypted == Some(false) && self.info.over_network).then_some(())?;
        self.warn(
            "plain_text",
            format!(
                "the connection crosses a network without encryption (tls is {}); set tls to verify-full, or at least to \
                 require",
                self.settings.get_tls()
            ),
        )
    }

    /// The driver of MySQL trusts the authorities that browsers trust, whatever the settings say.
    fn authorities(&self) -> Option<Finding> {
        let trusts_all = ["MySQL", "MariaDB"].contains(&self.info.product.as_str());
        (self.settings.get_tls() == Tls::VerifyCa && trusts_all).then_some(())?;
        self.warn(
            "verify_ca_trusts_everybody",
            "with tls = verify-ca the driver takes a certificate that any public authority has signed, for any name; set tls \
             to verify-full"
                .to_owned(),
        )
    }

    fn password_file(&self) -> Option<Finding> {
        let path = self.settings.get_password_file()?;
        let mode = permissions(path)?;
        (mode & 0o004 != 0).then_some(())?;
        self.warn(
            "password_file_readable",
            format!("the password file {path:?} can be read by every user (mode {mode:o}); chmod 600 it"),
        )
    }

    fn version(&self) -> Option<Finding> {
        let oldest = self.info.older_than?;
        self.warn(
            "server_too_old",
            format!(
                "{} {} is older than {oldest}, the oldest that Dockline is made for; update the server",
                self.info.product, self.info.version
            ),
        )
    }
}

#[cfg(unix)]
fn permissions(path: &str) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn permissions(_: &str) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ids(settings: &Settings, info: &ServerInfo, threads: usize) -> Vec<&'static str> {
        let checked = Checked { alias: "default", settings, info, threads };
        checked.findings().iter().map(|finding| finding.id).collect()
    }

    fn healthy() -> ServerInfo {
        ServerInfo {
            wait_timeout: Some(Duration::from_secs(28_800)),
            max_connections: Some(100),
            connections_in_use: Some(3),
            connections_left: Some(97),
            max_prepared_statements: Some(16_382),
            strict: Some(true),
            charset: Some("utf8mb4".to_owned()),
            encrypted: Some(false),
            ..ServerInfo::new("MySQL", "9.7.4")
        }
    }

    #[test]
    fn a_healthy_server_has_no_findings() {
        assert!(ids(&Settings::new(), &healthy(), 10).is_empty());
        let postgres = ServerInfo { charset: Some("UTF8".to_owned()), ..ServerInfo::new("PostgreSQL", "15.20") };
        assert!(ids(&Settings::new(), &postgres, 10).is_empty());
    }

    #[test]
    fn each_fault_has_its_id_and_its_numbers() {
        let limits = ServerInfo { wait_timeout: Some(Duration::from_secs(60)), ..healthy() };
        assert_eq!(ids(&Settings::new(), &limits, 1), ["conn_max_age_too_long"]);
        assert_eq!(ids(&Settings::new().conn_max_age(None), &limits, 1), ["conn_max_age_too_long"]);
        assert!(ids(&Settings::new().conn_max_idle(Some(Duration::from_secs(30))), &limits, 1).is_empty());
        assert_eq!(ids(&Settings::new(), &healthy(), 101), ["more_threads_than_connections"]);
        assert!(ids(&Settings::new().max_connections(Some(90)), &healthy(), 101).is_empty());
        let full = ServerInfo { connections_left: Some(9), ..healthy() };
        assert_eq!(ids(&Settings::new(), &full, 1), ["few_connections_left"]);
        let few = ServerInfo { max_prepared_statements: Some(1_000), ..healthy() };
        assert!(ids(&Settings::new(), &few, 9).is_empty());
        assert_eq!(ids(&Settings::new(), &few, 10), ["too_many_prepared_statements"]);
        assert!(ids(&Settings::new().statement_cache(88), &few, 11).is_empty());
        assert!(ids(&Settings::new().prepared_statements(false), &few, 11).is_empty());
        let loose = ServerInfo { strict: Some(false), ..healthy() };
        assert_eq!(ids(&Settings::new(), &loose, 1), ["not_strict"]);
        for charset in ["latin1", "utf8", "utf8mb3"] {
            let info = ServerInfo { charset: Some(charset.to_owned()), ..healthy() };
            assert_eq!(ids(&Settings::new(), &info, 1), ["charset"], "{charset}");
        }
        let far = ServerInfo { over_network: true, ..healthy() };
        assert_eq!(ids(&Settings::new(), &far, 1), ["plain_text"]);
        assert_eq!(ids(&Settings::new().tls(Tls::VerifyCa), &healthy(), 1), ["verify_ca_trusts_everybody"]);
        let vienna = ServerInfo { time_zone: Some("Europe/Vienna".to_owned()), ..healthy() };
        assert_eq!(ids(&Settings::new(), &vienna, 1), ["time_zone_differs"]);
        assert!(ids(&Settings::new().time_zone("server"), &vienna, 1).is_empty());
        let old = ServerInfo { older_than: Some("8.0"), ..healthy() };
        assert_eq!(ids(&Settings::new(), &old, 1), ["server_too_old"]);
        let message =
            Checked { alias: "a", settings: &Settings::new(), info: &limits, threads: 1 }.findings().remove(0);
        assert!(message.to_string().contains("60s") && message.to_string().contains("600s"), "{message}");
    }
}
