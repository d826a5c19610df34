//! One program on every kind of database: only the URL differs, and where SQL itself does, a word of it.

use std::ops::ControlFlow;

use dockline::{Connection, ConstraintKind, Error, ErrorKind, Row, Settings, Value, params};
use dockline_tests::Database;
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(the_same_program_gives_the_same_summary),
        case!(a_unix_socket_makes_no_difference).private(),
        case!(placeholders_stand_outside_quotes_and_comments),
        case!(doubled_question_mark_is_an_operator).only(&[Kind::Postgres]),
        case!(execute_counts_rows_that_it_found),
        case!(rows_are_asked_for_one_by_one),
        case!(generated_keys),
        case!(errors_have_djangos_kinds),
        case!(constraints_are_named),
        case!(a_text_is_one_statement),
        case!(wrong_numbers_of_parameters),
        case!(texts_that_are_no_statement),
        case!(native_lends_the_drivers_object),
    ]
}

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Sqlite,
    Server(Kind),
}

impl Product {
    fn is_mysql(self) -> bool {
        matches!(self, Self::Server(Kind::MariaDb | Kind::Mysql))
    }

    fn is_postgres(self) -> bool {
        self == Self::Server(Kind::Postgres)
    }

    fn key(self) -> &'static str {
        match self {
            Self::Sqlite => "INTEGER PRIMARY KEY",
            Self::Server(Kind::Postgres) => "SERIAL PRIMARY KEY",
            Self::Server(_) => "INTEGER AUTO_INCREMENT PRIMARY KEY",
        }
    }
}

/// Runs a program on the server and on SQLite, each time in an empty database.
fn each<T>(server: &Server, program: impl Fn(&Connection, Product) -> T) -> [T; 2] {
    let opened = Opened::new(server);
    let file = Database::new();
    let embedded = file.connections();
    let embedded = embedded.get("default").unwrap();
    [program(&opened.db, Product::Server(server.kind())), program(&embedded, Product::Sqlite)]
}

/// Everything that a small program does, and what it saw of it.
fn summary(db: &Connection, product: Product) -> Vec<String> {
    let mut seen = Vec::new();
    db.execute(&format!("CREATE TABLE job (id {}, name VARCHAR(40) UNIQUE, size BIGINT)", product.key()), ()).unwrap();
    let insert = "INSERT INTO job (name, size) VALUES (?, ?)";
    seen.push(db.execute(insert, params!["resize", 1_u8]).unwrap().to_string());
    let rows = (0..150).map(|n| params![format!("job {n}"), i64::MAX - n]);
    seen.push(db.execute_many(insert, rows).unwrap().to_string());
    seen.push(db.execute(insert, params!["nothing", None::<i64>]).unwrap().to_string());
    let doubled = db.execute(insert, params!["resize", 2]).unwrap_err();
    seen.push(format!("{:?} {}", doubled.kind(), doubled.may_have_executed()));
    let by_name: (i64, Option<i64>) =
        db.query_one("SELECT id, size FROM job WHERE name = ?", params!["job 149"]).unwrap().decode().unwrap();
    // A key is used up by the row that was refused on some, so only the first ones are the same.
    seen.push(format!("{by_name:?}"));
    let none = db.query_opt("SELECT id FROM job WHERE name = ?", params!["no such"]).unwrap();
    seen.push(format!("{}", none.is_none()));
    let nothing: Option<i64> = db.query_value("SELECT size FROM job WHERE name = 'nothing'", ()).unwrap();
    seen.push(format!("{nothing:?}"));

    db.set_autocommit(false).unwrap();
    db.execute("DELETE FROM job", ()).unwrap();
    db.rollback().unwrap();
    db.execute("UPDATE job SET size = ? WHERE name LIKE ?", params![7, "job %"]).unwrap();
    db.commit().unwrap();
    db.set_autocommit(true).unwrap();
    let counted: i64 = db.query_value("SELECT count(*) FROM job WHERE size = ?", params![7]).unwrap();
    seen.push(counted.to_string());

    let rows: Vec<Row> =
        db.query("SELECT name AS Label, size FROM job WHERE size IS NOT NULL ORDER BY id", ()).unwrap();
    let labels: Vec<String> = rows.iter().take(3).map(|row| row.get("label").unwrap()).collect();
    seen.push(format!("{} {labels:?}", rows.len()));
    seen.push(format!("{:?}", db.query("SELECT name FROM job WHERE 1 = 0", ()).unwrap().len()));
    seen
}

fn the_same_program_gives_the_same_summary(server: &Server) {
    let [on_server, embedded] = each(server, summary);
    assert_eq!(on_server, embedded);
    assert_eq!(on_server[..3], ["1", "150", "1"]);
}

/// The driver of PostgreSQL lets nobody between itself and a Unix socket; it is given another one.
fn a_unix_socket_makes_no_difference(server: &Server) {
    let socket = server.socket();
    let socket = socket.to_str().unwrap();
    let over_socket = |settings: Settings| {
        if server.kind().is_postgres() { settings.host(socket) } else { settings.option("socket", socket) }
    };
    let product = Product::Server(server.kind());
    let over_tcp = summary(&Opened::new(server).db, product);
    for prepares in [true, false] {
        let opened = Opened::with(server, |settings| over_socket(settings).prepared_statements(prepares));
        let db = &opened.db;
        assert_eq!(summary(db, product), over_tcp);
        assert_eq!(db.execute("WITH x AS (SELECT 1 AS a) SELECT a FROM x", ()).unwrap(), 0);
        let listed = opened.database.admin().connections();
        assert_eq!(listed, [db.server_connection_id().unwrap()]);
    }
}

fn placeholders_stand_outside_quotes_and_comments(server: &Server) {
    each(server, |db, _| {
        db.execute("CREATE TABLE t (a INTEGER, b VARCHAR(20))", ()).unwrap();
        db.execute("INSERT INTO t (a, b) VALUES (?, '?'), (?, ?)", params![1, 2, "it's ?"]).unwrap();
        let found = |sql: &str, a: i64| db.query_value::<i64>(sql, params![a]).unwrap();
        assert_eq!(found("SELECT a FROM t WHERE b = '?' AND a = ?", 1), 1);
        assert_eq!(found("SELECT a FROM t /* ? */ WHERE a = ? -- ?", 2), 2);
        assert_eq!(found("SELECT a FROM t WHERE b <> 'it''s ?' AND a=?", 1), 1);
        assert_eq!(db.query_value::<String>("SELECT b FROM t WHERE a = ?", params![2]).unwrap(), "it's ?");
        // The same number of times as there are places, in their order.
        let sql = "SELECT a FROM t WHERE a IN (?, ?) AND (b = ? OR a = ?)";
        assert_eq!(db.query_value::<i64>(sql, params![1, 2, "?", 9]).unwrap(), 1);
    });
}

fn doubled_question_mark_is_an_operator(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let has = |key: &str| db.query_value::<bool>("SELECT '{\"a\": 1}'::jsonb ?? ?::text", params![key]).unwrap();
    assert!(has("a") && !has("b"));
}

fn execute_counts_rows_that_it_found(server: &Server) {
    let counts = each(server, |db, _| {
        db.execute("CREATE TABLE t (a INTEGER, b VARCHAR(20))", ()).unwrap();
        let count = |sql: &str| db.execute(sql, ()).unwrap();
        vec![
            count("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')"),
            count("UPDATE t SET b = 'x' WHERE a < 3"),
            // What an UPDATE leaves as it is counts as well: Django asks MySQL for found rows.
            count("UPDATE t SET b = 'x' WHERE a < 3"),
            count("UPDATE t SET b = 'y' WHERE a = 9"),
            count("SELECT a FROM t"),
            count("WITH x AS (SELECT a FROM t) SELECT a FROM x"),
            count("CREATE TABLE u (a INTEGER)"),
            count("INSERT INTO u SELECT a FROM t"),
            count("DELETE FROM t WHERE a = 1"),
            count("DELETE FROM t"),
            count("DROP TABLE u"),
        ]
    });
    assert_eq!(counts, [[3, 2, 2, 0, 0, 0, 0, 3, 1, 2, 0], [3, 2, 2, 0, 0, 0, 0, 3, 1, 2, 0]]);
}

fn rows_are_asked_for_one_by_one(server: &Server) {
    each(server, |db, _| {
        db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
        let all = "SELECT a FROM t ORDER BY a";
        assert!(db.query_opt(all, ()).unwrap().is_none());
        let none = db.query_one(all, ()).unwrap_err();
        assert_eq!((none.kind(), none.may_have_executed()), (ErrorKind::Data, true), "{none}");
        db.execute("INSERT INTO t VALUES (?)", params![5]).unwrap();
        assert_eq!(db.query_value::<i64>(all, ()).unwrap(), 5);
        assert_eq!(db.query_opt(all, ()).unwrap().unwrap().get::<i64, _>("A").unwrap(), 5);
        db.execute("INSERT INTO t VALUES (6), (7)", ()).unwrap();
        for error in [db.query_one(all, ()).unwrap_err(), db.query_opt(all, ()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(error.message().contains("more than one row"), "{error}");
        }
        let mut seen = Vec::new();
        let stopped = db.query_each(all, (), |row| {
            seen.push(row.get::<i64, _>(0)?);
            Ok(if seen.len() == 2 { ControlFlow::Break("two") } else { ControlFlow::Continue(()) })
        });
        assert_eq!(stopped.unwrap(), Some("two"));
        assert_eq!(seen, [5, 6]);
        let row = db.query_one("SELECT a, a + 1 AS Next FROM t WHERE a = 5", ()).unwrap();
        let unknown = row.get::<i64, _>("other").unwrap_err();
        assert_eq!((unknown.kind(), unknown.alias()), (ErrorKind::Programming, Some("default")));
        assert_eq!(row.decode::<(i64, i64)>().unwrap(), (5, 6));
    });
}

fn generated_keys(server: &Server) {
    each(server, |db, product| {
        db.execute(&format!("CREATE TABLE t (id {}, name VARCHAR(20))", product.key()), ()).unwrap();
        if product != Product::Server(Kind::Mysql) {
            let insert = "INSERT INTO t (name) VALUES (?) RETURNING id";
            assert_eq!(db.query_value::<i64>(insert, params!["a"]).unwrap(), 1);
            assert_eq!(db.query_value::<i64>(insert, params!["b"]).unwrap(), 2);
            assert_eq!(db.execute(insert, params!["c"]).unwrap(), 1, "it counts, whatever it returns");
            let both: Vec<(i64, String)> =
                db.query_as("INSERT INTO t (name) VALUES (?), (?) RETURNING id, name", params!["d", "e"]).unwrap();
            assert_eq!(both, [(4, "d".to_owned()), (5, "e".to_owned())]);
            let deleted: Vec<(i64,)> = db.query_as("DELETE FROM t WHERE name = ? RETURNING id", params!["b"]).unwrap();
            assert_eq!(deleted, [(2,)]);
        }
        if product.is_mysql() {
            db.execute("INSERT INTO t (id, name) VALUES (?, ?)", params![40, "f"]).unwrap();
            db.execute("INSERT INTO t (name) VALUES (?)", params!["g"]).unwrap();
            assert_eq!(db.query_value::<u64>("SELECT last_insert_id()", ()).unwrap(), 41);
        }
    });
}

/// What each product answers to a mistake is in Django's own notes; here the columns are SQLite, PostgreSQL, MySQL.
fn errors_have_djangos_kinds(server: &Server) {
    use ErrorKind::{Data, Integrity, Operational, Programming};

    type Expected = Option<(ErrorKind, &'static str)>;
    let expected: &[(&str, [Expected; 3])] = &[
        ("SELEC 1", [Some((Operational, "1")), Some((Programming, "42601")), Some((Programming, "1064"))]),
        (
            "SELECT * FROM missing",
            [Some((Operational, "1")), Some((Programming, "42P01")), Some((Programming, "1146"))],
        ),
        (
            "SELECT missing FROM t",
            [Some((Operational, "1")), Some((Programming, "42703")), Some((Operational, "1054"))],
        ),
        (
            "INSERT INTO t (id) VALUES (1)",
            [Some((Integrity, "1555")), Some((Integrity, "23505")), Some((Integrity, "1062"))],
        ),
        (
            "INSERT INTO t (id, name) VALUES (3, NULL)",
            [Some((Integrity, "1299")), Some((Integrity, "23502")), Some((Integrity, "1048"))],
        ),
        (
            "INSERT INTO t (id, parent) VALUES (4, 99)",
            [Some((Integrity, "787")), Some((Integrity, "23503")), Some((Integrity, "1452"))],
        ),
        (
            "DELETE FROM t WHERE id = 1",
            [Some((Integrity, "787")), Some((Integrity, "23503")), Some((Integrity, "1451"))],
        ),
        (
            "INSERT INTO t (id, n) VALUES (5, -1)",
            [
                Some((Integrity, "275")),
                Some((Integrity, "23514")),
                // Of MariaDB 4025.
                Some((Integrity, "3819")),
            ],
        ),
        ("SELECT 1 / 0", [None, Some((Data, "22012")), None]),
        ("INSERT INTO t (id, n) VALUES (6, 1 / 0)", [None, Some((Data, "22012")), Some((Operational, "1365"))]),
        (
            "SELECT n * 9223372036854775807 * 2 FROM t WHERE id = 1",
            [None, Some((Data, "22003")), Some((Integrity, "1690"))],
        ),
        ("INSERT INTO t (id, n) VALUES (7, 9223372036854775808)", [None, Some((Data, "22003")), Some((Data, "1264"))]),
        ("INSERT INTO t (id, name) VALUES (8, 'longer than ten')", [None, Some((Data, "22001")), Some((Data, "1406"))]),
        ("INSERT INTO t (id, n) VALUES (9, 'x')", [None, Some((Data, "22P02")), Some((Operational, "1366"))]),
    ];
    each(server, |db, product| {
        create_constrained(db);
        for (sql, by_product) in expected {
            let mut wanted = match product {
                Product::Sqlite => by_product[0],
                _ if product.is_postgres() => by_product[1],
                _ => by_product[2],
            };
            if product == Product::Server(Kind::MariaDb) && wanted == Some((Integrity, "3819")) {
                wanted = Some((Integrity, "4025"));
            }
            let found = db.execute(sql, ());
            let seen = found.as_ref().err().map(|error| (error.kind(), error.code().unwrap_or_default()));
            let wanted = wanted.map(|(kind, code)| (kind, code.to_owned()));
            assert_eq!(seen, wanted, "{product:?}: {sql}: {found:?}");
            if let Err(error) = found {
                assert_eq!(error.alias(), Some("default"));
                assert!(!error.may_have_executed() && !error.is_disconnect(), "{product:?}: {sql}: {error:?}");
            }
        }
        assert!(db.is_connected(), "no mistake costs the connection");
    });
}

fn create_constrained(db: &Connection) {
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(10) NOT NULL DEFAULT 'x', n BIGINT, parent INTEGER, \
               tag VARCHAR(10), CONSTRAINT by_tag UNIQUE (tag), CONSTRAINT positive CHECK (n >= 0), \
               CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES t (id))";
    db.execute(sql, ()).unwrap();
    db.execute("INSERT INTO t (id, n) VALUES (?, ?)", params![1, 1]).unwrap();
    db.execute("INSERT INTO t (id, parent, tag) VALUES (?, ?, ?)", params![2, 1, "taken"]).unwrap();
}

fn constraints_are_named(server: &Server) {
    each(server, |db, product| {
        create_constrained(db);
        let of = |sql: &str, params: &[Value]| -> Error { db.execute(sql, params.to_vec()).unwrap_err() };
        let names = [
            (of("INSERT INTO t (id, tag) VALUES (?, ?)", &params![3, "taken"]), ConstraintKind::Unique, "by_tag"),
            (of("INSERT INTO t (id, name) VALUES (?, ?)", &params![3, None::<i64>]), ConstraintKind::NotNull, "name"),
            (of("INSERT INTO t (id, parent) VALUES (?, ?)", &params![3, 99]), ConstraintKind::ForeignKey, "to_parent"),
            (of("DELETE FROM t WHERE id = ?", &params![1]), ConstraintKind::ForeignKey, "to_parent"),
            (of("INSERT INTO t (id, n) VALUES (?, ?)", &params![3, -1]), ConstraintKind::Check, "positive"),
        ];
        for (error, kind, name) in names {
            let constraint = error.constraint().unwrap_or_else(|| panic!("{product:?}: {error:?}"));
            assert_eq!(constraint.kind(), kind, "{product:?}: {error:?}");
            // SQLite names columns or nothing.
            if product != Product::Sqlite {
                assert_eq!(constraint.name(), Some(name), "{error:?}");
            }
        }
        let other = db.query("SELECT * FROM missing", ()).unwrap_err();
        assert_eq!(other.constraint(), None);
    });
}

fn a_text_is_one_statement(server: &Server) {
    each(server, |db, product| {
        db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
        for sql in ["INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", "SELECT 1; SELECT 2"] {
            let error = db.execute(sql, ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Programming, "{product:?}: {sql}: {error:?}");
            assert!(!error.may_have_executed(), "{product:?}: {error:?}");
            assert_eq!(db.query(sql, ()).unwrap_err().kind(), ErrorKind::Programming, "{product:?}: {sql}");
        }
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 0, "{product:?}: half of it ran");
        db.execute("INSERT INTO t VALUES (3);", ()).unwrap();
        db.execute("INSERT INTO t VALUES (4); -- and a comment\n", ()).unwrap();
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t;", ()).unwrap(), 2, "{product:?}");
    });
}

fn wrong_numbers_of_parameters(server: &Server) {
    each(server, |db, product| {
        db.execute("CREATE TABLE t (a INTEGER, b INTEGER)", ()).unwrap();
        let insert = "INSERT INTO t VALUES (?, ?)";
        // Before the statement has been seen, and when it is kept.
        for _ in 0..2 {
            for wrong in [params![1].to_vec(), params![1, 2, 3].to_vec(), Vec::new()] {
                let given = wrong.len();
                let error = db.execute(insert, wrong).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Programming, "{product:?}: {given}: {error:?}");
                assert!(
                    error.message().contains(&given.to_string()) && !error.may_have_executed(),
                    "{product:?}: {error:?}"
                );
            }
            db.execute(insert, params![1, 2]).unwrap();
        }
        let error = db.query("SELECT 1", params![1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Programming, "{product:?}: {error:?}");
        // A placeholder of the database's own is none here.
        if product.is_postgres() {
            assert_eq!(db.query("SELECT $1::int", params![1]).unwrap_err().kind(), ErrorKind::Programming);
            assert_eq!(db.query("SELECT $1::int", ()).unwrap_err().kind(), ErrorKind::Programming);
        }
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 2, "{product:?}");
    });
}

fn texts_that_are_no_statement(server: &Server) {
    each(server, |db, product| {
        for sql in ["", "  \n ", "-- nothing", ";", "SELECT 1 \0", "\0"] {
            let error = db.execute(sql, ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Programming, "{product:?}: {sql:?}: {error:?}");
            assert!(!error.is_disconnect() && !error.may_have_executed(), "{product:?}: {sql:?}: {error:?}");
            assert_eq!(db.query(sql, ()).unwrap_err().kind(), ErrorKind::Programming, "{product:?}: {sql:?}");
        }
        assert_eq!(db.query_value::<i64>("SELECT 1", ()).unwrap(), 1);
    });
}

fn native_lends_the_drivers_object(server: &Server) {
    let opened = Opened::new(server);
    let db = &opened.db;
    db.execute("CREATE TABLE t (a INTEGER)", ()).unwrap();
    let wrong = if server.kind().is_postgres() {
        db.native(|client: &mut postgres::Client| {
            client.batch_execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)").unwrap();
        })
        .unwrap();
        db.native::<mysql::Conn, _>(|_| panic!("it is none")).unwrap_err()
    } else {
        use mysql::prelude::Queryable;
        db.native(|conn: &mut mysql::Conn| conn.query_drop("INSERT INTO t VALUES (1), (2)").unwrap()).unwrap();
        db.native::<postgres::Client, _>(|_| panic!("it is none")).unwrap_err()
    };
    assert_eq!(wrong.kind(), ErrorKind::NotSupported);
    let (right, other) =
        if server.kind().is_postgres() { ("postgres::", "mysql::") } else { ("mysql::", "postgres::") };
    let (before, after) = wrong.message().split_once(", and no ").expect("it names both");
    assert!(before.contains(right) && after.contains(other), "{wrong}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM t", ()).unwrap(), 2);
}
