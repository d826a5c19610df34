//! The settings of every alias (Django's `DATABASES`), and where they can come from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use super::{Settings, file};
use crate::base::error::{Error, Result};
use crate::base::logging::say;

/// The settings of every alias: what Django's `DATABASES` is.
///
/// ```
/// use dockline::{Databases, Settings};
///
/// let databases = Databases::new()
///     .with("default", Settings::from_url("sqlite:app.db")?)
///     .with("scratch", Settings::from_url("sqlite::memory:")?);
/// assert_eq!(databases.aliases().collect::<Vec<_>>(), ["default", "scratch"]);
/// # Ok::<_, dockline::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Databases {
    by_alias: BTreeMap<String, Settings>,
}

const VARIABLE: &str = "DATABASE_URL";
/// The end of a variable that names a file with the URL.
const OF_FILE: &str = "_FILE";
const FILE: &str = "dockline.toml";

impl Databases {
    /// No alias yet. A registry of none has the alias default all the same, as Django: using it is the error that
    /// nothing is configured.
    ///
    /// ```
    /// use dockline::Databases;
    ///
    /// assert_eq!(Databases::new().aliases().count(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an alias, in the place of an earlier one of that name.
    ///
    /// ```
    /// use dockline::{Databases, Settings};
    ///
    /// let databases = Databases::new()
    ///     .with("default", Settings::from_url("postgres://app@db.example/shop")?)
    ///     .with("cache", Settings::from_url("sqlite:cache.db")?);
    /// assert_eq!(databases.aliases().collect::<Vec<_>>(), ["cache", "default"]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    #[must_use]
    pub fn with(mut self, alias: impl Into<String>, settings: Settings) -> Self {
        self.by_alias.insert(alias.into(), settings);
        self
    }

    /// Reads the environment: `DATABASE_URL` is the alias default, `DATABASE_URL_REPLICA` the alias replica, and so
    /// on. `DATABASE_URL_FILE` and `DATABASE_URL_REPLICA_FILE` name files that hold the URL, as Docker's secrets do. A variable
    /// of another alias whose scheme no backend has, such as `DATABASE_URL_CACHE=redis://…`, is ignored; the log says so at
    /// info. Where the working directory has a `dockline.toml`, its aliases are there too; a variable goes before the
    /// file's alias of that name. An empty variable counts as none.
    ///
    /// ```no_run
    /// use dockline::Databases;
    ///
    /// dockline::init(Databases::from_env()?)?; // at the start, to fail there
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured), naming the variable and the alias, where one
    /// cannot be read; and as [`from_toml_file`](Databases::from_toml_file).
    pub fn from_env() -> Result<Self> {
        // Only where nothing has that name: a file that is there and cannot be read is an error.
        let missing = std::fs::symlink_metadata(FILE).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let databases = if missing { Self::new() } else { Self::from_toml_file(FILE)? };
        databases.tell_of_file();
        databases.with_vars(std::env::vars_os())
    }

    /// Nobody has named the file: that it is there is reason enough to read it, and to say so.
    fn tell_of_file(&self) {
        if self.by_alias.is_empty() {
            return;
        }
        let path = std::path::absolute(FILE).unwrap_or_else(|_| FILE.into());
        let aliases: Vec<&str> = self.aliases().collect();
        say!(info, "the configuration has the aliases {aliases:?} of the file {}", path.display());
    }

    /// Reads variables as [`from_env`](Databases::from_env) does, from where you have them.
    ///
    /// ```
    /// use dockline::Databases;
    ///
    /// let databases = Databases::from_vars([
    ///     ("DATABASE_URL", "postgres://app@db.example/shop"),
    ///     ("DATABASE_URL_REPLICA", "postgres://app@replica.example/shop"),
    /// ])?;
    /// assert_eq!(databases.aliases().collect::<Vec<_>>(), ["default", "replica"]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_env`](Databases::from_env).
    pub fn from_vars<K, V>(vars: impl IntoIterator<Item = (K, V)>) -> Result<Self>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        Self::new().with_vars(vars)
    }

    fn with_vars<K, V>(mut self, vars: impl IntoIterator<Item = (K, V)>) -> Result<Self>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut named = BTreeMap::<String, OsString>::new();
        for (key, value) in vars {
            let key = key.into();
            let Some(alias) = key.to_str().and_then(alias_of) else { continue };
            let value = value.into();
            if value.is_empty() {
                continue;
            }
            let about = |error: Error| error.with_context(key.to_string_lossy()).with_alias(alias.as_str());
            let url = match value.to_str() {
                Some(path) if is_of_file(&key) => read_url(path),
                Some(url) => Ok(url.to_owned()),
                None => Err(Error::config("it is not UTF-8")),
            };
            let url = url.map_err(about)?;
            let is_default = alias == crate::base::ids::DEFAULT_ALIAS;
            if !is_default && is_no_database(&url) {
                say!(info, "{} is ignored: its URL is not that of a database", key.to_string_lossy());
                continue;
            }
            let mut settings = Settings::from_url(&url).map_err(about)?;
            settings.variable = (!is_default).then(|| key.to_string_lossy().into_owned());
            if let Some(other) = named.insert(alias.clone(), key.clone()) {
                let other = other.to_string_lossy().into_owned();
                return Err(about(Error::config(format!("{other} is this alias too; set one of them"))));
            }
            self = self.with(alias, settings);
        }
        // Names alone: the values are URLs with passwords.
        if !named.is_empty() {
            let names: Vec<_> = named.values().map(|name| name.to_string_lossy()).collect();
            say!(info, "the configuration has the variables {names:?}");
        }
        Ok(self)
    }

    /// Reads a TOML file: one table an alias, with a `url` or `engine`, `name` and so on, and any other setting.
    ///
    /// ```toml
    /// [default]
    /// url = "postgres://app@localhost/app"
    /// password_file = "/run/secrets/app"
    /// conn_max_age = "10m"
    ///
    /// [cache]
    /// engine = "sqlite"
    /// name = "cache.db"
    /// options = { busy_timeout = "10s" }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImproperlyConfigured`](crate::ErrorKind::ImproperlyConfigured) where the file is missing, is no TOML, or has
    /// an unknown setting or a value that a setting cannot have; with the line.
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::config(format!("{} cannot be read: {error}", path.display())).with_source(error))?;
        Self::from_toml_str(&text).map_err(|error| error.with_context(path.display()))
    }

    /// Reads the text of a TOML file, as [`from_toml_file`](Databases::from_toml_file).
    ///
    /// ```
    /// use dockline::Databases;
    ///
    /// let databases = Databases::from_toml_str(r#"
    ///     [default]
    ///     url = "postgres://app@db.example/shop"
    ///     conn_max_age = "5m"
    /// "#)?;
    /// assert_eq!(databases.settings("default").and_then(|settings| settings.get_host()), Some("db.example"));
    /// # Ok::<_, dockline::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_toml_file`](Databases::from_toml_file).
    pub fn from_toml_str(text: &str) -> Result<Self> {
        file::read(text)
    }

    /// The aliases, sorted.
    ///
    /// ```
    /// use dockline::{Databases, Settings};
    ///
    /// let databases = Databases::new().with("default", Settings::from_url("sqlite:app.db")?);
    /// assert_eq!(databases.aliases().collect::<Vec<_>>(), ["default"]);
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.by_alias.keys().map(String::as_str)
    }

    /// The settings of an alias.
    ///
    /// ```
    /// use dockline::{Databases, Settings};
    ///
    /// let databases = Databases::new().with("default", Settings::from_url("sqlite:app.db")?);
    /// assert_eq!(databases.settings("default").and_then(|settings| settings.get_name()), Some("app.db"));
    /// assert!(databases.settings("replica").is_none());
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn settings(&self, alias: &str) -> Option<&Settings> {
        self.by_alias.get(alias)
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (String, Settings)> {
        self.by_alias.into_iter()
    }
}

/// Names a file that holds the URL.
fn is_of_file(variable: &OsString) -> bool {
    variable.to_str().is_some_and(|variable| variable.ends_with(OF_FILE))
}

fn read_url(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::config(format!("the file {path:?} cannot be read: {error}")).with_source(error))?;
    Ok(text.trim().to_owned())
}

/// Whether a URL is that of a system that no backend is for, so that its query is not read.
fn is_no_database(url: &str) -> bool {
    const OTHERS: [&str; 15] = [
        "amqp",
        "amqps",
        "bolt",
        "http",
        "https",
        "kafka",
        "memcached",
        "mongodb",
        "mongodb+srv",
        "nats",
        "neo4j",
        "redis",
        "rediss",
        "s3",
        "valkey",
    ];
    let scheme = url.split(':').next().unwrap_or_default();
    OTHERS.iter().any(|other| scheme.eq_ignore_ascii_case(other))
}

fn alias_of(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(VARIABLE)?;
    let rest = rest.strip_suffix(OF_FILE).unwrap_or(rest);
    if rest.is_empty() {
        return Some(crate::base::ids::DEFAULT_ALIAS.to_owned());
    }
    rest.strip_prefix('_').filter(|name| !name.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_their_aliases() {
        let databases = Databases::from_vars([
            ("DATABASE_URL", "sqlite:a.db"),
            ("DATABASE_URL_REPLICA", "sqlite:b.db"),
            ("DATABASE_URL_READ_ONLY", "sqlite:c.db"),
            ("DATABASE_URL_EMPTY", ""),
            ("DATABASE_URLS", "nonsense"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(databases.aliases().collect::<Vec<_>>(), ["default", "read_only", "replica"]);
        assert_eq!(databases.settings("replica").unwrap().get_name(), Some("b.db"));
    }

    #[test]
    fn a_wrong_variable_is_named_with_its_alias() {
        let error = Databases::from_vars([("DATABASE_URL_REPLICA", "sqlite:b.db?conn_max_age=x")]).unwrap_err();
        assert_eq!(error.alias(), Some("replica"));
        assert!(
            error.to_string().starts_with(r#"alias "replica": DATABASE_URL_REPLICA: setting conn_max_age"#),
            "{error}"
        );
    }

    #[test]
    fn two_variables_of_one_alias_are_refused() {
        for other in ["DATABASE_URL_DEFAULT", "DATABASE_URL_default"] {
            let error = Databases::from_vars([("DATABASE_URL", "sqlite:a.db"), (other, "sqlite:b.db")]).unwrap_err();
            assert!(error.is_config() && error.message().contains("DATABASE_URL is this alias too"), "{error}");
        }
    }

    #[test]
    fn a_variable_may_name_a_file_that_holds_the_url() {
        let folder = std::env::temp_dir().join(format!("dockline-url-{}", std::process::id()));
        std::fs::write(&folder, "sqlite:a.db\n").unwrap();
        let path = folder.to_str().unwrap();
        let databases =
            Databases::from_vars([("DATABASE_URL_FILE", path), ("DATABASE_URL_REPLICA_FILE", path)]).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(databases.aliases().collect::<Vec<_>>(), ["default", "replica"]);
        assert_eq!(databases.settings("replica").unwrap().get_name(), Some("a.db"));

        let error = Databases::from_vars([("DATABASE_URL_FILE", "/nowhere/url")]).unwrap_err();
        assert!(error.message().contains("DATABASE_URL_FILE") && error.message().contains("/nowhere/url"), "{error}");
        let error =
            Databases::from_vars([("DATABASE_URL", "sqlite:a.db"), ("DATABASE_URL_FILE", "/dev/null")]).unwrap_err();
        assert!(error.is_config(), "{error}");
    }

    #[test]
    fn what_is_meant_for_another_library_is_ignored() {
        let databases = Databases::from_vars([
            ("DATABASE_URL", "sqlite:a.db"),
            ("DATABASE_URL_CACHE", "redis://:pw@cache:6379/0?ssl_cert_reqs=none"),
            ("DATABASE_URL_QUEUE", "amqp://user:pw@queue"),
        ])
        .unwrap();
        assert_eq!(databases.aliases().collect::<Vec<_>>(), ["default"]);
        let error = Databases::from_vars([("DATABASE_URL", "redis://cache?x=1")]).unwrap_err();
        assert!(error.is_config(), "the default is never ignored: {error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let value = OsString::from_vec(b"sqlite:\xff".to_vec());
        assert!(Databases::from_vars([(OsString::from("DATABASE_URL"), value)]).unwrap_err().is_config());
    }
}
