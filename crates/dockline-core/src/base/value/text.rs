//! The text of a value: what a `String` reads.

use std::borrow::Cow;

use super::Value;

impl Value {
    /// The text of a value: itself, or how it is written. `None` for null, for bytes that are not UTF-8, and for a value of
    /// a type whose text is not known.
    ///
    /// It is the same whichever features are on.
    ///
    /// ```
    /// use dockline::Value;
    ///
    /// assert_eq!(Value::Int(7).text().as_deref(), Some("7"));
    /// assert_eq!(Value::Null.text(), None);
    /// ```
    pub fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) => text.as_str().into(),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.into(),
            Self::Json(json) => json.as_str().into(),
            Self::Other(other) => other.text()?.into(),
            Self::Named(named) => return named.value.text(),
            Self::Bool(flag) => if *flag { "true" } else { "false" }.into(),
            Self::Int(n) => n.to_string().into(),
            Self::UInt(n) => n.to_string().into(),
            Self::Float(single) => number(f64::from(*single).abs(), single, single.is_finite()).into(),
            Self::Double(double) => number(double.abs(), double, double.is_finite()).into(),
            #[cfg(feature = "decimal")]
            Self::Decimal(decimal) => decimal.to_string().into(),
            #[cfg(feature = "chrono")]
            Self::Date(date) => date.to_string().into(),
            #[cfg(feature = "chrono")]
            Self::Time(time) => time.to_string().into(),
            #[cfg(feature = "chrono")]
            Self::DateTime(moment) | Self::DateTimeUtc(moment) => moment.to_string().into(),
            #[cfg(feature = "chrono")]
            Self::DateTimeTz(instant) => format!("{}+00:00", instant.naive_utc()).into(),
            Self::Interval(interval) => interval.to_string().into(),
            #[cfg(feature = "uuid")]
            Self::Uuid(uuid) => uuid.to_string().into(),
            Self::Array(items) | Self::List(items) => array(items)?.into(),
        })
    }
}

/// As servers write one: plain, or with an exponent when it is very large or very small.
fn number<N: std::fmt::Display + std::fmt::LowerExp>(size: f64, number: &N, is_finite: bool) -> String {
    if !is_finite {
        return number.to_string().replace("inf", "Infinity");
    }
    if size == 0.0 || (1e-5..1e17).contains(&size) { number.to_string() } else { format!("{number:e}") }
}

/// As PostgreSQL writes one: `{1,NULL,"a b"}`.
fn array(items: &[Value]) -> Option<String> {
    let mut out = String::from("{");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match item {
            Value::Null => out.push_str("NULL"),
            Value::Array(_) => out.push_str(&item.text()?),
            _ => quoted(&item.text()?, &mut out),
        }
    }
    out.push('}');
    Some(out)
}

fn quoted(text: &str, out: &mut String) {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace();
    if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("null") {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value) -> String {
        value.text().unwrap().into_owned()
    }

    #[test]
    fn numbers_are_written_as_servers_write_them() {
        for (double, wanted) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e300, "1e300"),
            (1e-7, "1e-7"),
            (0.0, "0"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(&Value::Double(double)), wanted);
        }
        assert_eq!(text(&Value::Float(0.1)), "0.1");
        assert_eq!(text(&Value::Float(16_777_216.0)), "16777216");
    }

    #[test]
    fn an_array_is_written_as_the_server_reads_it() {
        let items = ["a", "", "null", "it's", "a \"b\"\\"].map(|text| Value::Text(text.into()));
        let array = Value::Array(vec![Value::Array(items.to_vec()), Value::Array(vec![Value::Null, Value::Int(1)])]);
        assert_eq!(text(&array), r#"{{a,"","null",it's,"a \"b\"\\"},{NULL,1}}"#);
        assert_eq!(text(&Value::Array(vec![])), "{}");
    }

    #[test]
    fn what_has_no_text_has_none() {
        assert_eq!(Value::Null.text(), None);
        assert_eq!(Value::Bytes(vec![255]).text(), None);
    }
}
