//! Every type through a server and back, by property tests: what is read is what was written, or an error that says what is
//! wrong. Each in a column of its own, both ways that parameters travel.

use std::fmt::Debug;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use dockline::{Connection, ErrorKind, FromValue, ToValue, Value, params};
use dockline_tests::servers::{Kind, Server};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(numbers),
        case!(unsigned_numbers),
        case!(floats),
        case!(text),
        case!(bytes),
        case!(large_bytes),
        case!(dates_and_times),
        case!(instants),
        case!(decimals),
        case!(uuids_and_json),
        case!(nulls_and_options),
        case!(out_of_range_is_an_error_with_the_name_of_what_is_wrong),
        case!(expressions_have_types_too),
    ]
}

/// A table of one value, on a connection that prepares and on one that does not.
struct Columns<'server> {
    opened: [Opened<'server>; 2],
}

impl<'server> Columns<'server> {
    fn new(server: &'server Server) -> Self {
        // An instant is stored in the zone of the session, so that has to be the one that it is sent in.
        let open =
            |prepares| Opened::with(server, |settings| settings.prepared_statements(prepares).time_zone("+00:00"));
        Self { opened: [open(true), open(false)] }
    }

    fn each(&self, check: impl Fn(&Connection)) {
        self.opened.iter().for_each(|opened| check(&opened.db));
    }

    /// Makes a table with a column of this type.
    fn column(&self, name: &'static str, sql_type: &str) -> Column<'_> {
        self.each(|db| {
            db.execute(&format!("CREATE TABLE {name} (id INTEGER, v {sql_type})"), ()).unwrap();
        });
        Column { columns: self, name }
    }
}

struct Column<'a> {
    columns: &'a Columns<'a>,
    name: &'static str,
}

impl Column<'_> {
    /// The value comes back as it was, alone and among others, both ways.
    fn survives<T: ToValue + FromValue + PartialEq + Debug>(&self, value: &T) {
        let name = self.name;
        self.columns.each(|db| {
            db.execute(&format!("DELETE FROM {name}"), ()).unwrap();
            let insert = format!("INSERT INTO {name} (id, v) VALUES (?, ?)");
            db.execute(&insert, params![0, value]).unwrap_or_else(|error| panic!("{name} {value:?}: {error:?}"));
            // Enough that some go out together.
            db.execute_many(&insert, (1..10).map(|id| params![id, value])).unwrap();
            let read: Vec<(i64, T)> = db.query_as(&format!("SELECT id, v FROM {name} ORDER BY id"), ()).unwrap();
            assert_eq!(read.len(), 10);
            for (_, read) in read {
                assert_eq!(&read, value, "{name}");
            }
        });
    }

    /// The value is refused, and the error names what it is about.
    fn refuses<T: ToValue + Debug>(&self, value: &T, kinds: &[ErrorKind]) {
        let name = self.name;
        self.columns.each(|db| {
            db.execute(&format!("DELETE FROM {name}"), ()).unwrap();
            let insert = format!("INSERT INTO {name} (id, v) VALUES (?, ?)");
            let error = match db.execute(&insert, params![0, value]) {
                Ok(_) => panic!("{name}: {value:?} was taken, as {:?}", db.query(&format!("SELECT v FROM {name}"), ())),
                Err(error) => error,
            };
            assert!(kinds.contains(&error.kind()), "{name} {value:?}: {error:?}");
            assert!(!error.is_disconnect() && !error.may_have_executed(), "{name} {value:?}: {error:?}");
            assert_eq!(db.query_value::<i64>(&format!("SELECT count(*) FROM {name}"), ()).unwrap(), 0);
        });
    }
}

/// A few values of a strategy, the same in every run: a failure can be tried again.
fn few<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&strategy, |value| {
        check(value);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

fn numbers(server: &Server) {
    let columns = Columns::new(server);
    let flag = columns.column("flag", "BOOLEAN");
    flag.survives(&true);
    flag.survives(&false);
    let [small, medium, big] =
        [("small", "SMALLINT"), ("medium", "INTEGER"), ("big", "BIGINT")].map(|(name, of)| columns.column(name, of));
    for n in [i8::MIN, -1, 0, i8::MAX] {
        small.survives(&n);
    }
    for n in [i16::MIN, -1, 0, i16::MAX] {
        small.survives(&n);
    }
    for n in [i32::MIN, -1, 0, i32::MAX] {
        medium.survives(&n);
    }
    for n in [i64::MIN, -1, 0, i64::MAX] {
        big.survives(&n);
    }
    big.survives(&u32::MAX);
    big.survives(&(i64::MAX as u64));
    few(8, any::<(i16, i32, i64, u32)>(), |(a, b, c, d)| {
        small.survives(&a);
        medium.survives(&b);
        big.survives(&c);
        big.survives(&d);
    });
}

fn unsigned_numbers(server: &Server) {
    let columns = Columns::new(server);
    let of = if server.kind().is_postgres() { "NUMERIC(20, 0)" } else { "BIGINT UNSIGNED" };
    let column = columns.column("n", of);
    for n in [0, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        column.survives(&n);
    }
    few(8, any::<u64>(), |n| column.survives(&n));
    let signed = columns.column("signed", "BIGINT");
    signed.refuses(&u64::MAX, &[ErrorKind::Data]);
}

fn floats(server: &Server) {
    let columns = Columns::new(server);
    let double = columns.column("v8", "DOUBLE PRECISION");
    let postgres = server.kind().is_postgres();
    for n in [0.0, -0.0, 1.0 / 3.0, 0.1, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 1e300, -1e-300, 9_007_199_254_740_993.0]
    {
        double.survives(&n);
    }
    few(16, proptest::num::f64::NORMAL, |n| double.survives(&n));
    let single = columns.column("v4", if postgres { "REAL" } else { "FLOAT" });
    // MySQL writes a FLOAT with six digits where it writes it as text, so what is read has to come in binary.
    for n in [0.0_f32, 0.5, -2.25, 1024.0, 123_456.0] {
        single.survives(&n);
    }
    if postgres {
        few(16, proptest::num::f32::NORMAL, |n| single.survives(&n));
        double.survives(&f64::INFINITY);
        double.survives(&f64::NEG_INFINITY);
        columns.each(|db| {
            db.execute("DELETE FROM v8", ()).unwrap();
            db.execute("INSERT INTO v8 VALUES (1, ?)", params![f64::NAN]).unwrap();
            assert!(db.query_value::<f64>("SELECT v FROM v8", ()).unwrap().is_nan());
        });
    } else {
        for n in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            double.refuses(&n, &[ErrorKind::Data]);
        }
    }
}

/// No column of PostgreSQL's holds a NUL.
fn any_text(postgres: bool) -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        '\'',
        '"',
        '\\',
        '`',
        '?',
        '$',
        '%',
        '\n',
        '\r',
        '\t',
        '\u{1a}',
        '\u{1F980}',
        '\u{10FFFF}',
        '\0',
    ]);
    let character = prop_oneof![2 => any::<char>(), 1 => special];
    prop::collection::vec(character, 0..40)
        .prop_map(move |text| text.into_iter().filter(|c| !postgres || *c != '\0').collect())
}

fn text(server: &Server) {
    let columns = Columns::new(server);
    let postgres = server.kind().is_postgres();
    let long = columns.column("long_text", if postgres { "TEXT" } else { "LONGTEXT" });
    let short = columns.column("short_text", "VARCHAR(200)");
    for text in [
        "",
        " ",
        "  two  ",
        "it's",
        "\\",
        "\\'",
        "a\\'; DROP TABLE x; --",
        "??",
        "%s",
        "$1",
        ":name",
        "𝒳🦀\u{10FFFF}",
        "ＡÄßé中",
    ] {
        long.survives(&text.to_owned());
        short.survives(&text.to_owned());
    }
    let all_planes: String = (0..=16).filter_map(|plane| char::from_u32(plane * 0x1_0000 + 0x41)).collect();
    short.survives(&all_planes);
    few(24, any_text(postgres), |text| {
        long.survives(&text);
        short.survives(&text);
    });
    long.survives(&"ab\u{1F980}".repeat(100_000));
    if postgres {
        long.refuses(&"a\0b".to_owned(), &[ErrorKind::Data]);
    } else {
        long.survives(&"a\0b".to_owned());
    }
}

fn bytes_column(server: &Server) -> &'static str {
    if server.kind().is_postgres() { "BYTEA" } else { "LONGBLOB" }
}

fn bytes(server: &Server) {
    let columns = Columns::new(server);
    let column = columns.column("b", bytes_column(server));
    column.survives(&Vec::<u8>::new());
    column.survives(&(0..=255).collect::<Vec<u8>>());
    column.survives(&b"\\x41 it's \0 '".to_vec());
    few(16, any::<Vec<u8>>(), |bytes| column.survives(&bytes));
}

fn large_bytes(server: &Server) {
    let columns = Columns::new(server);
    let of = bytes_column(server);
    columns.each(|db| {
        db.execute(&format!("CREATE TABLE large (v {of})"), ()).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let large: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(16 << 20).collect();
        db.execute("INSERT INTO large VALUES (?)", vec![Value::Bytes(large.clone())]).unwrap();
        // Compared by hand: a failure would print it.
        assert!(db.query_value::<Vec<u8>>("SELECT v FROM large", ()).unwrap() == large);
    });
}

/// Microseconds are what every server keeps.
fn any_moment(first_year: i32, last_year: i32) -> impl Strategy<Value = NaiveDateTime> {
    let first = NaiveDate::from_ymd_opt(first_year, 1, 1).unwrap();
    let days = NaiveDate::from_ymd_opt(last_year, 12, 31).unwrap().signed_duration_since(first).num_days();
    (0..=days, 0..86_400_000_000_i64).prop_map(move |(days, micros)| {
        (first + TimeDelta::days(days)).and_time(NaiveTime::MIN) + TimeDelta::microseconds(micros)
    })
}

fn moment(year: i32, month: u32, day: u32, micro: u32) -> NaiveDateTime {
    let time = if micro == 0 { NaiveTime::MIN } else { NaiveTime::from_hms_micro_opt(23, 59, 59, micro).unwrap() };
    NaiveDate::from_ymd_opt(year, month, day).unwrap().and_time(time)
}

// MySQL's dates are those of four digits.
fn edges(postgres: bool) -> Vec<NaiveDateTime> {
    if postgres {
        vec![moment(-4712, 1, 1, 0), moment(0, 2, 29, 1), moment(1, 1, 1, 0), moment(99_999, 12, 31, 999_999)]
    } else {
        vec![moment(1000, 1, 1, 0), moment(9999, 12, 31, 999_999)]
    }
}

fn ordinary() -> [NaiveDateTime; 4] {
    [moment(1970, 1, 2, 0), moment(1999, 12, 31, 999_999), moment(2000, 1, 1, 0), moment(2024, 2, 29, 1)]
}

fn dates_and_times(server: &Server) {
    let columns = Columns::new(server);
    let postgres = server.kind().is_postgres();
    let (of_moment, of_time) = if postgres { ("TIMESTAMP", "TIME") } else { ("DATETIME(6)", "TIME(6)") };
    let date = columns.column("v_date", "DATE");
    let time = columns.column("v_time", of_time);
    let both = columns.column("v_moment", of_moment);
    let check = |moment: NaiveDateTime| {
        both.survives(&moment);
        date.survives(&moment.date());
        time.survives(&moment.time());
    };
    edges(postgres).into_iter().chain(ordinary()).for_each(check);
    few(12, any_moment(1000, 9999), check);

    // What is finer is cut off, on either side of every epoch, and never rounded into the next day.
    for year in [1969, 1999, 2026] {
        let fine = moment(year, 12, 31, 999_999) + TimeDelta::nanoseconds(999);
        columns.each(|db| {
            db.execute("DELETE FROM v_moment", ()).unwrap();
            db.execute("INSERT INTO v_moment VALUES (1, ?)", params![fine]).unwrap();
            let read: NaiveDateTime = db.query_value("SELECT v FROM v_moment", ()).unwrap();
            assert_eq!(read, moment(year, 12, 31, 999_999));
            db.execute("DELETE FROM v_time", ()).unwrap();
            db.execute("INSERT INTO v_time VALUES (1, ?)", params![fine.time()]).unwrap();
            assert_eq!(db.query_value::<NaiveTime>("SELECT v FROM v_time", ()).unwrap(), read.time());
        });
    }
}

fn instants(server: &Server) {
    let columns = Columns::new(server);
    let postgres = server.kind().is_postgres();
    let column = columns.column("v_instant", if postgres { "TIMESTAMPTZ" } else { "TIMESTAMP(6) NULL" });
    let check = |moment| column.survives(&DateTime::<Utc>::from_naive_utc_and_offset(moment, Utc));
    // A TIMESTAMP of MySQL's is what 31 bits of seconds can say.
    let edges = if postgres { edges(true) } else { vec![moment(2038, 1, 18, 999_999)] };
    edges.into_iter().chain(ordinary()).for_each(check);
    few(12, any_moment(1971, 2037), check);
}

fn decimals(server: &Server) {
    let columns = Columns::new(server);
    let wide = columns.column("wide", "DECIMAL(38, 10)");
    let fine = columns.column("fine", "DECIMAL(30, 28)");
    for text in [
        "0",
        "-1.5",
        "0.0000000001",
        "79228162514264.3375935439",
        "-79228162514264.3375935439",
        "1234567890123456.7890123456",
    ] {
        wide.survives(&text.parse::<Decimal>().unwrap());
    }
    for text in ["0.0000000000000000000000000001", "-1.9999999999999999999999999999", "7.9228162514264337593543950335"]
    {
        fine.survives(&text.parse::<Decimal>().unwrap());
    }
    few(16, (any::<i64>(), 0_u32..=10), |(units, scale)| wide.survives(&Decimal::new(units, scale)));
    // The scale of the column is that of what is read.
    columns.each(|db| {
        let read: Decimal = db.query_value("SELECT CAST(? AS DECIMAL(10, 3))", params![Decimal::new(15, 1)]).unwrap();
        assert_eq!(read.to_string(), "1.500");
    });
    // Longer than what Rust's type can hold, it comes as text, and no digit is lost.
    let long = "1234567890123456789012345678.1234567891";
    columns.each(|db| {
        db.execute("DELETE FROM wide", ()).unwrap();
        db.execute("INSERT INTO wide VALUES (1, ?)", params![long]).unwrap();
        assert_eq!(db.query_value::<String>("SELECT v FROM wide", ()).unwrap(), long);
        assert_eq!(db.query_value::<Decimal>("SELECT v FROM wide", ()).unwrap_err().kind(), ErrorKind::Data);
    });
}

fn uuids_and_json(server: &Server) {
    let columns = Columns::new(server);
    let postgres = server.kind().is_postgres();
    let uuid = columns.column("u", if postgres { "UUID" } else { "CHAR(36)" });
    let json = columns.column("j", if postgres { "JSONB" } else { "JSON" });
    for bits in [0, 1, u128::MAX] {
        uuid.survives(&Uuid::from_u128(bits));
    }
    few(8, any::<u128>(), |bits| uuid.survives(&Uuid::from_u128(bits)));
    if server.kind() == Kind::MariaDb {
        columns.column("native_u", "UUID").survives(&Uuid::from_u128(7));
    }
    for document in
        [json!(null), json!(true), json!(0), json!("it's \\ \" 🦀"), json!([]), json!({}), json!([1, [2, {"a": null}]])]
    {
        json.survives(&document);
    }
    few(12, (any_text(true), any::<i32>(), any::<Option<bool>>()), |(text, n, flag)| {
        json.survives(&json!({ "text": text, "n": [n, flag], text.clone(): {} }));
    });
}

fn nulls_and_options(server: &Server) {
    let columns = Columns::new(server);
    let postgres = server.kind().is_postgres();
    let of = |postgres_type: &'static str, mysql_type: &'static str| if postgres { postgres_type } else { mysql_type };
    columns.column("n_bool", "BOOLEAN").survives(&None::<bool>);
    columns.column("n_int", "BIGINT").survives(&None::<i64>);
    columns.column("n_double", "DOUBLE PRECISION").survives(&None::<f64>);
    columns.column("n_text", "TEXT").survives(&None::<String>);
    columns.column("n_bytes", bytes_column(server)).survives(&None::<Vec<u8>>);
    columns.column("n_date", "DATE").survives(&None::<NaiveDate>);
    columns.column("n_time", "TIME").survives(&None::<NaiveTime>);
    columns.column("n_moment", of("TIMESTAMP", "DATETIME")).survives(&None::<NaiveDateTime>);
    columns.column("n_instant", of("TIMESTAMPTZ", "TIMESTAMP NULL")).survives(&None::<DateTime<Utc>>);
    columns.column("n_decimal", "DECIMAL(10, 2)").survives(&None::<Decimal>);
    columns.column("n_uuid", of("UUID", "CHAR(36)")).survives(&None::<Uuid>);
    columns.column("n_json", of("JSONB", "JSON")).survives(&None::<serde_json::Value>);
    columns.column("n_some", "BIGINT").survives(&Some(7_i64));
    columns.each(|db| {
        let error = db.query_value::<i64>("SELECT v FROM n_int", ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "several rows");
        let error = db.query_one("SELECT v FROM n_int WHERE id = 1", ()).unwrap().get::<i64, _>("v").unwrap_err();
        assert!(error.kind() == ErrorKind::Data && error.message().contains("\"v\": null"), "{error}");
        // A null has no type of its own.
        assert!(db.query_value::<Option<String>>("SELECT NULL", ()).unwrap().is_none());
        assert_eq!(db.query_value::<i64>("SELECT count(*) FROM n_int WHERE v = ?", params![None::<i64>]).unwrap(), 0);
    });
}

fn out_of_range_is_an_error_with_the_name_of_what_is_wrong(server: &Server) {
    use ErrorKind::Data;

    let columns = Columns::new(server);
    let postgres = server.kind().is_postgres();
    columns.column("r_small", "SMALLINT").refuses(&40_000_i64, &[Data]);
    columns.column("r_int", "INTEGER").refuses(&i64::MAX, &[Data]);
    columns.column("r_text", "VARCHAR(3)").refuses(&"four".to_owned(), &[Data]);
    columns.column("r_decimal", "DECIMAL(4, 2)").refuses(&Decimal::new(12_345, 2), &[Data]);
    let date = columns.column("r_date", "DATE");
    let beyond = NaiveDate::from_ymd_opt(if postgres { -4713 } else { 10_000 }, 1, 1).unwrap();
    // MySQL's word for a date that is none, 1292, is no DataError of mysqlclient's.
    date.refuses(&beyond, &[Data, ErrorKind::Operational]);
    if !postgres {
        columns.column("r_instant", "TIMESTAMP").refuses(&moment(2040, 1, 1, 0), &[Data, ErrorKind::Operational]);
    }
    // What is read into a type that is too small says which column it was.
    columns.each(|db| {
        let row = db.query_one("SELECT 300 AS size, 'x' AS word", ()).unwrap();
        let error = row.get::<u8, _>("size").unwrap_err();
        assert!(error.kind() == Data && error.message().contains("\"size\""), "{error}");
        let error = row.get::<i64, _>("word").unwrap_err();
        assert!(error.kind() == Data && error.message().contains("\"word\""), "{error}");
        assert!(db.is_connected());
    });
}

/// Values that come from no column: the server says what they are.
fn expressions_have_types_too(server: &Server) {
    let columns = Columns::new(server);
    columns.each(|db| {
        assert_eq!(db.query_value::<i64>("SELECT 1 + 1", ()).unwrap(), 2);
        assert_eq!(db.query_value::<i64>("SELECT count(*)", ()).unwrap(), 1);
        assert_eq!(db.query_value::<String>("SELECT 'it''s'", ()).unwrap(), "it's");
        assert_eq!(db.query_value::<Decimal>("SELECT 1.50", ()).unwrap(), Decimal::new(150, 2));
        assert!(db.query_value::<bool>("SELECT 1 = 1", ()).unwrap());
        let today: NaiveDate = db.query_value("SELECT current_date", ()).unwrap();
        assert!(today.year() > 2000);
        assert_eq!(db.query_value::<i64>("SELECT coalesce(?, 7)", params![3]).unwrap(), 3);
        assert_eq!(db.query_value::<String>("SELECT concat('a', CAST(? AS CHAR(3)))", params!["bcd"]).unwrap(), "abcd");
        // Half a surrogate, or any bytes, are no text.
        let row = db.query_one(invalid_text(db), ()).unwrap();
        assert_eq!(row.get::<Vec<u8>, _>(0).unwrap(), [0x61, 0xff]);
        assert_eq!(row.get::<String, _>(0).unwrap_err().kind(), ErrorKind::Data);
    });
}

fn invalid_text(db: &Connection) -> &'static str {
    if db.vendor() == "postgresql" { "SELECT '\\x61ff'::bytea" } else { "SELECT CAST(x'61ff' AS BINARY)" }
}
