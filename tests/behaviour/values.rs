//! Every type through SQLite and back, by property tests: what is read is what was written, or an error.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use dockline::{Connection, ErrorKind, FromValue, ToValue, Value, params};
use dockline_tests::in_memory;
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

thread_local! {
    static DB: (dockline::Connections, Connection) = {
        let connections = in_memory();
        let db = connections.get("default").unwrap();
        db.execute("CREATE TABLE v (v)", ()).unwrap();
        (connections, db)
    };
}

/// Writes a value into a table, and reads it back.
fn through<T: ToValue + FromValue>(value: &T) -> dockline::Result<T> {
    DB.with(|(_, db)| {
        db.execute("DELETE FROM v", ()).unwrap();
        db.execute("INSERT INTO v VALUES (?)", params![value])?;
        db.query_value("SELECT v FROM v", ())
    })
}

fn survives<T: ToValue + FromValue + PartialEq + std::fmt::Debug>(value: T) {
    assert_eq!(through(&value).unwrap(), value);
}

fn any_datetime() -> impl Strategy<Value = NaiveDateTime> {
    (0i64..3_652_000, 0u32..86_400, 0u32..1_000_000_000).prop_map(|(days, seconds, nanoseconds)| {
        let date = NaiveDate::from_ymd_opt(1, 1, 1).unwrap() + TimeDelta::days(days);
        date.and_time(NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanoseconds).unwrap())
    })
}

proptest! {
    #[test]
    fn numbers(a in any::<i64>(), b in any::<u32>(), c in any::<i8>(), d in any::<bool>(), e in any::<f64>(), f in any::<f32>()) {
        survives(a);
        survives(b);
        survives(c);
        survives(d);
        if !e.is_nan() { survives(e) }
        if !f.is_nan() { survives(f) }
    }

    #[test]
    fn unsigned_numbers_survive_or_are_refused(n in any::<u64>()) {
        match through(&n) {
            Ok(read) => prop_assert_eq!(read, n),
            Err(error) => {
                prop_assert!(n > i64::MAX as u64);
                prop_assert_eq!(error.kind(), ErrorKind::Data);
            }
        }
    }

    #[test]
    fn text_and_bytes(text in any::<String>(), bytes in any::<Vec<u8>>(), maybe in any::<Option<String>>()) {
        survives(text);
        survives(bytes);
        survives(maybe);
    }

    #[test]
    fn dates_and_times(datetime in any_datetime()) {
        survives(datetime);
        survives(datetime.date());
        survives(datetime.time());
        survives(DateTime::<Utc>::from_naive_utc_and_offset(datetime, Utc));
    }

    #[test]
    fn decimals_uuids_and_json(units in any::<i64>(), scale in 0u32..19, bits in any::<u128>(), text in any::<String>()) {
        survives(Decimal::new(units, scale));
        survives(Uuid::from_u128(bits));
        survives(serde_json::json!({ "text": text, "n": [units, null, true] }));
    }
}

#[test]
fn edges_survive() {
    survives(i64::MIN);
    survives(i64::MAX);
    survives(i64::MAX as u64);
    survives(f64::INFINITY);
    survives(f64::MIN_POSITIVE);
    survives(-0.0_f64);
    survives(String::from("a\0b"));
    survives(String::new());
    survives(Vec::<u8>::new());
    survives(vec![0x5a_u8; 16 << 20]);
    survives(None::<i64>);
}

#[test]
fn nothing_is_lost_in_silence() {
    let error = through(&f64::NAN).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "parameter 1: SQLite has no NaN"));
    let error = through(&u64::MAX).unwrap_err();
    assert!(error.kind() == ErrorKind::Data && error.message().starts_with("parameter 1: "), "{error}");
    assert!(!error.may_have_executed());
}

#[test]
fn text_that_is_not_utf8_is_an_error_that_names_the_column_and_bytes_can_be_read() {
    DB.with(|(_, db)| {
        let row = db.query_one("SELECT CAST(x'61ff' AS TEXT) AS word", ()).unwrap();
        let error = row.get::<String, _>("word").unwrap_err();
        assert_eq!((error.kind(), error.alias()), (ErrorKind::Data, Some("default")));
        assert!(error.message().starts_with("column \"word\": is not UTF-8"), "{error}");
        assert_eq!(row.get::<Vec<u8>, _>("word").unwrap(), [0x61, 0xff]);
    });
}

#[test]
fn a_decimal_that_its_column_would_not_keep_is_refused() {
    let connections = dockline_tests::in_memory();
    let db = connections.get("default").unwrap();
    db.execute("CREATE TABLE p (n DECIMAL(30, 20), t TEXT, d REAL)", ()).unwrap();
    let refused = |error: dockline::Error, at: u32| {
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let wanted = format!("parameter {at}: the decimal has more than 15 digits");
        assert!(error.message().contains(&wanted) && error.message().contains("TEXT"), "{error}");
    };
    for text in [
        "1.00000000000000000001",
        "123456789012345.678",
        "12345678901234567890",
        "-0.1234567890123456",
        "9007199254740993.5",
    ] {
        let long: Decimal = text.parse().unwrap();
        refused(db.execute("INSERT INTO p (t, n) VALUES (?, ?)", params![long, long]).unwrap_err(), 2);
        refused(db.execute("UPDATE p SET d = ? WHERE t = ?", params![long, long]).unwrap_err(), 1);
        let rows = [params![Decimal::ONE, long], params![long, Decimal::ONE]];
        let error = db.execute_many("INSERT INTO p (n, t) VALUES (?, ?)", rows).unwrap_err();
        assert!(error.message().contains("row 2"), "{error}");
        refused(error, 1);
        // A text keeps every digit, and a comparison changes nothing.
        db.execute("INSERT INTO p (t) VALUES (?)", params![long]).unwrap();
        assert_eq!(
            db.query_value::<Decimal>("SELECT t FROM p WHERE t = ? AND n IS NOT ?", params![long, long]).unwrap(),
            long
        );
        db.execute("DELETE FROM p WHERE t = ? OR n = ?", params![long, long]).unwrap();
    }
    for text in
        ["123456789012.345", "0.000000000000123456789012345", "9223372036854775807", "-1.50000000000000000000", "0.0"]
    {
        let short: Decimal = text.parse().unwrap();
        db.execute("INSERT INTO p (n) VALUES (?)", params![short]).unwrap();
        assert_eq!(db.query_value::<Decimal>("SELECT n FROM p WHERE n = ?", params![short]).unwrap(), short, "{text}");
        db.execute("DELETE FROM p", ()).unwrap();
    }
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM p", ()).unwrap(), 0);
}

#[test]
fn a_decimal_column_that_became_a_number_reads_back() {
    DB.with(|(_, db)| {
        db.execute("CREATE TABLE IF NOT EXISTS price (amount DECIMAL(10, 2))", ()).unwrap();
        let price = Decimal::new(1999, 2);
        db.execute("INSERT INTO price VALUES (?)", params![price]).unwrap();
        assert!(matches!(db.query_value::<Value>("SELECT amount FROM price", ()).unwrap(), Value::Double(_)));
        assert_eq!(db.query_value::<Decimal>("SELECT amount FROM price", ()).unwrap(), price);

        // What SQLite itself puts there may have had more digits.
        db.execute("UPDATE price SET amount = 123456789012345.678", ()).unwrap();
        let error = db.query_value::<Decimal>("SELECT amount FROM price", ()).unwrap_err();
        assert!(error.kind() == ErrorKind::Data && error.message().contains("15 digits"), "{error}");
    });
}
