//! Dates and times by jiff. On the way they are those of chrono, which every backend knows.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use jiff::civil::{Date, DateTime as Civil, Time};
use jiff::{SignedDuration, Timestamp};

use super::{Element, FromValue, Interval, ToValue, Value, ValueError};

impl Element for Date {}
impl Element for Time {}
impl Element for Civil {}
impl Element for Timestamp {}
impl Element for SignedDuration {}

fn to_date(date: Date) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(date.year().into(), date.month().unsigned_abs().into(), date.day().unsigned_abs().into())
}

fn to_time(time: Time) -> Option<NaiveTime> {
    let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(|part| u32::from(part.unsigned_abs()));
    NaiveTime::from_hms_nano_opt(hour, minute, second, time.subsec_nanosecond().unsigned_abs())
}

fn of_date(date: NaiveDate) -> Result<Date, ValueError> {
    let beyond = |_| ValueError::new("has a year that jiff does not have, which are -9999 to 9999");
    let year = i16::try_from(date.year()).map_err(beyond)?;
    let [month, day] = [date.month(), date.day()].map(|part| i8::try_from(part).unwrap_or_default());
    Date::new(year, month, day)
        .map_err(|_| ValueError::new("has a year that jiff does not have, which are -9999 to 9999"))
}

fn of_time(time: NaiveTime) -> Result<Time, ValueError> {
    let [hour, minute, second] =
        [time.hour(), time.minute(), time.second()].map(|part| i8::try_from(part).unwrap_or_default());
    // chrono counts a leap second as more nanoseconds of the one before.
    let nanos = i32::try_from(time.nanosecond().min(999_999_999)).unwrap_or_default();
    Time::new(hour, minute, second, nanos).map_err(|_| ValueError::new("is no time of a day"))
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

impl ToValue for Civil {
    fn to_value(&self) -> Value {
        match to_date(self.date()).zip(to_time(self.time())) {
            Some((date, time)) => Value::DateTime(NaiveDateTime::new(date, time)),
            None => Value::Text(self.to_string()),
        }
    }
}

impl ToValue for Timestamp {
    fn to_value(&self) -> Value {
        // Towards the past, so that the nanoseconds are not negative.
        let (mut seconds, mut nanos) = (self.as_second(), self.subsec_nanosecond());
        if nanos < 0 {
            (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
        }
        DateTime::<Utc>::from_timestamp(seconds, nanos.unsigned_abs())
            .map_or_else(|| Value::Text(self.to_string()), Value::DateTimeTz)
    }
}

impl ToValue for SignedDuration {
    fn to_value(&self) -> Value {
        let longest = if self.is_negative() { i64::MIN } else { i64::MAX };
        Value::Interval(Interval { micros: i64::try_from(self.as_micros()).unwrap_or(longest), ..Interval::default() })
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

impl FromValue for Civil {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let moment = NaiveDateTime::from_value(value)?;
        Ok(Self::from_parts(of_date(moment.date())?, of_time(moment.time())?))
    }
}

impl FromValue for Timestamp {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let instant = DateTime::<Utc>::from_value(value)?;
        let nanos = i32::try_from(instant.timestamp_subsec_nanos().min(999_999_999)).unwrap_or_default();
        Self::new(instant.timestamp(), nanos).map_err(|_| ValueError::new("is an instant that jiff does not have"))
    }
}

impl FromValue for SignedDuration {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        chrono::TimeDelta::from_value(value)
            .map(|delta| Self::from_micros(delta.num_microseconds().unwrap_or_default()))
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
    fn what_jiff_has_survives() {
        for moment in
            ["-009999-01-01T00:00:00", "1969-12-31T23:59:59.999999999", "2026-11-27T12:00:00.5", "9999-12-31T23:59:59"]
        {
            let civil: Civil = moment.parse().unwrap();
            survives(&civil.date());
            survives(&civil.time());
            if civil.year() > 0 {
                survives(&civil);
            }
        }
        survives(&"1969-12-31T23:59:59.25Z".parse::<Timestamp>().unwrap());
        survives(&"2026-11-27T12:00:00.123456789Z".parse::<Timestamp>().unwrap());
        survives(&SignedDuration::from_micros(-3_600_000_001));
    }

    #[test]
    fn what_jiff_has_not_is_an_error() {
        let date = NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap();
        assert!(Date::from_value(Value::Date(date)).unwrap_err().to_string().contains("9999"));
    }
}
