//! Several hosts in one setting.

use super::Settings;
use super::uri::{Host, read_hosts};
use crate::base::error::{Error, Result};

impl Settings {
    /// Makes the settings of each host, in the order in which they are written, each with that [`host`](Settings::host) and its
    /// [`port`](Settings::port) alone. A backend connects by them to one after the other.
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) if the list is malformed.
    pub fn one_per_host(&self) -> Result<Vec<Self>> {
        let Some(list) = self.get_host().filter(|host| host.contains(',')) else { return Ok(vec![self.clone()]) };
        let hosts = read_hosts(list).map_err(|why| {
            Error::config(format!("setting host: {why}; several hosts are written host:port,host:port"))
        })?;
        Ok(hosts.iter().map(|host| self.with_host(*host)).collect())
    }

    fn with_host(&self, host: Host<'_>) -> Self {
        let mut settings = self.clone();
        settings.text.host = Some(host.name.to_owned());
        settings.plain.port = host.port.or(self.plain.port);
        settings
    }
}

/// Several hosts in one text, as [`Settings::one_per_host`] reads them.
pub(super) fn list(hosts: &[Host<'_>], decode: impl Fn(&str) -> Result<String>) -> Result<String> {
    let one = |host: &Host<'_>| {
        let name = decode(host.name)?;
        if name.contains(',') {
            return Err(Error::config("malformed URL: a host has a comma"));
        }
        let name = if name.contains(':') { format!("[{name}]") } else { name };
        Ok(host.port.map_or_else(|| name.clone(), |port| format!("{name}:{port}")))
    };
    Ok(hosts.iter().map(one).collect::<Result<Vec<String>>>()?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_own_port_or_that_of_all() {
        let settings = Settings::new().host("one,two:5433,[::1]:1,/run/pg").port(Some(6432)).user("ann");
        let each = settings.one_per_host().unwrap();
        let parts: Vec<_> = each.iter().map(|one| (one.get_host().unwrap(), one.get_port())).collect();
        assert_eq!(parts, [("one", Some(6432)), ("two", Some(5433)), ("::1", Some(1)), ("/run/pg", Some(6432))]);
        assert!(each.iter().all(|one| one.get_user() == Some("ann")));
    }

    #[test]
    fn one_host_stays_as_it_is() {
        for host in ["::1", "db.example", "/run/pg"] {
            let each = Settings::new().host(host).one_per_host().unwrap();
            assert_eq!((each.len(), each[0].get_host()), (1, Some(host)));
        }
        assert_eq!(Settings::new().one_per_host().unwrap()[0].get_host(), None);
        assert!(Settings::new().host("a,").one_per_host().unwrap_err().is_config());
    }
}
