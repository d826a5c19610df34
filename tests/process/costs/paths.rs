//! The paths: what a program calls, and what it would call on the bare driver.

use std::hint::black_box;
use std::ops::ControlFlow;

use dockline::{Connection, Connections, params};

use super::bare::Bare;

pub(super) struct Path {
    pub(super) name: &'static str,
    pub(super) ours: fn(&Connections, &Connection),
    /// None if there is nothing like it.
    pub(super) bare: Option<fn(&mut Bare)>,
}

pub(super) const TABLE: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER, name VARCHAR(40))";
pub(super) const INSERT: &str = "INSERT INTO item VALUES (?, ?, ?)";
pub(super) const UPDATE: &str = "UPDATE item SET n = ? WHERE id = 1";
pub(super) const RENAME: &str = "UPDATE item SET name = ? WHERE id = 3";
pub(super) const NUMBER: &str = "SELECT n FROM item WHERE id = ?";
pub(super) const TEXT: &str = "SELECT name FROM item WHERE id = ?";
pub(super) const ROWS: &str = "SELECT id FROM item WHERE id > ?";
/// So many rows the table has.
pub(super) const COUNT: i32 = 100;

pub(super) const PATHS: &[Path] = &[
    Path { name: "`get`", ours: |registry, _| drop(registry.get("default").expect("an alias")), bare: None },
    Path { name: "a request with nothing due", ours: |registry, _| drop(registry.request()), bare: None },
    Path {
        name: "an atomic block without a statement",
        ours: |_, db| db.atomic(|| Ok::<_, dockline::Error>(())).expect("a block"),
        bare: None,
    },
    Path {
        name: "`execute`",
        ours: |_, db| assert_eq!(db.execute(UPDATE, params![7]).expect("an update"), 1),
        bare: Some(Bare::update),
    },
    Path {
        name: "`execute` with a text",
        ours: |_, db| assert_eq!(db.execute(RENAME, params!["a name"]).expect("an update"), 1),
        bare: Some(Bare::rename),
    },
    Path {
        name: "`query_value` of a number",
        ours: |_, db| assert_eq!(db.query_value::<i32>(NUMBER, params![2]).expect("a number"), 0),
        bare: Some(|bare| assert_eq!(bare.number(), 0)),
    },
    Path {
        name: "`query_value` of a text",
        ours: |_, db| {
            black_box(db.query_value::<String>(TEXT, params![2]).expect("a text"));
        },
        bare: Some(|bare| {
            black_box(bare.text());
        }),
    },
    Path { name: "`query_each` of 1 row", ours: |_, db| each(db, 1), bare: Some(|bare| bare.each(1)) },
    Path { name: "`query_each` of 100 rows", ours: |_, db| each(db, COUNT), bare: Some(|bare| bare.each(COUNT)) },
];

fn each(db: &Connection, rows: i32) {
    let mut seen = 0;
    db.query_each(ROWS, params![COUNT - rows], |row| {
        seen += 1;
        black_box(row.get::<i32, _>(0)?);
        Ok(ControlFlow::<()>::Continue(()))
    })
    .expect("rows");
    assert_eq!(seen, rows);
}

/// Makes the table.
pub(super) fn fill(registry: &Connections) {
    let db = registry.get("default").expect("an alias");
    db.execute(TABLE, ()).expect("a table");
    let rows = (1..=COUNT).map(|id| params![id, 0, format!("name {id}")]);
    db.execute_many(INSERT, rows).expect("rows");
}
