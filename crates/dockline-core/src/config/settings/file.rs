//! Settings from TOML. An error says the line, and never repeats it: it may hold a password.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Databases, Settings};
use crate::base::error::{Error, Result};

pub(super) fn read(text: &str) -> Result<Databases> {
    let at = |span: Range<usize>| Line::of(text, span.start);
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(Line(1), at);
        line.error(format!("the file is no TOML: {}", error.message()))
    })?;
    let mut databases = Databases::new();
    for (alias, value) in document.get_ref() {
        let name: &str = alias.get_ref();
        let named = |error: Error| error.with_alias(name);
        let table = value.get_ref().as_table().ok_or_else(|| {
            let message = format!("{name:?} is outside a table; an alias is a table, as [default]");
            at(alias.span()).error(message)
        })?;
        databases = databases.with(name, read_alias(table, at).map_err(named)?);
    }
    Ok(databases)
}

fn read_alias(table: &DeTable<'_>, at: impl Fn(Range<usize>) -> Line) -> Result<Settings> {
    // The URL first: what stands beside it says more.
    let mut settings = match table.get("url") {
        Some(url) => {
            let text = scalar(url.get_ref()).ok_or_else(|| at(url.span()).error("url: it is no text".to_owned()))?;
            Settings::from_url(&text).map_err(|error| at(url.span()).locate(error))?
        }
        None => Settings::new(),
    };
    for (key, value) in table {
        let name: &str = key.get_ref();
        let line = || at(key.span());
        match (name, value.get_ref()) {
            ("url", _) => {}
            ("options", DeValue::Table(options)) => {
                for (option, value) in options {
                    set(&mut settings, &format!("options.{}", option.get_ref()), value, &at)?;
                }
            }
            ("options", _) => return Err(line().error("options: write a table, as in { name = \"value\" }".to_owned())),
            (name, _) => set(&mut settings, name, value, &at)?,
        }
    }
    settings.check()?;
    Ok(settings)
}

fn set(
    settings: &mut Settings,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    at: &impl Fn(Range<usize>) -> Line,
) -> Result<()> {
    let line = at(value.span());
    let Some(text) = scalar(value.get_ref()) else {
        return Err(line.error(format!("setting {name}: write text, a number, true or false")));
    };
    settings.set(name, &text).map_err(|error| line.locate(error))
}

/// The text that a URL would have for this value.
fn scalar<'a>(value: &'a DeValue<'_>) -> Option<Cow<'a, str>> {
    match value {
        DeValue::String(text) => Some(Cow::Borrowed(text)),
        DeValue::Boolean(flag) => Some(Cow::Owned(flag.to_string())),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string().into())
        }
        _ => None,
    }
}

/// A line of the file, from 1.
#[derive(Clone, Copy)]
struct Line(usize);

impl Line {
    fn of(text: &str, offset: usize) -> Self {
        Self(text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1)
    }

    fn error(self, message: String) -> Error {
        self.locate(Error::config(message))
    }

    fn locate(self, error: Error) -> Error {
        error.with_context(format_args!("line {}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_alias_is_a_table() {
        let databases = read(
            r#"
            [default]
            url = "postgres://app@localhost/app?conn_max_age=1m"
            conn_max_age = "10m"
            conn_health_checks = true
            port = 6432
            statement_cache = 0

            [cache]
            engine = "sqlite"
            name = "cache.db"
            options = { busy_timeout = "10s" }
            "#,
        )
        .unwrap();
        let default = databases.settings("default").unwrap();
        assert_eq!(default.get_conn_max_age(), Some(Duration::from_secs(600)));
        assert!(default.get_conn_health_checks());
        assert_eq!((default.get_port(), default.get_statement_cache()), (Some(6432), 0));
        let cache = databases.settings("cache").unwrap();
        assert_eq!((cache.get_engine(), cache.get_name()), (Some("sqlite"), Some("cache.db")));
        assert_eq!(cache.get_option("busy_timeout"), Some("10s"));
    }

    #[test]
    fn errors_have_the_line_and_no_secret() {
        for (text, line, word) in [
            ("[default]\npassword = \"hunter2\nname = 1", 2, "no TOML"),
            ("[default]\nengine = \"sqlite\"\nconn_max_agee = \"1s\"", 3, "conn_max_age"),
            ("[default]\nconn_max_age = 600", 2, "600s"),
            ("[default]\nurl = \"postgres://u:hunter2@h:x/d\"", 2, "malformed URL"),
            ("[default]\nname = [\"hunter2\"]", 2, "write text"),
            ("[default]\noptions = 3", 2, "write a table"),
            ("url = \"sqlite:a\"", 1, "[default]"),
            ("[a]\n[a]", 2, "no TOML"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.is_config());
            assert!(error.message().contains(&format!("line {line}: ")), "{text:?}: {error}");
            assert!(error.message().contains(word), "{text:?}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
        }
    }

    #[test]
    fn an_empty_file_has_no_alias() {
        assert_eq!(read("").unwrap().aliases().count(), 0);
    }
}
