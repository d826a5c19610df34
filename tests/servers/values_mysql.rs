//! What only MySQL and MariaDB have.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use dockline::{Binary, Connection, Error, ErrorKind, ToValue, Value, list, params};
use dockline_tests::servers::{Kind, Server};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    let cases = [
        case!(a_float_is_the_same_with_a_colon_in_the_text),
        case!(a_uuid_is_its_bytes_in_a_column_of_bytes_if_the_server_says_so),
        case!(a_uuid_is_what_the_settings_say),
        case!(a_uuid_that_does_not_fit_says_what_to_write),
        case!(a_value_is_stored_as_if_no_other_had_come_before),
        case!(moments_in_texts_are_the_same_by_both_protocols),
        case!(sessions_are_at_utc),
        case!(an_instant_is_refused_by_a_session_elsewhere),
        case!(lengths_of_time_are_longer_than_a_day),
        case!(routines_of_a_script_keep_their_bodies),
    ];
    let both = cases.map(|case| case.only(&[Kind::MariaDb, Kind::Mysql])).to_vec();
    [both, vec![case!(the_uuid_of_mariadb_takes_text).only(&[Kind::MariaDb])]].concat()
}

fn a_float_is_the_same_with_a_colon_in_the_text(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    db.execute("CREATE TABLE f (v FLOAT)", ()).unwrap();
    for n in [16_777_216.0_f32, 0.1, 123_456.79, f32::MAX, f32::MIN_POSITIVE] {
        db.execute("DELETE FROM f", ()).unwrap();
        db.execute("INSERT INTO f VALUES (?)", (n,)).unwrap();
        for sql in [
            "SELECT v FROM f",
            "SELECT v FROM f WHERE 'a:b' = 'a:b'",
            "SELECT v /* a:b */ FROM f",
            "SELECT v AS `a:b` FROM f",
        ] {
            assert_eq!(db.query_value::<f32>(sql, ()).unwrap(), n, "{sql}");
        }
    }
    // What the driver would take for a name runs all the same.
    assert_eq!(db.query_value::<String>("SELECT concat('\\\\', ':a', ?)", ("b",)).unwrap(), "\\:ab");
    assert_eq!(db.query_value::<i64>("SELECT -':b'", ()).unwrap_or_default(), 0);
}

fn a_uuid_is_its_bytes_in_a_column_of_bytes_if_the_server_says_so(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let id = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
    db.execute("CREATE TABLE u (id BINARY(16) PRIMARY KEY, v VARBINARY(16), b BLOB, c CHAR(36), t TEXT)", ()).unwrap();
    if server.kind() == Kind::MariaDb {
        // It says nothing of parameters.
        assert!(db.execute("INSERT INTO u (id) VALUES (?)", (id,)).is_err());
        return;
    }
    let insert = "INSERT INTO u (id, v, b, c, t) VALUES (?, ?, ?, ?, ?)";
    for id in [id, Uuid::nil(), Uuid::max()] {
        db.execute(insert, (id, Some(id), id, id, id)).unwrap();
    }
    for column in ["id", "v", "b", "c", "t"] {
        let bytes = if matches!(column, "c" | "t") { 36 } else { 16 };
        let sql = format!("SELECT length({column}), {column} FROM u WHERE {column} = ?");
        assert_eq!(db.query_as::<(i64, Uuid)>(&sql, (id,)).unwrap(), [(bytes, id)], "{column}");
        let sql = format!("SELECT count(*) FROM u WHERE {column} IN (?) AND id BETWEEN ? AND ?");
        let all = (list([id, Uuid::nil()]), Uuid::nil(), Uuid::max());
        assert_eq!(db.query_value::<i64>(&sql, all).unwrap(), 2, "{column}");
    }
    // Bytes and UUIDs take turns, and so do rows with NULL.
    let update = "UPDATE u SET v = ? WHERE id = ?";
    assert_eq!(db.execute(update, (None::<Uuid>, Binary(id))).unwrap(), 1);
    assert_eq!(db.execute(update, (id.as_bytes(), id)).unwrap(), 1);
    assert_eq!(db.query_value::<Uuid>("SELECT v FROM u WHERE id = ?", (id,)).unwrap(), id);
    // What takes a text gets a text.
    assert_eq!(db.query_value::<Uuid>("SELECT uuid_to_bin(?)", (id,)).unwrap(), id);
    assert_eq!(db.query_value::<String>("SELECT concat(?, '')", (id,)).unwrap(), id.to_string());
    let rows: Vec<_> = (0..200).map(|n| params![Uuid::from_u128(n + 10), Uuid::from_u128(n), id, id, id]).collect();
    assert_eq!(db.execute_many(insert, rows).unwrap(), 200);
}

fn a_uuid_is_what_the_settings_say(server: &Server) {
    let id = Uuid::from_u128(7);
    for prepared in [true, false] {
        let with = |how: &str| {
            let how = how.to_owned();
            Opened::with(server, |settings| settings.prepared_statements(prepared).option("uuid", how))
        };
        let Opened { db, .. } = &with("binary");
        db.execute("CREATE TABLE u (id BINARY(16) PRIMARY KEY)", ()).unwrap();
        db.execute("INSERT INTO u (id) VALUES (?)", (id,)).unwrap();
        assert_eq!(
            db.query_value::<Uuid>("SELECT id FROM u WHERE id = ? AND id IN (?)", (id, list([id]))).unwrap(),
            id
        );
        let Opened { db, .. } = &with("text");
        db.execute("CREATE TABLE u (id VARBINARY(36) PRIMARY KEY)", ()).unwrap();
        db.execute("INSERT INTO u (id) VALUES (?)", (id,)).unwrap();
        assert_eq!(db.query_value::<String>("SELECT id FROM u WHERE id = ?", (id,)).unwrap(), id.to_string());
    }
    let wrong = dockline::Settings::from_url(&server.url()).unwrap().option("uuid", "hex");
    let error = dockline::Connections::new(dockline::Databases::new().with("default", wrong)).unwrap_err();
    assert!(error.is_config() && error.message().contains("options.uuid"), "{error}");
}

fn the_uuid_of_mariadb_takes_text(server: &Server) {
    let id = Uuid::from_u128(7);
    for prepared in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepared));
        db.execute("CREATE TABLE u (id UUID PRIMARY KEY)", ()).unwrap();
        db.execute("INSERT INTO u VALUES (?)", (id,)).unwrap();
        assert_eq!(
            db.query_value::<Uuid>("SELECT id FROM u WHERE id = ? AND id IN (?)", (id, list([id]))).unwrap(),
            id
        );
    }
    let Opened { db, .. } = &Opened::with(server, |settings| settings.option("uuid", "binary"));
    db.execute("CREATE TABLE u (id UUID PRIMARY KEY)", ()).unwrap();
    let error = db.execute("INSERT INTO u VALUES (?)", (id,)).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("options.uuid = text")), "{error}");
}

fn a_uuid_that_does_not_fit_says_what_to_write(server: &Server) {
    let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(false));
    db.execute("CREATE TABLE u (id BINARY(16))", ()).unwrap();
    let error = db.execute("INSERT INTO u VALUES (?)", (Uuid::from_u128(7),)).unwrap_err();
    assert_eq!((error.kind(), error.code().as_deref()), (ErrorKind::Data, Some("1406")), "{error}");
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("options.uuid = binary") && hint.contains("Binary(id)"), "{hint}");
    let error = db.execute("INSERT INTO u VALUES (?)", ("x".repeat(17),)).unwrap_err();
    assert_eq!(error.hint(), None);
}

/// One of each kind, and texts that other types take as well.
fn values() -> Vec<Value> {
    let date = NaiveDate::from_ymd_opt(2024, 1, 2).unwrap();
    let moment = date.and_hms_micro_opt(3, 4, 5, 60).unwrap();
    vec![
        Value::Null,
        5.to_value(),
        true.to_value(),
        u64::MAX.to_value(),
        1.5_f64.to_value(),
        0.25_f32.to_value(),
        Decimal::new(12_345, 3).to_value(),
        "7".to_value(),
        "[1]".to_value(),
        "x".to_value(),
        b"8".to_vec().to_value(),
        date.to_value(),
        moment.to_value(),
        moment.time().to_value(),
        Duration::from_secs(100_000).to_value(),
        serde_json::json!({ "a": "ü" }).to_value(),
        Uuid::from_u128(7).to_value(),
    ]
}

/// What an INSERT of the value leaves in the column `v`; `None` if it is refused.
fn stored(db: &Connection, sql: &str, value: &Value) -> Option<Option<Vec<u8>>> {
    db.execute("DELETE FROM one", ()).unwrap();
    db.execute(sql, (value,)).ok()?;
    Some(db.query_value("SELECT CAST(v AS BINARY) FROM one", ()).unwrap())
}

fn a_value_is_stored_as_if_no_other_had_come_before(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let values = values();
    for of in [
        "TINYINT",
        "BIGINT UNSIGNED",
        "DECIMAL(30, 5)",
        "FLOAT",
        "DOUBLE",
        "VARCHAR(60)",
        "CHAR(36)",
        "TEXT",
        "VARBINARY(60)",
        "BLOB",
        "DATE",
        "DATETIME(6)",
        "TIMESTAMP(6) NULL",
        "TIME(6)",
        "YEAR",
        "JSON",
        "ENUM('5', 'x')",
        "SET('7', 'x')",
        "BIT(8)",
    ] {
        db.execute("DROP TABLE IF EXISTS one", ()).unwrap();
        db.execute(&format!("CREATE TABLE one (v {of})"), ()).unwrap();
        db.atomic(|| {
            let alone: Vec<_> = (values.iter().enumerate())
                .map(|(n, value)| stored(db, &format!("INSERT INTO one VALUES (?) /* {of} {n} */"), value))
                .collect();
            for (first, before) in values.iter().enumerate() {
                for (second, value) in values.iter().enumerate() {
                    let sql = format!("INSERT INTO one VALUES (?) /* {of} {first} {second} */");
                    let _ = stored(db, &sql, before);
                    assert_eq!(stored(db, &sql, value), alone[second], "{of}: {before:?}, then {value:?}");
                }
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

fn moments_in_texts_are_the_same_by_both_protocols(server: &Server) {
    let date = NaiveDate::from_ymd_opt(2024, 1, 2).unwrap();
    let moments = [
        date.to_value(),
        date.and_hms_opt(0, 0, 0).unwrap().to_value(),
        date.and_hms_opt(3, 4, 5).unwrap().to_value(),
        date.and_hms_micro_opt(3, 4, 5, 60).unwrap().to_value(),
        date.and_hms_opt(0, 0, 0).unwrap().and_utc().to_value(),
        NaiveTime::from_hms_opt(0, 0, 0).unwrap().to_value(),
        NaiveTime::from_hms_micro_opt(3, 4, 5, 600_000).unwrap().to_value(),
        Duration::from_secs(100_000).to_value(),
        Duration::from_millis(30 * 3_600_000 + 1).to_value(),
        chrono::TimeDelta::milliseconds(-1).to_value(),
    ];
    let [bound, written] = [true, false].map(|prepared| {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepared));
        db.execute("CREATE TABLE one (v VARCHAR(60))", ()).unwrap();
        let texts = moments.iter().map(|moment| {
            let stored = stored(db, "INSERT INTO one VALUES (?)", moment).unwrap().unwrap();
            let found: i64 = db.query_value("SELECT count(*) FROM one WHERE v = ?", (moment,)).unwrap();
            (String::from_utf8(stored).unwrap(), found)
        });
        texts.collect::<Vec<_>>()
    });
    assert_eq!(bound, written);
}

fn zone(db: &Connection) -> String {
    db.query_value("SELECT @@time_zone", ()).unwrap()
}

fn sessions_are_at_utc(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    assert_eq!(zone(db), "+00:00");
    let now: DateTime<Utc> = db.query_value("SELECT NOW(6)", ()).unwrap();
    assert!((DateTime::<Utc>::from(std::time::SystemTime::now()) - now).abs() < chrono::TimeDelta::hours(1));
    let Opened { db, .. } = &Opened::with(server, |settings| settings.time_zone("server"));
    assert_eq!(zone(db), db.query_value::<String>("SELECT @@global.time_zone", ()).unwrap());
}

fn an_instant_is_refused_by_a_session_elsewhere(server: &Server) {
    let Opened { db, .. } = &Opened::with(server, |settings| settings.time_zone("+02:00"));
    db.execute("CREATE TABLE z (v TIMESTAMP NULL)", ()).unwrap();
    let instant = DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::days(1);
    for _ in 0..2 {
        let error = db.execute("INSERT INTO z VALUES (?)", (instant,)).unwrap_err();
        assert!(error.kind() == ErrorKind::Data && !error.may_have_executed(), "{error}");
        assert!(
            error.message().starts_with("parameter 1: an instant") && error.message().contains("time_zone"),
            "{error}"
        );
    }
    let moment = NaiveDate::from_ymd_opt(2024, 1, 2).unwrap().and_hms_opt(3, 4, 5).unwrap();
    db.execute("INSERT INTO z VALUES (?)", (moment,)).unwrap();
    let row = db.query_one("SELECT v FROM z", ()).unwrap();
    assert_eq!(row.get::<NaiveDateTime, _>("v").unwrap(), moment);
    assert!(row.get::<DateTime<Utc>, _>("v").unwrap_err().message().contains("has no zone"));
    // A session that is sent elsewhere, or back, is known to be there.
    db.execute("SET time_zone = '+00:00'", ()).unwrap();
    db.execute("DELETE FROM z", ()).unwrap();
    db.execute("INSERT INTO z VALUES (?)", (instant,)).unwrap();
    assert_eq!(db.query_value::<DateTime<Utc>>("SELECT v FROM z", ()).unwrap(), instant);
    db.execute("SET time_zone = '+05:30'", ()).unwrap();
    assert!(db.query_value::<DateTime<Utc>>("SELECT v FROM z", ()).is_err());
    assert!(db.execute("INSERT INTO z VALUES (?)", (instant,)).is_err());
}

fn lengths_of_time_are_longer_than_a_day(server: &Server) {
    for prepares in [true, false] {
        let Opened { db, .. } = &Opened::with(server, |settings| settings.prepared_statements(prepares));
        let read: Duration = db.query_value("SELECT CAST('30:00:01.5' AS TIME(1))", ()).unwrap();
        assert_eq!(read, Duration::from_millis(30 * 3_600_000 + 1_500));
        assert_eq!(db.query_value::<String>("SELECT CAST('-838:59:59' AS TIME)", ()).unwrap(), "-838:59:59");
    }
}

fn routines_of_a_script_keep_their_bodies(server: &Server) {
    let Opened { db, .. } = &Opened::new(server);
    let script = "CREATE TABLE r (n int);\nCREATE PROCEDURE p() BEGIN INSERT INTO r VALUES (1); INSERT INTO r VALUES (2); END;\nCALL p()";
    assert_eq!(db.execute_script(script).unwrap(), 3);
    assert_eq!(db.query_value::<i64>("SELECT sum(n) FROM r", params![]).unwrap(), 3);
    let error = db.execute_script("DELIMITER //\nSELECT 1 //").unwrap_err();
    assert!(error.message().contains("leave it out"), "{error}");
}
