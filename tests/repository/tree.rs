//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file.
pub struct File {
    /// Below the root, with `/` between folders.
    pub path: String,
    pub text: String,
}

/// Returns the folder that the workspace's Cargo.toml is in.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above tests/").to_path_buf()
}

/// Reads every text file of the repository, but not what is built (folders whose names begin with "target") and what git keeps.
pub fn files() -> Vec<File> {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    assert!(found.len() > 100, "{} files in {}", found.len(), root().display());
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<File>) {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_dir() {
            if !name.starts_with("target") && name != ".git" {
                collect(&entry.path(), &format!("{path}/"), found);
            }
        } else if kind.is_file() {
            // In a worktree, .git is a file that holds a path.
            if name != ".git"
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                found.push(File { path, text });
            }
        }
    }
}
