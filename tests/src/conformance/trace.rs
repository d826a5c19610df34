//! Traces: what the steps of a scenario did.

use serde::Serialize;
use serde_json::Value;

/// What a runner prints of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    pub name: String,
    pub trace: Vec<Entry>,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub step: usize,
    pub op: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Missing where the step never ended.
    #[serde(flatten)]
    pub seen: Option<Seen>,
    /// The labels of the callbacks and wrappers that ran.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fired: Vec<String>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Outcome {
    #[serde(rename = "ok")]
    Value(Value),
    /// The name of Django's class, or one that no trace of Django's has: `LookupError` where the step names a block, a
    /// savepoint, a wrapper, a thread or a connection that is not there, `Panic` where the thread panicked.
    #[serde(rename = "error")]
    Error(String),
}

/// What is there once a step has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seen {
    /// The name of the physical connection that the step's thread and alias now hold.
    pub conn: Option<String>,
    /// How many connections the server lists; none where there is no server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<usize>,
}

impl Entry {
    /// A step that never ended: the last entry of its trace.
    pub(super) fn cut_short(step: usize, op: &str, error: &str) -> Self {
        Self { step, op: op.to_owned(), outcome: Outcome::Error(error.to_owned()), seen: None, fired: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_the_format_says() {
        let mut entry = Entry {
            step: 0,
            op: "query".to_owned(),
            outcome: Outcome::Value(1.into()),
            seen: Some(Seen { conn: Some("c1".to_owned()), open: Some(1) }),
            fired: vec!["a".to_owned()],
        };
        let written = |entry: &Entry| serde_json::to_string(entry).unwrap();
        assert_eq!(written(&entry), r#"{"step":0,"op":"query","ok":1,"conn":"c1","open":1,"fired":["a"]}"#);
        entry.outcome = Outcome::Value(Value::Null);
        entry.seen = Some(Seen { conn: None, open: None });
        entry.fired.clear();
        assert_eq!(written(&entry), r#"{"step":0,"op":"query","ok":null,"conn":null}"#);
        let hung = Entry::cut_short(3, "sleep", "Timeout");
        assert_eq!(written(&hung), r#"{"step":3,"op":"sleep","error":"Timeout"}"#);
    }
}
