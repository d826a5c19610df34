use super::*;

fn conn(capacity: usize) -> Conn {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2, NULL)").unwrap();
    Conn::new(connection, capacity)
}

fn rows(conn: &Conn, sql: &str, params: &[Bound<'_>]) -> Result<Vec<Vec<Value>>> {
    let text = conn.text(sql, params.len())?;
    let mut statement = text.prepare()?;
    for (at, param) in params.iter().enumerate() {
        statement.bind(at + 1, *param)?;
    }
    let mut rows = Vec::new();
    while statement.step()? {
        let columns = statement.names().len();
        rows.push(statement.row(columns)?);
    }
    Ok(rows)
}

fn refused(conn: &Conn, sql: &str) -> Error {
    rows(conn, sql, &[]).expect_err(sql)
}

/// How many statements SQLite has of the connection.
fn statements(conn: &Conn) -> usize {
    let (mut count, mut last) = (0, null_mut());
    loop {
        // SAFETY: the connection is open, and the statement one of its own, or null for the first.
        last = unsafe { ffi::sqlite3_next_stmt(conn.handle.get(), last) };
        if last.is_null() {
            return count;
        }
        count += 1;
    }
}

#[test]
fn a_text_is_read_and_prepared_once_for_each_number_of_parameters() {
    let conn = conn(2);
    assert_eq!(conn.text("SELECT a ?? b WHERE c = ?", 1).unwrap().for_sqlite(), "SELECT a ? b WHERE c = ?");
    let sql = "SELECT b FROM t WHERE a = ?";
    let raw = conn.text(sql, 1).unwrap().prepare().unwrap().raw;
    assert_eq!(rows(&conn, sql, &[Bound::Int(1)]).unwrap(), [[Value::Text("x".into())]]);
    assert_eq!(conn.text(sql, 1).unwrap().prepare().unwrap().raw, raw);
    assert!(conn.text(sql, 2).is_err());
}

#[test]
fn statements_that_are_not_used_are_freed_and_so_are_those_of_a_connection_without_a_cache() {
    let small = conn(2);
    for n in 0..5 {
        rows(&small, &format!("SELECT {n}"), &[]).unwrap();
    }
    assert_eq!(statements(&small), 2);
    let none = conn(0);
    rows(&none, "SELECT 1", &[]).unwrap();
    assert_eq!(statements(&none), 0);
    small.close().unwrap();
}

#[test]
fn a_text_may_be_in_use_twice() {
    let conn = conn(2);
    let text = conn.text("SELECT a FROM t", 0).unwrap();
    let mut first = text.prepare().unwrap();
    assert!(first.step().unwrap());
    assert_eq!(rows(&conn, "SELECT a FROM t", &[]).unwrap().len(), 2);
    assert!(first.step().unwrap());
    drop(first);
    assert_eq!(statements(&conn), 1);
}

#[test]
fn a_statement_that_is_left_early_begins_anew() {
    let conn = conn(2);
    let text = conn.text("SELECT a FROM t WHERE a >= ? ORDER BY a", 1).unwrap();
    for from in [1, 2] {
        let mut statement = text.prepare().unwrap();
        statement.bind(1, Bound::Int(from)).unwrap();
        assert!(statement.step().unwrap());
        assert_eq!(statement.row(1).unwrap(), [Value::Int(from)]);
    }
}

#[test]
fn the_copy_of_a_parameter_is_let_go() {
    let conn = conn(2);
    let text = conn.text("SELECT ?", 1).unwrap();
    let mut statement = text.prepare().unwrap();
    statement.bind(1, Bound::Text("x")).unwrap();
    assert!(statement.step().unwrap());
    drop(statement);
    let mut statement = text.prepare().unwrap();
    assert!(statement.step().unwrap());
    assert_eq!(statement.row(1).unwrap(), [Value::Null]);
}

#[test]
fn the_names_are_those_that_the_columns_have_now() {
    let conn = conn(2);
    let names = |conn: &Conn| {
        let text = conn.text("SELECT * FROM t", 0).unwrap();
        let mut statement = text.prepare().unwrap();
        assert!(statement.step().unwrap());
        Arc::clone(statement.names())
    };
    let before = names(&conn);
    assert!(Arc::ptr_eq(&before, &names(&conn)));
    conn.execute_batch("ALTER TABLE t ADD COLUMN c; ALTER TABLE t RENAME COLUMN b TO d").unwrap();
    assert_eq!(&*names(&conn), ["a", "d", "c"]);
}

#[test]
fn what_cannot_be_prepared_says_why_and_where() {
    let conn = conn(2);
    let error = refused(&conn, "  SELECT a FRM t");
    assert_eq!((error.message(), error.code()), ("near \"t\": syntax error", Some("1".to_owned())));
    let of_rusqlite = map(conn.connection.prepare("SELECT a FRM t").map(drop).unwrap_err());
    assert_eq!(error.to_string(), of_rusqlite.to_string());
    assert!(refused(&conn, "SELECT 1; SELECT 2").message().starts_with("there is more than one statement"));
    assert!(rows(&conn, " SELECT 1; -- and no more", &[]).is_ok());
    for empty in ["", "-- nothing", "/* */ "] {
        assert_eq!(refused(&conn, empty).message(), "there is no statement in the text", "{empty:?}");
    }
}

#[test]
fn an_error_of_a_step_is_that_of_the_driver_and_the_statement_can_be_used_again() {
    let conn = conn(2);
    conn.execute_batch("CREATE TABLE u (a UNIQUE); INSERT INTO u VALUES (1)").unwrap();
    let sql = "INSERT INTO u VALUES (?)";
    let error = rows(&conn, sql, &[Bound::Int(1)]).unwrap_err();
    let of_rusqlite = map(conn.connection.execute("INSERT INTO u VALUES (1)", []).unwrap_err());
    assert_eq!((error.to_string(), error.code()), (of_rusqlite.to_string(), of_rusqlite.code()));
    assert!(rows(&conn, sql, &[Bound::Int(2)]).is_ok());
}

#[test]
fn values_come_back_as_they_went() {
    let conn = conn(2);
    let params = [Bound::Null, Bound::Int(i64::MIN), Bound::Double(0.5), Bound::Text(""), Bound::Text("é\0é")];
    let found = rows(&conn, "SELECT ?, ?, ?, ?, ?", &params).unwrap();
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(found, [[Value::Null, Value::Int(i64::MIN), Value::Double(0.5), text(""), text("é\0é")]]);
    let found = rows(&conn, "SELECT ?, ?, CAST(x'ff' AS TEXT)", &[Bound::Bytes(&[]), Bound::Bytes(&[0, 255])]).unwrap();
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    assert_eq!(found, [[bytes(&[]), bytes(&[0, 255]), bytes(&[255])]]);
}

#[test]
fn a_connection_that_was_swapped_keeps_its_statements_to_itself() {
    let mut conn = conn(2);
    rows(&conn, "SELECT a FROM t", &[]).unwrap();
    let other = Connection::open_in_memory().unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    let first = std::mem::replace(conn.lend(), other);
    assert_eq!(rows(&conn, "SELECT a FROM t", &[]).unwrap().len(), 0);
    assert_eq!(statements(&conn), 1);
    assert_eq!(first.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    conn.lend();
    assert_eq!(rows(&conn, "SELECT a FROM t", &[]).unwrap().len(), 0, "one that was not swapped keeps them");
    assert_eq!(statements(&conn), 1);
    conn.close().unwrap();
}
