//! Parameters in the line of a slow statement, for a program that asks for them.

use crate::base::value::Value;

/// So many characters of a value are shown.
const LONGEST: usize = 100;
/// So many values.
const MOST: usize = 50;

/// The parameters, as they stand behind a statement in the log: ` [1, "x"]`; nothing if there are none.
pub(super) fn shown(params: &[Value]) -> String {
    if params.is_empty() {
        return String::new();
    }
    let mut each: Vec<String> = params.iter().take(MOST).map(one).collect();
    if params.len() > MOST {
        each.push(format!("and {} more", params.len() - MOST));
    }
    format!(" [{}]", each.join(", "))
}

fn one(value: &Value) -> String {
    let text = match value {
        Value::Null => return "NULL".to_owned(),
        Value::Bytes(bytes) => return format!("{} bytes", bytes.len()),
        Value::Bool(value) => return value.to_string(),
        Value::Int(value) => return value.to_string(),
        Value::UInt(value) => return value.to_string(),
        Value::Double(value) => return value.to_string(),
        Value::Named(named) => return one(&named.value),
        Value::Text(text) => format!("{:?}", text.chars().take(LONGEST + 1).collect::<String>()),
        other => format!("{other:?}"),
    };
    if text.chars().count() <= LONGEST + 2 {
        return text;
    }
    format!("{}…", text.chars().take(LONGEST).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_and_bytes_are_counted() {
        let values =
            [Value::Int(1), Value::Null, Value::Text("it's".to_owned()), Value::Bytes(vec![7; 3]), Value::Bool(true)];
        assert_eq!(shown(&values), r#" [1, NULL, "it's", 3 bytes, true]"#);
        assert_eq!(shown(&[]), "");
        let long = shown(&[Value::Text("x".repeat(5_000))]);
        assert!(long.ends_with("…]") && long.len() < 120, "{long}");
        assert!(shown(&vec![Value::Null; 60]).ends_with("NULL, and 10 more]"));
    }
}
