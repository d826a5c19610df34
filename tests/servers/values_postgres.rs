//! What only PostgreSQL has: arrays, types without a value of their own, and parameters whose type it cannot tell.

use std::net::IpAddr;
use std::time::Duration;

use dockline::{Connection, ErrorKind, Interval, ToValue, Value, list, params};
use dockline_tests::servers::{Kind, Server};
use rust_decimal::Decimal;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    let cases = [
        case!(arrays_are_vectors),
        case!(types_without_a_value_are_their_text),
        case!(only_reading_what_has_no_text_fails),
        case!(what_could_not_be_read_is_not_stored),
        case!(text_for_bytes_is_its_bytes),
        case!(parameters_that_have_no_type_get_their_own),
        case!(in_a_transaction_it_goes_on),
        case!(a_number_beyond_its_type_is_sent_as_what_it_is),
        case!(a_number_with_a_fraction_is_compared_and_never_rounded),
        case!(the_server_is_told_options_when_a_session_begins),
        case!(messages_number_the_parameter),
        case!(lengths_of_time_have_months),
    ];
    cases.map(|case| case.only(&[Kind::Postgres])).to_vec()
}

fn arrays_are_vectors(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE a (ids int[], names text[], grid float8[], blobs bytea[], at timestamptz[])", ()).unwrap();
    let names = vec![Some("it's"), None, Some("a \"b\",\\{}"), Some(""), Some("NULL")];
    let (ids, grid, blobs) =
        (vec![1, -2, i32::MAX], vec![vec![0.5, 1e300], vec![-1.0, 2.0]], vec![vec![0_u8, 255], vec![]]);
    let at = vec![chrono::DateTime::UNIX_EPOCH];
    db.execute("INSERT INTO a VALUES (?, ?, ?, ?, ?)", params![ids, names, grid, blobs, at]).unwrap();
    let row = db.query_one("SELECT * FROM a", ()).unwrap();
    assert_eq!(row.get::<Vec<i32>, _>("ids").unwrap(), ids);
    let read: Vec<Option<String>> = row.get("names").unwrap();
    assert_eq!(read.iter().map(Option::as_deref).collect::<Vec<_>>(), names);
    assert_eq!(row.get::<Vec<Vec<f64>>, _>("grid").unwrap(), grid);
    assert_eq!(row.get::<Vec<Vec<u8>>, _>("blobs").unwrap(), blobs);
    assert_eq!(row.get::<Vec<chrono::DateTime<chrono::Utc>>, _>("at").unwrap(), at);
    let error = row.get::<Vec<String>, _>("names").unwrap_err();
    assert!(error.message().contains("column \"names\": element 2: null"), "{error}");
    assert_eq!(row.get::<String, _>("ids").unwrap(), "{1,-2,2147483647}");
    for ids in [vec![], vec![7_i64], vec![1, 3_000_000_000]] {
        let found = i64::from(ids.contains(&1));
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM a WHERE ids[1] = ANY(?)", (&ids,)).unwrap(), found);
    }
    assert_eq!(db.query_value::<Vec<i64>>("SELECT array[]::bigint[]", ()).unwrap(), [0_i64; 0]);
}

fn types_without_a_value_are_their_text(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute_script(
        "CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE TYPE pair AS (n int, t text); CREATE DOMAIN small AS int CHECK (value < 9)",
    )
    .unwrap();
    for expression in [
        "'so so'::mood",
        "(1, 'a \"b\" ,')::pair",
        "(null, '')::pair",
        "row(1, 'x', null)",
        "'[1,5)'::int4range",
        "'empty'::int4range",
        "'(,5]'::numrange",
        "'[2024-01-02 03:04:05.5,)'::tsrange",
        "'12.34'::money",
        "'-1234567.8'::money",
        "'10.0.0.0/8'::cidr",
        "'::1/64'::inet",
        "'08:00:2b:01:02:03'::macaddr",
        "'1 year 2 mons -3 days 04:05:06.5'::interval",
        "'101'::bit(3)",
        "'(1.5,-2)'::point",
        "'((0,0),(1,1))'::polygon",
        "'<(0,0),5>'::circle",
        "'16/B374D848'::pg_lsn",
        "'03:04:05+02'::timetz",
        "'7'::small",
        "'$.a[*]'::jsonpath",
        "'12345678901234567890123456789012345.5'::numeric",
        "'NaN'::numeric",
        "0.1::float4",
        "'infinity'::timestamptz",
        "'{[1,3),[5,7)}'::int4multirange",
        "array[(1,'a')::pair]",
        "array['[1,2)'::int4range]",
        "true",
    ] {
        let row = db.query_one(&format!("SELECT {expression} AS v, ({expression})::text AS t"), ()).unwrap();
        let (read, told): (String, String) = (row.get("v").unwrap(), row.get("t").unwrap());
        assert_eq!(read, told, "{expression}");
    }
    assert_eq!(db.query_value::<IpAddr>("SELECT '10.0.0.1'::inet", ()).unwrap(), IpAddr::from([10, 0, 0, 1]));
    let error = db.query_one("SELECT '[1,5)'::int4range AS r", ()).unwrap().get::<i64, _>("r").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "column \"r\": int4range cannot be read as i64"));
    // As parameters, they are text.
    assert!(db.query_value::<bool>("SELECT ?::mood = 'sad'", ("sad",)).unwrap());
    assert!(db.query_value::<bool>("SELECT 3 <@ ?::int4range", ("[1,5)",)).unwrap());
}

fn only_reading_what_has_no_text_fails(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let row = db.query_one("SELECT 1 AS id, to_tsvector('simple', 'a b') AS words", ()).unwrap();
    assert_eq!(row.get::<i64, _>("id").unwrap(), 1);
    let error = row.get::<String, _>("words").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.message().starts_with("column \"words\": the type tsvector has no value here; cast it"), "{error}");
}

fn what_could_not_be_read_is_not_stored(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE words (id int, v tsvector, tags text[])", ()).unwrap();
    let error = db.query("INSERT INTO words VALUES (?, ?) RETURNING id, v", (1, "a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    assert!(error.message().contains("column \"v\" has the type tsvector") && !error.may_have_executed(), "{error}");
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM words", ()).unwrap(), 0);
    let insert = "INSERT INTO words VALUES (?, ?, ?) RETURNING tags, v::text";
    let row = db.query_one(insert, params![1, "a", vec!["x", "y"]]).unwrap();
    assert_eq!(row.get::<Vec<String>, _>("tags").unwrap(), ["x", "y"]);
}

fn text_for_bytes_is_its_bytes(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let id = uuid::Uuid::from_u128(7);
    assert_eq!(db.query_value::<uuid::Uuid>("SELECT ?::uuid", (dockline::Binary(id),)).unwrap(), id);
    db.execute("CREATE TABLE b (v bytea)", ()).unwrap();
    for text in ["\\x41", "a\\b", "é"] {
        db.execute("DELETE FROM b", ()).unwrap();
        db.execute("INSERT INTO b VALUES (?)", (text,)).unwrap();
        assert_eq!(db.query_value::<Vec<u8>>("SELECT v FROM b", ()).unwrap(), text.as_bytes());
    }
}

/// Each with a value of several kinds in turn: what was told for one must not stick to the next.
fn check_guesses(db: &Connection) {
    let optional = "SELECT count(*) FROM g WHERE id < 3 AND (? IS NULL OR id = ?)";
    assert_eq!(db.query_value::<i64>(optional, (None::<i64>, None::<i64>)).unwrap(), 2);
    assert_eq!(db.query_value::<i64>(optional, (1, 1)).unwrap(), 1);
    assert_eq!(db.query_value::<i64>(optional, (3_000_000_000_i64, 1)).unwrap(), 1);
    let object = "SELECT jsonb_build_object('a', ?)";
    assert_eq!(db.query_value::<String>(object, (5,)).unwrap(), r#"{"a": 5}"#);
    assert_eq!(db.query_value::<String>(object, ("blue",)).unwrap(), r#"{"a": "blue"}"#);
    assert_eq!(db.query_value::<String>(object, (true,)).unwrap(), r#"{"a": true}"#);
    assert_eq!(db.query_value::<String>(object, (None::<i64>,)).unwrap(), r#"{"a": null}"#);
    let series = "SELECT count(*) FROM generate_series(?, ?)";
    assert_eq!(db.query_value::<i64>(series, (1, 5)).unwrap(), 5);
    assert_eq!(db.query_value::<i64>(series, (3_000_000_000_i64, 3_000_000_001_i64)).unwrap(), 2);
    assert_eq!(db.query_value::<i64>("SELECT ?", (5,)).unwrap(), 5);
    assert_eq!(db.query_value::<String>("SELECT ?", ("x",)).unwrap(), "x");
    assert_eq!(db.query_value::<f64>("SELECT ?", (0.5,)).unwrap(), 0.5);
    assert_eq!(db.query_value::<i64>("SELECT ? + ?", (1, 2)).unwrap(), 3);
    assert_eq!(db.query_value::<String>("SELECT to_jsonb(?)::text", (7,)).unwrap(), "7");
    // A number for a column of text stays a text.
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM g WHERE name = ?", (7,)).unwrap(), 1);
    assert_eq!(db.query_value::<f64>("SELECT round(?, 1)::float8", (0.25,)).unwrap(), 0.3);
}

fn guessing(server: &Server) -> Opened<'_> {
    let opened = Opened::new(server);
    opened.db.execute_script("CREATE TABLE g (id int, name text); INSERT INTO g VALUES (1, '7'), (2, 'x')").unwrap();
    opened
}

fn parameters_that_have_no_type_get_their_own(server: &Server) {
    let Opened { db, .. } = &guessing(server);
    check_guesses(db);
    check_guesses(db);
}

fn in_a_transaction_it_goes_on(server: &Server) {
    let Opened { db, .. } = &guessing(server);
    db.atomic(|| {
        check_guesses(db);
        db.execute("INSERT INTO g VALUES (?, ?)", (3, "y"))?;
        Ok::<_, dockline::Error>(())
    })
    .unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM g", ()).unwrap(), 3);
    // With work done before, and savepoints of the program's around it.
    let (Opened { db, .. }, sql) = (&guessing(server), "INSERT INTO g VALUES (?, ?)");
    db.atomic(|| {
        db.execute(sql, (3, "y"))?;
        db.atomic(|| {
            check_guesses(db);
            db.execute(sql, (4, "z"))
        })?;
        let savepoint = db.savepoint()?;
        db.execute(sql, (5, "z"))?;
        assert!(db.query_value::<i64>("SELECT coalesce(?, 'x') + lower(?)", (1, 2)).is_err());
        db.savepoint_rollback(&savepoint)?;
        Ok::<_, dockline::Error>(())
    })
    .unwrap();
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM g", ()).unwrap(), 4);
    // What is wrong whatever the types fails, and the transaction with it.
    let error = db.atomic(|| {
        db.execute(sql, (6, "z"))?;
        db.query("SELECT nowhere(?)", (1,)).unwrap_err();
        db.execute(sql, (7, "z"))
    });
    assert_eq!(error.unwrap_err().code().as_deref(), Some("25P02"));
}

fn a_number_beyond_its_type_is_sent_as_what_it_is(server: &Server) {
    let Opened { db, .. } = &guessing(server);
    let below = "SELECT count(*) FROM g WHERE id < ?";
    for _ in 0..2 {
        assert_eq!(db.query_value::<i64>(below, (2,)).unwrap(), 1);
        assert_eq!(db.query_value::<i64>(below, (3_000_000_000_i64,)).unwrap(), 2);
        assert_eq!(db.query_value::<i64>(below, (u64::MAX,)).unwrap(), 2);
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM g WHERE id IN (?)", (list([1, u64::MAX]),)).unwrap(), 1);
    }
    let error = db.execute("INSERT INTO g VALUES (?, 'x')", (3_000_000_000_i64,)).unwrap_err();
    assert!(error.kind() == ErrorKind::Data && !error.may_have_executed(), "{error}");
}

fn a_number_with_a_fraction_is_compared_and_never_rounded(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE n (v INTEGER)", ()).unwrap();
    db.execute("INSERT INTO n VALUES (1), (2)", ()).unwrap();
    let below = "SELECT count(*) FROM n WHERE v < ?";
    for _ in 0..2 {
        assert_eq!(db.query_value::<i64>(below, (2,)).unwrap(), 1);
        assert_eq!(db.query_value::<i64>(below, (1.5_f64,)).unwrap(), 1);
        assert_eq!(db.query_value::<i64>(below, (2.5_f32,)).unwrap(), 2);
        assert_eq!(db.query_value::<i64>(below, (Decimal::new(15, 1),)).unwrap(), 1);
        assert_eq!(db.query_value::<i64>(below, (2.0_f64,)).unwrap(), 1);
    }
    for value in [1.5_f64.to_value(), 0.5_f32.to_value(), Decimal::new(15, 1).to_value()] {
        for sql in ["INSERT INTO n VALUES (?)", "UPDATE n SET v = ?"] {
            let error = db.execute(sql, (&value,)).unwrap_err();
            assert!(error.kind() == ErrorKind::Data && !error.may_have_executed(), "{error:?}");
            assert!(error.message().contains("parameter 1") && error.message().contains("fraction"), "{error}");
        }
    }
    db.execute("INSERT INTO n VALUES (?)", (3.0_f64,)).unwrap();
    assert_eq!(db.query_value::<i64>("SELECT sum(v) FROM n", ()).unwrap(), 6);
}

fn the_server_is_told_options_when_a_session_begins(server: &Server) {
    let database = server.database();
    let url = database.url();
    let url = format!(
        "{url}{}options=-csearch_path%3Dpg_catalog%20-cwork_mem%3D5MB",
        if url.contains('?') { "&" } else { "?" }
    );
    let Opened { db, .. } = &Opened::on(database, |_| crate::opened::settings(&url));
    assert_eq!(db.query_value::<String>("SHOW search_path", ()).unwrap(), "pg_catalog");
    assert_eq!(db.query_value::<String>("SHOW work_mem", ()).unwrap(), "5MB");
}

fn messages_number_the_parameter(server: &Server) {
    let Opened { db, .. } = &guessing(server);
    let error = db.query("SELECT ? = 1, 1 = ?", (1, vec![0xff_u8])).unwrap_err();
    assert!(error.message().starts_with("parameter 2: bytes that are not UTF-8"), "{error}");
    let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(false));
    let error = db.query("SELECT 1 = ?, ? IS NULL", (1, 2)).unwrap_err();
    assert!(error.message().contains("parameter 2") || error.message().contains("parameter $2"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("CAST(? AS integer)")), "{error}");
}

fn lengths_of_time_have_months(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let length = Interval { months: 14, days: -3, micros: 5_500_000 };
    assert_eq!(db.query_value::<Interval>("SELECT ?::interval", (length,)).unwrap(), length);
    let error = db.query_value::<Duration>("SELECT '1 month'::interval", ()).unwrap_err();
    assert!(error.message().contains("has months"), "{error}");
    let two_days: Duration = db.query_value("SELECT TIMESTAMP '2024-01-03' - TIMESTAMP '2024-01-01'", ()).unwrap();
    assert_eq!(two_days, Duration::from_secs(2 * 86_400));
    assert!(matches!(db.query_value::<Value>("SELECT '1 day'::interval", ()).unwrap(), Value::Interval(_)));
}
