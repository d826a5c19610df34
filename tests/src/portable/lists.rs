//! Lists, names, tuples, ids.

use dockline::{Connection, ErrorKind, list, named, params};

use super::{of, table};

pub fn lists_have_any_length(db: &Connection) {
    table(db, "listed", of(db, "TEXT", "VARCHAR(20)", "TEXT"));
    db.execute_many("INSERT INTO listed VALUES (?, ?)", (0..100).map(|n| (n, format!("n'{n}")))).unwrap();
    let count = |sql: &str, ids: Vec<i64>| -> i64 { db.query_value(sql, (list(&ids),)).unwrap() };
    let (within, without) =
        ("SELECT count(*) FROM listed WHERE id IN (?)", "SELECT count(*) FROM listed WHERE id NOT IN (?)");
    for (ids, found) in [(0..0, 0), (5..6, 1), (5..8, 3), (0..1_000, 100), (50..70_000, 50)] {
        assert_eq!(count(within, ids.clone().collect()), found, "{ids:?}");
        assert_eq!(count(without, ids.clone().collect()), 100 - found, "{ids:?}");
    }
    let texts = list((3..9).map(|n| format!("n'{n}")));
    let found: Vec<(i64,)> =
        db.query_as("SELECT id FROM listed WHERE v IN (?) AND id < ? ORDER BY id", (texts, 6)).unwrap();
    assert_eq!(found, [(3,), (4,), (5,)]);
    // Numbers beyond the column's type are in no row.
    assert_eq!(count(within, vec![1, 3_000_000_000]), 1);
    let changed = db.execute("DELETE FROM listed WHERE id IN (?)", params![list([1, 2, 3])]).unwrap();
    assert_eq!(changed, 3);
}

pub fn lists_are_lists_alone(db: &Connection) {
    for sql in ["SELECT ?", "SELECT 1 WHERE 1 IN (1, ?)", "SELECT 1 WHERE 1 = ?"] {
        let error = db.query(sql, (list([1, 2]),)).unwrap_err();
        assert!(error.kind() == ErrorKind::Programming && error.message().contains("IN (?) alone"), "{sql}: {error}");
    }
}

pub fn names_stand_as_often_as_they_are_needed(db: &Connection) {
    table(db, "named_rows", "INTEGER");
    let insert = "INSERT INTO named_rows VALUES (:id, :v)";
    db.execute(insert, named! { id: 5, v: 7 }).unwrap();
    db.execute_many(insert, (6..9).map(|id| named! { id: id, v: id + 1 })).unwrap();
    let sql = "SELECT id FROM named_rows WHERE id IN (:ids) AND (v = :v OR id = :v) AND 'a:b' = 'a:b' ORDER BY id";
    let found: Vec<(i64,)> = db.query_as(sql, named! { v: 7, ids: list([5, 6, 7, 8]) }).unwrap();
    assert_eq!(found, [(5,), (6,), (7,)]);
    let error = db.query("SELECT :id", named! { ix: 1 }).unwrap_err();
    assert!(error.message().contains("the statement has :id, and the parameters are :ix"), "{error}");
    let error = db.execute("DELETE FROM named_rows", named! { id: 1 }).unwrap_err();
    assert!(error.message().contains(":id is given") && !error.may_have_executed(), "{error}");
    let error = db.query("SELECT :id", named! { id: 1, id: 2 }).unwrap_err();
    assert!(error.message().contains(":id is given more than once"), "{error}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM named_rows", ()).unwrap(), 4);
}

pub fn tuples_are_parameters(db: &Connection) {
    db.execute(
        "CREATE TABLE sixteen (a INTEGER, b INTEGER, c INTEGER, d INTEGER, e INTEGER, f INTEGER, g INTEGER, h INTEGER, \
                i INTEGER, j INTEGER, k INTEGER, l INTEGER, m INTEGER, n INTEGER, o INTEGER, p VARCHAR(9))",
        (),
    )
    .unwrap();
    let row = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, "x");
    db.execute("INSERT INTO sixteen VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).unwrap();
    type Sixteen = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, String);
    let read: Sixteen = db.query_one("SELECT * FROM sixteen", ()).unwrap().decode().unwrap();
    assert_eq!((read.0, read.14, read.15.as_str()), (1, 15, "x"));
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM sixteen WHERE a = ? AND p = ?", (1, "x")).unwrap(), 1);
}

pub fn generated_ids_come_with_the_insert(db: &Connection) {
    let id = of(db, "BIGSERIAL PRIMARY KEY", "BIGINT AUTO_INCREMENT PRIMARY KEY", "INTEGER PRIMARY KEY");
    db.execute_script(&format!(
        "CREATE TABLE made (id {id}, name VARCHAR(20)); CREATE TABLE other (id {id}, name VARCHAR(20))"
    ))
    .unwrap();
    let returning = of(db, " RETURNING id", "", "");
    let into = |table: &str| format!("INSERT INTO {table} (name) VALUES (?){returning}");
    assert_eq!(db.insert::<i64>(&into("made"), ("a",)).unwrap(), 1);
    assert_eq!(db.insert::<u32>(&into("made"), ("b",)).unwrap(), 2);
    assert_eq!(db.insert::<i64>(&into("other"), ("c",)).unwrap(), 1);
    // The same number again, of another table.
    assert_eq!(db.insert::<i64>(&into("other"), ("d",)).unwrap(), 2);
    db.execute("CREATE TABLE without_id (name VARCHAR(20) PRIMARY KEY)", ()).unwrap();
    if db.vendor() != "sqlite" {
        let error = db.insert::<i64>("INSERT INTO without_id VALUES (?)", ("a",)).unwrap_err();
        assert!(error.kind() == ErrorKind::Data && error.may_have_executed(), "{error}");
    }
}
