//! Dates, times, instants, lengths of time.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use dockline::{Connection, FromValue, RawJson, ToValue};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{of, table, through};

fn noon(year: i32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(year, 2, 3).unwrap().and_hms_micro_opt(12, 0, 1, 250_000).unwrap()
}

pub fn instants_are_what_they_were(db: &Connection) {
    table(db, "instants", of(db, "TIMESTAMPTZ", "TIMESTAMP(6) NULL", "TEXT"));
    let instant = noon(2024).and_utc();
    assert_eq!(through::<_, DateTime<Utc>>(db, "instants", &instant), instant);
    // By literal, and as the session sees it: in UTC.
    db.execute("DELETE FROM instants", ()).unwrap();
    db.execute("INSERT INTO instants VALUES (1, '2024-02-03 12:00:01.25')", ()).unwrap();
    assert_eq!(db.query_value::<DateTime<Utc>>("SELECT v FROM instants", ()).unwrap(), instant);
    table(db, "moments", of(db, "TIMESTAMP", "DATETIME(6)", "TEXT"));
    assert_eq!(through::<_, NaiveDateTime>(db, "moments", &noon(2024)), noon(2024));
    let row = db.query_one("SELECT v FROM moments", ()).unwrap();
    match row.get::<DateTime<Utc>, _>("v") {
        // A type that says that it has no zone.
        Err(error) => assert!(db.vendor() == "postgresql" && error.message().contains("has no zone"), "{error}"),
        Ok(read) => assert!(db.vendor() != "postgresql" && read == instant, "{read}"),
    }
}

pub fn what_the_database_writes_sorts_with_what_is_written(db: &Connection) {
    let of = of(
        db,
        "TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP",
        "TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6)",
        "TEXT DEFAULT CURRENT_TIMESTAMP",
    );
    db.execute(&format!("CREATE TABLE sorted (id INTEGER, v {of})"), ()).unwrap();
    db.execute("INSERT INTO sorted (id) VALUES (2)", ()).unwrap();
    let now: DateTime<Utc> = db.query_value("SELECT v FROM sorted", ()).unwrap();
    assert!((DateTime::<Utc>::from(std::time::SystemTime::now()) - now).abs() < TimeDelta::hours(1), "{now}");
    db.execute("INSERT INTO sorted (id, v) VALUES (?, ?)", (1, now - TimeDelta::hours(2))).unwrap();
    db.execute("INSERT INTO sorted (id, v) VALUES (?, ?)", (3, now + TimeDelta::hours(2))).unwrap();
    let ids: Vec<(i64,)> = db.query_as("SELECT id FROM sorted ORDER BY v", ()).unwrap();
    assert_eq!(ids, [(1,), (2,), (3,)]);
    let earlier = "SELECT count(*) FROM sorted WHERE v < ?";
    assert_eq!(db.query_value::<i64>(earlier, (now + TimeDelta::hours(1),)).unwrap(), 2);
}

pub fn dates_stay_dates_in_text(db: &Connection) {
    table(db, "dated", of(db, "VARCHAR(40)", "VARCHAR(40)", "TEXT"));
    let date = noon(2024).date();
    assert_eq!(through::<_, String>(db, "dated", &date), "2024-02-03");
    assert_eq!(through::<_, NaiveDate>(db, "dated", &date), date);
    table(db, "days", "DATE");
    assert_eq!(through::<_, NaiveDate>(db, "days", &date), date);
    assert_eq!(db.query_value::<i64>("SELECT count(*) FROM days WHERE v = ?", (date,)).unwrap(), 1);
    assert_eq!(through::<_, NaiveDate>(db, "days", &"2024-02-03"), date);
}

pub fn lengths_of_time_survive(db: &Connection) {
    table(db, "lengths", of(db, "INTERVAL", "TIME(6)", "TEXT"));
    for micros in [0, 1, 3_600_000_000, 86_399_999_999, 400 * 3_600_000_000] {
        let length = Duration::from_micros(micros);
        assert_eq!(through::<_, Duration>(db, "lengths", &length), length);
    }
    let back = TimeDelta::seconds(-90);
    assert_eq!(through::<_, TimeDelta>(db, "lengths", &back), back);
    assert_eq!(db.query_value::<String>("SELECT v FROM lengths", ()).unwrap(), "-00:01:30");
    assert!(db.query_value::<Duration>("SELECT v FROM lengths", ()).unwrap_err().message().contains("negative"));
}

pub fn jiff_and_time_survive(db: &Connection) {
    table(db, "civil", of(db, "TIMESTAMP", "DATETIME(6)", "TEXT"));
    let civil = jiff::civil::date(2024, 2, 3).at(12, 0, 1, 250_000_000);
    assert_eq!(through::<_, jiff::civil::DateTime>(db, "civil", &civil), civil);
    let primitive: time::PrimitiveDateTime = db.query_value("SELECT v FROM civil", ()).unwrap();
    assert_eq!(through::<_, NaiveDateTime>(db, "civil", &primitive), noon(2024));
    table(db, "zoned", of(db, "TIMESTAMPTZ", "TIMESTAMP(6) NULL", "TEXT"));
    let timestamp: jiff::Timestamp = "2024-02-03T12:00:01.25Z".parse().unwrap();
    assert_eq!(through::<_, jiff::Timestamp>(db, "zoned", &timestamp), timestamp);
    let offset: time::OffsetDateTime = db.query_value("SELECT v FROM zoned", ()).unwrap();
    assert_eq!(through::<_, DateTime<Utc>>(db, "zoned", &offset), noon(2024).and_utc());
}

pub fn nulls_are_options_of_every_type(db: &Connection) {
    table(db, "nulls", of(db, "TEXT", "TEXT", "TEXT"));
    fn is_none<T: ToValue + FromValue>(db: &Connection) {
        assert!(through::<_, Option<T>>(db, "nulls", &None::<T>).is_none());
        let error = db.query_value::<T>("SELECT v FROM nulls", ()).err().unwrap();
        assert!(error.message().contains("column \"v\": null cannot be read as"), "{error}");
    }
    is_none::<bool>(db);
    is_none::<i64>(db);
    is_none::<f32>(db);
    is_none::<f64>(db);
    is_none::<String>(db);
    is_none::<Vec<u8>>(db);
    is_none::<Decimal>(db);
    is_none::<Uuid>(db);
    is_none::<serde_json::Value>(db);
    is_none::<RawJson>(db);
    is_none::<NaiveDate>(db);
    is_none::<NaiveTime>(db);
    is_none::<NaiveDateTime>(db);
    is_none::<DateTime<Utc>>(db);
    is_none::<Duration>(db);
    is_none::<std::net::IpAddr>(db);
}
