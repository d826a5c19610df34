//! One statement for many rows of parameters. In autocommit they are committed in groups: a commit waits for the disk, and takes a
//! turn of all writers.

use dockline_core::backend::ParamRows;
use dockline_core::{Error, Fact, Result, Value};

use crate::decimals::Targets;
use crate::prepared::{Known, Statement};
use crate::rows::{bind, prepare, prepare_for_many, run_to_end};
use crate::session::SqliteSession;
use crate::texts::Kind;

/// How many rows go into one transaction at the most.
const ROWS: usize = 4096;
/// How many bytes of parameters do.
const BYTES: usize = 4 << 20;

impl SqliteSession {
    pub(crate) fn run_many(&self, sql: &str, rows: &mut dyn ParamRows) -> Result<u64> {
        let Some(first) = rows.next_row().map(<[Value]>::to_vec) else { return Ok(0) };
        let text = self.text(sql, first.len())?;
        if self.commits_each() && text.kind == Kind::Rows {
            self.in_groups(&text, first, rows)
        } else {
            self.statement(|| self.one_by_one(&text, &first, rows))
        }
    }

    /// Inside a transaction, or a statement that may not stand in one.
    fn one_by_one(&self, text: &Known<'_>, first: &[Value], rows: &mut dyn ParamRows) -> Result<u64> {
        let commits_each = self.commits_each();
        let mut done = 0;
        let mut changed = 0;
        let failed = |error: Error, done: u64| {
            let error = error.with_context(format_args!("row {}", done + 1));
            if done > 0 && commits_each { error.with_fact(Fact::MayHaveExecuted) } else { error }
        };
        let prepared = prepare_for_many(text, first);
        let (mut statement, mut targets) = prepared.map_err(|error| failed(error, done))?;
        loop {
            self.watch.check().map_err(|error| failed(error, done))?;
            // The limit is that of a statement, and each row is one.
            self.watch.begin();
            self.admit(text, &statement).map_err(|error| failed(error, done))?;
            changed += run_to_end(&self.connection, &mut statement).map_err(|error| failed(error, done))?;
            done += 1;
            let Some(row) = rows.next_row() else { return Ok(changed) };
            self.bind(text, &mut statement, &mut targets, row).map_err(|error| failed(error, done))?;
        }
    }

    /// Gathers rows, and runs and commits them together. The program makes its rows while nobody waits for it.
    fn in_groups(&self, text: &Known<'_>, first: Vec<Value>, rows: &mut dyn ParamRows) -> Result<u64> {
        let mut group =
            Group { width: first.len(), bytes: first.iter().map(size).sum(), values: first, rows: 1, done: 0 };
        let mut changed = 0;
        loop {
            let next = rows.next_row();
            self.watch.check().map_err(|error| group.failed(error, group.rows))?;
            let wrong = next.filter(|row| row.len() != group.width).map(<[Value]>::len);
            if next.is_none() || wrong.is_some() || group.is_full() {
                changed += self.run_group(text, &group)?;
                group.begin_anew();
            }
            if let Some(wrong) = wrong {
                let Err(error) = self.text(&text.sql, wrong) else { return Ok(changed) };
                return Err(group.failed(error, 0));
            }
            let Some(row) = next else { return Ok(changed) };
            group.add(row);
        }
    }

    fn run_group(&self, text: &Known<'_>, group: &Group) -> Result<u64> {
        if group.rows == 0 {
            return Ok(0);
        }
        if group.rows == 1 && group.done == 0 {
            return self
                .statement(|| {
                    let mut statement = prepare(text, &group.values)?;
                    self.admit(text, &statement)?;
                    run_to_end(&self.connection, &mut statement)
                })
                .map_err(|error| group.failed(error, 0));
        }
        self.begin_group(&text.sql).map_err(|error| group.failed(error, 0))?;
        let ran = self.guarded(|| self.rows_of(text, group)).and_then(|changed| self.commit_open().map(|()| changed));
        // What has failed is gone as a whole; where this fails too, the connection goes with it.
        ran.inspect_err(|_| drop(self.roll_back_open()))
    }

    fn rows_of(&self, text: &Known<'_>, group: &Group) -> Result<u64> {
        let prepared = prepare_for_many(text, group.row(0));
        let (mut statement, mut targets) = prepared.map_err(|error| group.failed(error, 0))?;
        let mut changed = 0;
        for at in 0..group.rows {
            self.watch.check().map_err(|error| group.failed(error, at))?;
            self.watch.begin();
            if at > 0 {
                let bound = bind(text, &mut statement, &mut targets, group.row(at));
                bound.map_err(|error| group.failed(error, at))?;
            }
            changed += run_to_end(&self.connection, &mut statement).map_err(|error| group.failed(error, at))?;
        }
        Ok(changed)
    }

    fn bind(
        &self,
        text: &Known<'_>,
        statement: &mut Statement<'_>,
        targets: &mut Targets,
        row: &[Value],
    ) -> Result<()> {
        if row.len() == text.parameters {
            bind(text, statement, targets, row)
        } else {
            self.text(&text.sql, row.len()).map(drop)
        }
    }
}

/// Rows that are committed together.
struct Group {
    /// How many parameters a row has.
    width: usize,
    values: Vec<Value>,
    rows: usize,
    bytes: usize,
    /// How many rows were committed before.
    done: usize,
}

impl Group {
    fn row(&self, at: usize) -> &[Value] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    fn add(&mut self, row: &[Value]) {
        self.bytes += row.iter().map(size).sum::<usize>();
        self.values.extend_from_slice(row);
        self.rows += 1;
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS || self.bytes >= BYTES
    }

    fn begin_anew(&mut self) {
        self.done += self.rows;
        self.values.clear();
        (self.rows, self.bytes) = (0, 0);
    }

    /// The error of one row of the group, of which none stands.
    fn failed(&self, error: Error, at: usize) -> Error {
        let row = self.done + at + 1;
        let error = error.with_context(format_args!("row {row}"));
        let error = match self.rows {
            0 | 1 => error,
            rows => error.with_context(format_args!("rows {} to {}", self.done + 1, self.done + rows)),
        };
        if self.done > 0 { error.with_fact(Fact::MayHaveExecuted) } else { error }
    }
}

/// How many bytes a value takes, about.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 8,
    }
}
