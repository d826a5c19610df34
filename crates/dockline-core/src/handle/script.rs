//! Scripts: files of statements, such as a schema.

use crate::base::error::{Error, ErrorKind, Fact, Result};
use crate::config::statement::{Dialect, Piece, TokenKind, Tokens, split};
use crate::handle::connection::Connection;

/// Scripts.
impl Connection {
    /// Runs the statements of a text one after the other, as a schema file has them. It works the same on every backend: each
    /// statement is one of its own, for wrappers and logs too, and the body of a routine belongs to the statement that makes it.
    ///
    /// It is no transaction of its own. Where one statement fails, those before it stand, unless a block is around all of
    /// them (MySQL and MariaDB commit at each CREATE and ALTER all the same).
    ///
    /// ```
    /// # use dockline::{Connection, Result};
    /// # fn run(db: &Connection) -> Result<()> {
    /// let schema = "CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT);
    ///               CREATE INDEX job_name ON job (name);";
    /// assert_eq!(db.execute_script(schema)?, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// There are no parameters; a question mark is one. The answer is how many statements were run.
    ///
    /// # Errors
    ///
    /// As [`execute`](Connection::execute), at the first statement that fails; the message says which one it is, and on which line
    /// it begins. [`may_have_executed`](Error::may_have_executed) is true where statements before it may stand.
    #[track_caller]
    pub fn execute_script(&self, sql: &str) -> Result<usize> {
        self.ensure_connection()?;
        let dialect = self.slot_here().turn()?.link().map(|link| link.session.dialect());
        let Some(dialect) = dialect else { return Err(self.slot().shut_down()) };
        let pieces = split(sql, dialect);
        for (at, piece) in pieces.iter().enumerate() {
            self.run_piece(piece, dialect).map_err(|error| {
                let error = error.with_context(format_args!("statement {}, on line {}", at + 1, piece.line));
                if at > 0 { error.with_fact(Fact::MayHaveExecuted) } else { error }
            })?;
        }
        Ok(pieces.len())
    }

    #[track_caller]
    fn run_piece(&self, piece: &Piece<'_>, dialect: Dialect) -> Result<()> {
        if dialect.is_mysql_or_mariadb()
            && Tokens::new(piece.text, dialect).next().is_some_and(|first| first.is_word("delimiter"))
        {
            let message = "DELIMITER is a command of the program mysql; leave it out: bodies of routines are recognised without it";
            return Err(Error::new(ErrorKind::Programming, message).with_alias(self.slot().alias_arc()));
        }
        self.execute(&without_placeholders(piece.text, dialect), ()).map(drop)
    }
}

/// The text with its question marks doubled, so that none is a placeholder.
fn without_placeholders(sql: &str, dialect: Dialect) -> String {
    if !sql.contains('?') {
        return sql.to_owned();
    }
    let mut text = String::with_capacity(sql.len() + 8);
    for token in Tokens::new(sql, dialect) {
        text.push_str(if token.kind == TokenKind::Placeholder { "??" } else { token.text });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_of_a_script_is_one() {
        let sql = "SELECT '?', a ? b, \"c?\" -- ?";
        assert_eq!(without_placeholders(sql, Dialect::POSTGRES), "SELECT '?', a ?? b, \"c?\" -- ?");
    }
}
