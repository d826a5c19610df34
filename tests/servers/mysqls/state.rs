//! What a session holds is known by name, is not lost without a word, and is forgotten when it ends.

use dockline::{Connection, ErrorKind};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(what_is_held_is_named),
        case!(what_has_ended_is_forgotten),
        case!(an_answer_of_a_lost_connection_is_an_error),
        case!(inserts_hold_nothing),
    ]
}

fn kill(opened: &Opened<'_>) {
    opened.database.admin().kill_and_wait(opened.db.server_connection_id().unwrap());
}

fn tables(db: &Connection) {
    db.execute("CREATE TABLE parent (id INTEGER AUTO_INCREMENT PRIMARY KEY, n INTEGER)", ()).unwrap();
    db.execute("CREATE TABLE child (parent INTEGER, n INTEGER)", ()).unwrap();
}

/// What makes state, what ends it, and how it is called.
fn states(kind: Kind) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut states = vec![
        ("SELECT GET_LOCK('a', 1)", "SELECT RELEASE_LOCK('a')", r#"the lock "a""#),
        ("/* app */ DO GET_LOCK('b', 1)", "DO RELEASE_ALL_LOCKS()", r#"the lock "b""#),
        ("FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES", "the table lock"),
        ("LOCK TABLES parent READ", "UNLOCK TABLES", "the table lock"),
        ("FLUSH TABLES parent WITH READ LOCK", "UNLOCK TABLES", "the table lock"),
        ("CREATE TEMPORARY TABLE tt (n INTEGER)", "DROP TEMPORARY TABLE tt", r#"the temporary table "tt""#),
        ("CREATE TEMPORARY TABLE tt SELECT 1", "DROP TEMPORARY TABLE IF EXISTS tt", r#"the temporary table "tt""#),
        ("PREPARE s FROM 'SELECT 1'", "DEALLOCATE PREPARE s", r#"the prepared statement "s""#),
        ("HANDLER parent OPEN", "HANDLER parent CLOSE", r#"the handler "parent""#),
        // MariaDB has no word for the role that a session began with.
        ("SET ROLE NONE", if kind == Kind::Mysql { "SET ROLE DEFAULT" } else { "" }, "the role"),
        (
            "SET SESSION sort_buffer_size = 100000",
            "SET SESSION sort_buffer_size = DEFAULT",
            r#"the setting "sort_buffer_size""#,
        ),
        ("SET @a = 1", "", r#"the variable "@a""#),
        ("SELECT @b := 1", "", r#"the variable "@b""#),
        ("SELECT 1 INTO @c", "", r#"the variable "@c""#),
        ("CALL goes_out(@d)", "", r#"the variable "@d""#),
        ("CALL makes_temporary()", "", "state of a kind that is not known"),
    ];
    if kind == Kind::Mysql {
        states.push(("LOCK INSTANCE FOR BACKUP", "UNLOCK INSTANCE", "the table lock"));
    } else {
        states.push(("BACKUP STAGE START", "BACKUP STAGE END", "the table lock"));
        states.push(("BACKUP LOCK parent", "BACKUP UNLOCK", "the table lock"));
    }
    states
}

fn opened(server: &Server) -> Opened<'_> {
    let opened = Opened::new(server);
    let db = &opened.db;
    tables(db);
    db.execute("CREATE PROCEDURE goes_out(OUT n INTEGER) BEGIN SET n = 1; END", ()).unwrap();
    db.execute("CREATE PROCEDURE makes_temporary() BEGIN CREATE TEMPORARY TABLE x (n INTEGER); END", ()).unwrap();
    opened
}

/// The tests' user has no right to lock the whole server.
fn is_denied(error: &dockline::Error) -> bool {
    matches!(error.code().as_deref(), Some("1227" | "1045" | "1142" | "1044"))
}

fn what_is_held_is_named(server: &Server) {
    let opened = opened(server);
    let db = &opened.db;
    for (makes, _, name) in states(server.kind()) {
        db.close();
        db.query("SELECT 1", ()).unwrap();
        match db.execute(makes, ()) {
            Err(error) if is_denied(&error) => continue,
            made => drop(made.unwrap_or_else(|error| panic!("{makes}: {error:?}"))),
        }
        kill(&opened);
        let error = db.query("SELECT 1", ()).unwrap_err();
        assert!(error.is_disconnect(), "{makes}: {error:?}");
        assert!(error.message().contains(name), "{makes}: {error}");
    }
    db.close();
}

fn what_has_ended_is_forgotten(server: &Server) {
    let opened = opened(server);
    let db = &opened.db;
    for (makes, ends, _) in states(server.kind()).into_iter().filter(|(_, ends, _)| !ends.is_empty()) {
        match db.execute(makes, ()) {
            Err(error) if is_denied(&error) => continue,
            made => drop(made.unwrap_or_else(|error| panic!("{makes}: {error:?}"))),
        }
        db.execute(ends, ()).unwrap();
        kill(&opened);
        let asked = db.query("SELECT 1", ());
        assert!(asked.is_ok(), "{makes}; {ends}: {asked:?}");
    }
}

fn an_answer_of_a_lost_connection_is_an_error(server: &Server) {
    let opened = opened(server);
    let db = &opened.db;
    let insert = || db.execute("INSERT INTO parent (n) VALUES (1)", ()).unwrap();
    for asks in [
        "INSERT INTO child VALUES (LAST_INSERT_ID(), 1)",
        "/* app */ insert into child select last_insert_id(), 1",
        "INSERT INTO child VALUES (@@identity, 1)",
        "UPDATE parent SET n = 2 WHERE id = LAST_INSERT_ID()",
        "SELECT LAST_INSERT_ID()",
        "SELECT ROW_COUNT()",
        "SELECT FOUND_ROWS()",
        "SELECT @@warning_count",
        "SHOW WARNINGS",
    ] {
        insert();
        kill(&opened);
        let asked = db.execute(asks, ());
        let error = asked.err().unwrap_or_else(|| panic!("{asks} has run"));
        assert_eq!(error.kind(), ErrorKind::Operational, "{asks}");
        assert!(!error.may_have_executed(), "{asks}: {error:?}");
    }
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM child", ()).unwrap(), 0);
    // A query between does not help: it gives no number.
    insert();
    kill(&opened);
    db.query("SELECT 1", ()).unwrap();
    db.execute("INSERT INTO child VALUES (LAST_INSERT_ID(), 1)", ()).unwrap_err();
    // All is well where nothing was lost.
    insert();
    db.query("SELECT 1", ()).unwrap();
    let id: i64 = db.query_value("SELECT max(id) FROM parent", ()).unwrap();
    db.execute("INSERT INTO child VALUES (LAST_INSERT_ID(), 1)", ()).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT parent FROM child", ()).unwrap(), id);
}

fn inserts_hold_nothing(server: &Server) {
    let opened = opened(server);
    let db = &opened.db;
    for sql in [
        "INSERT INTO parent (n) VALUES (1)",
        "UPDATE parent SET n = LAST_INSERT_ID(n + 1)",
        "REPLACE INTO parent (id, n) VALUES (1, 2)",
        "CREATE TABLE IF NOT EXISTS other (n INTEGER)",
        "SET autocommit = 1",
        "DELETE FROM child",
    ] {
        db.execute(sql, ()).unwrap();
        kill(&opened);
        let asked = db.query("SELECT 1", ());
        assert!(asked.is_ok(), "{sql}: {asked:?}");
    }
}
