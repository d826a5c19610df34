//! A database that may be read and not written. Root may write everything, so as root the test runs itself again as
//! nobody.

use dockline::ErrorKind;
use dockline_tests::Database;

const PATH: &str = "DOCKLINE_TEST_READ_ONLY_FILE";

#[test]
fn a_read_only_file_is_a_clear_operational_error() {
    if let Some(path) = std::env::var_os(PATH) {
        return look_at(path.to_str().unwrap());
    }
    let database = Database::new();
    database.connections().get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    prepare(&database);
}

fn look_at(path: &str) {
    let settings = dockline::Settings::new().engine("sqlite").name(path);
    let error = dockline_tests::connections(settings).get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Operational, Some("default")), "{error}");
    assert!(error.message().contains(path) && error.message().contains("read-only"), "{error}");
}

#[cfg(unix)]
fn prepare(database: &Database) {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    const NOBODY: u32 = 65534;

    let file = database.path();
    let folder = file.parent().unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
    let am_root = fs::metadata(folder).unwrap().uid() == 0;
    if !am_root {
        return look_at(file.to_str().unwrap());
    }
    // Where nobody can find it: the folder that this was built in may be closed to others.
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let program = folder.join("test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let status = Command::new(&program).env(PATH, &file).current_dir(folder).uid(NOBODY).gid(NOBODY).status().unwrap();
    assert!(status.success(), "as nobody: {status}");
}

#[cfg(not(unix))]
fn prepare(_: &Database) {
    println!("skipped: how a file is made read-only differs on this system");
}
