//! What a text does is read off all of it, not off its first word.

use dockline::{Connection, ErrorKind, params};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_routine_never_runs_twice),
        case!(a_trigger_never_runs_twice),
        case!(a_file_of_the_client_is_refused),
        case!(two_statements_in_one_text_are_refused),
        case!(what_writes_is_read_to_its_end),
        case!(what_is_held_is_not_left),
        case!(a_parameter_that_goes_out),
        case!(a_long_text_that_comes_again_stays_prepared),
        case!(the_server_has_no_place_for_statements)
            .own_server_with(|builder| builder.setting("max_prepared_stmt_count", "20")),
    ]
}

fn count(db: &Connection, table: &str) -> i64 {
    db.query_value(&format!("SELECT count(*) FROM {table}"), ()).unwrap()
}

/// A table of MyISAM keeps what a routine has written before it failed.
fn with_log(db: &Connection) {
    db.execute("CREATE TABLE log (n INTEGER) ENGINE = MyISAM", ()).unwrap();
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
}

fn a_routine_never_runs_twice(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    with_log(db);
    for (name, number) in [("p1615", 1615), ("p1243", 1243)] {
        let fails = format!(
            "INSERT INTO log VALUES (1); SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'x'"
        );
        db.execute(&format!("CREATE PROCEDURE {name}() BEGIN {fails}; END"), ()).unwrap();
        db.execute(
            &format!("CREATE FUNCTION f{name}() RETURNS INTEGER DETERMINISTIC BEGIN {fails}; RETURN 1; END"),
            (),
        )
        .unwrap();
        let mut texts = vec![
            format!("CALL {name}()"),
            format!("/* app */ CALL {name}()"),
            format!("-- app\nCALL {name}()"),
            format!("# app\n  call {name}()"),
            format!("SELECT f{name}()"),
            format!("/* app */ DO f{name}()"),
            format!("INSERT INTO t VALUES (f{name}())"),
            format!("SET @a = f{name}()"),
            format!("(SELECT f{name}())"),
        ];
        if server.kind() == Kind::MariaDb {
            texts.push(format!("BEGIN NOT ATOMIC CALL {name}(); END"));
            texts.push(format!("ANALYZE SELECT f{name}()"));
            texts.push(format!("EXECUTE IMMEDIATE 'CALL {name}()'"));
        } else {
            texts.push(format!("EXPLAIN ANALYZE SELECT f{name}()"));
        }
        for sql in &texts {
            db.execute("TRUNCATE log", ()).unwrap();
            let ran = db.execute(sql, ());
            assert!(count(db, "log") <= 1, "{sql}: it ran {} times; {ran:?}", count(db, "log"));
            // DO and ANALYZE make a warning of it on MariaDB.
            let Err(error) = ran else { continue };
            assert_eq!(error.code(), Some(number.to_string()), "{sql}: {error:?}");
            let calls = sql.to_lowercase().contains("call");
            assert!(error.may_have_executed() || !calls, "{sql}: {error:?}");
        }
    }
}

fn a_trigger_never_runs_twice(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    with_log(db);
    for number in [1615, 1243] {
        db.execute("DROP TRIGGER IF EXISTS fails", ()).unwrap();
        db.execute(
            &format!(
                "CREATE TRIGGER fails BEFORE INSERT ON t FOR EACH ROW BEGIN INSERT INTO log VALUES (1); \
                 SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}; END"
            ),
            (),
        )
        .unwrap();
        db.execute("TRUNCATE log", ()).unwrap();
        let error = db.execute("INSERT INTO t VALUES (?)", params![1]).unwrap_err();
        assert_eq!(error.code(), Some(number.to_string()));
        assert_eq!(count(db, "log"), 1);
    }
}

fn a_file_of_the_client_is_refused(server: &Server) {
    server.admin().execute("SET GLOBAL local_infile = 1");
    for prepares in [true, false] {
        let opened = Opened::with(server, |settings| settings.prepared_statements(prepares));
        let db = &opened.db;
        db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
        for sql in [
            "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
            "/* app */ LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
            "load/**/data/**/low_priority/**/local infile 'x' into table t",
            "-- app\nLOAD XML LOCAL INFILE 'x' INTO TABLE t",
            "/*!50000 LOAD DATA LOCAL INFILE 'x' INTO TABLE t */",
            "LOAD DATA /*!50000 LOCAL */ INFILE 'x' INTO TABLE t",
            ";;LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
        ] {
            let error = db.execute(sql, ()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NotSupported | ErrorKind::Programming), "{sql}: {error:?}");
            assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1, "{sql}");
        }
        if server.kind() == Kind::MariaDb {
            let sql = "SET STATEMENT max_statement_time = 10 FOR LOAD DATA LOCAL INFILE 'x' INTO TABLE t";
            assert_eq!(db.execute(sql, ()).unwrap_err().kind(), ErrorKind::NotSupported);
        }
        // By native it goes on.
        db.native(|conn: &mut mysql::Conn| {
            use std::io::Write as _;
            conn.set_local_infile_handler(Some(mysql::LocalInfileHandler::new(|_, file| file.write_all(b"1\n2\n"))));
            mysql::prelude::Queryable::query_drop(conn, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t")
        })
        .unwrap()
        .unwrap();
        assert_eq!(count(db, "t"), 2);
    }
}

fn two_statements_in_one_text_are_refused(server: &Server) {
    for prepares in [true, false] {
        let opened = Opened::with(server, |settings| settings.prepared_statements(prepares));
        let db = &opened.db;
        db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
        db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
        for sql in [
            "CREATE TABLE event (a INT); DELETE FROM t",
            "CREATE TABLE procedure_x (a INT); DELETE FROM t",
            "/* CREATE EVENT */ SELECT 1; DELETE FROM t",
            "SELECT 1; DELETE FROM t",
            "SELECT 1 /*! ; DELETE FROM t */",
            "SELECT 'a:b'; DELETE FROM t",
            "SET @a = 1; DELETE FROM t",
            "SELECT 1;\n# x\nDELETE FROM t",
        ] {
            let error = db.execute(sql, ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Programming, "{sql}: {error:?}");
            assert_eq!(count(db, "t"), 1, "{sql}");
        }
        db.execute("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2; END;", ()).unwrap();
        assert_eq!(db.query("CALL two();", ()).unwrap().len(), 2);
    }
}

/// Leaves a result at its first row.
fn leave(db: &Connection, sql: &str) {
    let left = db.query_each(sql, (), |_| Ok(std::ops::ControlFlow::Break(1))).unwrap();
    assert_eq!(left, Some(1), "{sql}");
}

fn numbers(db: &Connection) {
    db.execute("CREATE TABLE d (n INTEGER)", ()).unwrap();
    db.execute_many("INSERT INTO d VALUES (?)", (0..60).map(|n| params![n])).unwrap();
}

const MANY: &str = "SELECT a.n FROM d a, d b";

fn what_writes_is_read_to_its_end(server: &Server) {
    for prepares in [true, false] {
        let opened = Opened::with(server, |settings| settings.prepared_statements(prepares));
        let db = &opened.db;
        numbers(db);
        db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
        db.execute(
            "CREATE FUNCTION claim(i INTEGER) RETURNS INTEGER BEGIN INSERT INTO t VALUES (i); RETURN i; END",
            (),
        )
        .unwrap();
        db.execute(
            "CREATE PROCEDURE works() BEGIN SELECT a.n FROM d a, d b; INSERT INTO t SELECT n FROM d; SELECT 2; END",
            (),
        )
        .unwrap();
        let serial = db.serial();
        let mut texts = vec![("SELECT claim(a.n) FROM d a, d b".to_owned(), 3600), ("CALL works()".to_owned(), 60)];
        if server.kind() == Kind::MariaDb {
            texts.push((format!("INSERT INTO t {MANY} RETURNING n"), 3600));
            texts.push((format!("/* app */ INSERT INTO t {MANY} RETURNING n"), 3600));
            texts.push((format!("REPLACE INTO t {MANY} RETURNING n"), 3600));
            texts.push((format!("BEGIN NOT ATOMIC {MANY}; INSERT INTO t VALUES (1); END"), 1));
        }
        for (sql, rows) in texts {
            db.execute("DELETE FROM t", ()).unwrap();
            leave(db, &sql);
            assert_eq!(count(db, "t"), rows, "{sql}");
        }
        assert_eq!(db.serial(), serial);
        // What only reads is left.
        leave(db, MANY);
        db.query("SELECT 1", ()).unwrap();
        assert_ne!(db.serial(), serial);
    }
}

fn what_is_held_is_not_left(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    numbers(db);
    let id = || db.query_value::<u64>("SELECT CONNECTION_ID()", ()).unwrap();
    for (makes, ends) in [
        ("SELECT GET_LOCK('a', 1)", "SELECT RELEASE_LOCK('a')"),
        ("CREATE TEMPORARY TABLE tt (n INTEGER)", "DROP TEMPORARY TABLE tt"),
        ("PREPARE s FROM 'SELECT 1'", "DEALLOCATE PREPARE s"),
        ("HANDLER d OPEN", "HANDLER d CLOSE"),
        ("LOCK TABLES d READ, d a READ, d b READ", "UNLOCK TABLES"),
    ] {
        let before = id();
        db.execute(makes, ()).unwrap();
        leave(db, MANY);
        assert_eq!(id(), before, "{makes}");
        db.execute(ends, ()).unwrap();
        leave(db, MANY);
        assert_ne!(id(), before, "{ends}");
    }
    let before = id();
    {
        let _held = db.hold();
        leave(db, MANY);
        assert_eq!(id(), before);
    }
    db.atomic(|| {
        let before = id();
        leave(db, MANY);
        leave(db, "SELECT a.n FROM d a, d b FOR UPDATE");
        assert_eq!(id(), before);
        Ok::<_, dockline::Error>(())
    })
    .unwrap();
}

fn a_parameter_that_goes_out(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE PROCEDURE p(IN a INTEGER, OUT b INTEGER) BEGIN SET b = a + 1; END", ()).unwrap();
    db.execute("CREATE PROCEDURE q(IN a INTEGER, IN b VARCHAR(20)) BEGIN SELECT a, b; END", ()).unwrap();
    for sql in ["CALL p(?, ?)", "/* app */ call p(?, ?)"] {
        let called = db.query(sql, params![1, 2]);
        if server.kind() == Kind::Mysql {
            let error = called.unwrap_err();
            assert_eq!(error.code().as_deref(), Some("1414"), "{error:?}");
            assert!(error.message().contains("@"), "{error}");
        }
        assert_eq!(db.query_value::<i64>("SELECT 7", ()).unwrap(), 7, "{sql}");
    }
    db.execute("CALL p(?, @out)", params![1]).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT @out", ()).unwrap(), 2);
    for (n, text) in [(1, "a"), (2, "b?")] {
        let row = db.query_one("CALL q(?, ?)", params![n, text]).unwrap();
        assert_eq!(row.decode::<(i64, String)>().unwrap(), (n, text.to_owned()));
    }
    assert!(db.is_connected());
}

fn the_server_has_no_place_for_statements(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    for round in 0..2 {
        for n in 0..50_i64 {
            let text = format!("SELECT {n} + ?");
            assert_eq!(db.query_value::<i64>(&text, params![1]).unwrap(), n + 1, "{round}");
        }
    }
    db.execute_many("INSERT INTO t VALUES (?)", (0..100).map(|n| params![n])).unwrap();
    assert_eq!(count(db, "t"), 100);
    // Others have room as well.
    let row = db.query_one("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'", ()).unwrap();
    let held: String = row.get(1).unwrap();
    assert!(held.parse::<u32>().unwrap() <= 20, "{held}");
    let others = Opened::new(server);
    assert_eq!(others.db.query_value::<i64>("SELECT ? + 1", params![1]).unwrap(), 2);
    // Who asks is told before.
    let finding = |cache| {
        let opened = Opened::with(server, |settings| settings.statement_cache(cache));
        let findings = opened.connections.check().unwrap();
        findings.into_iter().find(|finding| finding.id == "too_many_prepared_statements").map(|finding| finding.message)
    };
    let told = finding(100).expect("a finding");
    assert!(told.contains("statement_cache to 18") && told.contains("max_prepared_stmt_count to 102"), "{told}");
    assert_eq!(finding(18), None);
}

fn a_long_text_that_comes_again_stays_prepared(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let prepared = || {
        let rows = db.query("SHOW SESSION STATUS LIKE 'Com_stmt_prepare'", ()).unwrap();
        rows[0].get::<String, _>(1).unwrap().parse::<i64>().unwrap()
    };
    let long = |kib: usize| format!("SELECT ? + 1 /* {} */", "x".repeat(kib << 10));
    // A server may ask for a statement to be prepared again, as when others have changed tables meanwhile.
    for (kib, wanted) in [(200, 2..5), (600, 10..13)] {
        let (text, before) = (long(kib), prepared());
        for n in 0..10 {
            assert_eq!(db.query_value::<i64>(&text, params![n]).unwrap(), n + 1);
        }
        let count = prepared() - before;
        assert!(wanted.contains(&count), "{kib} KiB: {count} times");
    }
}
