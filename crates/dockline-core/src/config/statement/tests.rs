//! The outline of many texts, on every server.

mod changes;
mod properties;
mod reads;
mod several;
mod state;
mod tokens;
mod transactions;

use super::*;

const LITE: &[Dialect] = &[Dialect::SQLITE];
const PG: &[Dialect] = &[Dialect::POSTGRES];
const MY: &[Dialect] = &[Dialect::MYSQL];
const MARIA: &[Dialect] = &[Dialect::MARIADB];
const BOTH: &[Dialect] = &[Dialect::MYSQL, Dialect::MARIADB];
const SERVERS: &[Dialect] = &[Dialect::POSTGRES, Dialect::MYSQL, Dialect::MARIADB];
const ALL: &[Dialect] = &[Dialect::SQLITE, Dialect::POSTGRES, Dialect::MYSQL, Dialect::MARIADB];

/// Holds each text against `is_so`, in each of its dialects.
#[track_caller]
fn each(rows: &[(&[Dialect], &str)], is_so: impl Fn(&Outline) -> bool) {
    let mut wrong = String::new();
    for (dialects, sql) in rows {
        for dialect in *dialects {
            let outline = Outline::of(sql, *dialect);
            if !is_so(&outline) {
                wrong += &format!("{:?}: {sql}\n    {outline:?}\n", dialect.family);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Holds what is read off each text, in each of its dialects, against what is expected.
#[track_caller]
fn equal<T: PartialEq + std::fmt::Debug>(rows: &[(&[Dialect], &str, T)], read: impl Fn(&Outline) -> T) {
    let mut wrong = String::new();
    for (dialects, sql, expected) in rows {
        for dialect in *dialects {
            let found = read(&Outline::of(sql, *dialect));
            if found != *expected {
                wrong += &format!("{:?}: {sql}\n    {found:?}, not {expected:?}\n", dialect.family);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
