//! What a text does, whatever stands in front of its first word.

use dockline::{ErrorKind, Value, params};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_routine_is_never_run_twice).only(Kind::MYSQLS),
        case!(a_file_of_the_client_is_never_loaded).only(Kind::MYSQLS),
        case!(two_statements_in_a_text_are_refused).only(Kind::MYSQLS),
        case!(a_comment_that_runs_has_parameters).only(Kind::MYSQLS),
        case!(state_is_forgotten_when_it_ends),
        case!(what_changes_rows_is_counted_behind_a_with).only(&[Kind::Postgres]),
    ]
}

/// A routine that fails in the words of the server, which then says that a prepared statement is to be prepared again.
fn a_routine_is_never_run_twice(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
        let sql =
            "CREATE PROCEDURE p() BEGIN INSERT INTO t VALUES (1); SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1615; END";
        db.execute(sql, ()).unwrap();
        for (run, sql) in
            ["CALL p()", "/* app */ CALL p()", "-- app\n call/**/p()", "# app\nCALL p()", "/*! CALL */ p()"]
                .into_iter()
                .enumerate()
        {
            let error = db.execute(sql, ()).unwrap_err();
            assert_eq!(error.code().as_deref(), Some("1615"), "{sql}: {error:?}");
            assert!(error.may_have_executed(), "{sql}: {error:?}");
            let count: i64 = db.query_value("SELECT count(*) FROM t", ()).unwrap();
            assert_eq!(count, run as i64 + 1, "{sql}, prepares: {prepares}");
        }
    }
}

fn a_file_of_the_client_is_never_loaded(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
        for sql in [
            "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
            "/* app */ LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
            "-- app\nload/**/data/**/low_priority local infile 'x' into table t",
            "LOAD DATA /*!40000 LOCAL */ INFILE 'x' INTO TABLE t",
            "LOAD XML LOCAL INFILE 'x' INTO TABLE t",
        ] {
            let error = db.execute(sql, ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotSupported, "{sql}: {error:?}");
            assert!(!error.may_have_executed(), "{sql}: {error:?}");
        }
    }
}

fn two_statements_in_a_text_are_refused(server: &Server) {
    let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(false));
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();
    for sql in [
        "CREATE TABLE event (a INT); DELETE FROM t",
        "SELECT 1; DELETE FROM t",
        "/* procedure */ CREATE TABLE u (a INT); DELETE FROM t",
        "CREATE PROCEDURE p() SELECT 1; DELETE FROM t",
        "CREATE PROCEDURE p() BEGIN SELECT 1; END; DELETE FROM t",
        "SELECT 1/*! ; DELETE FROM t */",
        "SELECT 1--1; DELETE FROM t",
    ] {
        let error = db.execute(sql, ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Programming, "{sql}: {error:?}");
        assert!(!error.may_have_executed(), "{sql}: {error:?}");
    }
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);
    // The body of a routine belongs to it.
    db.execute("CREATE PROCEDURE p() BEGIN SELECT 1; DELETE FROM t; END", ()).unwrap();
    db.execute("CALL p()", ()).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
}

fn a_comment_that_runs_has_parameters(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        let text = |sql, params: &[Value]| db.query_value::<String>(sql, params).unwrap();
        assert_eq!(text("SELECT CONCAT(/*!40000 ?, */ ?)", &params!["a", "b"]), "ab");
        assert_eq!(text("SELECT CONCAT(/*!999999 ?, */ ?)", &params!["b"]), "b");
        assert!(db.query("SELECT /* ? */ 1", params![1]).is_err());
    }
}

/// What is no longer held does not keep a connection from being replaced.
fn state_is_forgotten_when_it_ends(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let texts: &[&[&str]] = if server.kind().is_postgres() {
        &[
            &["SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)"],
            &["LISTEN jobs", "UNLISTEN *"],
            &["SET app.tenant = '7'", "RESET app.tenant"],
            &["PREPARE x AS SELECT 1", "DEALLOCATE x"],
            &["BEGIN", "SELECT set_config('app.tenant', '7', true)", "COMMIT"],
            &["BEGIN", "SET LOCAL work_mem = '8MB'", "ROLLBACK"],
            &["CREATE TEMP TABLE s (a int)", "DROP TABLE s"],
        ]
    } else {
        &[
            &["SELECT GET_LOCK('dockline_texts', 1)", "SELECT RELEASE_LOCK('dockline_texts')"],
            &["SELECT 'GET_LOCK(1, 2)'"],
        ]
    };
    for texts in texts {
        for sql in *texts {
            db.query(sql, ()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
        server.admin().kill_and_wait(db.server_connection_id().unwrap());
        assert_eq!(db.query_value::<i64>("SELECT 5", ()).unwrap(), 5, "{texts:?}");
    }
}

fn what_changes_rows_is_counted_behind_a_with(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    let insert = "/* app */ WITH n AS (SELECT generate_series(1, 3) AS a) INSERT INTO t SELECT a FROM n";
    assert_eq!(db.execute(insert, ()).unwrap(), 3);
    assert_eq!(db.execute("WITH update AS (SELECT 1) SELECT * FROM update", ()).unwrap(), 0);
}
