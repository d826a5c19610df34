//! Data folders, initialised once for each version of a server and copied for each server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::keeper::Keeper;
use super::user::{self, User};

/// Rises when the way changes in which data folders are initialised.
const GENERATION: u32 = 1;

/// Puts an initialised data folder in place. `initialise` fills a folder where there is no template yet.
pub(super) fn copy(name: &str, version: &str, to: &Path, initialise: impl FnOnce(&Path)) {
    let plain: String = version.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let template = cache().join("templates").join(format!("{name}-{plain}-{GENERATION}"));
    if !template.is_dir() {
        let work = user::folder();
        let data = work.path().join("data");
        let _kept = Keeper::of_folder(work);
        initialise(&data);
        let parent = template.parent().expect("a parent");
        std::fs::create_dir_all(parent).expect("a folder for templates");
        let ours = tempfile::Builder::new().prefix("unfinished-").tempdir_in(parent).expect("a folder");
        copy_folder(&data, &ours.path().join("data"));
        // Where another process was faster, its template is as good.
        let _ = std::fs::rename(ours.path().join("data"), &template);
    }
    copy_folder(&template, to);
    user::give(to);
}

/// Where things are kept between runs.
pub(super) fn cache() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    workspace.join("target").join("test-servers")
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-Rp").arg(from).arg(to).status().expect("the command cp");
    assert!(status.success(), "cannot copy {} to {}", from.display(), to.display());
}

/// Runs a program that initialises, as the servers' user where it is asked to.
pub(super) fn run(command: &[OsString], user: Option<&User>) {
    use std::os::unix::process::CommandExt;

    let mut process = Command::new(&command[0]);
    process.args(&command[1..]).current_dir("/").env("LC_ALL", "C");
    if let Some(user) = user {
        process.uid(user.id).gid(user.group);
    }
    let output = process.output().unwrap_or_else(|error| panic!("cannot run {:?}: {error}", command[0]));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A program of this name in a folder of PATH, or in one of these.
pub(super) fn program(name: &str, more: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(more.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The line in which a program tells its version.
pub(super) fn version(command: &[OsString]) -> Result<String, String> {
    let failed = |what: String| format!("{} --version: {what}", command[0].to_string_lossy());
    let output = Command::new(&command[0]).args(&command[1..]).arg("--version").output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    // The version stands after the program's path, which is nobody's business.
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(line.split_once(' ').map_or(line.clone(), |(_, rest)| rest.trim().to_owned()))
}
