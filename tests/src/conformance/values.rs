//! Values between scenarios, which are JSON, and Dockline.

use dockline::Value;
use serde_json::Value as Json;

/// A parameter.
///
/// # Errors
///
/// A list or an object is no parameter.
pub(super) fn parameter(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Double(number.as_f64().ok_or_else(|| format!("{number} is too large"))?),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => return Err(format!("{json} is no parameter")),
    })
}

/// What a column held. An exact number is written as a whole one where it is whole; what JSON has no word for, as text.
pub(super) fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Double(number) if number.is_finite() => (*number).into(),
        Value::Double(number) => number.to_string().into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Json(document) => document.parse().unwrap_or_else(|_| document.as_str().into()),
        Value::Float(number) if number.is_finite() => (*number).into(),
        Value::Decimal(number) => exact(&number.normalize().to_string()),
        other => other.text().unwrap_or_default().into(),
    }
}

fn exact(digits: &str) -> Json {
    match (digits.parse::<i64>(), digits.parse::<f64>()) {
        (Ok(whole), _) => whole.into(),
        (Err(_), Ok(number)) => number.into(),
        (Err(_), Err(_)) => digits.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json as document;

    use super::*;

    #[test]
    fn whole_numbers_are_whole() {
        assert_eq!(exact("3"), document!(3));
        assert_eq!(exact("-3.5"), document!(-3.5));
        assert_eq!(json(&Value::Double(3.0)), document!(3.0));
        assert_ne!(json(&Value::Double(3.0)), document!(3));
        assert_eq!(json(&Value::UInt(u64::MAX)), document!(u64::MAX));
    }

    #[test]
    fn parameters_keep_their_types() {
        let all = document!([null, true, -1, u64::MAX, 1.5, "x"]);
        let values: Vec<Value> = all.as_array().unwrap().iter().map(|json| parameter(json).unwrap()).collect();
        let text = Value::Text("x".to_owned());
        assert_eq!(
            values,
            [Value::Null, Value::Bool(true), Value::Int(-1), Value::UInt(u64::MAX), Value::Double(1.5), text]
        );
        assert_eq!(values.iter().map(json).collect::<Json>(), all);
        assert!(parameter(&document!([1])).is_err());
    }
}
