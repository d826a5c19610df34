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
        None => other("date", far_date(days.into())),
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
    let Some(moment) = moment else { return other(name, far_timestamp(micros, has_zone)) };
    let instant = DateTime::<chrono::Utc>::from_naive_utc_and_offset(moment, chrono::Utc);
    #[cfg(feature = "chrono")]
    return if has_zone { Value::DateTimeTz(instant) } else { Value::DateTime(moment) };
    #[cfg(not(feature = "chrono"))]
    return other(name, if has_zone { format!("{}+00:00", instant.naive_utc()) } else { moment.to_string() });
}

const DAY: i64 = 86_400_000_000;

/// A date whose year is beyond what chrono counts, as the server writes it. Such years are all after Christ.
fn far_date(days: i64) -> String {
    // From 1 March of the year 0 on, so that a leap day is the last of its year: 400 years have 146,097 days.
    let days = days + 730_425;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn far_timestamp(micros: i64, has_zone: bool) -> String {
    let date = far_date(micros.div_euclid(DAY));
    let time = clock(micros.rem_euclid(DAY)).unwrap_or_default();
    format!("{date} {time}{}", if has_zone { "+00:00" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_chrono_cannot_count_are_written_as_the_server_writes_them() {
        for days in [-730_119, -1, 0, 58, 59, 60, 365, 366, 36_583, 146_096, 146_097, 9_000_000] {
            let date = EPOCH + TimeDelta::days(days);
            assert_eq!(far_date(days), date.format("%Y-%m-%d").to_string().trim_start_matches('+'), "{days}");
        }
        let text = |value: Value| value.text().map(String::from);
        assert_eq!(text(timestamp(9_223_371_244_800_000_000, false)).as_deref(), Some("294276-12-31 00:00:00"));
        assert_eq!(
            text(timestamp(9_223_371_244_800_500_000, true)).as_deref(),
            Some("294276-12-31 00:00:00.500+00:00")
        );
        assert_eq!(text(date(2_145_031_948)).as_deref(), Some("5874897-12-31"));
    }
}
