//! Dates and times, which PostgreSQL counts from 2000.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use dockline_core::{Other, Value};

/// The day from which PostgreSQL counts.
pub(crate) const EPOCH: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(date) => date,
    None => NaiveDate::MIN,
};

fn other(of: &str, text: impl Into<String>) -> Value {
    Value::Other(Box::new(Other::new(of, text)))
}

pub(super) fn date(days: i32) -> Value {
    match days {
        i32::MAX => return other("date", "infinity"),
        i32::MIN => return other("date", "-infinity"),
        _ => {}
    }
    match EPOCH.checked_add_signed(TimeDelta::days(days.into())) {
        Some(date) => {
            #[cfg(feature = "chrono")]
            return Value::Date(date);
            #[cfg(not(feature = "chrono"))]
            return other("date", date.to_string());
        }
        None => other("date", format!("{days} days after 2000-01-01")),
    }
}

pub(super) fn time(micros: i64) -> Value {
    match clock(micros) {
        Some(time) => {
            #[cfg(feature = "chrono")]
            return Value::Time(time);
            #[cfg(not(feature = "chrono"))]
            return other("time", time.to_string());
        }
        // The end of the day is a time for PostgreSQL.
        None => other("time", "24:00:00"),
    }
}

pub(super) fn clock(micros: i64) -> Option<NaiveTime> {
    let seconds = u32::try_from(micros / 1_000_000).ok()?;
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).ok()?;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)
}

pub(super) fn timestamp(micros: i64, has_zone: bool) -> Value {
    let name = if has_zone { "timestamptz" } else { "timestamp" };
    match micros {
        i64::MAX => return other(name, "infinity"),
        i64::MIN => return other(name, "-infinity"),
        _ => {}
    }
    let moment: Option<NaiveDateTime> =
        EPOCH.and_hms_opt(0, 0, 0).and_then(|epoch| epoch.checked_add_signed(TimeDelta::microseconds(micros)));
    let Some(moment) = moment else { return other(name, format!("{micros} us after 2000-01-01")) };
    let instant = DateTime::<chrono::Utc>::from_naive_utc_and_offset(moment, chrono::Utc);
    #[cfg(feature = "chrono")]
    return if has_zone { Value::DateTimeTz(instant) } else { Value::DateTime(moment) };
    #[cfg(not(feature = "chrono"))]
    return other(name, if has_zone { format!("{}+00:00", instant.naive_utc()) } else { moment.to_string() });
}
