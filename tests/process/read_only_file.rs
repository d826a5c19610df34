//! A database that may be read and not written, or whose folder takes no new files. Root may write everything, so as root the test runs itself again as
//! nobody.

use dockline::ErrorKind;
use dockline_tests::Database;

const PATH: &str = "DOCKLINE_TEST_READ_ONLY_FILE";

#[test]
fn a_read_only_file_is_a_clear_operational_error() {
    play("a_read_only_file_is_a_clear_operational_error", 0o444, 0o755, "is read-only");
}

#[test]
fn a_folder_that_takes_no_log_is_a_clear_operational_error() {
    play("a_folder_that_takes_no_log_is_a_clear_operational_error", 0o666, 0o555, "nothing can be made in the folder");
}

/// Looks at a database with these permissions of its file and its folder, as somebody who is bound by them.
fn play(test: &str, file: u32, folder: u32, said: &str) {
    if let Some(path) = std::env::var_os(PATH) {
        return look_at(path.to_str().unwrap(), said);
    }
    let database = Database::new();
    database.connections().get("default").unwrap().execute("CREATE TABLE t (a)", ()).unwrap();
    prepare(&database, test, (file, folder), said);
}

fn look_at(path: &str, said: &str) {
    let settings = dockline::Settings::new().engine("sqlite").name(path);
    let error = dockline_tests::connections(settings).get("default").unwrap().query("SELECT 1", ()).unwrap_err();
    assert_eq!((error.kind(), error.alias()), (ErrorKind::Operational, Some("default")), "{error}");
    assert!(error.message().contains(path) && error.message().contains(said), "{error}");
}

#[cfg(unix)]
fn prepare(database: &Database, test: &str, (file_mode, folder_mode): (u32, u32), said: &str) {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    const NOBODY: u32 = 65534;

    let file = database.path();
    let folder = file.parent().unwrap();
    let set = |path: &std::path::Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(&file, file_mode);
    let am_root = fs::metadata(folder).unwrap().uid() == 0;
    if !am_root {
        set(folder, folder_mode);
        look_at(file.to_str().unwrap(), said);
        return set(folder, 0o755);
    }
    // Where nobody can find it: the folder that this was built in may be closed to others.
    let program = folder.join("test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    set(&program, 0o755);
    set(folder, folder_mode);
    let mut command = Command::new(&program);
    command.args(["--exact", test]).env(PATH, &file).current_dir(folder).uid(NOBODY).gid(NOBODY);
    let status = command.status().unwrap();
    set(folder, 0o755);
    assert!(status.success(), "as nobody: {status}");
}

#[cfg(not(unix))]
fn prepare(_: &Database, _: &str, _: (u32, u32), _: &str) {
    println!("skipped: how a file is made read-only differs on this system");
}
