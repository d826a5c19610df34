//! The statements of a script, one by one.

use super::dialect::Dialect;
use super::reader::end_of_statement;

/// One statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'sql> {
    /// Its text, without the semicolon.
    pub text: &'sql str,
    /// The line that it begins on, from 1.
    pub line: usize,
}

/// Splits a text into its statements. The body of a routine belongs to the statement that makes it, as far as its text tells; what is
/// nothing but comments is left out.
///
/// ```
/// use dockline::statement::{Dialect, split};
///
/// let script = "CREATE TABLE job (id int);\n\n-- the first\nINSERT INTO job VALUES (1);";
/// let pieces = split(script, Dialect::POSTGRES);
/// assert_eq!(pieces[1].text, "INSERT INTO job VALUES (1)");
/// assert_eq!(pieces[1].line, 4);
/// ```
pub fn split(sql: &str, dialect: Dialect) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut at, mut line, mut counted) = (0, 1, 0);
    while let Some((start, end)) = end_of_statement(sql, at, dialect) {
        line += sql[counted..start].bytes().filter(|byte| *byte == b'\n').count();
        counted = start;
        pieces.push(Piece { text: sql[start..end].trim_end(), line });
        at = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str, dialect: Dialect) -> Vec<&str> {
        split(sql, dialect).iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn statements_end_at_semicolons_that_are_not_quoted() {
        let sql = "SELECT ';'; -- a;b\n;; SELECT \"c;d\" /* e;f */ ; ";
        for dialect in [Dialect::SQLITE, Dialect::POSTGRES, Dialect::MYSQL, Dialect::MARIADB] {
            assert_eq!(texts(sql, dialect), ["SELECT ';'", "SELECT \"c;d\" /* e;f */"]);
            assert!(texts(" -- nothing\n;", dialect).is_empty());
        }
        assert_eq!(texts("SELECT $$a;b$$; SELECT 2", Dialect::POSTGRES), ["SELECT $$a;b$$", "SELECT 2"]);
    }

    #[test]
    fn the_body_of_a_routine_belongs_to_it() {
        let trigger =
            "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW BEGIN UPDATE b SET n = 1; UPDATE c SET n = 1; END";
        let sql = format!("{trigger};\nSELECT 1");
        for dialect in [Dialect::SQLITE, Dialect::MYSQL, Dialect::MARIADB] {
            assert_eq!(texts(&sql, dialect), [trigger, "SELECT 1"]);
        }
    }

    #[test]
    fn each_knows_its_line() {
        let pieces = split("\nSELECT 1;\nSELECT\n2;\n\nSELECT 3", Dialect::SQLITE);
        assert_eq!(pieces.iter().map(|piece| piece.line).collect::<Vec<_>>(), [2, 3, 6]);
    }
}
