//! What is expected of Dockline: the traces that were recorded of Django, and those where Dockline deviates on purpose.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::scenario::Scenario;

/// A folder with `scenarios`, `golden` and `deviations`.
#[derive(Debug, Clone)]
pub struct Recorded {
    folder: PathBuf,
}

/// The trace that is expected, and where it stands.
#[derive(Debug, Clone)]
pub struct Expected {
    pub file: PathBuf,
    pub trace: Vec<Value>,
}

#[derive(Deserialize)]
struct File {
    trace: Vec<Value>,
}

impl Recorded {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The scenarios, by the names of their files.
    ///
    /// # Errors
    ///
    /// Where there is none, or one cannot be read.
    pub fn scenarios(&self) -> Result<Vec<Scenario>, String> {
        let folder = self.folder.join("scenarios");
        let names = names(&folder)?;
        if names.is_empty() {
            return Err(format!("{}: there are no scenarios", folder.display()));
        }
        let read_named = |name: &String| {
            let file = folder.join(format!("{name}.json"));
            let scenario = Scenario::parse(&read(&file)?).map_err(|reason| format!("{}: {reason}", file.display()))?;
            if scenario.name == *name {
                Ok(scenario)
            } else {
                Err(format!("{}: its name is {:?}, and not that of its file", file.display(), scenario.name))
            }
        };
        names.iter().map(read_named).collect()
    }

    /// What is expected of a scenario on a server: `mysql`, `mariadb`, `postgres` or `sqlite`.
    ///
    /// # Errors
    ///
    /// Where no trace was recorded, or it cannot be read.
    pub fn expected(&self, server: &str, scenario: &str) -> Result<Expected, String> {
        let file = self.file(server, scenario);
        let file = file.ok_or_else(|| format!("no trace is recorded of {scenario} on {server}: it tests nothing"))?;
        let read: Result<File, _> = serde_json::from_str(&read(&file)?);
        let File { trace } = read.map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Expected { file, trace })
    }

    /// Dockline's own trace where it deviates, else Django's; one of the server before one of its engine.
    fn file(&self, server: &str, scenario: &str) -> Option<PathBuf> {
        let engine = if server == "mariadb" { "mysql" } else { server };
        let places = ["deviations", "golden"].into_iter().flat_map(|kind| [(kind, server), (kind, engine)]);
        let files = places.map(|(kind, of)| self.folder.join(kind).join(of).join(format!("{scenario}.json")));
        files.into_iter().find(|file| file.is_file())
    }

    /// The traces that no scenario asks for.
    ///
    /// # Errors
    ///
    /// Where a folder cannot be read.
    pub fn left_over(&self) -> Result<Vec<PathBuf>, String> {
        let scenarios: BTreeSet<String> = names(&self.folder.join("scenarios"))?;
        let mut left_over = Vec::new();
        for kind in ["golden", "deviations"] {
            for of in ["mysql", "mariadb", "postgres", "sqlite"] {
                let folder = self.folder.join(kind).join(of);
                if folder.is_dir() {
                    let unknown = names(&folder)?.into_iter().filter(|name| !scenarios.contains(name));
                    left_over.extend(unknown.map(|name| folder.join(format!("{name}.json"))));
                }
            }
        }
        Ok(left_over)
    }
}

/// The names of the JSON files in a folder, without their endings.
fn names(folder: &Path) -> Result<BTreeSet<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
    }
    Ok(names)
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(TempDir::new().unwrap())
        }

        fn with(self, file: &str, content: &str) -> Self {
            let file = self.0.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
            self
        }

        fn recorded(&self) -> Recorded {
            Recorded::new(self.0.path())
        }
    }

    const SCENARIO: &str = r#"{"name": "a", "databases": {}, "steps": []}"#;

    #[test]
    fn a_deviation_goes_before_what_django_did_and_a_server_before_its_engine() {
        let trace = |step: u32| format!(r#"{{"name": "a", "trace": [{step}]}}"#);
        let step = |folder: &Folder, server: &str| folder.recorded().expected(server, "a").unwrap().trace[0].clone();
        let folder = Folder::new().with("golden/mysql/a.json", &trace(1));
        assert_eq!((step(&folder, "mysql"), step(&folder, "mariadb")), (1.into(), 1.into()));
        let folder = folder.with("golden/mariadb/a.json", &trace(2));
        assert_eq!((step(&folder, "mysql"), step(&folder, "mariadb")), (1.into(), 2.into()));
        let folder = folder.with("deviations/mysql/a.json", &trace(3));
        assert_eq!((step(&folder, "mysql"), step(&folder, "mariadb")), (3.into(), 3.into()));
        let error = folder.recorded().expected("postgres", "a").unwrap_err();
        assert_eq!(error, "no trace is recorded of a on postgres: it tests nothing");
    }

    #[test]
    fn no_scenarios_are_an_error() {
        let folder = Folder::new().with("scenarios/README.md", "none yet");
        assert!(folder.recorded().scenarios().unwrap_err().ends_with("there are no scenarios"));
        assert!(Folder::new().recorded().scenarios().is_err());
        let folder = folder.with("scenarios/a.json", SCENARIO);
        assert_eq!(folder.recorded().scenarios().unwrap().len(), 1);
    }

    #[test]
    fn a_scenario_has_the_name_of_its_file() {
        let folder = Folder::new().with("scenarios/b.json", SCENARIO);
        let error = folder.recorded().scenarios().unwrap_err();
        assert!(error.ends_with(r#"its name is "a", and not that of its file"#), "{error}");
    }

    #[test]
    fn traces_without_a_scenario_are_found() {
        let folder = Folder::new().with("scenarios/a.json", SCENARIO).with("golden/sqlite/a.json", "{}");
        assert_eq!(folder.recorded().left_over(), Ok(vec![]));
        let folder = folder.with("deviations/mysql/b.json", "{}");
        let left_over = folder.recorded().left_over().unwrap();
        assert!(left_over.len() == 1 && left_over[0].ends_with("deviations/mysql/b.json"), "{left_over:?}");
    }
}
