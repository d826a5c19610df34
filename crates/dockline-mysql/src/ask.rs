//! Asking a server for a few words.

use mysql::Conn;
use mysql::prelude::Queryable;

/// Asks what has one row, and answers its columns as text; of several results, the last.
pub(crate) fn ask(conn: &mut Conn, sql: &str) -> mysql::Result<Vec<Option<String>>> {
    let mut columns = Vec::new();
    let mut result = conn.query_iter(sql)?;
    while let Some(set) = result.iter() {
        for row in set {
            let values = row?.unwrap().into_iter();
            columns = values
                .map(|value| match value {
                    mysql::Value::NULL => None,
                    mysql::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                    other => Some(other.as_sql(true)),
                })
                .collect();
        }
    }
    Ok(columns)
}

/// A system variable that is a flag, or one of several words of which one is for off.
pub(crate) fn is_on(text: &str) -> bool {
    !matches!(text, "" | "0" | "OFF")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_several_words() {
        assert!(is_on("1") && is_on("ON") && is_on("NO_LOCK"));
        assert!(!is_on("0") && !is_on("OFF") && !is_on(""));
    }
}
