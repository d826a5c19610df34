//! One statement for many rows of parameters, on a server.

use std::ops::Range;

use crate::base::error::{Error, Fact, Result};
use crate::base::value::Value;
use crate::config::backend::ParamRows;
use crate::config::batch::Batch;
use crate::config::placeholder::translate;
use crate::config::statement::Dialect;

/// How many rows go into one INSERT: few sizes, so that the statements are found again among those that are prepared.
const SIZES: [usize; 5] = [1_024, 256, 64, 8, 1];
/// Servers count the parameters of a statement with 16 bits.
const MOST_PARAMETERS: usize = 60_000;
/// A statement of more rows than this has few parameters, for each of which a server keeps memory, and a short text.
const MANY_ROWS: usize = 64;
const FEW_PARAMETERS: usize = 2_048;
const SHORT_TEXT: usize = 60 << 10;

/// What a backend says of an [`execute_many`](crate::backend::Session::execute_many), to have it run in few statements.
#[derive(Debug)]
pub struct Many<'a> {
    /// The statement, with `?` for each parameter.
    pub sql: &'a str,
    /// How the server reads it.
    pub dialect: Dialect,
    /// Where it is an INSERT of one row: several rows go out as one statement.
    pub batch: Option<Batch<'a>>,
    /// Each statement commits by itself: where one fails, those before it stand.
    pub commits_each: bool,
    /// So many rows have run before these.
    pub before: usize,
    /// How many rows go into one statement at the most. Those of many columns go in smaller groups.
    pub most_rows: usize,
    /// How many bytes of parameters go into one statement at the most, by `size`.
    pub most_bytes: usize,
    /// How many bytes a value takes on the wire, about.
    pub size: fn(&Value) -> usize,
}

impl Many<'_> {
    /// Runs it for each row by `run`, which answers how many rows a statement has changed. The answer is how many were
    /// changed in all.
    ///
    /// # Errors
    ///
    /// Those of `run`, and of rows whose number of parameters is wrong, with the numbers of the rows that failed. What comes
    /// before a row that is wrong runs first, as if rows went out one by one.
    pub fn run(self, rows: &mut dyn ParamRows, run: &mut dyn FnMut(&str, &[Value]) -> Result<u64>) -> Result<u64> {
        let mut progress = Progress::of(&self, run);
        let mut chunk: Vec<Value> = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next_row() {
            let at = progress.done + chunk.len().checked_div(progress.width()).unwrap_or_default();
            if progress.width != Some(row.len()) {
                if let Err(error) = translate(self.sql, row.len(), self.dialect) {
                    progress.flush(&mut chunk)?;
                    return Err(self.failed(error, at..at + 1));
                }
                progress.set_width(row.len());
            }
            let size = row.iter().map(self.size).sum::<usize>();
            if bytes + size > self.most_bytes {
                progress.flush(&mut chunk)?;
                bytes = 0;
            }
            if row.is_empty() {
                progress.send(self.sql, row, 1)?;
                continue;
            }
            chunk.extend_from_slice(row);
            bytes += size;
            if chunk.len() >= progress.largest * row.len() {
                progress.flush(&mut chunk)?;
                bytes = 0;
            }
        }
        progress.flush(&mut chunk)?;
        Ok(progress.changed)
    }

    /// Gives an error the numbers of the rows that it is about, counted from 0, and the fact that those before them may stand.
    pub fn failed(&self, error: Error, rows: Range<usize>) -> Error {
        let error = match rows.len() {
            0 | 1 => error.with_context(format_args!("row {}", rows.start + 1)),
            _ => error.with_context(format_args!("rows {} to {}", rows.start + 1, rows.end)),
        };
        if rows.start > 0 && self.commits_each { error.with_fact(Fact::MayHaveExecuted) } else { error }
    }

    /// The most rows of so many parameters that go into one statement.
    fn largest(&self, width: usize) -> usize {
        let Some(batch) = &self.batch else { return 1 };
        let text = |rows: usize| batch.head.len() + batch.tail.len() + rows * (batch.row.len() + 2);
        let fits = |rows: usize| {
            let parameters = rows * width;
            let has_room = parameters <= FEW_PARAMETERS && text(rows) <= SHORT_TEXT;
            rows <= self.most_rows && parameters <= MOST_PARAMETERS && (rows <= MANY_ROWS || has_room)
        };
        SIZES.into_iter().find(|rows| fits(*rows)).unwrap_or(1)
    }
}

struct Progress<'a> {
    many: &'a Many<'a>,
    run: &'a mut dyn FnMut(&str, &[Value]) -> Result<u64>,
    /// The statement with that many rows, for each size that was needed.
    texts: [Option<String>; SIZES.len()],
    /// The number of parameters of a row.
    width: Option<usize>,
    /// The most rows that go into one statement.
    largest: usize,
    /// How many rows have run, those before included.
    done: usize,
    changed: u64,
}

impl<'a> Progress<'a> {
    fn of(many: &'a Many<'a>, run: &'a mut dyn FnMut(&str, &[Value]) -> Result<u64>) -> Self {
        Self { many, run, texts: Default::default(), width: None, largest: 1, done: many.before, changed: 0 }
    }

    fn width(&self) -> usize {
        self.width.unwrap_or_default()
    }

    /// The rows have so many parameters, unless that is known already.
    fn set_width(&mut self, width: usize) {
        if self.width.is_none() {
            self.width = Some(width);
            self.largest = self.many.largest(width);
        }
    }

    /// Runs the rows that were gathered.
    fn flush(&mut self, chunk: &mut Vec<Value>) -> Result<()> {
        let (mut values, width, largest) = (std::mem::take(chunk), self.width(), self.largest);
        let mut left = &values[..];
        while !left.is_empty() {
            let rows = left.len() / width;
            let at = SIZES.iter().position(|size| *size <= rows && *size <= largest).unwrap_or(SIZES.len() - 1);
            let (now, later) = left.split_at(SIZES[at] * width);
            left = later;
            match self.many.batch.filter(|_| SIZES[at] > 1) {
                Some(batch) => {
                    let text = self.texts[at].take().unwrap_or_else(|| batch.rows(SIZES[at]));
                    self.send(&text, now, SIZES[at])?;
                    self.texts[at] = Some(text);
                }
                None => self.send(self.many.sql, now, 1)?,
            }
        }
        // The next rows have its room.
        values.clear();
        *chunk = values;
        Ok(())
    }

    fn send(&mut self, sql: &str, params: &[Value], rows: usize) -> Result<()> {
        match (self.run)(sql, params) {
            Ok(changed) => {
                self.changed += changed;
                self.done += rows;
                Ok(())
            }
            Err(error) => Err(self.many.failed(error, self.done..self.done + rows)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;

    struct Given(Vec<Vec<Value>>, Vec<Value>);

    impl ParamRows for Given {
        fn next_row(&mut self) -> Option<&[Value]> {
            if self.0.is_empty() {
                return None;
            }
            self.1 = self.0.remove(0);
            Some(&self.1)
        }
    }

    /// Runs an INSERT of these rows, and gives the number of rows of each statement.
    fn run(sql: &str, rows: Vec<Vec<Value>>, most_bytes: usize, fails_at: Option<usize>) -> (Vec<usize>, Result<u64>) {
        let many = Many {
            sql,
            dialect: Dialect::SQLITE,
            batch: Batch::of(sql, Dialect::SQLITE),
            commits_each: true,
            before: 0,
            most_rows: 1_024,
            most_bytes,
            size: |_| 1,
        };
        let mut statements = Vec::new();
        let result = many.run(&mut Given(rows, Vec::new()), &mut |text, params| {
            statements.push(params.len());
            assert_eq!(text.matches('?').count(), params.len());
            if fails_at == Some(statements.len()) {
                Err(Error::new(ErrorKind::Data, "no"))
            } else {
                Ok(params.len() as u64)
            }
        });
        (statements, result)
    }

    fn rows(count: usize) -> Vec<Vec<Value>> {
        vec![vec![Value::Null]; count]
    }

    #[test]
    fn rows_go_out_in_few_statements() {
        let sql = "INSERT INTO t VALUES (?)";
        assert_eq!(run(sql, rows(75), usize::MAX, None).0, [64, 8, 1, 1, 1]);
        assert_eq!(run(sql, rows(2_369), usize::MAX, None).0, [1_024, 1_024, 256, 64, 1]);
        assert_eq!(run(sql, rows(20), 10, None).0, [8, 1, 1, 8, 1, 1]);
        assert_eq!(run("UPDATE t SET a = ?", rows(3), usize::MAX, None).0, [1, 1, 1]);
        assert_eq!(run("DELETE FROM t", vec![vec![]; 3], usize::MAX, None).0, [0, 0, 0]);
        assert_eq!(run(sql, rows(0), usize::MAX, None).1.unwrap(), 0);
    }

    #[test]
    fn rows_of_many_columns_go_out_in_smaller_groups() {
        for (columns, largest) in [(2, 1_024), (3, 256), (8, 256), (9, 64), (937, 64), (938, 8), (60_001, 1)] {
            let sql = format!("INSERT INTO t VALUES (?{})", ", ?".repeat(columns - 1));
            let rows = vec![vec![Value::Null; columns]; largest];
            assert_eq!(run(&sql, rows, usize::MAX, None).0, [columns * largest], "{columns} columns");
        }
        let long = format!("INSERT INTO t VALUES (concat(?, '{}'))", "x".repeat(100));
        assert_eq!(run(&long, rows(1_024), usize::MAX, None).0, [256; 4], "its text is long");
    }

    #[test]
    fn an_error_names_its_rows_and_what_may_stand() {
        let sql = "INSERT INTO t VALUES (?)";
        let first = run(sql, rows(64), usize::MAX, Some(1)).1.unwrap_err();
        assert!(first.message().starts_with("rows 1 to 64: ") && !first.may_have_executed(), "{first}");
        let later = run(sql, rows(65), usize::MAX, Some(2)).1.unwrap_err();
        assert!(later.message().starts_with("row 65: ") && later.may_have_executed(), "{later}");
        let mut wrong = rows(2);
        wrong.push(vec![]);
        let (statements, error) = run(sql, wrong, usize::MAX, None);
        assert_eq!(statements, [1, 1], "those before it run");
        assert!(error.unwrap_err().message().starts_with("row 3: "));
    }

    #[test]
    fn rows_that_ran_before_are_counted() {
        let sql = "INSERT INTO t VALUES (?)";
        let batch = Batch::of(sql, Dialect::SQLITE);
        let (before, dialect) = (100, Dialect::SQLITE);
        let many = Many { sql, dialect, batch, commits_each: true, before, most_rows: 64, most_bytes: 9, size: |_| 1 };
        let refused = &mut |_: &str, _: &[Value]| Err(Error::new(ErrorKind::Data, "no"));
        let error = many.run(&mut Given(rows(8), Vec::new()), refused).unwrap_err();
        assert!(error.message().starts_with("rows 101 to 108: ") && error.may_have_executed(), "{error}");
    }
}
