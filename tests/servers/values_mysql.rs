//! What only MySQL and MariaDB have.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use dockline::{Connection, ErrorKind, params};
use dockline_tests::servers::{Kind, Server};

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    let cases = [
        case!(a_float_is_the_same_with_a_colon_in_the_text),
        case!(sessions_are_at_utc),
        case!(an_instant_is_refused_by_a_session_elsewhere),
        case!(lengths_of_time_are_longer_than_a_day),
        case!(routines_of_a_script_keep_their_bodies),
    ];
    cases.map(|case| case.only(&[Kind::MariaDb, Kind::Mysql])).to_vec()
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
