//! Decimals that a column would not keep.
//!
//! A column that is declared DECIMAL or NUMERIC turns a text that looks like a number into a double, which has 15 digits, and says nothing.
//! Which parameter goes into which column is in the program that SQLite makes of a statement, and EXPLAIN shows it. It is asked only for a
//! decimal that has more digits, in a statement that writes. Where the program is not understood, the statement runs as it is.

use dockline_core::{Error, ErrorKind, Result, Value};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Digits that a double keeps of every decimal.
const KEPT: usize = 15;

/// Which parameters of one statement go into a column of numbers, found out when it is needed.
#[derive(Default)]
pub(crate) struct Targets(Option<Vec<usize>>);

impl Targets {
    /// Refuses a decimal that would lose digits. `sql` writes, and has these parameters.
    pub(crate) fn check(&mut self, connection: &Connection, sql: &str, params: &[Value]) -> Result<()> {
        if !params.iter().any(loses_digits) {
            return Ok(());
        }
        let targets =
            self.0.get_or_insert_with(|| Program::of(connection, sql).map(|of| of.numbers()).unwrap_or_default());
        let lost = |(at, value): (usize, &Value)| (loses_digits(value) && targets.contains(&(at + 1))).then_some(at);
        let Some(at) = params.iter().enumerate().find_map(lost) else { return Ok(()) };
        let message = format!(
            "parameter {}: the decimal has more than {KEPT} digits, and its column is one of numbers (DECIMAL, NUMERIC, REAL), of which \
             SQLite keeps {KEPT}; declare the column TEXT, or round",
            at + 1
        );
        Err(Error::new(ErrorKind::Data, message))
    }
}

/// Whether a column of numbers would keep less of it. The features of the core decide whether there are decimals.
fn loses_digits(value: &Value) -> bool {
    if value.type_name() != "decimal" {
        return false;
    }
    let Some(text) = value.portable_text() else { return false };
    let is_integer = !text.contains('.');
    if is_integer && text.parse::<i64>().is_ok() {
        return false;
    }
    let fraction = if is_integer { &*text } else { text.trim_end_matches('0') };
    let digits = fraction.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    digits > KEPT
}

/// What SQLite does for a statement: its instructions, as far as values move to records.
struct Program(Vec<Step>);

struct Step {
    name: String,
    p1: i64,
    p2: i64,
    p3: i64,
    text: Option<String>,
}

impl Step {
    /// The registers that it makes numbers of.
    fn numbers(&self) -> impl Iterator<Item = i64> + '_ {
        let columns = self.text.as_deref().unwrap_or_default().bytes();
        (self.p1..).zip(columns).filter(|(_, column)| matches!(column, b'C'..=b'F')).map(|(register, _)| register)
    }
}

impl Program {
    fn of(connection: &Connection, sql: &str) -> rusqlite::Result<Self> {
        let mut explained = connection.prepare(&format!("EXPLAIN {sql}"))?;
        let (mut rows, mut steps) = (explained.raw_query(), Vec::new());
        while let Some(row) = rows.next()? {
            // The programs of triggers follow, with addresses and registers of their own.
            if usize::try_from(row.get::<_, i64>(0)?) != Ok(steps.len()) {
                break;
            }
            let text = match row.get_ref(5)? {
                ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            };
            steps.push(Step { name: row.get(1)?, p1: row.get(2)?, p2: row.get(3)?, p3: row.get(4)?, text });
        }
        Ok(Self(steps))
    }

    /// The parameters that go into columns of numbers, counted from 1.
    fn numbers(&self) -> Vec<usize> {
        let registers = self.registers_of_numbers();
        let parameters = self.named("Variable").filter(|step| self.reaches(step.p2, &registers));
        parameters.filter_map(|step| usize::try_from(step.p1).ok()).collect()
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Step> {
        self.0.iter().filter(move |step| step.name == name)
    }

    /// The registers that become numbers, and go into a record then. A lookup by a key has affinities, too, and makes no record.
    fn registers_of_numbers(&self) -> Vec<i64> {
        let records: Vec<i64> = self.named("MakeRecord").flat_map(|step| step.p1..step.p1 + step.p2).collect();
        let is_kept = |register: &i64| self.reaches(*register, &records);
        let of_records = self.named("MakeRecord").flat_map(Step::numbers);
        of_records.chain(self.named("Affinity").flat_map(Step::numbers).filter(is_kept)).collect()
    }

    fn reaches(&self, register: i64, targets: &[i64]) -> bool {
        let mut reached = vec![register];
        loop {
            if reached.iter().any(|register| targets.contains(register)) {
                return true;
            }
            let before = reached.len();
            for step in &self.0 {
                // Copy moves one register more than it says.
                let count = match step.name.as_str() {
                    "SCopy" => 1,
                    "Copy" => step.p3 + 1,
                    "Move" => step.p3,
                    _ => continue,
                };
                for at in 0..count {
                    if reached.contains(&(step.p1 + at)) && !reached.contains(&(step.p2 + at)) {
                        reached.push(step.p2 + at);
                    }
                }
            }
            if reached.len() == before {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(schema: &str, sql: &str) -> Vec<usize> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(schema).unwrap();
        let mut found = Program::of(&connection, sql).unwrap().numbers();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn parameters_that_become_numbers_are_found() {
        let plain = "CREATE TABLE t (id INTEGER PRIMARY KEY, a DECIMAL(30, 20), b TEXT, c BLOB, d REAL, e INT)";
        let schemas = [
            plain.to_owned(),
            format!("{plain}; CREATE INDEX i ON t (a)"),
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a NUMERIC CHECK (a > 0), b VARCHAR(9), c, d DOUBLE, e INT)"
                .to_owned(),
        ];
        for schema in schemas {
            for (sql, wanted) in [
                ("INSERT INTO t (a, b) VALUES (?, ?)", &[1][..]),
                ("INSERT INTO t (b, c) VALUES (?, ?)", &[]),
                ("INSERT INTO t (a, b) VALUES (?, ?), (?, ?)", &[1, 3]),
                ("REPLACE INTO t (id, c, d, e) VALUES (1, ?, ?, ?)", &[2, 3]),
                ("INSERT INTO t (b, a) SELECT ?, ?", &[2]),
                ("INSERT INTO t (a) VALUES (?) ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = ?", &[1]),
                ("INSERT INTO t (b, a) VALUES (coalesce(?, 'x'), ?) RETURNING a", &[2]),
                ("UPDATE t SET a = ?, b = ? WHERE c = ?", &[1]),
                ("UPDATE t SET b = ? WHERE a = ?", &[]),
                ("DELETE FROM t WHERE a = ?", &[]),
                ("SELECT ? FROM t WHERE a < ?", &[]),
            ] {
                assert_eq!(numbers(&schema, sql), wanted, "{schema}: {sql}");
            }
        }
        let with_trigger = format!("{plain}; CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = 1, a = 2; END");
        assert_eq!(numbers(&with_trigger, "INSERT INTO t (a, b) VALUES (?, ?)"), [1]);
        assert_eq!(
            numbers("CREATE TABLE t (a NUMERIC PRIMARY KEY, b TEXT) WITHOUT ROWID", "INSERT INTO t VALUES (?, ?)"),
            [1]
        );
    }
}
