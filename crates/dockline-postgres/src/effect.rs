//! What a statement does to the session, as far as its first words tell: what the server does not report.

use dockline_core::placeholder::Scanner;

use crate::syntax::SYNTAX;

/// What is known of a statement before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Effect {
    /// There is a statement at all.
    pub(crate) is_any: bool,
    pub(crate) transaction: Option<Transaction>,
    /// It asks for the end of a transaction in which all stands.
    pub(crate) commits: bool,
    /// It sends or takes data beside its result.
    pub(crate) copies: bool,
    /// Statements that were prepared before may mean another thing after it.
    pub(crate) changes_schema: bool,
    /// It runs code that may commit on the way.
    pub(crate) runs_code: bool,
    /// It leaves something that a new session would lack: a temporary table, a setting, an advisory lock.
    pub(crate) keeps_state: bool,
    /// Its count is of rows that it changed.
    pub(crate) changes_rows: bool,
    /// It is a SELECT that changes nothing, as far as its words tell.
    pub(crate) reads_only: bool,
    /// It forgets all that the session has.
    pub(crate) discards: bool,
}

/// What a statement does to the transaction: what counts where nobody watches the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transaction {
    Begins,
    Ends,
}

impl Effect {
    pub(crate) fn of(sql: &str) -> Self {
        let mut words = Words { rest: sql };
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let third = words.next().unwrap_or_default();
        let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
        let second_is = |others: &[&str]| others.iter().any(|other| is(second, other));
        let transaction = match () {
            () if is(first, "begin") || (is(first, "start") && second_is(&["transaction"])) => {
                Some(Transaction::Begins)
            }
            () if is(first, "commit") || is(first, "end") || is(first, "abort") => Some(Transaction::Ends),
            () if is(first, "rollback") && !second_is(&["to"]) && !is(third, "to") => Some(Transaction::Ends),
            () if is(first, "prepare") && second_is(&["transaction"]) => Some(Transaction::Ends),
            () => None,
        };
        let chains = transaction == Some(Transaction::Ends) && has_word(sql, "chain") && !has_word(sql, "no");
        let keeps_state = (is(first, "set") && !second_is(&["local", "transaction", "constraints"]))
            || (is(first, "create") && is_temporary(sql))
            || is(first, "listen")
            || is(first, "load")
            || (is(first, "prepare") && transaction.is_none())
            || (is(first, "declare") && has_word(sql, "hold"))
            || ((is(first, "select") || is(first, "with"))
                && has_word(sql, "into")
                && (has_word(sql, "temp") || has_word(sql, "temporary")))
            || calls(sql, "pg_advisory_lock")
            || calls(sql, "pg_try_advisory_lock")
            || calls(sql, "set_config");
        Self {
            is_any: !first.is_empty(),
            copies: is(first, "copy") && (has_word(sql, "stdin") || has_word(sql, "stdout")),
            changes_schema: is(first, "alter") || is(first, "drop"),
            runs_code: is(first, "call") || is(first, "do"),
            commits: is(first, "commit") || is(first, "end"),
            transaction: transaction.filter(|_| !chains),
            keeps_state,
            changes_rows: CHANGE_ROWS.iter().any(|word| is(first, word))
                || (is(first, "with") && with_changes_rows(sql)),
            reads_only: ["select", "values", "table", "show"].iter().any(|word| is(first, word))
                && !keeps_state
                && !sql.contains('('),
            discards: is(first, "discard") && second_is(&["all"]),
        }
    }
}

const CHANGE_ROWS: [&str; 5] = ["insert", "update", "delete", "merge", "copy"];

/// Whether what stands behind the parts of a WITH changes rows: the first such word outside their parentheses says.
fn with_changes_rows(sql: &str) -> bool {
    let mut scanner = Scanner::new(sql, &SYNTAX);
    let (mut depth, mut word) = (0_u32, String::new());
    loop {
        let next = scanner.next_bare().map(|(_, byte)| byte);
        match next {
            Some(byte) if depth == 0 && (byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()) => {
                word.push(char::from(byte.to_ascii_lowercase()));
                continue;
            }
            Some(b'(') => depth += 1,
            Some(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if CHANGE_ROWS.contains(&word.as_str()) {
            return true;
        }
        if next.is_none() || matches!(word.as_str(), "select" | "values" | "table") {
            return false;
        }
        word.clear();
    }
}

/// Whether what a CREATE makes is gone with the session: as `CREATE OR REPLACE TEMP VIEW`, or in the schema `pg_temp`.
fn is_temporary(sql: &str) -> bool {
    let is_one_of = |word: &&str, others: &[&str]| others.iter().any(|other| word.eq_ignore_ascii_case(other));
    let before_name = Words { rest: sql }.take_while(|word| !is_one_of(word, &["table", "view", "sequence", "as"]));
    let says_so = { before_name }.any(|word| is_one_of(&word, &["temp", "temporary"]));
    says_so || calls(sql, "pg_temp.")
}

/// Whether a function of that name, or of one that begins so, is called anywhere.
fn calls(sql: &str, name: &str) -> bool {
    sql.as_bytes().windows(name.len()).any(|window| window.eq_ignore_ascii_case(name.as_bytes()))
}

fn has_word(sql: &str, word: &str) -> bool {
    let mut words = Words { rest: sql };
    words.any(|found| found.eq_ignore_ascii_case(word))
}

/// Words of letters, with what stands between them left out: white space, comments, signs.
struct Words<'sql> {
    rest: &'sql str,
}

impl<'sql> Iterator for Words<'sql> {
    type Item = &'sql str;

    fn next(&mut self) -> Option<&'sql str> {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| {
                c.is_whitespace() || (c.is_ascii_punctuation() && c != '-' && c != '/' && c != '_')
            });
            if self.rest.starts_with("--") {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
            } else if self.rest.starts_with("/*") {
                self.rest = self.rest.split_once("*/").map_or("", |(_, rest)| rest);
            } else if self.rest.starts_with(['-', '/']) {
                self.rest = &self.rest[1..];
            } else {
                break;
            }
        }
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() { None } else { Some(word) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_with_changes_rows_where_what_follows_it_does() {
        for sql in [
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
            "with a as (select 1), b (update_it) as (values (1)) Delete from t",
            "WITH a AS (SELECT ')') UPDATE t SET a = 1",
        ] {
            assert!(Effect::of(sql).changes_rows, "{sql}");
        }
        for sql in [
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
            "WITH \"insert\" AS (SELECT 1), delete_later AS (SELECT 2) TABLE delete_later",
        ] {
            assert!(!Effect::of(sql).changes_rows, "{sql}");
        }
    }

    #[test]
    fn transactions_begin_and_end() {
        for sql in ["BEGIN", " begin;", "/* a */ BEGIN ISOLATION LEVEL SERIALIZABLE", "-- x\nStart Transaction"] {
            assert_eq!(Effect::of(sql).transaction, Some(Transaction::Begins), "{sql}");
        }
        for sql in
            ["COMMIT", "END", "abort", "ROLLBACK", "rollback work", "PREPARE TRANSACTION 'a'", "COMMIT AND NO CHAIN"]
        {
            assert_eq!(Effect::of(sql).transaction, Some(Transaction::Ends), "{sql}");
        }
        for sql in [
            "",
            "SELECT 1",
            "ROLLBACK TO a",
            "ROLLBACK TO SAVEPOINT a",
            "ROLLBACK WORK TO a",
            "SAVEPOINT a",
            "COMMIT AND CHAIN",
            "START x",
        ] {
            assert_eq!(Effect::of(sql).transaction, None, "{sql}");
        }
    }

    #[test]
    fn what_a_new_session_would_lack() {
        for sql in [
            "SET TIME ZONE 'UTC'",
            "set session search_path = a",
            "CREATE TEMP TABLE a (b int)",
            "create temporary view v as select 1",
            "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
            "CREATE TABLE pg_temp.a (b int)",
            "WITH r AS (SELECT 1) SELECT * INTO TEMP t FROM r",
            "LISTEN jobs",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_lock_shared(1)",
            "SELECT set_config('a.b', 'c', false)",
            "PREPARE a AS SELECT 1",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SELECT 1 INTO TEMP t",
        ] {
            assert!(Effect::of(sql).keeps_state, "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SET LOCAL a = 1",
            "SET TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
            "SELECT pg_advisory_xact_lock(1)",
            "CREATE TABLE kept (temp int, b int)",
            "UPDATE t SET a = 1",
            "INSERT INTO t SELECT 1",
        ] {
            assert!(!Effect::of(sql).keeps_state, "{sql}");
        }
        assert!(Effect::of("COPY t FROM STDIN").copies && !Effect::of("COPY t FROM '/tmp/t'").copies);
        assert!(Effect::of("DISCARD ALL").discards);
        assert!(!Effect::of(" -- nothing\n /* at all */ ; ").is_any);
        assert!(Effect::of("(SELECT 1)").is_any);
    }
}
