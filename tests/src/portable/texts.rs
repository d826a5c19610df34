//! Text, JSON, numbers, and what is not a value.

use std::net::IpAddr;

use dockline::{Binary, Connection, ErrorKind, FromValue, RawJson, ToValue, Value};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::{of, table, through};

pub fn json_keeps_its_text(db: &Connection) {
    table(db, "documents", of(db, "JSON", "LONGTEXT", "JSON"));
    let text = r#"{"b": 1, "a": [123456789012345678901234567890, 2.50]}"#;
    for read in [
        through::<_, String>(db, "documents", &RawJson::new(text)),
        through::<_, RawJson>(db, "documents", &RawJson::new(text)).into_string(),
        through::<_, String>(db, "documents", &text),
    ] {
        assert_eq!(read, text);
    }
    let row = db.query_one("SELECT v FROM documents", ()).unwrap();
    assert_eq!(row.get::<&str, _>("v").unwrap(), text);
    let error = row.get::<serde_json::Value, _>("v").unwrap_err();
    assert!(error.kind() == ErrorKind::Data && error.message().contains("column \"v\": has an integer"), "{error}");
    for document in [json!(5), json!(-1.5), json!(true), json!("5"), json!({"a": [1, null]}), json!(null)] {
        assert_eq!(through::<_, serde_json::Value>(db, "documents", &document), document);
    }
    // What the reader refuses is an error of its column alone.
    let deep = "[".repeat(200) + &"]".repeat(200);
    db.execute("DELETE FROM documents", ()).unwrap();
    db.execute("INSERT INTO documents VALUES (?, ?)", (7, RawJson::new(deep))).unwrap();
    let row = db.query_one("SELECT id, v FROM documents", ()).unwrap();
    assert_eq!(row.get::<i64, _>("id").unwrap(), 7);
    assert!(row.get::<serde_json::Value, _>("v").is_err() && row.get::<String, _>("v").is_ok());
}

pub fn text_reads_every_value_that_has_one(db: &Connection) {
    let sql = of(
        db,
        "SELECT 7 AS a, 1.50 AS b, 0.5::float8 AS c, 'x' AS d, DATE '2024-01-02' AS e, 12345678901234567890123456789012345.5 AS f",
        "SELECT 7 AS a, 1.50 AS b, 0.5e0 AS c, 'x' AS d, DATE '2024-01-02' AS e, 12345678901234567890123456789012345.5 AS f",
        "SELECT 7 AS a, '1.50' AS b, 0.5 AS c, 'x' AS d, '2024-01-02' AS e, '12345678901234567890123456789012345.5' AS f",
    );
    let row = db.query_one(sql, ()).unwrap();
    let texts: Vec<String> = (0..6).map(|at| row.get(at).unwrap()).collect();
    assert_eq!(texts, ["7", "1.50", "0.5", "x", "2024-01-02", "12345678901234567890123456789012345.5"]);
    let error = db.query_one("SELECT NULL AS a", ()).unwrap().get::<String, _>("a").unwrap_err();
    assert!(error.message().contains("read it as Option<String>"), "{error}");
}

pub fn averages_are_doubles_and_exact(db: &Connection) {
    table(db, "numbers", "INTEGER");
    db.execute_many("INSERT INTO numbers VALUES (?, ?)", [(1, 1), (2, 2), (3, 2)]).unwrap();
    let average: f64 = db.query_value("SELECT avg(v) FROM numbers", ()).unwrap();
    assert!((average - 5.0 / 3.0).abs() < 1e-4, "{average}");
    assert_eq!(db.query_value::<i64>("SELECT sum(v) FROM numbers", ()).unwrap(), 5);
    if db.vendor() != "sqlite" {
        let exact: Decimal = db.query_value("SELECT avg(v) FROM numbers", ()).unwrap();
        assert!(exact.to_string().starts_with("1.666"), "{exact}");
        assert_eq!(db.query_value::<f64>("SELECT 0.1 + 0.2", ()).unwrap(), 0.3, "the nearest to an exact 0.3");
    }
}

pub fn text_and_bytes_are_borrowed(db: &Connection) {
    db.execute(&format!("CREATE TABLE borrowed (t TEXT, b {}, n TEXT)", of(db, "BYTEA", "BLOB", "BLOB")), ()).unwrap();
    db.execute("INSERT INTO borrowed VALUES (?, ?, ?)", ("it's", vec![0_u8, 255], None::<&str>)).unwrap();
    let row = db.query_one("SELECT t, b, n FROM borrowed", ()).unwrap();
    let (text, bytes): (&str, &[u8]) = (row.get("t").unwrap(), row.get("b").unwrap());
    assert_eq!((text, bytes), ("it's", &[0, 255][..]));
    assert_eq!(row.get::<Option<&str>, _>("n").unwrap(), None);
    assert!(row.get::<&str, _>("n").unwrap_err().message().contains("Option<&str>"));
}

pub fn two_columns_of_a_name_are_an_error(db: &Connection) {
    let row = db.query_one("SELECT 1 AS id, 2 AS id, 3 AS other", ()).unwrap();
    let error = row.get::<i64, _>("id").unwrap_err();
    assert!(error.kind() == ErrorKind::Programming && error.message().contains("both named \"id\""), "{error}");
    assert_eq!((row.get::<i64, _>(1).unwrap(), row.get::<i64, _>("other").unwrap()), (2, 3));
}

pub fn addresses_and_uuids_survive(db: &Connection) {
    table(db, "addresses", of(db, "INET", "VARCHAR(39)", "TEXT"));
    for address in ["10.1.2.3", "::1", "2001:db8::ff00:42:8329"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(through::<_, IpAddr>(db, "addresses", &address), address);
    }
    table(db, "uuids", of(db, "UUID", "BINARY(16)", "BLOB"));
    for bits in [0, 1, u128::MAX] {
        let id = Uuid::from_u128(bits);
        // A server that has the type takes its text, and the others the bytes.
        let value = if db.vendor() == "postgresql" { id.to_value() } else { Binary(id).to_value() };
        assert_eq!(through::<_, Uuid>(db, "uuids", &value), id);
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM uuids WHERE v = ?", (value,)).unwrap(), 1);
    }
}

pub fn scripts_run_and_say_which_statement_failed(db: &Connection) {
    let schema = "-- the first; of two\nCREATE TABLE script_a (t TEXT);\n\nINSERT INTO script_a VALUES ('?;');";
    assert_eq!(db.execute_script(schema).unwrap(), 2);
    assert_eq!(db.query_value::<String>("SELECT t FROM script_a", ()).unwrap(), "?;");
    let error = db.execute_script("DELETE FROM script_a;\n\nDELETE FROM nowhere;\nDELETE FROM script_a").unwrap_err();
    assert!(error.message().starts_with("statement 2, on line 3: ") && error.may_have_executed(), "{error}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM script_a", ()).unwrap(), 0);
    let error = db.execute_script("DELETE FROM nowhere").unwrap_err();
    assert!(error.message().starts_with("statement 1, on line 1: ") && !error.may_have_executed(), "{error}");
    assert_eq!(db.execute_script(" -- nothing\n;").unwrap(), 0);
}

pub fn placeholders_of_other_libraries_are_named(db: &Connection) {
    for (sql, name) in [("SELECT $1", "$1"), ("SELECT :id", ":id"), ("SELECT %s", "%s"), ("SELECT @p1", "@p1")] {
        let error = db.query(sql, (1,)).unwrap_err();
        // A dollar is a letter of MySQL's names.
        if name == "$1" && db.vendor() == "mysql" {
            assert_eq!(error.kind(), ErrorKind::Programming, "{error}");
        } else {
            assert!(error.message().contains(&format!("write ? instead of {name}")), "{sql}: {error}");
        }
        assert!(!error.may_have_executed());
    }
    assert_eq!(i64::from_value(db.query_value::<Value>("SELECT 5 % 3", ()).unwrap()).unwrap(), 2);
}
