//! One matrix for the types that every backend has: written as a parameter, written as a literal, found again, read as the type, as an
//! option and as text; NULL; and the edges of each.

use std::fmt::Debug;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use dockline::{Binary, Connection, FromValue, ToValue};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{of, table};

/// One type of Rust in one type of column.
struct Column<'a> {
    db: &'a Connection,
    name: &'a str,
    /// Equal values are found by `=`.
    compares: bool,
}

impl<'a> Column<'a> {
    fn new(db: &'a Connection, name: &'a str, column: &str) -> Self {
        table(db, name, column);
        Self { db, name, compares: true }
    }

    fn without_equality(self) -> Self {
        Self { compares: false, ..self }
    }

    fn run(&self, sql: &str, params: impl dockline::Params) {
        self.db.execute(sql, params).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The value comes back, by whichever way it was written.
    fn keeps<T: ToValue + FromValue + PartialEq + Debug>(&self, value: &T, literal: &str) {
        let Self { db, name, .. } = self;
        self.run(&format!("DELETE FROM {name}"), ());
        self.run(&format!("INSERT INTO {name} VALUES (1, ?)"), (value,));
        self.run(&format!("INSERT INTO {name} VALUES (2, {literal})"), ());
        // The other protocol, on servers that have one for statements without parameters.
        for (sql, params) in
            [("SELECT id, v FROM {} WHERE 0 < ? ORDER BY id", true), ("SELECT id, v FROM {} ORDER BY id", false)]
        {
            let sql = sql.replace("{}", name);
            let rows = if params { db.query(&sql, (1,)) } else { db.query(&sql, ()) }.unwrap();
            assert_eq!(rows.len(), 2);
            for row in rows {
                let what = || format!("{name}, row {}", row.get::<i64, _>("id").unwrap());
                assert_eq!(
                    &row.get::<T, _>("v").unwrap_or_else(|error| panic!("{}: {error}", what())),
                    value,
                    "{}",
                    what()
                );
                assert_eq!(row.get::<Option<T>, _>("v").unwrap().as_ref(), Some(value), "{}", what());
            }
        }
        if self.compares {
            let found = db.query_value::<i64>(&format!("SELECT count(*) FROM {name} WHERE v = ?"), (value,)).unwrap();
            assert_eq!(found, 2, "{name}: {value:?} is found by = as it was written");
        }
    }

    fn has_null<T: ToValue + FromValue + Debug>(&self) {
        let Self { db, name, .. } = self;
        self.run(&format!("DELETE FROM {name}"), ());
        self.run(&format!("INSERT INTO {name} VALUES (1, ?)"), (None::<T>,));
        self.run(&format!("INSERT INTO {name} VALUES (2, NULL)"), ());
        for row in db.query(&format!("SELECT v FROM {name}"), ()).unwrap() {
            assert!(row.get::<Option<T>, _>("v").unwrap().is_none());
            let error = row.get::<T, _>("v").unwrap_err();
            assert!(error.message().contains("\"v\"") && error.message().contains("Option<"), "{error}");
        }
        assert_eq!(db.query_value::<i64>(&format!("SELECT count(*) FROM {name} WHERE v IS NULL"), ()).unwrap(), 2);
    }
}

pub fn numbers_are_kept_by_every_way(db: &Connection) {
    let column = Column::new(db, "m_bool", of(db, "BOOLEAN", "BOOLEAN", "BOOLEAN"));
    column.keeps(&true, "TRUE");
    column.keeps(&false, "FALSE");
    column.has_null::<bool>();
    let column = Column::new(db, "m_small", "SMALLINT");
    column.keeps(&i16::MIN, "-32768");
    column.keeps(&i16::MAX, "32767");
    column.has_null::<i16>();
    let column = Column::new(db, "m_int", "INTEGER");
    column.keeps(&i32::MIN, "-2147483648");
    column.keeps(&0_i32, "0");
    let column = Column::new(db, "m_big", "BIGINT");
    column.keeps(&i64::MIN, "-9223372036854775808");
    column.keeps(&i64::MAX, "9223372036854775807");
    column.has_null::<i64>();
    let column = Column::new(db, "m_unsigned", of(db, "NUMERIC(20)", "BIGINT UNSIGNED", "BIGINT"));
    column.keeps(&u64::from(u32::MAX), "4294967295");
    if db.vendor() != "sqlite" {
        column.keeps(&u64::MAX, "18446744073709551615");
    }
    let column = Column::new(db, "m_double", of(db, "DOUBLE PRECISION", "DOUBLE", "DOUBLE"));
    column.keeps(&0.1_f64, "0.1");
    column.keeps(&-1.797_693_134_862_315e308_f64, "-1.797693134862315e308");
    column.keeps(&5e-324_f64, if db.vendor() == "mysql" { "4.9406564584124654e-324" } else { "5e-324" });
    column.has_null::<f64>();
    let column = Column::new(db, "m_decimal", of(db, "NUMERIC(30, 20)", "DECIMAL(30, 20)", "TEXT"));
    let long: Decimal = "1.12345678901234567890".parse().unwrap();
    column.keeps(&long, "'1.12345678901234567890'");
    column.keeps(&-long, "'-1.12345678901234567890'");
    column.has_null::<Decimal>();
}

pub fn texts_and_bytes_are_kept_by_every_way(db: &Connection) {
    let column = Column::new(db, "m_text", of(db, "TEXT", "VARCHAR(200)", "TEXT"));
    column.keeps(&String::new(), "''");
    column.keeps(&"it's \"quoted\" ? :name $1".to_owned(), "'it''s \"quoted\" ? :name $1'");
    column.keeps(&"zażółć 🦀".to_owned(), "'zażółć 🦀'");
    column.has_null::<String>();
    let column = Column::new(db, "m_bytes", of(db, "BYTEA", "VARBINARY(200)", "BLOB"));
    let literal = |hex: &str| if db.vendor() == "postgresql" { format!("'\\x{hex}'") } else { format!("X'{hex}'") };
    column.keeps(&Vec::<u8>::new(), &literal(""));
    column.keeps(&vec![0_u8, 0x27, 0x5c, 0x41, 0xff], &literal("00275c41ff"));
    column.has_null::<Vec<u8>>();
    let column = Column::new(db, "m_uuid", of(db, "UUID", "CHAR(36)", "TEXT"));
    let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    column.keeps(&id, "'01234567-89ab-cdef-0123-456789abcdef'");
    column.keeps(&Uuid::nil(), "'00000000-0000-0000-0000-000000000000'");
    column.has_null::<Uuid>();
    let column = Column::new(db, "m_binary", of(db, "BYTEA", "BINARY(16)", "BLOB"));
    column.keeps(&Binary(id), &literal("0123456789abcdef0123456789abcdef"));
    let column = Column::new(db, "m_json", of(db, "JSON", "JSON", "JSON")).without_equality();
    for text in ["{\"a\": [1, null, \"it\"]}", "5", "\"x\"", "null"] {
        column.keeps(&serde_json::from_str::<serde_json::Value>(text).unwrap(), &format!("'{text}'"));
    }
    column.has_null::<serde_json::Value>();
}

pub fn moments_are_kept_by_every_way(db: &Connection) {
    let date = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
    let column = Column::new(db, "m_date", "DATE");
    column.keeps(&date(1000, 1, 1), "'1000-01-01'");
    column.keeps(&date(2024, 2, 29), "'2024-02-29'");
    column.keeps(&date(9999, 12, 31), "'9999-12-31'");
    column.has_null::<NaiveDate>();

    let column = Column::new(db, "m_time", of(db, "TIME", "TIME(6)", "TEXT"));
    column.keeps(&NaiveTime::MIN, "'00:00:00'");
    column.keeps(&NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).unwrap(), "'23:59:59.999999'");
    column.has_null::<NaiveTime>();
    let moment = |y, micros| date(y, 2, 28).and_hms_micro_opt(13, 14, 15, micros).unwrap();
    let column = Column::new(db, "m_datetime", of(db, "TIMESTAMP", "DATETIME(6)", "TEXT"));
    column.keeps(&moment(1000, 0), "'1000-02-28 13:14:15'");
    column.keeps(&moment(2024, 123_456), "'2024-02-28 13:14:15.123456'");
    column.keeps(&moment(9999, 999_999), "'9999-02-28 13:14:15.999999'");
    column.has_null::<NaiveDateTime>();
    let column = Column::new(db, "m_instant", of(db, "TIMESTAMPTZ", "TIMESTAMP(6) NULL", "TEXT"));
    column.keeps(&moment(1971, 0).and_utc(), "'1971-02-28 13:14:15'");
    column.keeps(&moment(2037, 123_456).and_utc(), "'2037-02-28 13:14:15.123456'");
    column.has_null::<DateTime<Utc>>();
}
