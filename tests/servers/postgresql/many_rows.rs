//! Many rows of an INSERT go out as arrays, and nobody but the server's statistics can tell them from rows of VALUES.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use dockline::{Connection, Error, ErrorKind, Interval, Value, params};
use dockline_tests::servers::{Kind, Server};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(super) fn cases() -> Vec<Case> {
    let only = |case: Case| case.only(&[Kind::Postgres]);
    vec![
        only(case!(each_type_is_what_a_loop_writes)),
        only(case!(columns_coerce_as_they_do_in_values)),
        only(case!(one_text_serves_every_number_of_rows)),
        only(case!(what_has_no_array_goes_by_values)),
        only(case!(without_preparing_there_are_no_arrays)),
        only(case!(kinds_of_values_change_on_the_way)),
        only(case!(rows_of_many_bytes_and_of_none)),
        only(case!(a_row_that_fails_takes_back_its_statement_alone)),
        only(case!(what_the_server_refuses_it_refuses_in_the_same_words)),
        only(case!(rows_keep_their_order)),
        only(case!(nothing_on_the_search_path_is_met)),
        only(case!(identity_and_generated_columns)),
        only(case!(what_stands_behind_the_name_of_a_table)),
        only(case!(a_table_that_others_change_between_two_calls)),
        only(case!(a_refused_preparing_leaves_the_transaction_alone)),
        only(case!(an_iterator_that_panics_or_ends_for_good)),
    ]
}

/// So many are several statements of any kind.
const MANY: i64 = 5_000;

/// Runs a test outside of a transaction, and in a block.
fn inside_and_outside(db: &Connection, test: impl Fn()) {
    test();
    db.atomic(|| {
        test();
        Ok::<_, Error>(())
    })
    .unwrap();
}

fn texts_of(db: &Connection, like: &str) -> Vec<String> {
    let sql = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE ? ORDER BY statement";
    db.query_as::<(String,)>(sql, params![like]).unwrap().into_iter().map(|(text,)| text).collect()
}

/// How many statements with arrays the session has prepared for a table.
fn arrays(db: &Connection, table: &str) -> usize {
    texts_of(db, &format!("INSERT INTO {table} %unnest(%")).len()
}

/// The rows of one table that the other has not.
fn differences(db: &Connection, one: &str, other: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM ((TABLE {one} EXCEPT ALL TABLE {other}) UNION ALL (TABLE {other} EXCEPT ALL TABLE {one})) d"
    );
    db.query_value(&sql, ()).unwrap()
}

fn count(db: &Connection, table: &str) -> i64 {
    db.query_value(&format!("SELECT count(*) FROM {table}"), ()).unwrap()
}

/// A type, and what stands in row `n` of its column. Every 7th is null.
type Sample = (&'static str, fn(i64) -> Value);

fn moment(n: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros((n - 2_500) * 123_456_789_012).unwrap()
}

const SAMPLES: &[Sample] = &[
    ("boolean", |n| Value::Bool(n % 2 == 0)),
    ("bytea", |n| Value::Bytes(vec![n as u8; (n % 5) as usize])),
    ("smallint", |n| Value::Int(if n % 3 == 0 { i16::MIN.into() } else { n })),
    ("integer", |n| Value::Int(if n % 3 == 0 { i32::MIN.into() } else { n })),
    ("bigint", |n| if n % 3 == 0 { Value::Int(i64::MIN) } else { Value::UInt(n as u64) }),
    ("text", |n| Value::Text(["", "it's", "{\"a\",NULL}", "NULL", "ü\\ü", " "][n as usize % 6].into())),
    ("varchar", |n| Value::Text(format!("{n}"))),
    ("varchar(5)", |n| Value::Text(["", "a", "five5", "five5   "][n as usize % 4].into())),
    ("char(5)", |n| Value::Text(["", "a", "five5", "five5   "][n as usize % 4].into())),
    ("real", |n| Value::Float([0.1, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN][n as usize % 6])),
    ("double precision", |n| match n % 6 {
        0 => Value::Double(f64::NAN),
        1 => Value::Double(f64::NEG_INFINITY),
        2 => Value::Double(-0.0),
        3 => Value::Float(0.1),
        _ => Value::Double(n as f64 / 3.0),
    }),
    ("numeric", |n| match n % 4 {
        0 => Value::Int(-n * 1_000_000_007),
        1 => Value::UInt(u64::MAX),
        2 => Value::Decimal(Decimal::new(n * 12_345, (n % 20) as u32)),
        _ => Value::Decimal([Decimal::MAX, Decimal::MIN, Decimal::ZERO][n as usize % 3]),
    }),
    ("numeric(8, 2)", |n| if n % 2 == 0 { Value::Int(-n) } else { Value::Decimal(Decimal::new(n * 1_115, 3)) }),
    ("date", |n| Value::Date(NaiveDate::from_num_days_from_ce_opt((n * 700 - 200_000) as i32).unwrap())),
    ("time", |n| Value::Time(NaiveTime::MIN + TimeDelta::microseconds(n * 17_000_001))),
    ("time(0)", |n| Value::Time(NaiveTime::MIN + TimeDelta::microseconds(n * 17_000_001))),
    ("timestamp", |n| Value::DateTime(moment(n).naive_utc())),
    ("timestamp(3)", |n| Value::DateTime(moment(n).naive_utc())),
    ("timestamptz", |n| Value::DateTimeTz(moment(n))),
    ("interval", |n| Value::Interval(Interval { months: n as i32 - 9, days: -(n as i32), micros: n * 999_999_999 })),
    ("interval day to second(1)", |n| Value::Interval(Interval { months: 1, days: n as i32, micros: n * 999_999 })),
    ("uuid", |n| if n % 2 == 0 { Value::Uuid(Uuid::from_u128(n as u128)) } else { Value::Bytes(vec![n as u8; 16]) }),
    ("json", |n| json(["{\"b\" : 1,  \"a\": [1, null]}", "null", "\"\\u0041\"", "1.0"][n as usize % 4])),
    ("jsonb", |n| json(["{\"b\" : 1,  \"a\": [1, null]}", "null", "\"\\u0041\"", "1.0"][n as usize % 4])),
];

fn json(text: &str) -> Value {
    dockline::ToValue::to_value(&serde_json::from_str::<serde_json::Value>(text).unwrap())
}

fn sample_row(n: i64) -> Vec<Value> {
    let at = |(column, (_, of)): (usize, &Sample)| if (n + column as i64) % 7 == 0 { Value::Null } else { of(n) };
    SAMPLES.iter().enumerate().map(at).collect()
}

fn each_type_is_what_a_loop_writes(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    // json has no equality.
    let columns: Vec<String> = SAMPLES.iter().enumerate().map(|(n, (of, _))| format!("c{n} {of}")).collect();
    let as_text: Vec<String> = (0..SAMPLES.len()).map(|n| format!("c{n}::text AS c{n}")).collect();
    for table in ["looped", "many"] {
        db.execute(&format!("CREATE TABLE {table} ({})", columns.join(", ")), ()).unwrap();
        db.execute(&format!("CREATE VIEW {table}_text AS SELECT {} FROM {table}", as_text.join(", ")), ()).unwrap();
    }
    let marks = vec!["?"; SAMPLES.len()].join(", ");
    let insert = |table: &str| format!("INSERT INTO {table} VALUES ({marks})");
    for rows in [1, 2, 3, MANY] {
        db.atomic(|| (0..rows).try_for_each(|n| db.execute(&insert("looped"), sample_row(n)).map(drop))).unwrap();
        inside_and_outside(db, || {
            db.execute("DELETE FROM many", ()).unwrap();
            assert_eq!(db.execute_many(&insert("many"), (0..rows).map(sample_row)).unwrap(), rows as u64);
            assert_eq!(differences(db, "looped_text", "many_text"), 0, "{rows} rows");
        });
        assert_eq!(arrays(db, "many"), usize::from(rows > 1), "{rows} rows");
        db.execute("DELETE FROM looped", ()).unwrap();
    }
    assert_eq!(texts_of(db, "INSERT INTO many VALUES ($1,%($25,%"), [""; 0], "no rows of VALUES");
}

fn columns_coerce_as_they_do_in_values(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    for (of, value, code) in [
        ("varchar(3)", Value::Text("four".into()), "22001"),
        ("char(3)", Value::Text("four".into()), "22001"),
        ("integer NOT NULL", Value::Null, "23502"),
        ("integer CHECK (a < 10)", Value::Int(10), "23514"),
        ("smallint", Value::Int(40_000), "22003"),
        ("numeric(4, 2)", Value::Int(100), "22003"),
        ("text", Value::Text("nul \0".into()), "22021"),
        ("varchar", Value::Bytes(vec![255]), "22021"),
    ] {
        db.execute(&format!("CREATE TABLE t (a {of})"), ()).unwrap();
        let good = || if let Value::Int(_) = value { Value::Int(1) } else { Value::Text(String::new()) };
        let good = || if of.starts_with("integer") { Value::Int(1) } else { good() };
        inside_and_outside(db, || {
            let alone = db.atomic(|| db.execute("INSERT INTO t VALUES (?)", [value.clone()]));
            let alone = alone.expect_err(of);
            for before in [0, 1, 2, 500] {
                let rows = (0..before).map(|_| [good()]).chain([[value.clone()]]).chain((0..10).map(|_| [good()]));
                let error = db.atomic(|| db.execute_many("INSERT INTO t VALUES (?)", rows)).unwrap_err();
                assert_eq!(error.code().as_deref(), Some(code), "{of}: {error:?}");
                assert_eq!(error.kind(), alone.kind());
                assert_eq!(error.constraint(), alone.constraint());
                assert_eq!(count(db, "t"), 0);
            }
        });
        db.execute("DROP TABLE t", ()).unwrap();
    }
}

fn one_text_serves_every_number_of_rows(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a integer, b varchar(20))", ()).unwrap();
    let insert = "INSERT INTO t (a, b) VALUES (?, ?) ;\n";
    let mut stored = 0;
    for rows in [2, 3, 64, 65, 1_000, MANY, 7] {
        inside_and_outside(db, || {
            let many = (0..rows).map(|n| params![n, format!("row {n}")]);
            assert_eq!(db.execute_many(insert, many).unwrap(), rows as u64);
        });
        stored += 2 * rows;
        assert_eq!(count(db, "t"), stored);
    }
    let wanted = [
        "INSERT INTO t (a, b) SELECT pg_catalog.unnest($1), pg_catalog.unnest($2) ;\n",
        "INSERT INTO t (a, b) VALUES ($1, $2) ;\n",
    ];
    assert_eq!(texts_of(db, "INSERT INTO t %"), wanted);
    // Each call of up to 1,024 rows is one execution.
    let executions = "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement = ?";
    let ran: i64 = db.query_value(executions, params![wanted[0]]).unwrap();
    assert_eq!(ran, 2 * (6 + MANY / 1_024 + 1));
}

fn what_has_no_array_goes_by_values(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')", ()).unwrap();
    db.execute("CREATE DOMAIN small AS integer CHECK (VALUE < 1000000)", ()).unwrap();
    db.execute("CREATE DOMAIN word AS text", ()).unwrap();
    let day = |_| Value::Date(NaiveDate::from_ymd_opt(2024, 2, 29).unwrap());
    let columns: &[Sample] = &[
        ("mood", |_| Value::Text("happy".into())),
        ("small", Value::Int),
        ("word", |n| Value::Text(n.to_string())),
        ("integer[]", |n| Value::Array(vec![Value::Int(n), Value::Null])),
        ("text[]", |_| Value::Text("{a,b}".into())),
        ("timestamp", |_| Value::Text("2024-02-29 01:02:03".into())),
        ("timestamp", day),
        ("date", |_| Value::Text("29 Feb 2024".into())),
        ("text", Value::Int),
        ("text", |n| Value::Bytes(vec![n as u8])),
        ("text", |_| json("{\"b\":1, \"a\":[]}")),
        ("inet", |_| Value::Text("10.0.0.1".into())),
        ("bit(3)", |_| Value::Text("101".into())),
        ("double precision", Value::Int),
        ("money", |_| Value::Text("1.50".into())),
        ("numeric(8, 2)", |_| Value::Text("1.555".into())),
    ];
    for (at, (of, value)) in columns.iter().enumerate() {
        for table in ["looped", "many"] {
            db.execute(&format!("CREATE TABLE {table} (n integer, a {of})"), ()).unwrap();
        }
        let rows = || (0..200).map(|n| [Value::Int(n), value(n)]);
        rows().for_each(|row| assert_eq!(db.execute("INSERT INTO looped VALUES (?, ?)", row).unwrap(), 1));
        inside_and_outside(db, || {
            db.execute("DELETE FROM many", ()).unwrap();
            assert_eq!(db.execute_many("INSERT INTO many VALUES (?, ?)", rows()).unwrap(), 200, "{of}");
            assert_eq!(differences(db, "looped", "many"), 0, "{of}");
        });
        assert_eq!(texts_of(db, "INSERT INTO many %unnest%").len(), 0, "{of}, column {at}");
        db.execute("DROP TABLE looped, many", ()).unwrap();
    }
    // A row that is not of placeholders alone, and one with something behind it.
    db.execute("CREATE TABLE u (a integer PRIMARY KEY, b text DEFAULT 'b')", ()).unwrap();
    for insert in [
        "INSERT INTO u (a, b) VALUES (?, lower('B'))",
        "INSERT INTO u (a, b) VALUES (?, DEFAULT)",
        "INSERT INTO u (a) VALUES (?::integer)",
        "INSERT INTO u (a) VALUES (?) ON CONFLICT DO NOTHING",
    ] {
        assert_eq!(db.execute_many(insert, (0..200).map(|n| [Value::Int(n)])).unwrap(), 200, "{insert}");
        assert_eq!(db.execute("DELETE FROM u WHERE b = 'b'", ()).unwrap(), 200);
    }
    assert_eq!(arrays(db, "u"), 0);
}

fn without_preparing_there_are_no_arrays(server: &Server) {
    let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(false));
    db.execute("CREATE TABLE t (a integer, q text DEFAULT current_query())", ()).unwrap();
    assert_eq!(db.execute_many("INSERT INTO t (a) VALUES (?)", (0..100).map(|n| params![n])).unwrap(), 100);
    let by_arrays = "SELECT count(*) FROM t WHERE q LIKE '%unnest%'";
    assert_eq!(db.query_value::<i64>(by_arrays, ()).unwrap(), 0);
}

fn kinds_of_values_change_on_the_way(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (n integer, a text, at timestamptz, q text DEFAULT current_query())", ()).unwrap();
    let insert = "INSERT INTO t (n, a, at) VALUES (?, ?, ?)";
    let odd = [0, 1, 700, 701, 3_000, MANY - 1];
    for moved in [0, 1, 2, 40] {
        let row = |n: i64| match odd.contains(&(n - moved)) {
            true => params![n, n, "2024-02-29 00:00:00+00"].to_vec(),
            false if n % 500 == 499 => params![n, Value::Bytes(n.to_string().into_bytes()), moment(n)].to_vec(),
            false => params![n, n.to_string(), moment(n)].to_vec(),
        };
        // What the server was told for another row says nothing of this one.
        let insert = format!("{insert}{}", " ".repeat(moved as usize));
        inside_and_outside(db, || {
            db.execute("DELETE FROM t", ()).unwrap();
            assert_eq!(db.execute_many(&insert, (0..MANY).map(row)).unwrap(), MANY as u64);
            let right = "SELECT count(DISTINCT n) FROM t WHERE a IN (n::text, n::text::bytea::text) AND at IS NOT NULL";
            assert_eq!(db.query_value::<i64>(right, ()).unwrap(), MANY);
            // Those around the odd ones go by arrays, if the first row has the types of the columns.
            let by_arrays = count(db, "t WHERE q LIKE '%unnest%'");
            let wanted = if moved == 0 { 0..1 } else { MANY * 3 / 4..MANY };
            assert!(wanted.contains(&by_arrays), "{by_arrays} rows, moved by {moved}");
        });
    }
    // An integer that is too large for the column is an error of its row's statement, and one that is not is stored.
    db.execute("CREATE TABLE u (a bigint)", ()).unwrap();
    let error = db.execute_many("INSERT INTO u VALUES (?)", [[Value::Int(1)], [Value::UInt(u64::MAX)]]).unwrap_err();
    assert_eq!(error.code().as_deref(), Some("22003"), "{error:?}");
}

fn rows_of_many_bytes_and_of_none(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a text, b bytea)", ()).unwrap();
    for (bytes, rows) in [(0, MANY), (300, MANY), (70_000, 40), (3_000_000, 3)] {
        let row = |n: i64| [Value::Text("x".repeat(bytes)), Value::Bytes(vec![n as u8; bytes])];
        assert_eq!(db.execute_many("INSERT INTO t VALUES (?, ?)", (0..rows).map(row)).unwrap(), rows as u64);
        let whole = "SELECT count(*) FROM t WHERE length(a) = ? AND octet_length(b) = ?";
        assert_eq!(db.query_value::<i64>(whole, params![bytes, bytes]).unwrap(), rows);
        db.execute("DELETE FROM t", ()).unwrap();
    }
    let columns: Vec<String> = (0..1_000).map(|n| format!("c{n} text")).collect();
    db.execute(&format!("CREATE TABLE wide ({})", columns.join(", ")), ()).unwrap();
    let insert = format!("INSERT INTO wide VALUES ({})", vec!["?"; 1_000].join(", "));
    let rows = (0..200).map(|_| vec![Value::Text(String::new()); 1_000]);
    assert_eq!(db.execute_many(&insert, rows).unwrap(), 200);
    assert_eq!((count(db, "wide"), arrays(db, "wide")), (200, 1));
}

/// The first and the last row of `rows 7 to 9: …`.
fn rows_named(error: &Error) -> (i64, i64) {
    let (head, _) = error.message().split_once(": ").expect("a colon");
    let numbers: Vec<i64> = head.split(' ').filter_map(|word| word.parse().ok()).collect();
    (numbers[0], *numbers.last().unwrap())
}

fn a_row_that_fails_takes_back_its_statement_alone(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a integer CONSTRAINT only_once PRIMARY KEY, b text)", ()).unwrap();
    let rows = || (1..=MANY).map(|n| params![if n == 2_500 { 7 } else { n }, "text"]);
    let insert = "INSERT INTO t VALUES (?, ?)";
    for _ in 0..2 {
        let error = db.execute_many(insert, rows()).unwrap_err();
        assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Integrity, Some("23505")), "{error:?}");
        assert_eq!(error.constraint().unwrap().name(), Some("only_once"));
        assert!(error.may_have_executed(), "rows before it stand");
        let (from, to) = rows_named(&error);
        assert!(from <= 2_500 && 2_500 <= to && from > 1, "{error}");
        assert_eq!(count(db, "t"), from - 1, "those before it, and none of its own");
        db.execute("DELETE FROM t", ()).unwrap();
    }
    let error = db.atomic(|| db.execute_many(insert, rows())).unwrap_err();
    assert_eq!(error.code().as_deref(), Some("23505"));
    assert!(!error.may_have_executed(), "in a transaction nothing stands: {error:?}");
    assert_eq!(count(db, "t"), 0);
    // In an inner block it takes that back alone.
    db.atomic(|| {
        db.execute(insert, params![0, "outside"])?;
        db.atomic(|| db.execute_many(insert, rows())).unwrap_err();
        db.execute_many(insert, (1..=100).map(|n| params![n, "after"]))
    })
    .unwrap();
    assert_eq!(count(db, "t"), 101);
    assert_eq!(arrays(db, "t"), 1);
    // The first rows.
    let error = db.execute_many(insert, (1..=100).map(|n| params![n, "again"])).unwrap_err();
    assert!(error.message().starts_with("rows 1 to 100: ") && !error.may_have_executed(), "{error:?}");
}

fn what_the_server_refuses_it_refuses_in_the_same_words(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a integer, b text)", ()).unwrap();
    for (insert, code) in [
        ("INSERT INTO missing VALUES (?, ?)", "42P01"),
        ("INSERT INTO t (a, missing) VALUES (?, ?)", "42703"),
        ("INSERT INTO t (a) VALUES (?, ?)", "42601"),
        ("INSERT INTO t (a, b) VALUES (? ?)", "42601"),
        ("INSERT INTO pg_catalog.pg_views VALUES (?, ?)", "42601"),
    ] {
        let rows = || (0..100).map(|n| params![n, "b"]);
        let alone = db.execute(insert, params![1, "b"]).unwrap_err();
        inside_and_outside(db, || {
            let error = db.atomic(|| db.execute_many(insert, rows())).unwrap_err();
            assert_eq!(error.code(), alone.code(), "{insert}: {error:?}");
        });
        if code != "42601" {
            assert_eq!(alone.code().as_deref(), Some(code), "{insert}");
        }
    }
    assert_eq!(db.execute_many("INSERT INTO t VALUES (?, ?)", [params![1, "b"], params![2, "b"]]).unwrap(), 2);
}

fn rows_keep_their_order(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (id bigserial, i integer GENERATED ALWAYS AS IDENTITY, a integer)", ()).unwrap();
    inside_and_outside(db, || {
        db.execute("TRUNCATE t RESTART IDENTITY", ()).unwrap();
        assert_eq!(db.execute_many("INSERT INTO t (a) VALUES (?)", (1..=MANY).map(|n| (n,))).unwrap(), MANY as u64);
        let in_order = "SELECT count(*) FROM t WHERE id = a AND i = a";
        assert_eq!(db.query_value::<i64>(in_order, ()).unwrap(), MANY);
    });
    assert_eq!(arrays(db, "t"), 1);
}

fn nothing_on_the_search_path_is_met(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE SCHEMA trap", ()).unwrap();
    for name in ["int4", "text", "_int4", "_text"] {
        db.execute(&format!("CREATE TYPE trap.{name} AS (trapped boolean)"), ()).unwrap();
    }
    let unnest = "CREATE FUNCTION trap.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS \
                  $$ BEGIN RAISE EXCEPTION 'trapped'; END $$";
    db.execute(unnest, ()).unwrap();
    db.execute("CREATE TABLE public.t (a integer, b text)", ()).unwrap();
    db.execute("SET search_path = trap, pg_catalog, public", ()).unwrap();
    inside_and_outside(db, || {
        let rows = (0..200).map(|n| params![n, n.to_string()]);
        assert_eq!(db.execute_many("INSERT INTO t VALUES (?, ?)", rows).unwrap(), 200);
    });
    assert_eq!(arrays(db, "t"), 1);
    assert_eq!(count(db, "public.t WHERE a::pg_catalog.text = b"), 400);
}

fn identity_and_generated_columns(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let table = "CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY, a integer, d integer GENERATED ALWAYS AS (a * 2) STORED)";
    db.execute(table, ()).unwrap();
    inside_and_outside(db, || {
        db.execute("DELETE FROM t", ()).unwrap();
        for (overriding, wanted) in [("SYSTEM", 300), ("USER", 0)] {
            let insert = format!("INSERT INTO t (id, a) OVERRIDING {overriding} VALUE VALUES (?, ?)");
            let rows = (0..300).map(|n| params![n + 10_000, n]);
            assert_eq!(db.execute_many(&insert, rows).unwrap(), 300);
            assert_eq!(count(db, "t WHERE id >= 10000 AND d = a * 2"), wanted);
            db.execute("DELETE FROM t", ()).unwrap();
        }
        for refused in ["INSERT INTO t (id, a) VALUES (?, ?)", "INSERT INTO t (a, d) VALUES (?, ?)"] {
            let error = db.atomic(|| db.execute_many(refused, (0..300).map(|n| params![n, n]))).unwrap_err();
            assert_eq!(error.code().as_deref(), Some("428C9"), "{error:?}");
        }
    });
    assert_eq!(arrays(db, "t"), 2);
}

fn what_stands_behind_the_name_of_a_table(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    for sql in [
        "CREATE TABLE few (a integer, b text DEFAULT 'b', c integer DEFAULT 3)",
        "CREATE TABLE parted (a integer, b text) PARTITION BY RANGE (a)",
        "CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (100)",
        "CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (MAXVALUE)",
        "CREATE TABLE touched (a integer, b text)",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.a % 2 = 1 THEN RETURN NULL; END IF; NEW.b := NEW.b || '!'; RETURN NEW; END $$",
        "CREATE TRIGGER touch BEFORE INSERT ON touched FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE VIEW simple AS SELECT a, b FROM few WHERE a >= 0 WITH CHECK OPTION",
        "CREATE VIEW joined AS SELECT few.a, touched.b FROM few CROSS JOIN touched",
        "CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO few (a, b) VALUES (NEW.a, 'instead ' || NEW.b); RETURN NEW; END $$",
        "CREATE TRIGGER instead INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION instead()",
        "CREATE TABLE ruled (a integer, b text)",
        "CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO few (a, b) VALUES (NEW.a, 'also ' || NEW.b)",
        "CREATE TABLE pairs (a integer[], b text)",
    ] {
        db.execute(sql, ()).unwrap();
    }
    let rows = || (0..300).map(|n| params![n, n.to_string()]);
    for (insert, changed, there) in [
        ("INSERT INTO few VALUES (?, ?)", 300, "few WHERE a::text = b AND c = 3"),
        ("INSERT INTO few AS f (a, b) VALUES (?, ?)", 300, "few WHERE a::text = b AND c = 3"),
        (
            "INSERT INTO parted (a, b) VALUES (?, ?)",
            300,
            "parted WHERE (tableoid = 'parted_low'::regclass) = (a < 100)",
        ),
        ("INSERT INTO touched VALUES (?, ?)", 150, "touched WHERE b = a || '!'"),
        ("INSERT INTO simple VALUES (?, ?)", 300, "few WHERE a::text = b AND c = 3"),
        ("INSERT INTO joined VALUES (?, ?)", 300, "few WHERE b = 'instead ' || a"),
        ("INSERT INTO ruled VALUES (?, ?)", 300, "few JOIN ruled USING (a) WHERE few.b = 'also ' || ruled.b"),
        ("INSERT INTO pairs (a[2], b) VALUES (?, ?)", 300, "pairs WHERE a[2]::text = b AND array_lower(a, 1) = 2"),
    ] {
        inside_and_outside(db, || {
            assert_eq!(db.execute_many(insert, rows()).unwrap(), changed, "{insert}");
            assert_eq!(count(db, there), changed as i64, "{insert}");
            db.execute("TRUNCATE few, parted, touched, ruled, pairs", ()).unwrap();
        });
    }
    let error = db.execute_many("INSERT INTO simple VALUES (?, ?)", (-1..300).map(|n| params![n, "b"])).unwrap_err();
    assert_eq!(error.code().as_deref(), Some("44000"), "{error:?}");
}

fn a_table_that_others_change_between_two_calls(server: &Server) {
    let Opened { db, database, .. } = &Opened::new(server);
    let mut admin = database.admin();
    let insert = "INSERT INTO t (a) VALUES (?)";
    db.execute("CREATE TABLE t (a integer)", ()).unwrap();
    let numbers = |from: i64| db.execute_many(insert, (from..from + 100).map(|n| (n,)));
    let serial = db.serial();
    assert_eq!(numbers(0).unwrap(), 100);
    admin.execute("ALTER TABLE t ALTER a TYPE bigint");
    assert_eq!(numbers(100).unwrap(), 100);
    assert_eq!(numbers(3_000_000_000).unwrap(), 100, "they are too large for the type of before");
    admin.execute("ALTER TABLE t ALTER a TYPE text");
    assert_eq!(numbers(300).unwrap(), 100);
    admin.execute("DELETE FROM t");
    let words = |db: &Connection| db.execute_many(insert, (0..100).map(|n| (n.to_string(),)));
    assert_eq!(words(db).unwrap(), 100);
    admin.execute("ALTER TABLE t ALTER a TYPE integer USING a::integer");
    assert_eq!(numbers(500).unwrap(), 100, "the server has to find out anew");
    assert_eq!(words(db).unwrap(), 100);
    admin.execute("ALTER TABLE t ALTER a TYPE text");
    assert_eq!(words(db).unwrap(), 100);
    admin.execute("ALTER TABLE t ALTER a TYPE boolean USING true");
    // In a block it is the block's to be tried again.
    let error = db.atomic(|| db.execute("DELETE FROM t", ()).and_then(|_| words(db))).unwrap_err();
    assert!(error.is_retryable() && error.code().as_deref() == Some("42804"), "{error:?}");
    let flags = |_| db.execute_many(insert, [(true,), (false,)]);
    assert_eq!(db.atomic(|| flags(())).unwrap(), 2);
    admin.execute("DROP TABLE t");
    assert_eq!(flags(()).unwrap_err().code().as_deref(), Some("42P01"));
    assert_eq!(db.serial(), serial);
}

fn a_refused_preparing_leaves_the_transaction_alone(server: &Server) {
    let Opened { db, database, .. } = &Opened::new(server);
    // Of somebody who may not call the function, VALUES are taken all the same.
    let mut admin = database.admin();
    db.execute("CREATE TABLE t (a integer)", ()).unwrap();
    admin.execute("REVOKE EXECUTE ON FUNCTION pg_catalog.unnest(anyarray) FROM public");
    let many = || db.execute_many("INSERT INTO t VALUES (?)", (1..=200).map(|n| (n,)));
    // In a block behind other work, and as what begins it.
    let behind = || db.execute("INSERT INTO t VALUES (?)", (0,)).and_then(|_| many());
    assert_eq!(db.atomic(behind).unwrap(), 200);
    assert_eq!(db.atomic(many).unwrap(), 200);
    assert_eq!(many().unwrap(), 200);
    assert_eq!(db.atomic(behind).unwrap(), 200);
    assert_eq!(count(db, "t"), 802);
    // A table that it may not write to is no reason to go on.
    admin.execute("CREATE TABLE theirs (a integer)");
    let theirs = || db.execute_many("INSERT INTO theirs VALUES (?)", (1..=200).map(|n| (n,)));
    inside_and_outside(db, || {
        assert_eq!(db.atomic(theirs).unwrap_err().code().as_deref(), Some("42501"));
    });
}

fn an_iterator_that_panics_or_ends_for_good(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE t (a text)", ()).unwrap();
    let insert = "INSERT INTO t VALUES (?)";
    for odd in [0, 500, MANY] {
        // An iterator may go on behind its end, and is not asked.
        let mut n = 0;
        let rows = std::iter::from_fn(|| {
            n += 1;
            assert!(n <= 1_502, "it is asked behind its end");
            (n != 1_501).then(|| if n == odd { [Value::Int(n)] } else { [Value::Text(n.to_string())] })
        });
        assert_eq!(db.execute_many(insert, rows).unwrap(), 1_500);
        db.execute("DELETE FROM t", ()).unwrap();

        let panics = (0..MANY).map(|n| match n {
            3_000 => panic!("in the middle"),
            n if n == odd => [Value::Int(n)],
            n => [Value::Text(n.to_string())],
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| db.execute_many(insert, panics)));
        assert!(panicked.is_err());
        assert_eq!(count(db, "t"), 3_000, "what came before it");
        db.execute("DELETE FROM t", ()).unwrap();
    }
}
