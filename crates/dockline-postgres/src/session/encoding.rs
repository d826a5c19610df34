//! How text is encoded and read: in UTF-8, always.

use dockline_core::statement::{Dialect, Meaning, Outline, Verb};
use dockline_core::{Error, ErrorKind, Result, Value};

use super::PostgresSession;
use crate::error::Phase;
use crate::protocol::Status;

/// Refuses a statement that would make the server read and write text in another encoding: the driver goes on to speak UTF-8, and
/// the server would store something else than what it was given.
pub(super) fn refuse_other_encoding(outline: &Outline, sql: &str, params: &[Value]) -> Result<()> {
    if !outline.meaning().contains(Meaning::CharacterSet) {
        return Ok(());
    }
    let is_text = |value: &Value, wanted: &dyn Fn(&str) -> bool| match value {
        Value::Text(text) => wanted(&text.to_ascii_lowercase()),
        _ => false,
    };
    let names_it = |text: &str| text.contains("client_encoding");
    let keeps_it = |text: &str| ["utf8", "utf-8", "utf_8", "unicode"].iter().any(|name| text.contains(name));
    let lower = sql.to_ascii_lowercase();
    let is_about_it = match outline.verb() {
        Verb::Set => true,
        // Back to what the connection began with.
        Verb::Reset | Verb::Discard => false,
        _ => lower.contains("client_encoding") || params.iter().any(|value| is_text(value, &names_it)),
    };
    let is_kept = keeps_it(&lower)
        || params.iter().any(|value| is_text(value, &keeps_it))
        || (outline.verb() == Verb::Set
            && lower.split_ascii_whitespace().any(|word| word.trim_matches(';') == "default"));
    if !is_about_it || is_kept {
        return Ok(());
    }
    let message = "client_encoding cannot be changed: text goes to the server and back in UTF-8, and the server converts it to \
                   the encoding of the database; for other encodings use convert_to and convert_from on bytes";
    Err(Error::new(ErrorKind::NotSupported, message))
}

impl PostgresSession {
    /// How the server reads a text now.
    pub(super) fn dialect(&self) -> Dialect {
        let is_known = self.watch.reports() == self.reports;
        Dialect::POSTGRES.with_backslash_escapes(if is_known {
            self.backslash_escapes
        } else {
            self.reads_backslashes()
        })
    }

    fn reads_backslashes(&self) -> bool {
        self.parameter("standard_conforming_strings").is_some_and(|value| value == "off")
    }

    /// Looks at what the server has reported, before a statement. A function, or who had the driver, may have changed the encoding:
    /// then it is set back.
    pub(super) fn heed_reports(&mut self) -> Result<()> {
        let reports = self.watch.reports();
        if reports == self.reports {
            return Ok(());
        }
        self.reports = reports;
        let escapes = self.reads_backslashes();
        if escapes != self.backslash_escapes {
            self.backslash_escapes = escapes;
            self.texts.clear();
        }
        let is_foreign = self.parameter("client_encoding").is_some_and(|encoding| encoding != "UTF8");
        if is_foreign && self.status() != Status::Failed {
            let limit = self.plan.read_timeout;
            self.call(Phase::Before, limit, |client| client.batch_execute("SET client_encoding = 'UTF8'"))?;
        } else if is_foreign {
            // Nothing can be set in a transaction that has failed; it is looked at again.
            self.reports = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(sql: &str, params: &[Value]) -> bool {
        refuse_other_encoding(&Outline::of(sql, Dialect::POSTGRES), sql, params).is_err()
    }

    #[test]
    fn another_encoding_is_refused() {
        for sql in [
            "SET NAMES latin1",
            "SET client_encoding = 'LATIN1'",
            "set local client_encoding to win1252",
            "SET SESSION client_encoding TO SQL_ASCII",
            "SELECT set_config('client_encoding', 'LATIN1', false)",
        ] {
            assert!(refuses(sql, &[]), "{sql}");
        }
        let by_parameter = "SELECT set_config(?, ?, false)";
        assert!(refuses(by_parameter, &["client_encoding", "LATIN1"].map(|text| Value::Text(text.into()))));
        assert!(!refuses(by_parameter, &["app.tenant", "LATIN1"].map(|text| Value::Text(text.into()))));
        for sql in [
            "SET NAMES 'UTF8'",
            "SET client_encoding = utf8",
            "SET client_encoding TO DEFAULT",
            "RESET client_encoding",
            "RESET ALL",
            "DISCARD ALL",
            "SET search_path = a",
            "SELECT set_config('search_path', 'a', true)",
        ] {
            assert!(!refuses(sql, &[]), "{sql}");
        }
    }
}
