//! The text in which a database without dates, decimals, UUIDs or JSON keeps them.

use std::borrow::Cow;

use super::Value;

impl Value {
    /// The text form of a value of a type that not every database has; `None` for the types that every one has.
    ///
    /// It sorts as the values do where that can be (dates, times), is what SQLite's own functions read, and
    /// [`FromValue`](crate::FromValue) reads it back to the same value.
    ///
    /// ```
    /// use dockline::{RawJson, Value};
    ///
    /// assert_eq!(Value::Json(RawJson::new("[1]")).portable_text().as_deref(), Some("[1]"));
    /// assert_eq!(Value::Int(7).portable_text(), None); // every database has integers
    /// ```
    pub fn portable_text(&self) -> Option<Cow<'static, str>> {
        match self {
            #[cfg(feature = "decimal")]
            Self::Decimal(decimal) => Some(decimal.to_string().into()),
            #[cfg(feature = "chrono")]
            Self::Date(date) => Some(date.to_string().into()),
            #[cfg(feature = "chrono")]
            Self::Time(time) => Some(time.to_string().into()),
            #[cfg(feature = "chrono")]
            Self::DateTime(moment) | Self::DateTimeUtc(moment) => Some(moment.to_string().into()),
            // As SQLite writes CURRENT_TIMESTAMP, so that both sort.
            #[cfg(feature = "chrono")]
            Self::DateTimeTz(instant) => Some(instant.naive_utc().to_string().into()),
            Self::Interval(interval) => Some(interval.to_string().into()),
            #[cfg(feature = "uuid")]
            Self::Uuid(uuid) => Some(uuid.to_string().into()),
            Self::Json(json) => Some(json.as_str().to_owned().into()),
            Self::Other(other) => other.text().map(|text| text.to_owned().into()),
            _ => None,
        }
    }
}

#[cfg(test)]
#[cfg(all(feature = "chrono", feature = "decimal", feature = "uuid", feature = "json"))]
mod tests {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use crate::base::value::{FromValue, ToValue, Value};

    fn survives<T: FromValue + ToValue + PartialEq + std::fmt::Debug>(before: &T) {
        let text = before.to_value().portable_text().unwrap().into_owned();
        let after = T::from_value(Value::Text(text.clone())).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(&after, before, "{text:?}");
    }

    fn any_date() -> impl Strategy<Value = NaiveDate> {
        (0i64..3_652_000).prop_map(|days| NaiveDate::from_ymd_opt(1, 1, 1).unwrap() + TimeDelta::days(days))
    }

    fn any_time() -> impl Strategy<Value = NaiveTime> {
        (0u32..86_400, 0u32..1_000_000_000)
            .prop_map(|(s, n)| NaiveTime::from_num_seconds_from_midnight_opt(s, n).unwrap())
    }

    proptest! {
        #[test]
        fn dates_and_times_survive(date in any_date(), time in any_time()) {
            survives(&date);
            survives(&time);
            survives(&NaiveDateTime::new(date, time));
            survives(&DateTime::<Utc>::from_naive_utc_and_offset(NaiveDateTime::new(date, time), Utc));
        }

        #[test]
        fn decimals_survive(units in any::<i64>(), scale in 0u32..19) {
            survives(&rust_decimal::Decimal::new(units, scale));
        }

        #[test]
        fn uuids_and_json_survive(bits in any::<u128>(), text in any::<String>(), n in any::<i64>()) {
            survives(&uuid::Uuid::from_u128(bits));
            survives(&serde_json::json!({ "text": text, "list": [n, null, true] }));
        }
    }

    #[test]
    fn an_offset_is_the_same_instant() {
        let value = Value::Text("2026-11-21 12:00:00.5+02:00".into());
        let instant = DateTime::<Utc>::from_value(value).unwrap();
        assert_eq!(instant.to_string(), "2026-11-21 10:00:00.500 UTC");
    }

    #[test]
    fn a_text_without_an_offset_is_in_utc_as_sqlite_writes_it() {
        let instant = DateTime::<Utc>::from_value(Value::Text("2026-11-21 12:00:00".into())).unwrap();
        assert_eq!(instant.to_string(), "2026-11-21 12:00:00 UTC");
        assert_eq!(instant.to_value().portable_text().unwrap(), "2026-11-21 12:00:00");
        assert!(DateTime::<Utc>::from_value(Value::Text("2026-11-21".into())).is_err(), "no time, no instant");
    }
}
