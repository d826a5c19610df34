//! Compares a trace with what is expected.

use serde_json::Value;

use super::scenario::Scenario;
use super::trace::Entry;

/// The first step where two traces differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub step: usize,
    /// None where nothing more is expected.
    pub expected: Option<Value>,
    /// None where nothing more came.
    pub actual: Option<Value>,
}

/// Where the traces differ first; None where they are the same. Nothing is the same as something else: true is not 1,
/// and 1 is not 1.0.
pub fn first_difference(expected: &[Value], actual: &[Entry]) -> Option<Difference> {
    let actual: Vec<Value> =
        actual.iter().map(|entry| serde_json::to_value(entry).expect("JSON, as it was made for")).collect();
    let step = (0..expected.len().max(actual.len())).find(|step| expected.get(*step) != actual.get(*step))?;
    Some(Difference { step, expected: expected.get(step).cloned(), actual: actual.get(step).cloned() })
}

impl Difference {
    /// What a person reads of it.
    pub fn report(&self, scenario: &Scenario) -> String {
        let step = scenario.steps.get(self.step);
        let step = step.map_or("none: the trace is too long".to_owned(), ToString::to_string);
        let side = |entry: &Option<Value>| entry.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        format!(
            "{}: {}\n  step {}   {step}\n  expected {}\n  actual   {}",
            scenario.name,
            scenario.why,
            self.step,
            side(&self.expected),
            side(&self.actual)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::conformance::trace::{Outcome, Seen};

    fn entry(step: usize, value: Value) -> Entry {
        let seen = Some(Seen { conn: Some("c1".to_owned()), open: Some(1) });
        Entry { step, op: "query".to_owned(), outcome: Outcome::Value(value), seen, fired: vec![] }
    }

    fn written(step: usize, value: &Value) -> Value {
        json!({"step": step, "op": "query", "conn": "c1", "open": 1, "ok": value})
    }

    #[test]
    fn equal_traces_do_not_differ() {
        let actual = [entry(0, json!(1)), entry(1, json!({"ran": 6, "open_after": 3}))];
        let expected = [written(0, &json!(1)), written(1, &json!({"open_after": 3, "ran": 6}))];
        assert_eq!(first_difference(&expected, &actual), None);
        assert_eq!(first_difference(&[], &[]), None);
    }

    #[test]
    fn every_change_is_found_at_its_step() {
        let expected = [written(0, &json!(null)), written(1, &json!(1))];
        let same = || [entry(0, json!(null)), entry(1, json!(1))];
        assert_eq!(first_difference(&expected, &same()), None);
        let changes: [fn(&mut Entry); 11] = [
            |entry| entry.step = 2,
            |entry| entry.op = "execute".to_owned(),
            |entry| entry.outcome = Outcome::Value(json!(true)),
            |entry| entry.outcome = Outcome::Value(json!(1.0)),
            |entry| entry.outcome = Outcome::Value(json!("1")),
            |entry| entry.outcome = Outcome::Value(json!(null)),
            |entry| entry.outcome = Outcome::Error("DataError".to_owned()),
            |entry| entry.seen.as_mut().unwrap().conn = None,
            |entry| entry.seen.as_mut().unwrap().open = None,
            |entry| entry.seen.as_mut().unwrap().open = Some(2),
            |entry| entry.fired.push("a".to_owned()),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = same();
            change(&mut changed[1]);
            let difference = first_difference(&expected, &changed).unwrap_or_else(|| panic!("change {number}"));
            assert_eq!(difference.step, 1, "change {number}");
            assert_eq!(difference.expected.as_ref(), Some(&expected[1]));
        }
    }

    #[test]
    fn traces_of_other_lengths_differ() {
        let expected = [written(0, &json!(1))];
        let missing = first_difference(&expected, &[]).unwrap();
        assert_eq!((missing.step, &missing.expected, &missing.actual), (0, &Some(expected[0].clone()), &None));
        let surplus = first_difference(&expected, &[entry(0, json!(1)), entry(1, json!(1))]).unwrap();
        assert_eq!((surplus.step, surplus.expected), (1, None));
    }

    #[test]
    fn a_report_says_what_is_pinned_down_and_what_came() {
        let scenario = Scenario::parse(
            r#"{"name": "lazy", "why": "opens late", "databases": {}, "steps": [{"op": "query", "sql": "SELECT 1"}]}"#,
        )
        .unwrap();
        let difference = first_difference(&[written(0, &json!(1))], &[entry(0, json!(2))]).unwrap();
        let report = difference.report(&scenario);
        assert!(report.starts_with("lazy: opens late\n  step 0   {"), "{report}");
        assert!(report.contains(r#""sql":"SELECT 1""#) && report.contains(r#""ok":1"#) && report.contains(r#""ok":2"#));
        let surplus = Difference { step: 1, expected: None, actual: None };
        assert!(surplus.report(&scenario).contains("step 1   none: the trace is too long\n  expected nothing"));
    }
}
