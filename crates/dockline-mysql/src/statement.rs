//! Statements as the session keeps them: prepared by the server, or as a text with places for literals.

use std::sync::{Arc, OnceLock};

use dockline_core::placeholder::translate;
use dockline_core::statement::{Dialect, Outline, Statements, TokenKind, Tokens};
use dockline_core::{Error, ErrorKind, Result, Value};
use mysql::Column;

use crate::kinds::Kinds;
use crate::tracking::is_plain;
use crate::uuids::Uuids;
use crate::value;

/// What a connection keeps for the text of a statement.
pub(crate) struct Prepared {
    pub(crate) form: Form,
    /// The names of its first result's columns, as they were last.
    names: OnceLock<Arc<[String]>>,
    pub(crate) outline: Outline,
    /// It says nothing of the session.
    pub(crate) is_plain: bool,
    /// What its parameters were when it was prepared, on a server that makes types of it.
    kinds: Option<Kinds>,
}

pub(crate) enum Form {
    Binary(mysql::Statement),
    Text(Template),
}

impl Prepared {
    pub(crate) fn new(form: Form, outline: Outline, kinds: Option<Kinds>) -> Self {
        Self { form, names: OnceLock::new(), is_plain: is_plain(&outline), outline, kinds }
    }

    /// Whether it can run with these parameters, of which there are as many.
    pub(crate) fn takes(&self, params: &[Value]) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.take(params))
    }

    /// Whether the server says that it does not know the statement any more, as after the driver's `reset`, or that it has to be
    /// prepared anew. It has not run it then, but a routine or a trigger may fail in the same words.
    pub(crate) fn is_stale(&self, error: &mysql::Error) -> bool {
        let (Form::Binary(statement), mysql::Error::MySqlError(error)) = (&self.form, error) else { return false };
        let of_handler =
            || error.message.contains(&format!("handler ({}) given to mysqld_stmt_execute", statement.id()));
        match error.code {
            1243 => self.outline.is_known() && !self.outline.runs_code() && of_handler(),
            1615 => self.outline.reads_only(),
            _ => false,
        }
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

/// A statement that runs as text, in the pieces that stand around its placeholders.
pub(crate) struct Template {
    pieces: Vec<String>,
}

impl Template {
    pub(crate) fn new(sql: &str, parameters: usize, outline: &Outline, dialect: Dialect) -> Result<Self> {
        // It checks the number.
        translate(sql, parameters, dialect)?;
        refuse_several(sql, outline)?;
        let mut pieces = vec![String::new()];
        let mut copied = 0;
        for token in Tokens::new(sql, dialect) {
            let end = match token.kind {
                TokenKind::Placeholder => token.start,
                TokenKind::QuestionMark => token.start + 1,
                _ => continue,
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push_str(&sql[copied..end]);
            }
            copied = token.end();
            if token.kind == TokenKind::Placeholder {
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
    pub(crate) fn fill(&self, values: &[Value], uuids: Uuids) -> Result<String> {
        let length: usize = self.pieces.iter().map(String::len).sum();
        let mut sql =
            String::with_capacity(length + values.iter().map(|value| value::size(value) * 2 + 16).sum::<usize>());
        for (at, piece) in self.pieces.iter().enumerate() {
            if let Some(value) = at.checked_sub(1).and_then(|at| values.get(at)) {
                value::literal(&mut sql, at - 1, value, uuids)?;
            }
            sql.push_str(piece);
        }
        Ok(sql)
    }
}

/// As text, the server would run one after the other. The body of a routine belongs to the statement that makes it. What is not known
/// may end at a semicolon.
fn refuse_several(sql: &str, outline: &Outline) -> Result<()> {
    let is_one = outline.statements() == Statements::One
        && (outline.is_known() || !sql.trim_end_matches([';', ' ', '\n']).contains(';'));
    if is_one {
        return Ok(());
    }
    let message = "there is more than one statement in the text; run them one by one, or through native";
    Err(Error::new(ErrorKind::Programming, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect::MARIADB.with_version(101_119);

    fn filled(sql: &str, values: &[Value]) -> Result<String> {
        Template::new(sql, values.len(), &Outline::of(sql, DIALECT), DIALECT)?.fill(values, Uuids::AsTold)
    }

    #[test]
    fn literals_stand_where_placeholders_stood() {
        let sql = "SELECT '?', a ?? b, `?` FROM t WHERE c LIKE? AND d-? -- ?";
        let text = filled(sql, &[Value::Text("x".into()), Value::Int(-1)]).unwrap();
        assert_eq!(text, "SELECT '?', a ? b, `?` FROM t WHERE c LIKE _utf8mb4 X'78'  AND d- -1  -- ?");
        assert_eq!(filled("SELECT 1", &[]).unwrap(), "SELECT 1");
        assert_eq!(filled("SELECT ?", &[Value::Null]).unwrap(), "SELECT  NULL ");
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
            "/* app */ BEGIN NOT ATOMIC SELECT 1; SELECT 2; END",
        ] {
            assert!(filled(sql, &[]).is_ok(), "{sql}");
        }
        for sql in [
            "SELECT 1; SELECT 2",
            "CREATE TABLE t (a int); DROP TABLE u",
            "CREATE TABLE event (a int); DELETE FROM t",
            "/* CREATE EVENT */ SELECT 1; DELETE FROM t",
            "SELECT 1 /*! ; DELETE FROM t */",
            "SELECT 1 /*M!100000 ; DELETE FROM t */",
            "WHATEVER 1; DELETE FROM t",
            "BEGIN; COMMIT",
            ";x",
        ] {
            let error = filled(sql, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Programming, "{sql}");
        }
    }
}
