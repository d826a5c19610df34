//! A connect that fails must not drop the locks that the process holds on the file: on Unix they go when any descriptor of
//! the file is closed. Another process looks; it is this program again.

use std::process::Command;

use dockline::Settings;
use dockline_tests::{Database, connections};

const PATH: &str = "DOCKLINE_TEST_LOCKED_FILE";

#[test]
fn a_failed_connect_leaves_the_locks_of_others_alone() {
    if let Some(path) = std::env::var_os(PATH) {
        let settings = Settings::new().engine("sqlite").name(path.to_str().unwrap());
        let other = connections(settings.option("journal_mode", "delete").option("busy_timeout", "0"));
        let error = other.get("default").unwrap().execute("BEGIN IMMEDIATE", ()).expect_err("the file is locked");
        assert!(error.is_retryable(), "{error}");
        return;
    }
    let database = Database::new();
    let ours = database.connections_with(|settings| settings.option("journal_mode", "delete"));
    let db = ours.get("default").unwrap();
    db.execute("CREATE TABLE t (a)", ()).unwrap();
    db.execute("BEGIN IMMEDIATE", ()).unwrap();
    db.execute("INSERT INTO t VALUES (1)", ()).unwrap();

    // It wants another journal mode, for which the file must not be in use.
    let failing = database.connections_with(|settings| settings.option("busy_timeout", "0"));
    assert!(failing.get("default").unwrap().ensure_connection().unwrap_err().is_retryable());

    let status = Command::new(std::env::current_exe().unwrap()).env(PATH, database.path()).status().unwrap();
    assert!(status.success(), "the other process got the lock: {status}");
    db.execute("COMMIT", ()).unwrap();
}
