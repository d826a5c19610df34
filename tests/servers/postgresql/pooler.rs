//! Behind a pooler in transaction mode: no statement has a name, also if a column has a type of the database's own, and its values are those
//! of a connection that prepares.

use std::ops::ControlFlow;

use dockline::{Connection, Connections, Error, ErrorKind, Value, params};
use dockline_tests::servers::{Kind, PgBouncer, Server};

use crate::case::{Case, case};
use crate::opened::{Opened, settings};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(types_of_the_databases_own_need_no_names).only(&[Kind::Postgres]).private().needs(PgBouncer::available),
        case!(a_type_that_changes_is_that_of_now).only(&[Kind::Postgres]),
        case!(what_cannot_be_read_is_not_run).only(&[Kind::Postgres]),
        case!(who_borrows_the_driver_has_its_types).only(&[Kind::Postgres]),
    ]
}

const TYPES: &[&str] = &[
    "CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy')",
    "CREATE DOMAIN whole AS INTEGER CHECK (VALUE >= 0)",
    "CREATE DOMAIN good AS mood CHECK (VALUE <> 'sad')",
    "CREATE TYPE pair AS (a whole, m mood)",
    "CREATE TYPE nest AS (p pair, many mood[], w TEXT)",
    "CREATE TYPE moods AS RANGE (SUBTYPE = mood)",
    "CREATE TABLE t (id INTEGER, m mood, n whole, g good, many mood[], p pair, ps pair[], x nest, r moods)",
    "CREATE FUNCTION put(n INTEGER) RETURNS t LANGUAGE sql AS $$ INSERT INTO t (id, m) VALUES (n, 'sad') RETURNING t $$",
];

const INSERT: &str = "INSERT INTO t (id, m, n, g, many, p, ps, x, r) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
                      RETURNING id, m, n, g, many, p, ps, x, r";

fn row(id: i64) -> Vec<Value> {
    params![
        id,
        "happy",
        id,
        "so so",
        vec!["sad".to_owned(), "happy".to_owned()],
        "(1,\"so so\")",
        "{\"(1,sad)\",\"(2,)\"}",
        "(\"(3,happy)\",\"{sad,happy}\",\"two words\")",
        "[sad,happy)"
    ]
    .to_vec()
}

/// One client of the pooler, as a process of its own would be one.
struct Process {
    db: Connection,
    _connections: Connections,
}

impl Process {
    fn new(url: &str) -> Self {
        let connections = dockline_tests::connections(settings(url).prepared_statements(false));
        Self { db: connections.get("default").unwrap(), _connections: connections }
    }
}

fn values(db: &Connection, sql: &str, params: Vec<Value>) -> Vec<Vec<Value>> {
    let rows = db.query(sql, params).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| row.values().to_vec()).collect()
}

fn types_of_the_databases_own_need_no_names(server: &Server) {
    let pooler = PgBouncer::with_sessions(server, 1);
    let direct = &Opened::new(server);
    for sql in TYPES {
        direct.db.execute(sql, ()).unwrap();
    }
    let wanted = values(&direct.db, INSERT, row(0));
    let url = direct.database.url_via(pooler.port());
    let processes = [Process::new(&url), Process::new(&url)];
    let mut stored = 1;
    for round in 1..=3_i64 {
        for (at, Process { db, .. }) in (0..).zip(&processes) {
            let id = 10 * round + at;
            let mut got = values(db, INSERT, row(id));
            assert_eq!((&got[0][0], &got[0][2]), (&Value::Int(id), &Value::Int(id)));
            (got[0][0], got[0][2]) = (Value::Int(0), Value::Int(0));
            assert_eq!(got, wanted);
            stored += 1;
            // A function that writes, and gives a composite type.
            values(db, "SELECT put(?)", params![1_000 + id].to_vec());
            values(db, "SELECT * FROM put(?)", params![2_000 + id].to_vec());
            stored += 2;
            for sql in [
                "SELECT * FROM t ORDER BY id",
                "SELECT t, ROW(m, 1), ARRAY[p, p], ARRAY[r], x, (x).p FROM t ORDER BY id",
                "SELECT m, count(*) FROM t GROUP BY m ORDER BY m",
                "UPDATE t SET m = 'so so' WHERE id = 0 RETURNING m, p, many",
            ] {
                assert_eq!(values(db, sql, vec![]), values(&direct.db, sql, vec![]), "{sql}");
            }
            let found = values(db, "SELECT id FROM t WHERE m = ? AND ? = ANY(many)", params!["happy", "sad"].to_vec());
            assert_eq!(found, values(&direct.db, "SELECT id FROM t WHERE m = 'happy' AND 'sad' = ANY(many)", vec![]));
            streams(db, &direct.db);
            let rows = (0..3).map(|n| params![5_000 + id + n, "sad"]);
            assert_eq!(db.execute_many("INSERT INTO t (id, m) VALUES (?, ?)", rows).unwrap(), 3);
            stored += 3;
            let named = "SELECT count(*) FROM pg_prepared_statements";
            assert_eq!(db.query_value::<i64>(named, ()).unwrap(), 0);
            assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), stored);
        }
    }
}

fn streams(db: &Connection, direct: &Connection) {
    let sql = "SELECT m, p, s FROM t, generate_series(1, 150) AS s ORDER BY id, s";
    let read = |db: &Connection| {
        let mut rows = Vec::new();
        db.query_each::<()>(sql, (), |row| {
            rows.push(row.values().to_vec());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        rows
    };
    let wanted = read(direct);
    assert_eq!(read(db), wanted);
    db.atomic(|| {
        assert_eq!(read(db), wanted);
        Ok::<_, Error>(())
    })
    .unwrap();
}

fn a_type_that_changes_is_that_of_now(server: &Server) {
    let Opened { db, connections, database } = &Opened::with(server, |settings| settings.prepared_statements(false));
    connections.add("other", settings(&database.url())).unwrap();
    let other = connections.get("other").unwrap();
    for sql in ["CREATE TYPE p AS (a INTEGER, b TEXT)", "CREATE TYPE m AS ENUM ('x')"] {
        other.execute(sql, ()).unwrap();
    }
    let text = |sql: &str| db.query_value::<String>(sql, ()).unwrap();
    assert_eq!(text("SELECT ROW(1, 'x')::p"), "(1,x)");
    assert_eq!(text("SELECT 'x'::m"), "x");
    for sql in
        ["ALTER TYPE p ADD ATTRIBUTE c m", "ALTER TYPE p ALTER ATTRIBUTE b TYPE INTEGER", "ALTER TYPE m ADD VALUE 'y'"]
    {
        other.execute(sql, ()).unwrap();
    }
    assert_eq!(text("SELECT ROW(1, 2, 'y')::p"), "(1,2,y)");
    assert_eq!(text("SELECT 'y'::m"), "y");
    for sql in ["DROP TYPE p", "DROP TYPE m", "CREATE TYPE m AS (n BIGINT)", "CREATE DOMAIN p AS m"] {
        other.execute(sql, ()).unwrap();
    }
    assert_eq!(text("SELECT ROW(1)::m"), "(1)");
    assert_eq!(text("SELECT ROW(7)::p"), "(7)");
}

/// As on a connection that prepares: what would change something, and could not be read after that.
fn what_cannot_be_read_is_not_run(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        db.execute("CREATE TYPE odd AS (v TSVECTOR)", ()).unwrap();
        db.execute("CREATE TABLE t (id INTEGER, o odd, price MONEY)", ()).unwrap();
        let error = db.query("INSERT INTO t VALUES (1, '(a)') RETURNING o", ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSupported, "{error:?}");
        assert!(error.message().contains("not run") && !error.may_have_executed(), "{error:?}");
        let streamed =
            db.query_each::<()>("INSERT INTO t VALUES (1, '(a)') RETURNING o", (), |_| Ok(ControlFlow::Continue(())));
        assert_eq!(streamed.unwrap_err().kind(), ErrorKind::NotSupported);
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0);
        let price = db.query_one("INSERT INTO t VALUES (2, '(b)', '1.50') RETURNING price, o::text", ()).unwrap();
        assert_eq!(price.get::<String, _>(0).unwrap(), "$1.50");
        // A statement that is wrong has its own error, in a block and outside.
        for sql in ["INSERT INTO t VALUES (3) RETURNING nothing", "SELECT nobody(1)", "SELEC 1"] {
            let error = db.query(sql, ()).unwrap_err();
            assert!(error.code().is_some_and(|code| code.starts_with("42")) && !error.may_have_executed(), "{error:?}");
            let inside = db.atomic(|| db.query(sql, ()).map(drop)).unwrap_err();
            assert_eq!(inside.code(), error.code());
        }
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 1);
    }
}

fn who_borrows_the_driver_has_its_types(server: &Server) {
    let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(false));
    db.execute("CREATE TYPE mood AS ENUM ('sad')", ()).unwrap();
    assert_eq!(db.query_value::<String>("SELECT 'sad'::mood", ()).unwrap(), "sad");
    let name = db
        .native(|client: &mut postgres::Client| {
            client.query_one("SELECT 'sad'::mood", &[]).unwrap().columns()[0].type_().name().to_owned()
        })
        .unwrap();
    assert_eq!(name, "mood");
    assert_eq!(db.query_value::<String>("SELECT 'sad'::mood", ()).unwrap(), "sad");
}
