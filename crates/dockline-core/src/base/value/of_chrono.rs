//! Dates and times by chrono.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use super::{FromValue, ToValue, Value, ValueError};

impl<Zone: chrono::TimeZone> ToValue for DateTime<Zone> {
    fn to_value(&self) -> Value {
        Value::DateTimeTz(self.with_timezone(&Utc))
    }
}

/// From the type's own variant, or from the text in which databases without such a type keep it.
macro_rules! from_variant_or_text {
    ($type:ty, $variant:pat => $inner:ident, $parse:expr) => {
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, ValueError> {
                match value {
                    $variant => Ok($inner),
                    Value::Text(text) => $parse(&text)
                        .map_err(|error| ValueError::new(format!("text is no {}: {error}", stringify!($type)))),
                    other => Err(ValueError::mismatch(stringify!($type), &other)),
                }
            }
        }
    };
}

from_variant_or_text!(NaiveDate, Value::Date(date) => date, str::parse::<NaiveDate>);
from_variant_or_text!(NaiveTime, Value::Time(time) => time, str::parse::<NaiveTime>);
from_variant_or_text!(
    NaiveDateTime,
    Value::DateTime(moment) | Value::DateTimeUtc(moment) => moment,
    |text: &str| iso(text).parse::<NaiveDateTime>()
);

impl FromValue for DateTime<Utc> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::DateTimeTz(instant) => Ok(instant),
            Value::DateTimeUtc(moment) => Ok(moment.and_utc()),
            Value::DateTime(_) => Err(ValueError::new(
                "has no zone, so it is no instant; read it as NaiveDateTime, or make the column one with a time zone",
            )),
            Value::Text(text) => {
                let text = iso(&text);
                // SQLite's CURRENT_TIMESTAMP has no offset, and is in UTC.
                match (text.parse::<DateTime<FixedOffset>>(), text.parse::<NaiveDateTime>()) {
                    (Ok(instant), _) => Ok(instant.to_utc()),
                    (_, Ok(moment)) => Ok(moment.and_utc()),
                    (Err(error), _) => Err(ValueError::new(format!("text is no DateTime<Utc>: {error}"))),
                }
            }
            other => Err(ValueError::mismatch("DateTime<Utc>", &other)),
        }
    }
}

impl FromValue for DateTime<FixedOffset> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        DateTime::<Utc>::from_value(value).map(|instant| instant.fixed_offset())
    }
}

/// Databases write a space between date and time, chrono reads a T.
fn iso(text: &str) -> String {
    text.replacen(' ', "T", 1)
}
