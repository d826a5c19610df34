//! Asking every alias's server what is likely to go wrong.

use crate::base::error::{Error, ErrorKind, Result};
use crate::config::findings::{Checked, Finding, Severity};
use crate::registry::Registry;

impl Registry {
    /// Asks the server of every alias what its limits are, and says where they do not fit the settings, or where
    /// something is unsafe. It uses this thread's connections, and opens them where they are not; an alias that cannot be
    /// connected is a finding too.
    ///
    /// The first connection of each alias does the same once, and logs the warnings.
    ///
    /// ```
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// for finding in connections.check()? {
    ///     println!("{finding}"); // what is likely to go wrong one day
    /// }
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where the configuration cannot be loaded.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for alias in self.aliases()? {
            let asked = self.get(&alias).and_then(|connection| connection.server_info());
            match (asked, self.shared().config(&alias)) {
                (Ok(info), Ok(config)) => {
                    config.note(&info);
                    let threads = self.shared().threads_of(&alias);
                    findings
                        .extend(Checked { alias: &alias, settings: &config.settings, info: &info, threads }.findings());
                }
                (Err(error), Ok(_)) if error.kind() == ErrorKind::NotSupported => {}
                (Err(error), Ok(_)) => findings.push(Finding {
                    message: format!("the server cannot be asked: {}", describe(&error)),
                    alias,
                    id: "cannot_connect",
                    severity: Severity::Error,
                }),
                // Removed meanwhile.
                (_, Err(_)) => {}
            }
        }
        Ok(findings)
    }
}

fn describe(error: &Error) -> String {
    match error.code() {
        Some(code) => format!("{} ({code})", error.message()),
        None => error.message().to_owned(),
    }
}
