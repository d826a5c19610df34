//! A statement that was prepared for one connection.

use std::fmt::{self, Write as _};
use std::ops::Deref;
use std::sync::Arc;

use dockline_core::statement::Outline;
use postgres::Statement;
use postgres::types::Type;

use crate::watch::Watch;

/// A statement, ready to run.
pub(super) struct Prepared {
    pub(super) text: String,
    /// `None` where poolers forbid it.
    pub(super) statement: Option<OnServer>,
    /// The types that the server was told; it has found out the others.
    pub(super) told: Vec<Type>,
    pub(super) columns: Arc<[String]>,
    pub(super) outline: Outline,
    /// It leaves nothing that has to be followed.
    pub(super) is_plain: bool,
}

/// A statement that the server has prepared for the driver.
pub(super) struct OnServer {
    statement: Statement,
    /// What the server calls it, if that is known.
    name: Option<Box<str>>,
    watch: Arc<Watch>,
}

impl OnServer {
    pub(super) fn new(statement: Statement, watch: &Arc<Watch>) -> Self {
        Self { name: name_of(&statement), statement, watch: Arc::clone(watch) }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Deref for OnServer {
    type Target = Statement;

    fn deref(&self) -> &Statement {
        &self.statement
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        // The driver tells the server when it sends something the next time.
        self.watch.owe_close();
    }
}

/// The driver does not give the name of a statement, but its Debug text begins with it: `Statement { name: "s7"`.
fn name_of(statement: &Statement) -> Option<Box<str>> {
    name_in(&beginning(statement))
}

fn name_in(text: &str) -> Option<Box<str>> {
    let (name, _) = text.strip_prefix("Statement { name: \"")?.split_once('"')?;
    let is_the_drivers = name
        .strip_prefix('s')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    is_the_drivers.then(|| name.into())
}

/// The beginning of a Debug text, of which the rest is not made.
fn beginning(of: &impl fmt::Debug) -> String {
    struct Beginning(String);
    impl fmt::Write for Beginning {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0.push_str(part);
            if self.0.len() < ENOUGH { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut text = Beginning(String::new());
    let _ = write!(text, "{of:?}");
    text.0
}

/// For the name of the type and that of the statement.
const ENOUGH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_believed_only_where_it_is_one_of_the_drivers() {
        assert_eq!(name_in("Statement { name: \"s17\", params: [").as_deref(), Some("s17"));
        for other in [
            "",
            "Statement { name: \"s1",
            "Statement { name: \"\", ",
            "Statement { name: \"s1x\", ",
            "Statement(\"s1\")",
        ] {
            assert_eq!(name_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_long_text_is_not_made() {
        assert!(beginning(&vec!["column"; 10_000]).len() < 2 * ENOUGH);
    }
}
