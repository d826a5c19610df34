//! JSON documents: kept as text, and read when somebody asks.

use std::fmt;

use super::{FromValue, ToValue, Value, ValueError};

/// A JSON document as its text, with every digit and in the order that it was written in.
///
/// A column of JSON comes as this, and is parsed when it is read as `serde_json::Value` or by [`parse`](RawJson::parse).
/// As a parameter, it is checked by the database.
///
/// ```
/// use dockline::{FromValue, RawJson, Value};
///
/// let column = Value::Json(RawJson::new(r#"{"n": 123456789012345678901234567890}"#));
/// assert!(String::from_value(column)?.contains("123456789012345678901234567890"));
/// # Ok::<_, dockline::ValueError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawJson {
    text: String,
}

impl RawJson {
    /// Takes a text that is a document. It is not checked.
    ///
    /// ```
    /// use dockline::RawJson;
    ///
    /// # let connections = dockline::Connections::new(dockline::Databases::new().with("default", dockline::Settings::from_url("sqlite::memory:")?))?;
    /// # let db = connections.get("default")?;
    /// # db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, done BOOLEAN DEFAULT FALSE NOT NULL)", ())?;
    /// db.execute("INSERT INTO job (name) VALUES (?)", (RawJson::new(r#"{"n": 1.50}"#),))?;
    /// let document: RawJson = db.query_value("SELECT name FROM job", ())?;
    /// assert_eq!(document.as_str(), r#"{"n": 1.50}"#); // as it was written
    /// # Ok::<_, dockline::Error>(())
    /// ```
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The text.
    ///
    /// ```
    /// use dockline::RawJson;
    ///
    /// assert_eq!(RawJson::new("[1]").as_str(), "[1]");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, out of it.
    ///
    /// ```
    /// use dockline::RawJson;
    ///
    /// assert_eq!(RawJson::new("[1]").into_string(), "[1]");
    /// ```
    pub fn into_string(self) -> String {
        self.text
    }

    /// Makes the document of something that serde can write.
    ///
    /// ```
    /// # extern crate dockline_core as dockline;
    /// use dockline::RawJson;
    ///
    /// assert_eq!(RawJson::of(&["a", "b"])?.as_str(), r#"["a","b"]"#);
    /// # Ok::<_, dockline::ValueError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it has no form in JSON, such as a map whose keys are no text.
    #[cfg(feature = "json")]
    pub fn of(document: &(impl serde::Serialize + ?Sized)) -> Result<Self, ValueError> {
        serde_json::to_string(document).map(Self::new).map_err(|error| ValueError::new(format!("is no JSON: {error}")))
    }

    /// Reads the document as a type of yours.
    ///
    /// ```
    /// # extern crate dockline_core as dockline;
    /// use dockline::RawJson;
    ///
    /// let document = RawJson::new("[1, 2]");
    /// assert_eq!(document.parse::<Vec<i64>>()?, [1, 2]);
    /// # Ok::<_, dockline::ValueError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is none.
    #[cfg(feature = "json")]
    pub fn parse<'text, T: serde::Deserialize<'text>>(&'text self) -> Result<T, ValueError> {
        serde_json::from_str(&self.text).map_err(|error| unreadable(&error))
    }
}

/// serde's message may quote the document.
#[cfg(feature = "json")]
fn unreadable(error: &serde_json::Error) -> ValueError {
    let what = match error.classify() {
        serde_json::error::Category::Data => "is JSON of another shape",
        _ => "is no JSON that serde reads",
    };
    ValueError::new(format!("{what} (line {}, column {})", error.line(), error.column()))
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl AsRef<str> for RawJson {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl ToValue for RawJson {
    fn to_value(&self) -> Value {
        Value::Json(self.clone())
    }
}

impl FromValue for RawJson {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Json(json) => Ok(json),
            Value::Text(text) => Ok(Self { text }),
            // What SQLite makes of a document that is a number, in a column that is declared as JSON.
            Value::Int(n) => Ok(Self::new(n.to_string())),
            Value::Double(double) if double.is_finite() => Ok(Self::new(format!("{double:?}"))),
            other => Err(ValueError::mismatch("RawJson", &other)),
        }
    }
}

#[cfg(feature = "json")]
impl ToValue for serde_json::Value {
    fn to_value(&self) -> Value {
        Value::Json(RawJson::new(self.to_string()))
    }
}

#[cfg(feature = "json")]
impl FromValue for serde_json::Value {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let json = match value {
            Value::Null => return Err(ValueError::mismatch("serde_json::Value", &value)),
            other => RawJson::from_value(other)
                .map_err(|error| ValueError::new(error.message.replace("RawJson", "serde_json::Value")))?,
        };
        let document = json.parse()?;
        if long_integers(json.as_str()).any(is_changed) {
            return Err(ValueError::new(
                "has an integer of more digits than serde_json keeps; read it as RawJson or String, \
                 or turn on serde_json's feature arbitrary_precision",
            ));
        }
        Ok(document)
    }
}

/// Whether serde_json would make another number of it.
#[cfg(feature = "json")]
fn is_changed(digits: &str) -> bool {
    let Ok(number) = serde_json::from_str::<serde_json::Value>(digits) else { return false };
    let written = number.to_string();
    written != digits
}

/// The integers of a document that do not fit 64 bits.
#[cfg(feature = "json")]
fn long_integers(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b'"' => {
                    while let Some(&byte) = bytes.get(at) {
                        at += if byte == b'\\' { 2 } else { 1 };
                        if byte == b'"' {
                            break;
                        }
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let is_part = |byte: &u8| byte.is_ascii_digit() || b".eE+-".contains(byte);
                    at += bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                    let number = &text[start..at];
                    let is_whole = !number.contains(['.', 'e', 'E']);
                    if number.len() > 18 && is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
                    {
                        return Some(number);
                    }
                }
                _ => {}
            }
        }
        None
    })
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use serde_json::json;

    use super::*;

    fn column(text: &str) -> Value {
        Value::Json(RawJson::new(text))
    }

    #[test]
    fn a_document_keeps_its_text() {
        let text = r#"{"b":  1, "a": 123456789012345678901234567890, "b": 2.50}"#;
        assert_eq!(String::from_value(column(text)).unwrap(), text);
        assert_eq!(RawJson::from_value(column(text)).unwrap().as_str(), text);
    }

    #[test]
    fn a_number_that_would_change_is_an_error_and_no_other_number() {
        for text in ["123456789012345678901234567890", r#"{"a": [1, -99999999999999999999]}"#] {
            let error = serde_json::Value::from_value(column(text)).unwrap_err().to_string();
            assert!(error.contains("read it as RawJson"), "{error}");
        }
        for text in [r#"{"123456789012345678901234567890": "99999999999999999999"}"#, "18446744073709551615", "1.5e300"]
        {
            serde_json::Value::from_value(column(text)).unwrap();
        }
    }

    #[test]
    fn what_serde_refuses_is_an_error_of_its_reader_alone() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let error = serde_json::Value::from_value(column(&deep)).unwrap_err().to_string();
        assert!(error.starts_with("is no JSON that serde reads"), "{error}");
        assert_eq!(String::from_value(column(&deep)).unwrap(), deep);
    }

    #[test]
    fn numbers_of_a_column_that_sqlite_made_numbers_are_documents() {
        assert_eq!(serde_json::Value::from_value(Value::Int(5)).unwrap(), json!(5));
        assert_eq!(serde_json::Value::from_value(Value::Double(1.5)).unwrap(), json!(1.5));
        assert_eq!(RawJson::from_value(Value::Double(1e300)).unwrap().parse::<f64>().unwrap(), 1e300);
    }

    #[test]
    fn a_type_of_the_programs_is_written_and_read() {
        #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
        struct Size {
            width: u32,
        }
        let json = RawJson::of(&Size { width: 7 }).unwrap();
        assert_eq!(json.parse::<Size>().unwrap(), Size { width: 7 });
        let error = RawJson::new(r#"{"width": "hunter2"}"#).parse::<Size>().unwrap_err().to_string();
        assert!(error.starts_with("is JSON of another shape") && !error.contains("hunter2"), "{error}");
    }
}
