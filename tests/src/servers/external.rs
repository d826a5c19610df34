//! Servers that run already, named by environment variables.

use std::sync::OnceLock;

use url::Url;

use super::Kind;
use super::admin::{Session, Target};

const POSTGRES: &str = "DOCKLINE_TEST_POSTGRES_URL";
const MYSQL: &str = "DOCKLINE_TEST_MYSQL_URL";

/// The server of this kind that the environment names. Its user needs the rights to create databases and to end sessions.
pub(super) fn url(kind: Kind) -> Result<Option<Url>, String> {
    static MYSQL_URL: OnceLock<Result<Option<(Kind, Url)>, String>> = OnceLock::new();
    if kind.is_postgres() {
        return read(POSTGRES);
    }
    let found = MYSQL_URL.get_or_init(|| {
        let Some(mut url) = read(MYSQL)? else { return Ok(None) };
        // Whether it is MySQL or MariaDB, the server knows.
        let refused = |reason: String| format!("{MYSQL}: {reason}");
        let mut session = Session::try_open(&Target::from_url(Kind::Mysql, &url, None)).map_err(refused)?;
        let version = session.value("SELECT VERSION()").map_err(refused)?.unwrap_or_default();
        let kind = if version.contains("MariaDB") { Kind::MariaDb } else { Kind::Mysql };
        let renamed = url.set_scheme(kind.scheme());
        renamed.map(|()| Some((kind, url))).map_err(|()| format!("{MYSQL}: not a URL of MySQL"))
    });
    Ok(found.clone()?.filter(|(found, _)| *found == kind).map(|(_, url)| url))
}

fn read(variable: &str) -> Result<Option<Url>, String> {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|error| format!("{variable}: {error}")),
        _ => Ok(None),
    }
}
