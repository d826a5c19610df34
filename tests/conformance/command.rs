//! The command `conformance` itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

type Test = fn(&Folder);

pub(crate) fn trials(files: &Path) -> Vec<Trial> {
    let tests: [(&str, Test); 4] = [
        ("prints_a_line_for_each_scenario", prints_a_line_for_each_scenario),
        ("goes_on_after_a_file_that_is_wrong", goes_on_after_a_file_that_is_wrong),
        ("refuses_wrong_arguments", refuses_wrong_arguments),
        ("a_step_that_hangs_ends_the_trace", a_step_that_hangs_ends_the_trace),
    ];
    let files: Arc<Path> = files.into();
    let trial = |(name, test): (&'static str, Test)| {
        let folder = Folder(files.join(name));
        Trial::test(format!("command::{name}"), move || {
            std::fs::create_dir(&folder.0).map_err(Failed::from)?;
            test(&folder);
            Ok(())
        })
    };
    tests.into_iter().map(trial).collect()
}

/// A folder for a test's scenarios and databases.
struct Folder(PathBuf);

impl Folder {
    fn write(&self, name: &str, steps: &Value) -> String {
        let scenario = json!({"name": name, "databases": {"default": {}}, "steps": steps});
        self.write_text(name, &scenario.to_string())
    }

    fn write_text(&self, name: &str, text: &str) -> String {
        let file = self.0.join(format!("{name}.json"));
        std::fs::write(&file, text).expect("a file");
        file.to_string_lossy().into_owned()
    }

    fn play(&self, files: &[&str]) -> Output {
        let url = format!("sqlite://{}/databases", self.0.display());
        conformance(&[&["--engine", "sqlite", "--url", &url], files].concat())
    }
}

fn conformance(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conformance")).args(arguments).output().expect("the command conformance")
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

fn prints_a_line_for_each_scenario(folder: &Folder) {
    let one = folder.write("one", &json!([{"op": "query", "sql": "SELECT %s", "params": ["x"]}]));
    let two = folder.write("two", &json!([{"op": "close", "alias": "nowhere"}]));
    let output = folder.play(&[&one, &two]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let expected = [
        r#"{"name":"one","trace":[{"step":0,"op":"query","ok":"x","conn":"c1"}]}"#,
        r#"{"name":"two","trace":[{"step":0,"op":"close","error":"ConnectionDoesNotExist","conn":null}]}"#,
    ];
    assert_eq!(lines(&output.stdout), expected);
    let left = std::fs::read_dir(folder.0.join("databases")).expect("the folder").count();
    assert_eq!(left, 0, "databases stay behind");
}

fn goes_on_after_a_file_that_is_wrong(folder: &Folder) {
    let wrong =
        folder.write_text("wrong", r#"{"name": "wrong", "databases": {"default": {"HOST": "x"}}, "steps": []}"#);
    let unset = folder.write("unset", &json!([{"op": "query", "sql": {"mysql": "SELECT 1"}}]));
    let fine = folder.write("fine", &json!([{"op": "aliases"}]));
    let output = folder.play(&[&wrong, "nowhere.json", &unset, &fine]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        lines(&output.stdout),
        [r#"{"name":"fine","trace":[{"step":0,"op":"aliases","ok":["default"],"conn":null}]}"#]
    );
    let reasons = lines(&output.stderr);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[0].contains("wrong.json: unknown field `HOST`"), "{reasons:?}");
    assert!(reasons[1].starts_with("conformance: nowhere.json: "), "{reasons:?}");
    assert!(reasons[2].ends_with("step 0: there is no sql for sqlite"), "{reasons:?}");
}

fn refuses_wrong_arguments(_: &Folder) {
    let wrong: [(&[&str], &str); 6] = [
        (&["--engine", "oracle", "--url", "sqlite:///x", "a.json"], "there is no engine \"oracle\""),
        (&["--url", "sqlite:///x", "a.json"], "--engine is missing"),
        (&["--engine", "sqlite", "a.json"], "--url is missing"),
        (&["--engine", "sqlite", "--url", "sqlite:///x"], "no file is given"),
        (&["--engine", "sqlite", "--url", "mysql://u:p@h/d", "a.json"], "none of sqlite"),
        (&["--engine", "sqlite", "--uri", "sqlite:///x", "a.json"], "there is no option --uri"),
    ];
    for (arguments, reason) in wrong {
        let output = conformance(arguments);
        let said = lines(&output.stderr);
        assert_eq!((output.status.code(), said.len()), (Some(2), 1), "{arguments:?}: {said:?}");
        assert!(said[0].contains(reason), "{arguments:?}: {said:?}");
    }
}

fn a_step_that_hangs_ends_the_trace(folder: &Folder) {
    let hangs = folder.write("hangs", &json!([{"op": "sleep", "seconds": 31}, {"op": "aliases"}]));
    let output = folder.play(&[&hangs]);
    assert_eq!(lines(&output.stdout), [r#"{"name":"hangs","trace":[{"step":0,"op":"sleep","error":"Timeout"}]}"#]);
}
