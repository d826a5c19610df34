//! The settings of a scenario's aliases, in Django's words.

use std::collections::BTreeMap;
use std::time::Duration;

use dockline::{Databases, Liveness, Settings, TransactionMode};
use serde::Deserialize;

/// One alias of Django's `DATABASES`, less where the database is. What is left out has Django's default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "UPPERCASE", deny_unknown_fields)]
pub struct AliasSettings {
    /// A database that does not exist, where it is given.
    name: Option<String>,
    /// Seconds; none is for ever.
    #[serde(default = "every_request")]
    conn_max_age: Option<f64>,
    #[serde(default)]
    conn_health_checks: bool,
    #[serde(default = "on")]
    autocommit: bool,
}

/// The configuration of a registry: every alias is the database of `base`.
///
/// # Errors
///
/// Which setting of which alias has an impossible value.
pub(super) fn databases(aliases: &BTreeMap<String, AliasSettings>, base: &Settings) -> Result<Databases, String> {
    aliases.iter().try_fold(Databases::new(), |databases, (alias, own)| {
        let settings = own.settings(base.clone()).map_err(|reason| format!("databases.{alias}: {reason}"))?;
        Ok(databases.with(alias, settings))
    })
}

impl AliasSettings {
    fn settings(&self, base: Settings) -> Result<Settings, String> {
        // What Django has no word for is as if it were not there.
        let settings = base
            .liveness(Liveness::Off)
            .max_age_jitter(0)
            .conn_max_age(self.conn_max_age.map(age).transpose()?)
            .conn_health_checks(self.conn_health_checks)
            .autocommit(self.autocommit);
        // It is SQLite's alone, and Django's default there.
        let settings = match settings.get_engine() {
            Some("sqlite") => settings.transaction_mode(TransactionMode::Deferred),
            _ => settings,
        };
        Ok(match &self.name {
            Some(name) => settings.name(name),
            None => settings,
        })
    }
}

/// A negative age is over at once, as 0 is.
fn age(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|error| format!("CONN_MAX_AGE is {seconds}: {error}"))
}

fn every_request() -> Option<f64> {
    Some(0.0)
}

fn on() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Settings {
        let own: AliasSettings = serde_json::from_str(json).unwrap();
        own.settings(Settings::new().name("given")).unwrap()
    }

    #[test]
    fn what_is_left_out_has_djangos_default() {
        let settings = settings("{}");
        assert_eq!(settings.get_conn_max_age(), Some(Duration::ZERO));
        assert_eq!((settings.get_liveness(), settings.get_max_age_jitter()), (Liveness::Off, 0));
        assert_eq!((settings.get_conn_health_checks(), settings.get_autocommit()), (false, true));
        assert_eq!(settings.get_name(), Some("given"));
    }

    #[test]
    fn what_is_given_counts() {
        let given = settings(r#"{"NAME": "x", "CONN_MAX_AGE": 1.5, "CONN_HEALTH_CHECKS": true, "AUTOCOMMIT": false}"#);
        assert_eq!(given.get_conn_max_age(), Some(Duration::from_millis(1500)));
        assert_eq!((given.get_conn_health_checks(), given.get_autocommit()), (true, false));
        assert_eq!(given.get_name(), Some("x"));
        assert_eq!(settings(r#"{"CONN_MAX_AGE": null}"#).get_conn_max_age(), None);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = serde_json::from_str::<AliasSettings>(r#"{"CONN_MAX_AGES": 1}"#).unwrap_err();
        assert!(error.to_string().contains("`CONN_MAX_AGES`"), "{error}");
    }
}
