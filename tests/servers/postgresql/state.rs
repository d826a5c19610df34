//! What a session holds: known by name, for as long as it is there and no longer.

use dockline::{Connection, Error, params};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]);
    vec![
        only(case!(state_is_named)),
        only(case!(what_ends_is_forgotten)),
        only(case!(what_is_local_ends_with_the_transaction)),
        only(case!(a_rollback_undoes_what_was_set)),
        only(case!(a_lock_by_a_parameter)),
        only(case!(what_is_gone_with_the_connection_is_named)),
        only(case!(code_leaves_something_unknown)),
        only(case!(the_last_number_of_another_session)),
    ]
}

fn held(db: &Connection) -> String {
    db.state().held.to_string()
}

fn run(db: &Connection, texts: &[&str]) {
    for sql in texts {
        db.execute(sql, ()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

/// Each is made, and held under a name that has this in it; then it is ended, in one way or another.
const STATE: [(&str, &str, &str); 22] = [
    ("SELECT pg_advisory_lock(7)", "7", "SELECT pg_advisory_unlock(7)"),
    ("SELECT pg_advisory_lock(7)", "7", "SELECT pg_advisory_unlock_all()"),
    ("SELECT pg_advisory_lock_shared(1, 2)", "1, 2", "SELECT pg_advisory_unlock_shared(1, 2)"),
    ("SELECT pg_try_advisory_lock(8)", "8", "SELECT pg_advisory_unlock(8)"),
    ("SET work_mem = '5MB'", "work_mem", "RESET work_mem"),
    ("SET work_mem = '5MB'", "work_mem", "SET work_mem TO DEFAULT"),
    ("SET app.tenant = '7'", "app.tenant", "RESET ALL"),
    ("SELECT set_config('app.tenant', '7', false)", "app.tenant", "RESET app.tenant"),
    ("SET TIME ZONE 'Asia/Kolkata'", "timezone", "RESET TIME ZONE"),
    ("SET ROLE pg_monitor", "role", "RESET ROLE"),
    ("SET ROLE pg_monitor", "role", "SET ROLE NONE"),
    ("SET search_path = pg_catalog", "search_path", "RESET search_path"),
    ("LISTEN jobs", "jobs", "UNLISTEN jobs"),
    ("LISTEN jobs", "jobs", "UNLISTEN *"),
    ("CREATE TEMP TABLE mine (a INT)", "mine", "DROP TABLE mine"),
    ("SELECT 1 AS a INTO TEMP mine", "mine", "DISCARD TEMP"),
    ("CREATE TEMP SEQUENCE mine", "mine", "DROP SEQUENCE mine"),
    ("PREPARE p AS SELECT 1", "p", "DEALLOCATE p"),
    ("PREPARE p AS SELECT 1", "p", "DEALLOCATE ALL"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "c", "CLOSE c"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "c", "CLOSE ALL"),
    ("CREATE TEMP VIEW mine AS SELECT 1", "mine", "DISCARD ALL"),
];

/// The tests' user may be what it monitors.
fn may_monitor(opened: &Opened<'_>) {
    let user: String = opened.db.query_value("SELECT current_user::text", ()).unwrap();
    opened.database.admin().execute(&format!("GRANT pg_monitor TO \"{user}\""));
}

fn state_is_named(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    may_monitor(&opened);
    assert_eq!(held(db), "nothing");
    for (make, name, _) in STATE {
        run(db, &[make]);
        assert!(held(db).contains(name), "{make}: {}", held(db));
        db.close();
        db.ensure_connection().unwrap();
        assert_eq!(held(db), "nothing", "{make}");
    }
}

fn what_ends_is_forgotten(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    may_monitor(&opened);
    for (make, _, end) in STATE {
        run(db, &[make, end]);
        assert_eq!(held(db), "nothing", "{make}; {end}");
        // The connection may be replaced again.
        let serial = db.serial();
        opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
        assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5, "{make}; {end}");
        assert_ne!(db.serial(), serial);
    }
    run(db, &["SELECT pg_advisory_lock(7)", "SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)"]);
    assert!(held(db).contains('7'), "it was taken twice");
    run(db, &["SELECT pg_advisory_unlock(7)"]);
    assert_eq!(held(db), "nothing");
}

fn what_is_local_ends_with_the_transaction(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    may_monitor(&opened);
    for make in [
        "SELECT set_config('app.tenant', '7', true)",
        "SET LOCAL app.tenant = '7'",
        "SET LOCAL TIME ZONE 'Asia/Kolkata'",
        "SET LOCAL ROLE pg_monitor",
        "SET LOCAL search_path = pg_catalog",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
        "CREATE TEMP TABLE mine (a INT) ON COMMIT DROP",
        "DECLARE c CURSOR FOR SELECT 1",
    ] {
        for commits in [true, false] {
            db.atomic(|| {
                db.execute(make, ())?;
                assert_ne!(held(db), "nothing", "{make}");
                db.set_rollback(!commits)
            })
            .unwrap();
            assert_eq!(held(db), "nothing", "{make}, commits: {commits}");
        }
        if !make.starts_with("DECLARE") {
            // By itself it is a transaction of its own.
            run(db, &[make]);
            assert_eq!(held(db), "nothing", "{make}");
        }
        run(db, &["BEGIN"]);
        run(db, &[make, "COMMIT AND CHAIN"]);
        assert_eq!(held(db), "nothing", "{make}");
        run(db, &["ROLLBACK"]);
        opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
        assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5, "{make}");
    }
}

fn a_rollback_undoes_what_was_set(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    may_monitor(&opened);
    for (make, name, _) in STATE.iter().filter(|(make, ..)| !make.contains("advisory") && !make.starts_with("PREPARE"))
    {
        db.atomic(|| {
            run(db, &[make]);
            db.set_rollback(true)
        })
        .unwrap();
        assert_eq!(held(db), "nothing", "{make}");
        db.atomic(|| {
            db.execute("SELECT 1", ())?;
            db.atomic(|| {
                run(db, &[make]);
                assert!(held(db).contains(name));
                db.set_rollback(true)
            })?;
            assert_eq!(held(db), "nothing", "{make}");
            run(db, &["SAVEPOINT s", make, "ROLLBACK TO s", "RELEASE s"]);
            assert_eq!(held(db), "nothing", "{make}");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(held(db), "nothing", "{make}");
    }
    // What a rollback does not undo.
    db.atomic(|| {
        run(db, &["SELECT pg_advisory_lock(7)", "PREPARE p AS SELECT 1"]);
        db.set_rollback(true)
    })
    .unwrap();
    assert!(held(db).contains("\"7\"") && held(db).contains("\"p\""), "{}", held(db));
    run(db, &["DISCARD ALL", "SET app.tenant = '7'"]);
    // And what it brings back.
    db.atomic(|| {
        run(db, &["RESET app.tenant"]);
        assert_eq!(held(db), "nothing");
        db.set_rollback(true)
    })
    .unwrap();
    assert!(held(db).contains("app.tenant"));
    assert_eq!(db.query_value::<String>("SELECT current_setting('app.tenant')", ()).unwrap(), "7");
    // A lock that was taken by a statement that then fails.
    run(db, &["RESET app.tenant"]);
    db.execute("SELECT pg_advisory_lock(9), 1 / (a - 1) FROM generate_series(1, 1) AS a", ()).unwrap_err();
    let holds: i64 = db
        .query_value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", ())
        .unwrap();
    assert_eq!((holds, held(db).contains('9')), (1, true), "{}", held(db));
}

fn a_lock_by_a_parameter(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let call = |name: &str, key: i64| {
        db.query_value::<Option<String>>(&format!("SELECT {name}(?)::text"), params![key]).unwrap()
    };
    call("pg_advisory_lock", 42);
    assert!(held(db).contains("42"), "{}", held(db));
    db.query("SELECT pg_advisory_unlock(?)", params![41]).unwrap();
    assert!(held(db).contains("42"));
    db.query("SELECT pg_advisory_unlock(?)", params![42]).unwrap();
    assert_eq!(held(db), "nothing");
    db.query("SELECT pg_advisory_lock_shared(?, ?)", params![1, 2]).unwrap();
    db.query("SELECT pg_advisory_unlock_shared(?, ?)", params![1, 2]).unwrap();
    assert_eq!(held(db), "nothing");
    let holds = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    assert_eq!(db.query_value::<i64>(holds, ()).unwrap(), 0);
}

fn what_is_gone_with_the_connection_is_named(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    may_monitor(&opened);
    for (make, name, _) in STATE {
        run(db, &[make]);
        opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
        for _ in 0..2 {
            let error = db.query("SELECT 1", ()).unwrap_err();
            assert!(error.is_disconnect() && !error.may_have_executed(), "{make}: {error:?}");
            assert!(error.to_string().contains(name), "{make}: {error}");
        }
        db.close();
        db.query("SELECT 1", ()).unwrap();
    }
}

fn code_leaves_something_unknown(server: &Server) {
    for code in [
        "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$",
        "/* app */ CALL lock()",
        "DO $$ BEGIN SET app.tenant = '7'; END $$",
        "-- app\nDO $$ BEGIN RAISE NOTICE 'nothing'; END $$",
    ] {
        let opened = Opened::new(server);
        let db = &opened.db;
        run(db, &["CREATE PROCEDURE lock() LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(1); END $$"]);
        run(db, &[code]);
        assert!(held(db).contains("not known"), "{code}: {}", held(db));
        opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
        assert!(db.query("SELECT 1", ()).unwrap_err().is_disconnect(), "{code}");
        db.close();
        run(db, &[code, "DISCARD ALL"]);
        assert_eq!(held(db), "nothing", "{code}");
    }
}

/// The server itself refuses what a new session cannot know.
fn the_last_number_of_another_session(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    run(db, &["CREATE TABLE parent (id SERIAL PRIMARY KEY)", "CREATE TABLE child (parent INT)"]);
    run(db, &["INSERT INTO parent DEFAULT VALUES", "INSERT INTO child VALUES (lastval())"]);
    for last in ["lastval()", "currval('parent_id_seq')", "currval(pg_get_serial_sequence('parent', 'id'))"] {
        run(db, &["INSERT INTO parent DEFAULT VALUES"]);
        opened.database.admin().kill_and_wait(db.server_connection_id().unwrap());
        let error = db.execute(&format!("INSERT INTO child VALUES ({last})"), ()).unwrap_err();
        assert_eq!(error.code().as_deref(), Some("55000"), "{error:?}");
    }
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM child", ()).unwrap(), 1);
}
