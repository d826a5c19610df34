//! Forks of processes that use SQLite; those with servers stand in `tests/servers/forks.rs`.

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use dockline_tests::{Database, forks};
    use libtest_mimic::{Arguments, Trial};

    if let Some(code) = forks::play() {
        return code;
    }
    let trial = |journal: &'static str, story: &'static str| {
        Trial::test(format!("{journal}::{story}"), move || {
            let database = Database::new();
            let (url, option) = (format!("sqlite:{}", database.path().display()), format!("journal_mode={journal}"));
            forks::run(story, &url, Some(&option));
            Ok(())
        })
    };
    let stories = || forks::STORIES.iter().map(|(story, _)| *story);
    let trials = ["wal", "delete"].iter().flat_map(|journal| stories().map(|story| trial(journal, story)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("the tests of forks are skipped: this system has none");
}
