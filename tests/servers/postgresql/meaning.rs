//! A text that was prepared runs in the meaning that it has now.

use std::cell::Cell;

use dockline::{Connection, Error, Retry, params};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]);
    vec![
        only(case!(a_schema_for_each_tenant)),
        only(case!(a_search_path_of_the_session)),
        only(case!(a_search_path_that_is_rolled_back)),
        only(case!(a_temporary_table_shadows_another)),
        only(case!(a_table_in_an_earlier_schema)),
        only(case!(a_type_that_is_made_anew)),
        only(case!(types_are_looked_up_when_all_prepared_statements_are_gone)),
        only(case!(a_column_of_another_type)),
        only(case!(a_table_that_others_change)),
        only(case!(a_block_that_meets_a_migration_can_be_tried_again)),
        only(case!(a_role_has_its_own_schema)),
        only(case!(backslashes_are_read_as_the_session_reads_them)),
        only(case!(code_of_the_database_changes_the_meaning)),
        only(case!(the_driver_changes_the_meaning)),
        only(case!(text_stays_what_it_is)),
    ]
}

fn count(db: &Connection, sql: &str) -> i64 {
    db.query_value(sql, ()).unwrap()
}

/// Each has its own columns, of its own types.
fn a_schema_for_each_tenant(server: &Server) {
    const TENANTS: i64 = 12;
    let Opened { db, .. } = &Opened::new(server);
    for n in 0..TENANTS {
        db.execute(&format!("CREATE SCHEMA t{n}"), ()).unwrap();
        let of_its_own = match n % 3 {
            0 => "id INTEGER, who TEXT, at TIMESTAMP",
            1 => "id TEXT, who TEXT, at TIMESTAMPTZ, more INTEGER DEFAULT 5",
            _ => "who VARCHAR(20), id NUMERIC(20, 4), at TEXT",
        };
        db.execute(&format!("CREATE TABLE t{n}.acc ({of_its_own})"), ()).unwrap();
    }
    for round in 0..3_i64 {
        for n in 0..TENANTS {
            db.atomic(|| {
                if round == 1 {
                    db.query("SELECT set_config('search_path', ?, true)", params![format!("t{n}")])?;
                } else {
                    db.execute(&format!("SET LOCAL search_path = t{n}"), ())?;
                }
                db.execute(
                    "INSERT INTO acc (id, who) VALUES (?, ?)",
                    params![round.to_string(), format!("tenant {n}")],
                )?;
                let rows = db.query("SELECT * FROM acc", ())?;
                assert_eq!(rows.len(), usize::try_from(round + 1).unwrap());
                assert_eq!(rows[0].get::<String, _>("who")?, format!("tenant {n}"));
                assert_eq!(rows[0].len(), if n % 3 == 1 { 4 } else { 3 });
                db.execute("UPDATE acc SET who = who WHERE id = ?", params![round.to_string()])?;
                Ok::<_, Error>(())
            })
            .unwrap_or_else(|error| panic!("tenant {n} in round {round}: {error:?}"));
        }
    }
    for n in 0..TENANTS {
        assert_eq!(count(db, &format!("SELECT count(*) FROM t{n}.acc WHERE who = 'tenant {n}'")), 3);
    }
    assert!(db.query("SELECT * FROM acc", ()).is_err(), "the path is what it was");
}

fn a_search_path_of_the_session(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    for (schema, who) in [("a", 1), ("b", 2)] {
        db.execute(&format!("CREATE SCHEMA {schema}"), ()).unwrap();
        db.execute(&format!("CREATE TABLE {schema}.acc AS SELECT {who} AS who"), ()).unwrap();
    }
    db.execute("CREATE TABLE acc AS SELECT 0.5::NUMERIC AS who, 'base' AS name", ()).unwrap();
    let who = || count(db, "SELECT (who * 2)::int8 FROM acc");
    for _ in 0..2 {
        assert_eq!(who(), 1);
        db.execute("SET search_path = a", ()).unwrap();
        assert_eq!(who(), 2);
        db.execute("UPDATE acc SET who = who + ?", params![10]).unwrap();
        db.execute("SET SESSION search_path TO b, a", ()).unwrap();
        assert_eq!(who(), 4);
        db.execute("UPDATE acc SET who = who + ?", params![0]).unwrap();
        db.query("SELECT set_config('search_path', 'a', false)", ()).unwrap();
        db.execute("UPDATE acc SET who = who - ?", params![10]).unwrap();
        assert_eq!(who(), 2);
        db.execute("SET search_path TO DEFAULT", ()).unwrap();
        assert_eq!(who(), 1);
        db.execute("SET search_path = b", ()).unwrap();
        assert_eq!(who(), 4);
        db.execute("RESET ALL", ()).unwrap();
        assert_eq!(who(), 1);
        db.execute("SET SCHEMA 'b'", ()).unwrap();
        assert_eq!(who(), 4);
        db.execute("DISCARD ALL", ()).unwrap();
    }
}

fn a_search_path_that_is_rolled_back(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE SCHEMA a", ()).unwrap();
    db.execute("CREATE TABLE a.acc AS SELECT 'a' AS who, 1 AS more", ()).unwrap();
    db.execute("CREATE TABLE acc AS SELECT 'base'::text AS who", ()).unwrap();
    let who = || db.query_one("SELECT * FROM acc", ()).unwrap().get::<String, _>("who").unwrap();
    for statement in ["SET search_path = a", "SET LOCAL search_path = a"] {
        assert_eq!(who(), "base");
        db.atomic(|| {
            let inner = db.atomic(|| {
                db.execute(statement, ())?;
                assert_eq!(who(), "a");
                Err::<(), _>(dockline::Error::new(dockline::ErrorKind::Data, "on purpose"))
            });
            inner.unwrap_err();
            assert_eq!(who(), "base", "{statement}");
            db.execute("SAVEPOINT s", ())?;
            db.execute(statement, ())?;
            assert_eq!(who(), "a");
            db.execute("ROLLBACK TO SAVEPOINT s", ())?;
            assert_eq!(who(), "base");
            db.execute(statement, ())?;
            db.execute("RELEASE SAVEPOINT s", ())?;
            assert_eq!(who(), "a");
            db.set_rollback(true)?;
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(who(), "base", "{statement}");
    }
    db.atomic(|| db.execute("SET search_path = a", ()).map(drop)).unwrap();
    assert_eq!(who(), "a", "what is committed stays");
}

fn a_temporary_table_shadows_another(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE sh AS SELECT 'base'::text AS x", ()).unwrap();
    let x = || db.query_value::<String>("SELECT x FROM sh", ()).unwrap();
    let write = || db.execute("UPDATE sh SET x = x || ?", params!["!"]).unwrap();
    for make in [
        "CREATE TEMP TABLE sh AS SELECT 'temp'::text AS x",
        "CREATE TABLE pg_temp.sh AS SELECT 'temp'::text AS x",
        "SELECT 'temp'::text AS x INTO TEMPORARY sh",
        "CREATE TEMPORARY VIEW sh AS SELECT 'temp'::text AS x",
        "/* app */ create temporary table sh as select 'temp'::text as x",
    ] {
        assert_eq!(x(), "base");
        db.execute(make, ()).unwrap();
        assert_eq!(x(), "temp", "{make}");
        db.execute(if make.contains("VIEW") { "DROP VIEW sh" } else { "DROP TABLE sh" }, ()).unwrap();
        assert_eq!(x(), "base", "{make}");
        // And again inside transactions.
        db.atomic(|| {
            assert_eq!(x(), "base");
            let inner = db.atomic(|| {
                db.execute(make, ())?;
                assert_eq!(x(), "temp", "{make}");
                db.set_rollback(true)
            });
            inner.unwrap();
            assert_eq!(x(), "base", "{make}");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(x(), "base", "{make}");
    }
    db.atomic(|| {
        db.execute("CREATE TEMP TABLE sh ON COMMIT DROP AS SELECT 'temp'::text AS x", ())?;
        assert_eq!((x(), write()), ("temp".to_owned(), 1));
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(x(), "base");
    write();
    assert_eq!(x(), "base!");
    db.execute("CREATE TEMP TABLE sh AS SELECT 'temp'::text AS x", ()).unwrap();
    assert_eq!(x(), "temp");
    db.execute("DISCARD TEMP", ()).unwrap();
    assert_eq!(x(), "base!");
}

fn a_table_in_an_earlier_schema(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE SCHEMA early", ()).unwrap();
    db.execute("CREATE SCHEMA late", ()).unwrap();
    db.execute("SET search_path = early, late", ()).unwrap();
    db.execute("CREATE TABLE late.acc AS SELECT 1 AS who", ()).unwrap();
    db.execute("CREATE TABLE late.other AS SELECT 3 AS who", ()).unwrap();
    let who = || count(db, "SELECT who::int8 FROM acc");
    assert_eq!(who(), 1);
    db.execute("CREATE TABLE early.acc AS SELECT 2 AS who", ()).unwrap();
    assert_eq!(who(), 2);
    db.execute("ALTER TABLE acc RENAME TO gone", ()).unwrap();
    assert_eq!(who(), 1);
    db.execute("ALTER TABLE late.other SET SCHEMA early", ()).unwrap();
    db.execute("ALTER TABLE early.other RENAME TO acc", ()).unwrap();
    assert_eq!(who(), 3);
    db.execute("CREATE FUNCTION late.f(n BIGINT) RETURNS INT LANGUAGE sql AS 'SELECT 1'", ()).unwrap();
    assert_eq!(count(db, "SELECT f(1)::int8"), 1);
    db.execute("CREATE FUNCTION late.f(n INT) RETURNS INT LANGUAGE sql AS 'SELECT 2'", ()).unwrap();
    assert_eq!(count(db, "SELECT f(1)::int8"), 2);
}

fn a_type_that_is_made_anew(server: &Server) {
    let opened = Opened::new(server);
    let (db, mut admin) = (&opened.db, opened.database.admin());
    db.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')", ()).unwrap();
    db.execute("CREATE TABLE t (id INT, m mood)", ()).unwrap();
    let read = || db.query_value::<String>("SELECT m::text FROM t WHERE m >= 'sad'::mood", ());
    let write = |text: &str| db.execute("INSERT INTO t VALUES (1, ?::text::mood)", params![text]);
    for by_others in [false, true] {
        for in_block in [false, true] {
            db.execute("TRUNCATE t", ()).unwrap();
            write("happy").unwrap();
            assert_eq!(read().unwrap(), "happy");
            let anew = [
                "ALTER TABLE t DROP COLUMN m",
                "DROP TYPE mood",
                "CREATE TYPE mood AS ENUM ('sad', 'fine', 'happy')",
                "ALTER TABLE t ADD COLUMN m mood",
            ];
            for sql in anew {
                if by_others {
                    admin.execute(sql);
                } else {
                    db.execute(sql, ()).unwrap();
                }
            }
            db.execute("DELETE FROM t", ()).unwrap();
            let work = || {
                write("fine")?;
                assert_eq!(read()?, "fine");
                Ok::<_, Error>(())
            };
            if in_block { db.atomic(work) } else { work() }
                .unwrap_or_else(|error| panic!("by others: {by_others}, in a block: {in_block}: {error:?}"));
        }
    }
}

fn a_column_of_another_type(server: &Server) {
    let opened = Opened::new(server);
    let (db, mut admin) = (&opened.db, opened.database.admin());
    db.execute("CREATE TABLE t (a INTEGER, b TEXT)", ()).unwrap();
    let write = |n: i64| db.execute("INSERT INTO t (a) VALUES (?)", params![n]);
    write(1).unwrap();
    for (n, to) in [(2, "BIGINT"), (3, "TEXT"), (4, "NUMERIC USING a::numeric"), (5, "BOOLEAN USING a > 2")] {
        admin.execute(&format!("ALTER TABLE t ALTER COLUMN a TYPE {to}"));
        match n {
            3 => db.execute("INSERT INTO t (a) VALUES (?)", params![n.to_string()]),
            5 => db.execute("INSERT INTO t (a) VALUES (?)", params![true]),
            _ => write(n),
        }
        .unwrap_or_else(|error| panic!("{to}: {error:?}"));
    }
    assert_eq!(count(db, "SELECT count(*) FROM t"), 5);
    // Of one's own, outside and inside a block.
    db.execute("CREATE TABLE u (a INTEGER)", ()).unwrap();
    let add = |n: i64| db.execute("INSERT INTO u VALUES (?)", params![n]);
    add(1).unwrap();
    db.execute("ALTER TABLE u ALTER COLUMN a TYPE BIGINT", ()).unwrap();
    add(5_000_000_000).unwrap();
    db.atomic(|| {
        add(2)?;
        db.execute("ALTER TABLE u ALTER COLUMN a TYPE NUMERIC(30, 2)", ())?;
        add(3)?;
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(count(db, "SELECT count(*) FROM u"), 4);
}

/// The first statement of a block, and one outside, heal by themselves.
fn a_table_that_others_change(server: &Server) {
    let opened = Opened::new(server);
    let (db, mut admin) = (&opened.db, opened.database.admin());
    db.execute("CREATE TABLE t AS SELECT 1 AS a", ()).unwrap();
    let all = || db.query("SELECT * FROM t", ());
    assert_eq!(all().unwrap()[0].len(), 1);
    for (n, change) in [
        "ALTER TABLE t ADD COLUMN b INTEGER",
        "ALTER TABLE t ALTER COLUMN a TYPE TEXT",
        "ALTER TABLE t DROP COLUMN b",
        "DROP TABLE t; CREATE TABLE t AS SELECT 1 AS a, 2 AS b, 3 AS c; GRANT ALL ON t TO PUBLIC",
        "ALTER TABLE t RENAME COLUMN c TO d",
    ]
    .into_iter()
    .enumerate()
    {
        change.split("; ").for_each(|sql| admin.execute(sql));
        let rows =
            if n % 2 == 0 { db.atomic(all) } else { all() }.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        assert_eq!(rows[0].len(), [2, 2, 1, 3, 3][n], "{change}");
    }
}

fn a_block_that_meets_a_migration_can_be_tried_again(server: &Server) {
    let opened = Opened::new(server);
    let (db, mut admin) = (&opened.db, opened.database.admin());
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    db.execute("CREATE TABLE log (n INTEGER)", ()).unwrap();
    let changes = [
        "ALTER TABLE t ALTER COLUMN a TYPE TEXT USING a::text",
        "ALTER TABLE t ALTER COLUMN a TYPE INTEGER USING a::integer",
        "ALTER TABLE t ADD COLUMN b INTEGER",
    ];
    db.execute("INSERT INTO log VALUES (?)", params![0]).unwrap();
    db.execute("INSERT INTO t (a) VALUES (7)", ()).unwrap();
    db.query("SELECT * FROM t WHERE a = '7'", ()).unwrap();
    for change in changes {
        let tries = Cell::new(0);
        Retry::new()
            .run(db, || {
                db.execute("INSERT INTO log VALUES (?)", params![1])?;
                if tries.replace(tries.get() + 1) == 0 {
                    admin.execute(change);
                }
                db.query("SELECT * FROM t WHERE a = '7'", ())?;
                Ok::<_, Error>(())
            })
            .unwrap_or_else(|error| panic!("{change}: {error:?}"));
        assert_eq!(tries.get(), 2, "{change}");
    }
    assert_eq!(count(db, "SELECT count(*) FROM log"), 4);
    // What is wrong for good is not tried again.
    db.query("SELECT a FROM t", ()).unwrap();
    let tries = Cell::new(0);
    let error = Retry::new()
        .run(db, || {
            db.execute("INSERT INTO log VALUES (?)", params![1])?;
            if tries.replace(tries.get() + 1) == 0 {
                admin.execute("ALTER TABLE t RENAME COLUMN a TO gone");
            }
            db.query("SELECT a FROM t", ()).map(drop)
        })
        .unwrap_err();
    assert_eq!((error.code().as_deref(), tries.get()), (Some("42703"), 1));
}

fn a_role_has_its_own_schema(server: &Server) {
    let opened = Opened::new(server);
    let (db, mut admin) = (&opened.db, opened.database.admin());
    let name: String = db.query_value("SELECT current_database()::text", ()).unwrap();
    let role = format!("reader_{name}");
    admin.execute(&format!("CREATE ROLE {role}"));
    let user: String = db.query_value("SELECT current_user::text", ()).unwrap();
    admin.execute(&format!("GRANT {role} TO {user}"));
    db.execute(&format!("CREATE SCHEMA {role}"), ()).unwrap();
    db.execute(&format!("GRANT USAGE ON SCHEMA {role}, public TO {role}"), ()).unwrap();
    db.execute(&format!("CREATE TABLE {role}.acc AS SELECT 'role' AS who, 1 AS more"), ()).unwrap();
    db.execute("CREATE TABLE acc AS SELECT 'base'::text AS who", ()).unwrap();
    db.execute(&format!("GRANT SELECT ON {role}.acc TO {role}"), ()).unwrap();
    let who = || db.query_one("SELECT * FROM acc", ()).unwrap().get::<String, _>("who").unwrap();
    for _ in 0..2 {
        assert_eq!(who(), "base");
        db.execute(&format!("SET ROLE {role}"), ()).unwrap();
        assert_eq!(who(), "role");
        db.execute("RESET ROLE", ()).unwrap();
        assert_eq!(who(), "base");
        db.atomic(|| {
            db.execute(&format!("SET LOCAL ROLE {role}"), ())?;
            assert_eq!(who(), "role");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(who(), "base");
    }
    // A right that it does not have.
    db.execute("CREATE TABLE secret AS SELECT 1 AS a", ()).unwrap();
    assert_eq!(count(db, "SELECT a::int8 FROM secret"), 1);
    db.execute(&format!("SET ROLE {role}"), ()).unwrap();
    assert_eq!(db.query("SELECT a::int8 FROM secret", ()).unwrap_err().code().as_deref(), Some("42501"));
    db.execute("RESET ROLE", ()).unwrap();
    db.execute(&format!("DROP OWNED BY {role}"), ()).unwrap_or_default();
    db.close();
    for sql in [format!("DROP OWNED BY {role} CASCADE"), format!("DROP ROLE {role}")] {
        admin.try_execute(&sql).unwrap_or_default();
    }
}

fn backslashes_are_read_as_the_session_reads_them(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let sql = r"SELECT 'it\'s ?', ?";
    assert!(db.query(sql, params![1]).is_err(), "the quote ends the text");
    let read = |sql: &str| db.query_one(sql, params!["x"]).unwrap().decode::<(String, String)>().unwrap();
    assert_eq!(read(r"SELECT 'a\', ?"), (r"a\".to_owned(), "x".to_owned()));
    db.execute("SET standard_conforming_strings = off", ()).unwrap();
    assert_eq!(read(r"SELECT 'it\'s ?', ?"), ("it's ?".to_owned(), "x".to_owned()));
    db.execute("RESET standard_conforming_strings", ()).unwrap();
    assert_eq!(read(r"SELECT 'a\', ?"), (r"a\".to_owned(), "x".to_owned()));
}

fn code_of_the_database_changes_the_meaning(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE sh AS SELECT 'base'::text AS x", ()).unwrap();
    let x = || db.query_value::<String>("SELECT x FROM sh", ()).unwrap();
    assert_eq!(x(), "base");
    db.execute("DO $$ BEGIN CREATE TEMP TABLE sh AS SELECT 'do'::text AS x; END $$", ()).unwrap();
    assert_eq!(x(), "do");
    db.execute("DROP TABLE sh", ()).unwrap();
    assert_eq!(x(), "base");
    db.execute(
        "CREATE PROCEDURE shadow() LANGUAGE plpgsql AS \
         $$ BEGIN CREATE TEMP TABLE sh AS SELECT 'call'::text AS x; END $$",
        (),
    )
    .unwrap();
    assert_eq!(x(), "base");
    db.execute("-- app\nCALL shadow()", ()).unwrap();
    assert_eq!(x(), "call");
    db.execute("DROP TABLE pg_temp.sh", ()).unwrap();
    db.atomic(|| {
        assert_eq!(x(), "base");
        db.execute("CALL shadow()", ())?;
        assert_eq!(x(), "call");
        db.set_rollback(true)
    })
    .unwrap();
    assert_eq!(x(), "base");
}

fn the_driver_changes_the_meaning(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE sh AS SELECT 'base'::text AS x", ()).unwrap();
    let x = || db.query_value::<String>("SELECT x FROM sh", ()).unwrap();
    assert_eq!(x(), "base");
    db.native(|client: &mut postgres::Client| {
        client.batch_execute("CREATE TEMP TABLE sh AS SELECT 'native'::text AS x")
    })
    .unwrap()
    .unwrap();
    assert_eq!(x(), "native");
    db.execute("DROP TABLE sh", ()).unwrap();
    db.atomic(|| {
        assert_eq!(x(), "base");
        db.native(|client: &mut postgres::Client| {
            client.batch_execute("CREATE TEMP TABLE sh ON COMMIT DROP AS SELECT 'native'::text AS x")
        })?
        .unwrap();
        assert_eq!(x(), "native");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(x(), "base");
}

fn text_stays_what_it_is(server: &Server) {
    const TEXT: &str = "é€🦀";
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        db.execute("CREATE TABLE t (a TEXT)", ()).unwrap();
        let store = || db.execute("INSERT INTO t VALUES (?), ('é€🦀')", params![TEXT]);
        for sql in [
            "SET NAMES latin1",
            "SET client_encoding = 'LATIN1'",
            "SELECT set_config('client_encoding', 'WIN1252', false)",
        ] {
            let error = db.execute(sql, ()).unwrap_err();
            assert!(error.message().contains("client_encoding") && !error.may_have_executed(), "{error:?}");
            store().unwrap();
        }
        db.execute("SET client_encoding = 'UTF8'", ()).unwrap();
        store().unwrap();
        // Where nobody can see it coming.
        db.execute(
            "CREATE FUNCTION other() RETURNS VOID LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM set_config('client_encoding', 'LATIN1', false); END $$",
            (),
        )
        .unwrap();
        db.execute("SELECT other()", ()).unwrap();
        store().unwrap();
        db.atomic(|| {
            db.execute("SELECT other()", ())?;
            store()?;
            Ok::<_, Error>(())
        })
        .unwrap();
        db.execute("DO $$ BEGIN SET client_encoding = 'LATIN1'; END $$", ()).unwrap();
        store().unwrap();
        db.native(|client: &mut postgres::Client| client.batch_execute("SET NAMES 'latin1'")).unwrap().unwrap();
        store().unwrap();
        let wrong: i64 = db.query_value("SELECT count(*) FROM t WHERE a <> U&'\\00E9\\20AC\\+01F980'", ()).unwrap();
        assert_eq!((wrong, count(db, "SELECT count(*) FROM t")), (0, 16), "prepares: {prepares}");
        assert!(db.query("SELECT a FROM t", ()).unwrap().iter().all(|row| row.get::<String, _>(0).unwrap() == TEXT));
    }
}

/// The driver looks types up by prepared statements of its own.
fn types_are_looked_up_when_all_prepared_statements_are_gone(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    for (at, sql) in ["DEALLOCATE ALL", "DISCARD ALL", "DISCARD ALL", "DEALLOCATE ALL"].into_iter().enumerate() {
        for kind in ["mood", "other"] {
            db.execute(&format!("CREATE TYPE {kind}{at} AS ENUM ('sad', 'happy')"), ()).unwrap();
            db.execute(&format!("CREATE TYPE with_{kind}{at} AS (a INTEGER, m {kind}{at})"), ()).unwrap();
        }
        let read = |kind: &str| {
            let mood: String = db.query_value(&format!("SELECT ?::{kind}{at}"), params!["sad"]).unwrap();
            let both = db.query_value::<dockline::Value>(&format!("SELECT (?, 'sad')::with_{kind}{at}"), params![7]);
            assert_eq!((mood.as_str(), both.unwrap().text().as_deref()), ("sad", Some("(7,sad)")), "{sql}");
        };
        read("mood");
        db.execute(sql, ()).unwrap();
        read("mood");
        read("other");
        // Another time in a block, which goes on.
        db.atomic(|| {
            db.execute("DEALLOCATE ALL", ())?;
            db.execute(&format!("CREATE TYPE third{at} AS ENUM ('sad')"), ())?;
            db.query_value::<String>(&format!("SELECT ?::third{at}"), params!["sad"])
        })
        .unwrap();
        assert_eq!(count(db, "SELECT count(*) FROM pg_prepared_statements WHERE name !~ '^s[0-9]+$'"), 0);
    }
}
