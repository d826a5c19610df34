use std::ops::ControlFlow;

use dockline::{ErrorKind, FromRow, Result, Row, Value, params};
use dockline_tests::{in_memory, memory};

fn with_table() -> (dockline::Connections, dockline::Connection) {
    let connections = in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)", ()).unwrap();
    (connections, db)
}

#[test]
fn execute_answers_the_rows_that_it_changed() {
    let (_connections, db) = with_table();
    assert_eq!(db.execute("INSERT INTO t (name) VALUES (?), (?)", params!["a", "b"]).unwrap(), 2);
    assert_eq!(db.execute("UPDATE t SET name = name || '!'", ()).unwrap(), 2);
    assert_eq!(db.execute("UPDATE t SET name = 'x' WHERE id = 9", ()).unwrap(), 0);
    assert_eq!(db.execute("SELECT * FROM t", ()).unwrap(), 0, "rows that it gives are dropped");
    assert_eq!(db.execute("CREATE TABLE u AS SELECT * FROM t", ()).unwrap(), 0);
    assert_eq!(db.execute("DELETE FROM t WHERE id = ? RETURNING id", params![1]).unwrap(), 1);
    assert_eq!(db.execute("DELETE FROM t", ()).unwrap(), 1);
}

#[test]
fn query_answers_rows_by_index_and_by_name() {
    let (_connections, db) = with_table();
    db.execute_many("INSERT INTO t (name) VALUES (?)", ["a", "b"].map(|name| params![name])).unwrap();
    let rows: Vec<Row> = db.query("SELECT id, name FROM t ORDER BY id", ()).unwrap();
    assert_eq!(rows[1].get::<i64, _>(0).unwrap(), 2);
    assert_eq!(rows[1].get::<String, _>("name").unwrap(), "b");
    assert_eq!(rows[0].columns(), ["id", "name"]);
    let typed: Vec<(i64, String)> = db.query_as("SELECT id, name FROM t ORDER BY id", ()).unwrap();
    assert_eq!(typed, [(1, "a".to_owned()), (2, "b".to_owned())]);
}

#[test]
fn a_row_is_read_as_a_type_of_the_program() {
    #[derive(Debug, PartialEq)]
    struct Named {
        id: i64,
        name: Option<String>,
    }
    impl FromRow for Named {
        fn from_row(mut row: Row) -> Result<Self> {
            Ok(Self { id: row.get("id")?, name: row.take("name")? })
        }
    }
    let (_connections, db) = with_table();
    db.execute("INSERT INTO t VALUES (?, ?)", params![7, None::<String>]).unwrap();
    let named: Named = db.query_one("SELECT * FROM t", ()).unwrap().decode().unwrap();
    assert_eq!(named, Named { id: 7, name: None });
}

#[test]
fn query_one_wants_one_row_and_query_opt_at_most_one() {
    let (_connections, db) = with_table();
    let all = "SELECT id FROM t";
    assert_eq!(db.query_one(all, ()).unwrap_err().kind(), ErrorKind::Data);
    assert!(db.query_opt(all, ()).unwrap().is_none());
    db.execute("INSERT INTO t (name) VALUES ('a')", ()).unwrap();
    assert_eq!(db.query_value::<i64>(all, ()).unwrap(), 1);
    assert!(db.query_opt(all, ()).unwrap().is_some());
    db.execute("INSERT INTO t (name) VALUES ('b')", ()).unwrap();
    for error in [db.query_one(all, ()).unwrap_err(), db.query_opt(all, ()).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.message().contains("more than one row") && error.may_have_executed(), "{error}");
    }
}

#[test]
fn query_each_gives_rows_one_by_one_and_stops_where_it_is_told() {
    let (_connections, db) = with_table();
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let mut sum = 0;
    let stopped = db
        .query_each(numbers, (), |row| {
            sum += row.get::<i64, _>(0)?;
            Ok(if sum > 100 { ControlFlow::Break(sum) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
    assert_eq!(stopped, Some(105), "the result has no end, and only what was asked for was computed");
    db.query("SELECT 1", ()).unwrap();
    let ended = db.query_each("SELECT 1", (), |_| Ok(ControlFlow::<()>::Continue(()))).unwrap();
    assert_eq!(ended, None);
}

#[test]
fn query_each_ends_by_an_error_and_by_a_panic_of_the_callback() {
    let (connections, db) = with_table();
    let story = dockline_tests::Story::of(&connections);
    let rows = "SELECT 'a' AS word UNION SELECT 'b'";
    let mut seen = 0;
    let error = db
        .query_each(rows, (), |row| {
            seen += 1;
            row.get::<i64, _>("word")?;
            Ok(ControlFlow::<()>::Continue(()))
        })
        .unwrap_err();
    assert_eq!((seen, error.kind(), error.alias()), (1, ErrorKind::Data, Some("default")));
    assert!(error.message().contains("\"word\""), "{error}");

    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.query_each::<()>(rows, (), |_| panic!("the callback panics"))
    }));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the callback panics"));
    db.query("SELECT 1", ()).unwrap();
    assert_eq!(story.closed(), 0, "the connection is as good as before");
}

#[test]
fn a_statement_that_returns_rows_and_is_left_early_has_done_its_work() {
    let (_connections, db) = with_table();
    let insert = "INSERT INTO t (name) VALUES ('a'), ('b'), ('c') RETURNING id";
    let first = db.query_each(insert, (), |row| Ok(ControlFlow::Break(row.get::<i64, _>(0)?))).unwrap();
    assert_eq!(first, Some(1));
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 3);
}

#[test]
fn execute_many_runs_once_a_row() {
    let (_connections, db) = with_table();
    let rows = (0..1000).map(|n| params![n, format!("name {n}")]);
    assert_eq!(db.execute_many("INSERT INTO t VALUES (?, ?)", rows).unwrap(), 1000);
    assert_eq!(db.execute_many("DELETE FROM t WHERE id < ?", [params![10], params![20]]).unwrap(), 20);
    assert_eq!(db.execute_many("DELETE FROM t WHERE id = ?", Vec::<Vec<Value>>::new()).unwrap(), 0);
}

#[test]
fn execute_many_says_which_row_failed_and_of_those_that_went_out_with_it_none_stands() {
    let (_connections, db) = with_table();
    let count = || db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap();
    let rows = ["a", "b", "a", "c"].map(|name| params![name]);
    let error = db.execute_many("INSERT INTO t (name) VALUES (?)", rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.message().starts_with("rows 1 to 4: row 3: "), "{error}");
    assert!(!error.may_have_executed() && count() == 0, "{error:?}");

    db.execute_many("INSERT INTO t (name) VALUES (?)", [params!["a"]]).unwrap();
    let error = db.execute_many("INSERT INTO t (name) VALUES (?)", [params!["a"]]).unwrap_err();
    assert!(error.message().starts_with("row 1: ") && !error.may_have_executed(), "{error:?}");

    let uneven = [vec![Value::Text("x".into())], vec![]];
    let error = db.execute_many("INSERT INTO t (name) VALUES (?)", uneven).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Programming);
    assert!(error.message().starts_with("row 2: ") && error.may_have_executed() && count() == 2, "{error:?}");
}

#[test]
fn groups_of_execute_many_that_were_committed_before_a_failure_stand() {
    let (_connections, db) = with_table();
    let last = 10_000;
    let rows = (1..=last).map(|n| if n == last { params!["1"] } else { params![n.to_string()] });
    let error = db.execute_many("INSERT INTO t (name) VALUES (?)", rows).unwrap_err();
    let stored: i64 = db.query_value("SELECT count(*) FROM t", ()).unwrap();
    assert!(stored > 0 && error.may_have_executed(), "{error:?}");
    assert!(error.message().starts_with(&format!("rows {} to {last}: row {last}: ", stored + 1)), "{error}");

    let in_block =
        db.atomic(|| db.execute_many("INSERT INTO t (name) VALUES (?)", ["x", "y", "x"].map(|n| params![n])));
    let error = in_block.unwrap_err();
    assert!(error.message().starts_with("row 3: "), "{error}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), stored);
}

#[test]
fn literal_question_marks_are_doubled() {
    let (_connections, db) = with_table();
    let text: String = db.query_value("SELECT '?' || ? -- ?", params!["!"]).unwrap();
    assert_eq!(text, "?!");
    let error = db.query("SELECT 1 ?? 2", ()).unwrap_err();
    assert!(error.message().contains("\"?\"") || error.message().contains("?1"), "the server saw one: {error}");
}

#[test]
fn params_come_in_every_shape() {
    let (_connections, db) = with_table();
    let sum = |params: Vec<Value>| db.query_value::<i64>("SELECT ? + ?", params).unwrap();
    assert_eq!(sum(vec![Value::Int(1), Value::Int(2)]), 3);
    assert_eq!(db.query_value::<i64>("SELECT ? + ?", params![1_u8, 2_i64]).unwrap(), 3);
    assert_eq!(db.query_value::<i64>("SELECT ? + ?", &[1, 2]).unwrap(), 3);
    assert_eq!(db.query_value::<i64>("SELECT ? + ?", &vec![1, 2]).unwrap(), 3);
    assert_eq!(db.query_value::<i64>("SELECT ? + ?", [1, 2].as_slice()).unwrap(), 3);
    assert_eq!(db.query_value::<i64>("SELECT 3", params![]).unwrap(), 3);
}

#[test]
fn native_lends_the_drivers_own_object() {
    let (_connections, db) = with_table();
    let autocommit = db.native::<dockline::rusqlite::Connection, _>(|sqlite| sqlite.is_autocommit()).unwrap();
    assert!(autocommit);
    db.native(|sqlite: &mut dockline::rusqlite::Connection| {
        sqlite.execute_batch("INSERT INTO t (name) VALUES ('a'); INSERT INTO t (name) VALUES ('b');")
    })
    .unwrap()
    .unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 2);
    let error = db.native::<String, _>(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    assert!(error.message().contains("rusqlite::Connection"), "{error}");
}

#[test]
fn native_is_in_the_transaction_where_autocommit_is_off() {
    let connections = dockline_tests::connections(memory().autocommit(false));
    let db = connections.get("default").unwrap();
    let autocommit = db.native::<dockline::rusqlite::Connection, _>(|sqlite| sqlite.is_autocommit()).unwrap();
    assert!(!autocommit);
}

#[test]
fn a_statement_inside_a_row_callback_is_an_error_and_no_deadlock() {
    let (_connections, db) = with_table();
    let other_handle = db.clone();
    let uses: [&dyn Fn() -> Result<()>; 5] = [
        &|| other_handle.execute("SELECT 1", ()).map(drop),
        &|| other_handle.commit(),
        &|| other_handle.ensure_connection(),
        &|| other_handle.set_autocommit(false),
        &|| other_handle.native::<dockline::rusqlite::Connection, _>(|_| ()),
    ];
    for call in uses {
        let mut inner = None;
        db.query_each("SELECT 1", (), |_| {
            inner = call().err();
            assert!(other_handle.is_connected() && other_handle.is_usable() && other_handle.state().connected);
            Ok(ControlFlow::<()>::Continue(()))
        })
        .unwrap();
        let error = inner.expect("an error");
        assert_eq!((error.kind(), error.alias()), (ErrorKind::Programming, Some("default")));
        assert!(error.message().contains("middle of a statement"), "{error}");
    }
    let rows = std::iter::once_with(|| {
        assert!(db.execute("SELECT 1", ()).is_err(), "nor inside an iterator of parameters");
        params!["a"]
    });
    db.execute_many("INSERT INTO t (name) VALUES (?)", rows).unwrap();
}

#[test]
fn other_aliases_can_be_used_inside_a_row_callback() {
    let (connections, db) = with_table();
    connections.add("other", memory()).unwrap();
    let other = connections.get("other").unwrap();
    db.query_each("SELECT 1", (), |_| {
        other.query("SELECT 1", ())?;
        Ok(ControlFlow::<()>::Continue(()))
    })
    .unwrap();
}

#[test]
fn a_row_has_nothing_of_the_row_before() {
    let (_connections, db) = with_table();
    let long = "x".repeat(5_000);
    let values = "VALUES (1, 'first, and rather long'), (2, NULL), ('three', x'00ff'), (4.5, ?), (5, '')";
    let (mut rows, mut kept) = (Vec::new(), Vec::new());
    db.query_each(values, (&long,), |row| {
        rows.push(row.values().to_vec());
        kept.push(row.get::<Value, _>(1)?);
        Ok(ControlFlow::<()>::Continue(()))
    })
    .unwrap();
    let text = |text: &str| Value::Text(text.into());
    let wanted = [
        [Value::Int(1), text("first, and rather long")],
        [Value::Int(2), Value::Null],
        [text("three"), Value::Bytes(vec![0, 255])],
        [Value::Double(4.5), text(&long)],
        [Value::Int(5), text("")],
    ];
    assert_eq!(rows, wanted);
    assert!(kept.iter().eq(wanted.iter().map(|row| &row[1])));
    let all: Vec<Vec<Value>> = db.query(values, (&long,)).unwrap().into_iter().map(Row::into_values).collect();
    assert_eq!(all, wanted);
}
