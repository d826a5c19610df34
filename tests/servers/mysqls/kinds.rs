//! A parameter has the type that it was given, whatever came before it.

use dockline::{Connection, Value, params};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(each_value_keeps_its_type), case!(a_value_is_stored_as_it_is), case!(rows_with_nulls_are_prepared_once)]
}

fn one(db: &Connection, sql: &str, value: &Value) -> Value {
    db.query_one(sql, vec![value.clone()]).unwrap().get(0).unwrap()
}

fn each_value_keeps_its_type(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    let values = [
        Value::Int(5),
        Value::Text("x".into()),
        Value::Null,
        Value::Double(1.5),
        Value::UInt(u64::MAX),
        Value::Text("blue".into()),
        Value::Int(-1),
        Value::Text("7 dwarfs".into()),
    ];
    // Each after each other.
    for first in &values {
        for second in &values {
            for value in [first, second, first] {
                assert_eq!(one(db, "SELECT ?", value), *value, "{first:?}, {second:?}");
                let json: Value = one(db, "SELECT CAST(JSON_EXTRACT(JSON_ARRAY(?), '$[0]') AS CHAR)", value);
                let text = match value {
                    Value::Null => "null".to_owned(),
                    Value::Text(text) => format!("\"{text}\""),
                    Value::Double(double) => double.to_string(),
                    Value::Int(n) => n.to_string(),
                    Value::UInt(n) => n.to_string(),
                    other => panic!("{other:?}"),
                };
                assert_eq!(json, Value::Text(text), "{first:?}, {second:?}");
            }
        }
    }
    // What was NULL takes its type from the parameter beside it.
    let two = |a: &Value, b: &Value| {
        let row = db.query_one("SELECT COALESCE(?, ?)", vec![a.clone(), b.clone()]).unwrap();
        row.get::<Value, _>(0).unwrap()
    };
    let (n, abc) = (Value::Int(5), Value::Text("abc".into()));
    assert_eq!(two(&Value::Null, &n), n);
    assert_eq!(two(&abc, &Value::Null), abc);
    assert_eq!(two(&Value::Null, &abc), abc);
    assert_eq!(two(&Value::Null, &Value::Double(1.5)), Value::Double(1.5));
    assert_eq!(two(&Value::Null, &Value::Null), Value::Null);
}

fn a_value_is_stored_as_it_is(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("SET sql_mode = ''", ()).unwrap();
    db.execute("CREATE TABLE t (v VARCHAR(20), j TEXT)", ()).unwrap();
    db.execute("INSERT INTO t VALUES ('a', 'a')", ()).unwrap();
    for value in [Value::Int(5), Value::Text("blue".into()), Value::Double(1.5), Value::Text("5x".into())] {
        let text = match &value {
            Value::Text(text) => text.clone(),
            Value::Int(n) => n.to_string(),
            other => format!("{:?}", other).replace("Double(", "").replace(')', ""),
        };
        db.execute("UPDATE t SET v = ?", vec![value.clone()]).unwrap();
        db.execute("UPDATE t SET j = CONCAT(COALESCE(?, ''), '!')", vec![value.clone()]).unwrap();
        let stored: (String, String) = db.query_one("SELECT v, j FROM t", ()).unwrap().decode().unwrap();
        assert_eq!(stored, (text.clone(), format!("{text}!")));
    }
}

fn rows_with_nulls_are_prepared_once(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (a INTEGER, b VARCHAR(20))", ()).unwrap();
    let count = || {
        let row = db.query_one("SHOW SESSION STATUS LIKE 'Com_stmt_prepare'", ()).unwrap();
        row.get::<String, _>(1).unwrap().parse::<u64>().unwrap()
    };
    count();
    let before = count();
    for n in 0..10 {
        let (a, b) = if n % 2 == 0 { (Value::Int(n), Value::Null) } else { (Value::Null, Value::Text("x".into())) };
        db.execute("INSERT INTO t VALUES (?, ?)", vec![a, b]).unwrap();
    }
    assert_eq!(count() - before, 1);
    // Alternating kinds are prepared anew on MySQL, once each; the server may do so once more by itself.
    let before = count();
    for _ in 0..3 {
        assert_eq!(db.query_value::<i64>("SELECT ?", params![1]).unwrap(), 1);
        assert_eq!(db.query_value::<String>("SELECT ?", params!["a"]).unwrap(), "a");
    }
    let most = if server.kind() == Kind::Mysql { 12 } else { 1 };
    assert!(count() - before <= most);
}
