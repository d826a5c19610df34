//! Lengths of time.

use std::fmt;
use std::time::Duration;

use super::{FromValue, ToValue, Value, ValueError};

/// A length of time as PostgreSQL's `interval` keeps it: a month has no fixed number of days, and a day none of hours where
/// clocks are changed.
///
/// [`Duration`] reads one without months, with days of 24 hours. In a database without such a type it is a TIME, or its text.
///
/// ```
/// use dockline::Interval;
///
/// let month_and_day = Interval { months: 1, days: 1, micros: 0 };
/// assert_eq!(month_and_day, Interval { months: 1, days: 1, ..Interval::default() });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    /// Months; twelve are a year.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

const MICROS_OF_A_DAY: i64 = 86_400_000_000;

impl Interval {
    /// All of it in microseconds, with days of 24 hours; `None` if it has months, or is too long.
    ///
    /// ```
    /// use dockline::Interval;
    ///
    /// let day_and_second = Interval { days: 1, micros: 1_000_000, ..Interval::default() };
    /// assert_eq!(day_and_second.total_micros(), Some(86_401_000_000));
    /// assert_eq!(Interval { months: 1, ..Interval::default() }.total_micros(), None);
    /// ```
    pub fn total_micros(&self) -> Option<i64> {
        let days = i64::from(self.days).checked_mul(MICROS_OF_A_DAY)?;
        days.checked_add(self.micros).filter(|_| self.months == 0)
    }

    fn without_months(&self) -> Result<i64, ValueError> {
        self.total_micros().ok_or_else(|| match self.months {
            0 => ValueError::new("is longer than 64 bits of microseconds"),
            _ => ValueError::new("has months, which have no fixed length; read it as Interval"),
        })
    }

    /// Reads `[-]hours:minutes:seconds[.fraction]`, as MySQL writes a TIME.
    fn parse_clock(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
        let mut parts = digits.splitn(3, ':');
        let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
        let seconds = parts.next().unwrap_or("0");
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        if minutes > 59 || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds = number(seconds).filter(|seconds| *seconds < 60)?;
        let fraction: i64 = format!("{fraction:0<6}")[..6].parse().ok()?;
        let micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
        Some(Self { micros: sign * micros, ..Self::default() })
    }
}

impl From<Duration> for Interval {
    /// What is finer than a microsecond is cut off; what is longer than 292,000 years becomes those.
    fn from(duration: Duration) -> Self {
        Self { micros: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX), ..Self::default() }
    }
}

/// As PostgreSQL writes it: `1 year 2 mons -3 days +04:05:06.5`. Without months and days, MySQL reads it as a TIME.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A sign stands before what is positive again.
        let (mut is_empty, mut is_negative) = (true, false);
        for (count, unit) in [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")] {
            if count != 0 {
                let (space, plural) = (if is_empty { "" } else { " " }, if count == 1 { "" } else { "s" });
                let sign = if is_negative && count > 0 { "+" } else { "" };
                write!(f, "{space}{sign}{count} {unit}{plural}")?;
                (is_empty, is_negative) = (false, count < 0);
            }
        }
        if !is_empty && self.micros == 0 {
            return Ok(());
        }
        let micros = self.micros.unsigned_abs();
        let sign = match () {
            () if self.micros < 0 => "-",
            () if is_negative => "+",
            () => "",
        };
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let space = if is_empty { "" } else { " " };
        write!(f, "{space}{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
        if fraction == 0 { Ok(()) } else { write!(f, ".{}", format!("{fraction:06}").trim_end_matches('0')) }
    }
}

impl ToValue for Interval {
    fn to_value(&self) -> Value {
        Value::Interval(*self)
    }
}

impl ToValue for Duration {
    fn to_value(&self) -> Value {
        Value::Interval((*self).into())
    }
}

impl FromValue for Interval {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match &value {
            Value::Interval(interval) => Ok(*interval),
            // A TIME of MySQL's is a length of time as well.
            #[cfg(feature = "chrono")]
            Value::Time(time) => {
                let micros = time.signed_duration_since(chrono::NaiveTime::MIN).num_microseconds().unwrap_or_default();
                Ok(Self { micros, ..Self::default() })
            }
            Value::Text(text) => {
                Self::parse_clock(text).ok_or_else(|| ValueError::new("text is no length of time, such as 36:00:00.5"))
            }
            Value::Other(other) => {
                other.text().and_then(Self::parse_clock).ok_or_else(|| ValueError::mismatch("Interval", &value))
            }
            _ => Err(ValueError::mismatch("Interval", &value)),
        }
    }
}

impl FromValue for Duration {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let micros = Interval::from_value(value)?.without_months()?;
        let micros = u64::try_from(micros)
            .map_err(|_| ValueError::new("is a negative length of time, which is no Duration; read it as Interval"))?;
        Ok(Self::from_micros(micros))
    }
}

#[cfg(feature = "chrono")]
impl ToValue for chrono::TimeDelta {
    fn to_value(&self) -> Value {
        let longest = if *self < Self::zero() { i64::MIN } else { i64::MAX };
        Value::Interval(Interval { micros: self.num_microseconds().unwrap_or(longest), ..Interval::default() })
    }
}

#[cfg(feature = "chrono")]
impl FromValue for chrono::TimeDelta {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        Interval::from_value(value)?.without_months().map(Self::microseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_written_as_servers_write_it() {
        let hours = |hours: i64| Interval { micros: hours * 3_600_000_000, ..Interval::default() };
        for (interval, text) in [
            (Interval::default(), "00:00:00"),
            (hours(36), "36:00:00"),
            (hours(-838), "-838:00:00"),
            (Interval { months: 14, days: -3, micros: 14_706_500_000 }, "1 year 2 mons -3 days +04:05:06.5"),
            (Interval { months: 0, days: 1, micros: 0 }, "1 day"),
        ] {
            assert_eq!(interval.to_string(), text);
        }
    }

    #[test]
    fn a_duration_survives_as_text() {
        for micros in [0, 1, 999_999, 86_399_999_999, 3_020_399_999_999] {
            let duration = Duration::from_micros(micros);
            let text = Interval::from(duration).to_string();
            assert_eq!(Duration::from_value(Value::Text(text.clone())).unwrap(), duration, "{text}");
        }
        for text in ["", "1", "00:60:00", "00:00:61", "x:00:00", "00:00:00.x", "1 day"] {
            assert!(Duration::from_value(Value::Text(text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn what_has_no_fixed_length_is_no_duration() {
        let month = Value::Interval(Interval { months: 1, ..Interval::default() });
        assert!(Duration::from_value(month.clone()).unwrap_err().to_string().contains("has months"));
        assert_eq!(Interval::from_value(month).unwrap().months, 1);
        let day = Value::Interval(Interval { days: 2, ..Interval::default() });
        assert_eq!(Duration::from_value(day).unwrap(), Duration::from_secs(2 * 86_400));
        assert!(Duration::from_value(Value::Text("-01:00:00".into())).unwrap_err().to_string().contains("negative"));
    }
}
