//! The text in which a database without dates, decimals, UUIDs or JSON keeps them.

use std::borrow::Cow;

use super::Value;

impl Value {
    /// The text form of a value of a type that not every database has; `None` for the types that every one has.
    ///
    /// It sorts as the values do where that can be (dates, times), is what SQLite's own functions read, and
    /// [`FromValue`](crate::FromValue) reads it back to the same value.
    pub fn portable_text(&self) -> Option<Cow<'static, str>> {
        match self {
            #[cfg(feature = "decimal")]
            Self::Decimal(decimal) => Some(decimal.to_string().into()),
            #[cfg(feature = "chrono")]
            Self::Date(date) => Some(date.to_string().into()),
            #[cfg(feature = "chrono")]
            Self::Time(time) => Some(time.to_string().into()),
            #[cfg(feature = "chrono")]
            Self::DateTime(datetime) => Some(datetime.to_string().into()),
            #[cfg(feature = "chrono")]
            Self::DateTimeTz(instant) => Some(format!("{}+00:00", instant.naive_utc()).into()),
            #[cfg(feature = "uuid")]
            Self::Uuid(uuid) => Some(uuid.to_string().into()),
            #[cfg(feature = "json")]
            Self::Json(json) => Some(json.to_string().into()),
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
        assert!(DateTime::<Utc>::from_value(Value::Text("2026-11-21 12:00:00".into())).is_err(), "no zone, no instant");
    }
}
