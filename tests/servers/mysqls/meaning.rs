//! A prepared text runs in the meaning that it has now.

use dockline::{Connection, ErrorKind, Value, params};
use dockline_tests::servers::{FreshDatabase, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_text_reads_and_writes_the_current_database),
        case!(the_current_database_is_gone),
        case!(a_text_is_read_as_sql_mode_says),
        case!(a_temporary_table_comes_before_the_other_of_its_name),
        case!(a_role_is_gone),
        case!(text_stays_what_it_is_in_every_character_set),
        case!(a_collation_is_that_of_now),
    ]
}

/// Two databases with a table of one name.
fn two(server: &Server) -> (Opened<'_>, FreshDatabase<'_>, [String; 2]) {
    let opened = Opened::new(server);
    let other = server.database();
    let db = &opened.db;
    let home: String = db.query_value("SELECT DATABASE()", ()).unwrap();
    let names = [home, other.name().to_owned()];
    for name in &names {
        db.execute(&format!("CREATE TABLE {name}.acc (who VARCHAR(100), n INTEGER)"), ()).unwrap();
        db.execute(&format!("INSERT INTO {name}.acc VALUES (?, 0)"), params![name.as_str()]).unwrap();
    }
    (opened, other, names)
}

fn who(db: &Connection) -> String {
    db.query_value("SELECT who FROM acc WHERE n >= ?", params![0]).unwrap()
}

fn a_text_reads_and_writes_the_current_database(server: &Server) {
    let (opened, _other, [home, other]) = two(server);
    let db = &opened.db;
    let change = || db.execute("UPDATE acc SET n = n + 1 WHERE n >= ?", params![0]).unwrap();
    for round in 1..=3 {
        for name in [&home, &other] {
            db.execute(&format!("USE {name}"), ()).unwrap();
            assert_eq!(who(db), *name, "round {round}");
            assert_eq!(change(), 1);
            let n: i64 = db.query_value(&format!("SELECT n FROM {name}.acc"), ()).unwrap();
            assert_eq!(n, round);
        }
    }
    // The driver's own way tells nobody.
    for name in [&home, &other, &home] {
        db.native(|conn: &mut mysql::Conn| conn.select_db(name)).unwrap().unwrap();
        assert_eq!(who(db), *name);
    }
    assert!(db.is_connected());
    // At home nothing is held; elsewhere the connection is not replaced.
    db.execute(&format!("USE {other}"), ()).unwrap();
    opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
    let error = db.query("SELECT who FROM acc", ()).unwrap_err();
    assert!(error.is_disconnect() && error.message().contains(&*other), "{error}");
    db.close();
    assert_eq!(who(db), home);
}

fn the_current_database_is_gone(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    let home: String = db.query_value("SELECT DATABASE()", ()).unwrap();
    db.execute(&format!("CREATE DATABASE {home}_x"), ()).unwrap();
    db.execute(&format!("USE {home}_x"), ()).unwrap();
    db.execute("CREATE TABLE acc (who VARCHAR(100), n INTEGER)", ()).unwrap();
    db.execute("INSERT INTO acc VALUES ('x', 1)", ()).unwrap();
    assert_eq!(who(db), "x");
    db.execute(&format!("DROP DATABASE {home}_x"), ()).unwrap();
    assert!(db.query("SELECT who FROM acc WHERE n >= ?", params![0]).is_err());
    db.execute(&format!("USE {home}"), ()).unwrap();
    db.execute("CREATE TABLE acc (who VARCHAR(100), n INTEGER)", ()).unwrap();
    db.execute("INSERT INTO acc VALUES ('home', 1)", ()).unwrap();
    assert_eq!(who(db), "home");
}

fn a_text_is_read_as_sql_mode_says(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (n INTEGER)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (7)", ()).unwrap();
    let both = |db: &Connection| {
        let joined: Value = db.query_one("SELECT '1' || '2'", ()).unwrap().get(0).unwrap();
        let quoted: Value = db.query_one(r#"SELECT "n" FROM t"#, ()).unwrap().get(0).unwrap();
        let escaped: String = db.query_value(r"SELECT '\\'", ()).unwrap();
        (joined, quoted, escaped)
    };
    let usual = (Value::Int(1), Value::Text("n".into()), r"\".to_owned());
    let changed = (Value::Text("12".into()), Value::Int(7), r"\\".to_owned());
    for _ in 0..2 {
        assert_eq!(both(db), usual);
        db.execute("SET sql_mode = 'PIPES_AS_CONCAT,ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", ()).unwrap();
        assert_eq!(both(db), changed);
        // The mode also says where a text ends, and so what is a placeholder.
        let text: String = db.query_value(r"SELECT CONCAT('\', ?)", params!["x"]).unwrap();
        assert_eq!(text, r"\x");
        db.execute("SET SESSION sql_mode = DEFAULT", ()).unwrap();
    }
    db.native(|conn: &mut mysql::Conn| {
        mysql::prelude::Queryable::query_drop(conn, "SET sql_mode = 'PIPES_AS_CONCAT,ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
    })
    .unwrap()
    .unwrap();
    assert_eq!(both(db), changed);
}

fn a_temporary_table_comes_before_the_other_of_its_name(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE sh (n INTEGER)", ()).unwrap();
    db.execute("INSERT INTO sh VALUES (1)", ()).unwrap();
    let n = || db.query_value::<i64>("SELECT n FROM sh WHERE n > ?", params![0]).unwrap();
    let add = || db.execute("UPDATE sh SET n = n + 10 WHERE n > ?", params![0]).unwrap();
    assert_eq!((n(), add(), n()), (1, 1, 11));
    db.execute("CREATE TEMPORARY TABLE sh (n INTEGER, m INTEGER)", ()).unwrap();
    db.execute("INSERT INTO sh VALUES (2, 2)", ()).unwrap();
    assert_eq!((n(), add(), n()), (2, 1, 12));
    assert!(db.native(|_: &mut mysql::Conn| ()).is_ok());
    db.execute("DROP TEMPORARY TABLE sh", ()).unwrap();
    assert_eq!((n(), add(), n()), (11, 1, 21));
}

fn a_role_is_gone(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    let mut admin = opened.database.admin();
    let home: String = db.query_value("SELECT DATABASE()", ()).unwrap();
    let role = format!("reader_{home}");
    db.execute("CREATE TABLE secret (n INTEGER)", ()).unwrap();
    db.execute("INSERT INTO secret VALUES (1)", ()).unwrap();
    let user = format!("u_{}", &home[home.len().saturating_sub(8)..]);
    admin.execute(&format!("CREATE ROLE {role}"));
    admin.execute(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'x'"));
    admin.execute(&format!("GRANT SELECT ON {home}.* TO {role}"));
    admin.execute(&format!("GRANT {role} TO {user}@'%'"));
    admin.execute(&format!("GRANT CREATE ON {home}.* TO {user}@'%'"));
    let connections =
        dockline_tests::connections(crate::opened::settings(&opened.database.url()).user(&*user).password("x"));
    let other = connections.get("default").unwrap();
    let read = || other.query_value::<i64>("SELECT n FROM secret WHERE n = ?", params![1]);
    other.execute(&format!("SET ROLE {role}"), ()).unwrap();
    assert_eq!(read().unwrap(), 1);
    other.execute("SET ROLE NONE", ()).unwrap();
    assert_eq!(read().unwrap_err().code().as_deref(), Some("1142"));
    other.execute(&format!("SET ROLE {role}"), ()).unwrap();
    assert_eq!(read().unwrap(), 1);
    // Another connection would have other rights.
    admin.kill_and_wait(other.server_connection_id().unwrap());
    let error = read().unwrap_err();
    assert!(error.is_disconnect() && error.message().contains("the role"), "{error}");
    connections.close_all();
    admin.execute(&format!("DROP USER {user}@'%'"));
    admin.execute(&format!("DROP ROLE {role}"));
}

fn text_stays_what_it_is_in_every_character_set(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (id INTEGER, a VARCHAR(20)) CHARACTER SET utf8mb4", ()).unwrap();
    let text = "é€😀";
    let stores = |id: i64| {
        db.execute("INSERT INTO t VALUES (?, ?)", params![id, text]).unwrap();
        db.execute(&format!("INSERT INTO t VALUES ({id}, '{text}')"), ()).unwrap();
        let hex = db.query("SELECT HEX(a) FROM t WHERE id = ?", params![id]).unwrap();
        for row in hex {
            assert_eq!(row.get::<String, _>(0).unwrap(), "C3A9E282ACF09F9880", "{id}");
        }
        let read: String = db.query_value("SELECT a FROM t WHERE id = ? LIMIT 1", params![id]).unwrap();
        assert_eq!(read, text, "{id}");
        assert_eq!(db.query_value::<String>(&format!("SELECT '{text}'"), ()).unwrap(), text, "{id}");
    };
    stores(0);
    for (id, sql) in [
        "SET NAMES latin1",
        "/* app */ SET CHARACTER SET latin1",
        "SET character_set_client = latin1",
        "SET @@session.character_set_results = NULL",
        "SET collation_connection = latin1_swedish_ci",
        "SET NAMES utf8mb3",
        "SET @a = 1, NAMES latin1",
    ]
    .into_iter()
    .enumerate()
    {
        let error = db.execute(sql, ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSupported, "{sql}: {error}");
        stores(i64::try_from(id).unwrap() + 1);
    }
    for (id, sql) in
        ["SET NAMES utf8mb4", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET NAMES DEFAULT"].into_iter().enumerate()
    {
        let asked = db.execute(sql, ());
        assert!(asked.is_ok() || sql.contains("DEFAULT"), "{sql}: {asked:?}");
        stores(i64::try_from(id).unwrap() + 100);
    }
    db.execute("CREATE PROCEDURE speaks_latin() BEGIN SET NAMES latin1; SET character_set_results = latin1; END", ())
        .unwrap();
    db.execute("CALL speaks_latin()", ()).unwrap();
    stores(200);
    db.native(|conn: &mut mysql::Conn| mysql::prelude::Queryable::query_drop(conn, "SET NAMES latin1"))
        .unwrap()
        .unwrap();
    stores(201);
}

fn a_collation_is_that_of_now(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    let same = || db.query_value::<i64>("SELECT 'a' = 'A'", ()).unwrap();
    assert_eq!(same(), 1);
    db.execute("SET collation_connection = utf8mb4_bin", ()).unwrap();
    assert_eq!(same(), 0);
    db.execute("SET NAMES utf8mb4", ()).unwrap();
    assert_eq!(same(), 1);
}
