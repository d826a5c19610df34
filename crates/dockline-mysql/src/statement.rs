//! Statements as the session keeps them: prepared by the server, or as a text with places for literals.

use std::sync::{Arc, OnceLock};

use dockline_core::placeholder::{Scanner, Syntax, translate};
use dockline_core::{Error, ErrorKind, Result, Value};
use mysql::Column;

use crate::value;

/// What a connection keeps for the text of a statement.
pub(crate) struct Prepared {
    pub(crate) form: Form,
    /// The names of its first result's columns, as they were last.
    names: OnceLock<Arc<[String]>>,
    /// It makes state that the server does not report.
    pub(crate) makes_state: bool,
    /// It inserts, updates or deletes: rows that it gives are those.
    pub(crate) writes: bool,
    /// It is several in one, of which some may stand when it fails.
    pub(crate) calls: bool,
    /// It commits by itself, or may do so on the way.
    pub(crate) commits: bool,
}

pub(crate) enum Form {
    Binary(mysql::Statement),
    Text(Template),
}

impl Prepared {
    pub(crate) fn new(sql: &str, form: Form) -> Self {
        let first = sql.split_ascii_whitespace().next().unwrap_or_default();
        let is_one_of = |words: &[&str]| words.iter().any(|word| first.eq_ignore_ascii_case(word));
        Self {
            form,
            names: OnceLock::new(),
            makes_state: makes_state(sql),
            writes: is_one_of(&["insert", "replace", "update", "delete"]),
            calls: is_one_of(&["call", "begin"]),
            commits: commits_by_itself(sql),
        }
    }

    /// Whether it is known to only read: else the rest of its result is drained, and nothing of its work is lost.
    pub(crate) fn reads_only(&self) -> bool {
        !self.writes && !self.calls && !self.commits && !self.makes_state
    }

    pub(crate) fn parameters(&self) -> usize {
        match &self.form {
            Form::Binary(statement) => statement.num_params().into(),
            Form::Text(template) => template.parameters(),
        }
    }

    /// The names of a result's columns: the same ones again, where they are the same.
    pub(crate) fn names(&self, columns: &[Column]) -> Arc<[String]> {
        let same = |names: &Arc<[String]>| {
            names.len() == columns.len()
                && names.iter().zip(columns).all(|(name, column)| name.as_bytes() == column.name_ref())
        };
        let read = || columns.iter().map(|column| column.name_str().into_owned()).collect();
        let first = self.names.get_or_init(read);
        if same(first) { Arc::clone(first) } else { read() }
    }
}

/// Whether a statement may end the transaction that it stands in, by its first words (MySQL's and MariaDB's manual,
/// "Statements that cause an implicit commit"; and routines, which can hold any of them).
fn commits_by_itself(sql: &str) -> bool {
    const FIRST: [&str; 21] = [
        "alter",
        "analyze",
        "begin",
        "cache",
        "call",
        "check",
        "commit",
        "create",
        "drop",
        "flush",
        "grant",
        "install",
        "lock",
        "optimize",
        "rename",
        "repair",
        "reset",
        "revoke",
        "start",
        "truncate",
        "uninstall",
    ];
    if sql.contains("/*!") || sql.contains("/*M!") {
        return true;
    }
    let (mut words, mut word) = (Vec::new(), String::new());
    // How backslashes are read does not matter before the second word.
    let syntax = syntax(true);
    let mut scanner = Scanner::new(sql, &syntax);
    while let (Some((_, byte)), true) = (scanner.next_bare(), words.len() < 2) {
        if byte.is_ascii_alphanumeric() {
            word.push(char::from(byte.to_ascii_lowercase()));
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    words.push(word);
    let is_temporary = words.get(1).is_some_and(|second| second == "temporary");
    FIRST.contains(&words[0].as_str()) && !is_temporary
}

/// What the server's session tracking leaves out: advisory locks, temporary tables made from a SELECT, and variables that are
/// set in one.
fn makes_state(sql: &str) -> bool {
    let words = || sql.split_ascii_whitespace();
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let creates = words().next().is_some_and(|word| is(word, "create"));
    let temporary = creates && words().take(4).any(|word| is(word, "temporary"));
    let locks = sql.as_bytes().windows(8).any(|part| part.eq_ignore_ascii_case(b"get_lock"));
    let into_variable = words().skip_while(|word| !is(word, "into")).nth(1).is_some_and(|word| word.starts_with('@'));
    temporary || locks || into_variable || (sql.contains('@') && sql.contains(":="))
}

/// How the server reads a statement.
pub(crate) fn syntax(backslash_escapes: bool) -> Syntax {
    Syntax { backslash_escapes, hash_comments: true, ..Syntax::default() }
}

/// There is nothing but white space and comments. An executable comment is a statement.
pub(crate) fn is_empty(sql: &str, syntax: &Syntax) -> bool {
    let mut scanner = Scanner::new(sql, syntax);
    while let Some((_, byte)) = scanner.next_bare() {
        if byte != b';' && !byte.is_ascii_whitespace() {
            return false;
        }
    }
    !sql.contains("/*!") && !sql.contains("/*M!")
}

/// It asks the client for a file. The driver would send an empty one, and all would seem well.
pub(crate) fn is_local_load(sql: &str) -> bool {
    let mut words = sql.split_ascii_whitespace();
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("load"))
        && words.take(4).any(|word| word.eq_ignore_ascii_case("local"))
}

/// The driver takes a colon before a letter for a parameter of its own, and is not told otherwise by every quote.
pub(crate) fn has_colon_name(sql: &str) -> bool {
    sql.as_bytes().windows(2).any(|pair| pair[0] == b':' && (pair[1].is_ascii_lowercase() || pair[1] == b'_'))
}

/// A statement that runs as text, in the pieces that stand around its placeholders.
pub(crate) struct Template {
    pieces: Vec<String>,
}

impl Template {
    pub(crate) fn new(sql: &str, parameters: usize, syntax: &Syntax) -> Result<Self> {
        // It checks the number.
        translate(sql, parameters, syntax)?;
        refuse_several(sql, syntax)?;
        let mut pieces = vec![String::new()];
        let mut copied = 0;
        let mut scanner = Scanner::new(sql, syntax);
        while let Some((at, byte)) = scanner.next_bare() {
            if byte != b'?' || at < copied {
                continue;
            }
            let doubled = sql.as_bytes().get(at + 1) == Some(&b'?');
            let (end, behind) = if doubled { (at + 1, at + 2) } else { (at, at + 1) };
            if let Some(piece) = pieces.last_mut() {
                piece.push_str(&sql[copied..end]);
            }
            copied = behind;
            if !doubled {
                pieces.push(String::new());
            }
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&sql[copied..]);
        }
        Ok(Self { pieces })
    }

    pub(crate) fn parameters(&self) -> usize {
        self.pieces.len() - 1
    }

    /// The statement with its parameters, of which there are as many.
    pub(crate) fn fill(&self, values: &[Value]) -> Result<String> {
        let length: usize = self.pieces.iter().map(String::len).sum();
        let mut sql =
            String::with_capacity(length + values.iter().map(|value| value::size(value) * 2 + 16).sum::<usize>());
        for (at, piece) in self.pieces.iter().enumerate() {
            if let Some(value) = at.checked_sub(1).and_then(|at| values.get(at)) {
                value::literal(&mut sql, at - 1, value)?;
            }
            sql.push_str(piece);
        }
        Ok(sql)
    }
}

/// As text, the server would run one after the other. Bodies of routines have a ; of their own.
fn refuse_several(sql: &str, syntax: &Syntax) -> Result<()> {
    let mut scanner = Scanner::new(sql, syntax);
    let mut ended = false;
    while let Some((_, byte)) = scanner.next_bare() {
        if ended && byte != b';' && !byte.is_ascii_whitespace() {
            if is_routine(sql) {
                return Ok(());
            }
            let message = "there is more than one statement in the text; run them one by one, or through native";
            return Err(Error::new(ErrorKind::Programming, message));
        }
        ended |= byte == b';';
    }
    Ok(())
}

fn is_routine(sql: &str) -> bool {
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let words: Vec<&str> = sql.split_ascii_whitespace().take(16).collect();
    match words.as_slice() {
        [first, second, ..] if is(first, "begin") => is(second, "not"),
        [first, rest @ ..] if is(first, "create") || is(first, "alter") => {
            let before_body = rest.iter().take_while(|word| !word.contains(['(', ';']));
            let routines = ["procedure", "function", "trigger", "event", "package"];
            before_body.into_iter().any(|word| routines.iter().any(|routine| is(word, routine)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(sql: &str, values: &[Value]) -> Result<String> {
        Template::new(sql, values.len(), &syntax(true))?.fill(values)
    }

    #[test]
    fn literals_stand_where_placeholders_stood() {
        let sql = "SELECT '?', a ?? b, `?` FROM t WHERE c LIKE? AND d-? -- ?";
        let text = filled(sql, &[Value::Text("x".into()), Value::Int(-1)]).unwrap();
        assert_eq!(text, "SELECT '?', a ? b, `?` FROM t WHERE c LIKE _utf8mb4 X'78'  AND d- -1  -- ?");
        assert_eq!(filled("SELECT 1", &[]).unwrap(), "SELECT 1");
        assert_eq!(filled("?", &[Value::Null]).unwrap(), " NULL ");
        assert!(filled("SELECT ?", &[]).is_err());
    }

    #[test]
    fn one_statement_a_text() {
        for sql in [
            "SELECT 1;",
            "SELECT ';'; -- and a comment",
            "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END",
            "create definer=`a`@`b` trigger x before insert on t for each row begin set @a=1; end",
            "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END",
        ] {
            assert!(filled(sql, &[]).is_ok(), "{sql}");
        }
        for sql in ["SELECT 1; SELECT 2", "CREATE TABLE t (a int); DROP TABLE u", "BEGIN; COMMIT", ";x"] {
            let error = filled(sql, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Programming, "{sql}");
        }
    }

    #[test]
    fn state_that_the_server_does_not_report_is_seen_in_the_text() {
        for sql in
            ["SELECT GET_LOCK('a', 1)", "create Temporary table t as select 1", "SELECT @a := 1", "SELECT 1 INTO @a"]
        {
            assert!(makes_state(sql), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SELECT @@version",
            "INSERT INTO t VALUES ('a@example.org')",
            "UPDATE job SET state = 'temporary'",
            "CREATE TABLE temporary_things (a int)",
        ] {
            assert!(!makes_state(sql), "{sql}");
        }
    }

    #[test]
    fn comments_are_no_statement() {
        for sql in ["", " ;\n", "-- x", "/* x */ # y"] {
            assert!(is_empty(sql, &syntax(true)), "{sql}");
        }
        assert!(!is_empty("SELECT 1", &syntax(true)) && !is_empty("/*!50000 SELECT 1 */", &syntax(true)));
    }

    #[test]
    fn loading_a_file_of_the_client_is_seen() {
        assert!(is_local_load("LOAD DATA LOCAL INFILE 'x' INTO TABLE t"));
        assert!(is_local_load("load data low_priority local infile 'x' into table t"));
        assert!(!is_local_load("LOAD DATA INFILE 'x' INTO TABLE local") && !is_local_load("SELECT 1"));
    }

    #[test]
    fn a_colon_before_a_name_is_seen() {
        assert!(has_colon_name("SELECT :id") && has_colon_name("SELECT 'a:b'") && has_colon_name("x :_a"));
        assert!(!has_colon_name("SELECT @a:=1, '12:30', 'http://x', 'C:'"));
    }

    #[test]
    fn what_commits_by_itself() {
        for sql in [
            "CREATE TABLE t (n int)",
            " drop table t",
            "/* a */ TRUNCATE t",
            "-- b\nlock tables t read",
            "COMMIT",
            "CALL p()",
            "/*!50000 CREATE */ TABLE t (n int)",
        ] {
            assert!(commits_by_itself(sql), "{sql}");
        }
        for sql in [
            "INSERT INTO t VALUES (1)",
            "CREATE TEMPORARY TABLE t (n int)",
            "SAVEPOINT s1",
            "SELECT 'drop'",
            "(SELECT 1)",
            "",
        ] {
            assert!(!commits_by_itself(sql), "{sql}");
        }
    }
}
