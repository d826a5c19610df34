//! Dates and times by the crate time. On the way they are those of chrono, which every backend knows.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time};

use super::{Element, FromValue, Interval, ToValue, Value, ValueError};

impl Element for Date {}
impl Element for Time {}
impl Element for PrimitiveDateTime {}
impl Element for OffsetDateTime {}
impl Element for Duration {}

fn to_date(date: Date) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(date.year(), u8::from(date.month()).into(), date.day().into())
}

fn to_time(time: Time) -> Option<NaiveTime> {
    let (hour, minute, second, nanos) = time.as_hms_nano();
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanos)
}

fn of_date(date: NaiveDate) -> Result<Date, ValueError> {
    let byte = |part: u32| u8::try_from(part).unwrap_or_default();
    Month::try_from(byte(date.month()))
        .and_then(|month| Date::from_calendar_date(date.year(), month, byte(date.day())))
        .map_err(|_| ValueError::new("has a year that the crate time does not have, which are -9999 to 9999"))
}

fn of_time(time: NaiveTime) -> Result<Time, ValueError> {
    let byte = |part: u32| u8::try_from(part).unwrap_or_default();
    // chrono counts a leap second as more nanoseconds of the one before.
    let nanos = time.nanosecond().min(999_999_999);
    Time::from_hms_nano(byte(time.hour()), byte(time.minute()), byte(time.second()), nanos)
        .map_err(|_| ValueError::new("is no time of a day"))
}

impl ToValue for Date {
    fn to_value(&self) -> Value {
        to_date(*self).map_or_else(|| Value::Text(self.to_string()), Value::Date)
    }
}

impl ToValue for Time {
    fn to_value(&self) -> Value {
        to_time(*self).map_or_else(|| Value::Text(self.to_string()), Value::Time)
    }
}

impl ToValue for PrimitiveDateTime {
    fn to_value(&self) -> Value {
        match to_date(self.date()).zip(to_time(self.time())) {
            Some((date, time)) => Value::DateTime(NaiveDateTime::new(date, time)),
            None => Value::Text(self.to_string()),
        }
    }
}

impl ToValue for OffsetDateTime {
    fn to_value(&self) -> Value {
        DateTime::<Utc>::from_timestamp(self.unix_timestamp(), self.nanosecond())
            .map_or_else(|| Value::Text(self.to_string()), Value::DateTimeTz)
    }
}

impl ToValue for Duration {
    fn to_value(&self) -> Value {
        let longest = if self.is_negative() { i64::MIN } else { i64::MAX };
        let micros = i64::try_from(self.whole_microseconds()).unwrap_or(longest);
        Value::Interval(Interval { micros, ..Interval::default() })
    }
}

impl FromValue for Date {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        of_date(NaiveDate::from_value(value)?)
    }
}

impl FromValue for Time {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        of_time(NaiveTime::from_value(value)?)
    }
}

impl FromValue for PrimitiveDateTime {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let moment = NaiveDateTime::from_value(value)?;
        Ok(Self::new(of_date(moment.date())?, of_time(moment.time())?))
    }
}

impl FromValue for OffsetDateTime {
    /// In UTC.
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let moment = DateTime::<Utc>::from_value(value)?.naive_utc();
        Ok(PrimitiveDateTime::new(of_date(moment.date())?, of_time(moment.time())?).assume_utc())
    }
}

impl FromValue for Duration {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        chrono::TimeDelta::from_value(value)
            .map(|delta| Self::microseconds(delta.num_microseconds().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<T: ToValue + FromValue + PartialEq + std::fmt::Debug>(before: &T) {
        let value = before.to_value();
        assert!(!matches!(value, Value::Text(_)), "{before:?}");
        assert_eq!(T::from_value(value.clone()).unwrap(), *before);
        if let Some(text) = value.portable_text() {
            assert_eq!(T::from_value(Value::Text(text.into_owned())).unwrap(), *before);
        }
    }

    #[test]
    fn what_the_crate_has_survives() {
        for (year, day) in [(1, 1), (1969, 365), (2024, 60), (9999, 365)] {
            let date = Date::from_ordinal_date(year, day).unwrap();
            let moment = date.with_hms_nano(23, 59, 59, 999_999_999).unwrap();
            survives(&date);
            survives(&moment.time());
            survives(&moment);
            survives(&moment.assume_utc());
        }
        survives(&Duration::microseconds(-3_600_000_001));
    }

    #[test]
    fn what_it_has_not_is_an_error() {
        let date = NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap();
        assert!(Date::from_value(Value::Date(date)).unwrap_err().to_string().contains("9999"));
    }
}
