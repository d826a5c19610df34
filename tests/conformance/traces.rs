//! What Dockline does beside what Django did: each scenario is one test on each server that it is for, under a name such
//! as `postgres::atomic_nested`.
//!
//! A missing PostgreSQL or MariaDB is a failure. MySQL is harder to come by: without it its tests are skipped, and the
//! reason is on the screen.

#[cfg(unix)]
mod command;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let mut arguments = libtest_mimic::Arguments::from_args();
    // Most of them wait: for idle limits to be over, and for servers to let go of connections.
    arguments.test_threads.get_or_insert(4);
    let files = tempfile::TempDir::new().expect("a temporary folder");
    let trials = match trials::all(files.path()) {
        Ok(trials) => trials,
        // Whatever the filter: no scenarios are no success.
        Err(reason) => {
            eprintln!("the conformance tests cannot run: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    dockline_tests::servers::end_shared();
    conclusion.exit_code()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("the conformance tests are skipped: they start servers as Unix processes");
}

#[cfg(unix)]
mod trials {
    use std::path::Path;
    use std::sync::Arc;

    use dockline_tests::conformance::{self, Engine, Place, Recorded, Scenario, first_difference};
    use dockline_tests::servers::{Kind, Server};
    use libtest_mimic::{Failed, Trial};

    use crate::command;

    /// Every test, with files of SQLite in this folder.
    pub(crate) fn all(files: &Path) -> Result<Vec<Trial>, String> {
        let recorded = Recorded::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance"));
        let scenarios: Vec<_> = recorded.scenarios()?.into_iter().map(Arc::new).collect();
        let mut trials = command::trials(files);
        trials.push(Trial::test("every_trace_has_its_scenario", {
            let recorded = recorded.clone();
            move || every_trace_has_its_scenario(&recorded)
        }));
        let of_file = Target::Files(files.to_string_lossy().into());
        for target in Kind::ALL.iter().map(|kind| Target::Server(*kind)).chain([of_file]) {
            let missing = target.missing();
            let mine = scenarios.iter().filter(|scenario| scenario.engines.contains(&target.engine()));
            trials.extend(mine.map(|scenario| trial(&target, scenario, &recorded, missing.as_ref())));
        }
        Ok(trials)
    }

    /// What scenarios run on.
    #[derive(Debug, Clone)]
    enum Target {
        Server(Kind),
        Files(Arc<str>),
    }

    impl Target {
        fn name(&self) -> &'static str {
            match self {
                Self::Server(kind) => kind.scheme(),
                Self::Files(_) => "sqlite",
            }
        }

        fn engine(&self) -> Engine {
            match self {
                Self::Server(Kind::Postgres) => Engine::Postgres,
                Self::Server(Kind::MariaDb | Kind::Mysql) => Engine::Mysql,
                Self::Files(_) => Engine::Sqlite,
            }
        }

        /// Why there is no such server, and what is to be done with its tests.
        fn missing(&self) -> Option<Missing> {
            let Self::Server(kind) = self else { return None };
            let reason = kind.available().err()?;
            let (outcome, missing) = match kind {
                Kind::Mysql => ("are skipped", Missing::Skipped),
                // These are to be had everywhere.
                Kind::Postgres | Kind::MariaDb => ("fail", Missing::Failed(reason.clone())),
            };
            eprintln!("the conformance tests with {} {outcome}: {reason}", kind.name());
            Some(missing)
        }

        fn place(&self) -> Result<Place, String> {
            let url = match self {
                Self::Server(kind) => Server::shared(*kind).url(),
                Self::Files(folder) => format!("sqlite://{folder}"),
            };
            Place::from_url(self.engine(), &url)
        }
    }

    #[derive(Clone)]
    enum Missing {
        Skipped,
        Failed(String),
    }

    fn trial(target: &Target, scenario: &Arc<Scenario>, recorded: &Recorded, missing: Option<&Missing>) -> Trial {
        let name = format!("{}::{}", target.name(), scenario.name);
        match missing.cloned() {
            Some(Missing::Skipped) => {
                Trial::test(name, || Ok(())).with_kind("skipped: no MySQL").with_ignored_flag(true)
            }
            Some(Missing::Failed(reason)) => Trial::test(name, move || Err(Failed::from(reason))),
            None => {
                let (target, scenario, recorded) = (target.clone(), Arc::clone(scenario), recorded.clone());
                Trial::test(name, move || Ok(does_as_expected(&target, &scenario, &recorded)?))
            }
        }
    }

    fn does_as_expected(target: &Target, scenario: &Scenario, recorded: &Recorded) -> Result<(), String> {
        // Before it runs, for without it there is nothing to run it for.
        let expected = recorded.expected(target.name(), &scenario.name)?;
        let played = conformance::run(scenario, &target.place()?)?;
        match first_difference(&expected.trace, &played.trace) {
            Some(difference) => Err(format!("{}\n  in       {}", difference.report(scenario), expected.file.display())),
            None => Ok(()),
        }
    }

    fn every_trace_has_its_scenario(recorded: &Recorded) -> Result<(), Failed> {
        let left_over = recorded.left_over()?;
        if left_over.is_empty() { Ok(()) } else { Err(format!("traces without a scenario: {left_over:?}").into()) }
    }
}
