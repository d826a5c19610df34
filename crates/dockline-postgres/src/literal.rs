//! Values as the server writes and reads them in text.

use std::fmt::{self, Write};

#[cfg(feature = "chrono")]
use chrono::{Datelike, SubsecRound};
use dockline_core::Value;

/// The text of a value; `None` for one that has none, such as null.
pub(crate) fn of(value: &Value) -> Option<String> {
    let mut text = String::new();
    write(value, &mut text).ok()?.then_some(text)
}

/// Writes the text of a value. Whether it has one.
pub(crate) fn write(value: &Value, out: &mut dyn Write) -> Result<bool, fmt::Error> {
    match value {
        Value::Null | Value::Named(_) => return Ok(false),
        Value::Bool(flag) => out.write_str(if *flag { "t" } else { "f" })?,
        Value::Text(text) => out.write_str(text)?,
        Value::Bytes(bytes) => hex(bytes, out)?,
        #[cfg(feature = "chrono")]
        Value::Date(date) => moment(*date, None, "", out)?,
        #[cfg(feature = "chrono")]
        Value::Time(time) => out.write_str(&trimmed(time.trunc_subsecs(6).to_string()))?,
        #[cfg(feature = "chrono")]
        Value::DateTime(both) | Value::DateTimeUtc(both) => moment(both.date(), Some(both.time()), "", out)?,
        #[cfg(feature = "chrono")]
        Value::DateTimeTz(instant) => {
            let both = instant.naive_utc();
            moment(both.date(), Some(both.time()), "+00", out)?;
        }
        Value::Array(items) | Value::List(items) => return array(items, out),
        other => match other.text() {
            Some(text) => out.write_str(&text)?,
            None => return Ok(false),
        },
    }
    Ok(true)
}

/// `{1,NULL,"two words"}`; every text is in quotes.
fn array(items: &[Value], out: &mut dyn Write) -> Result<bool, fmt::Error> {
    out.write_char('{')?;
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.write_char(',')?;
        }
        match item {
            Value::Null => out.write_str("NULL")?,
            Value::Array(items) => {
                if !array(items, out)? {
                    return Ok(false);
                }
            }
            _ => {
                let Some(text) = of(item) else { return Ok(false) };
                out.write_char('"')?;
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.write_char('\\')?;
                    }
                    out.write_char(c)?;
                }
                out.write_char('"')?;
            }
        }
    }
    out.write_char('}')?;
    Ok(true)
}

/// PostgreSQL writes no sign before a year, and counts those before the first from one again. It would round what is finer
/// than a microsecond, and the binary form cuts it off.
#[cfg(feature = "chrono")]
fn moment(date: chrono::NaiveDate, time: Option<chrono::NaiveTime>, zone: &str, out: &mut dyn Write) -> fmt::Result {
    let (year, era) = if date.year() < 1 { (1 - i64::from(date.year()), " BC") } else { (date.year().into(), "") };
    write!(out, "{year:04}-{:02}-{:02}", date.month(), date.day())?;
    if let Some(time) = time {
        write!(out, " {}{zone}", trimmed(time.trunc_subsecs(6).to_string()))?;
    }
    out.write_str(era)
}

/// Without the zeros at the end of a fraction.
#[cfg(feature = "chrono")]
fn trimmed(mut time: String) -> String {
    if time.contains('.') {
        time.truncate(time.trim_end_matches('0').len());
    }
    time
}

fn hex(bytes: &[u8], out: &mut dyn Write) -> fmt::Result {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    text.extend(dockline_net::hex(bytes).map(char::from));
    out.write_str(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_written_so_that_nothing_in_it_is_read_otherwise() {
        let text = |text: &str| Value::Text(text.into());
        let items = vec![text("a,b"), text(""), text("NULL"), text("\"\\"), Value::Null, Value::Bytes(vec![0, 255])];
        assert_eq!(of(&Value::Array(items)).unwrap(), r#"{"a,b","","NULL","\"\\",NULL,"\\x00ff"}"#);
        let nested = Value::Array(vec![Value::Array(vec![Value::Int(1), Value::Bool(true)])]);
        assert_eq!(of(&nested).unwrap(), r#"{{"1","t"}}"#);
        assert_eq!(of(&Value::Null), None);
    }

    #[cfg(feature = "chrono")]
    #[test]
    fn moments_are_written_as_the_server_writes_them() {
        use chrono::NaiveDate;

        let day = |year| NaiveDate::from_ymd_opt(year, 1, 2).unwrap();
        assert_eq!(
            of(&Value::DateTime(day(2024).and_hms_milli_opt(3, 4, 5, 500).unwrap())).unwrap(),
            "2024-01-02 03:04:05.5"
        );
        assert_eq!(
            of(&Value::DateTimeTz(day(2024).and_hms_opt(3, 4, 0).unwrap().and_utc())).unwrap(),
            "2024-01-02 03:04:00+00"
        );
        assert_eq!(of(&Value::Date(day(-1))).unwrap(), "0002-01-02 BC");
    }
}
