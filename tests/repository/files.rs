//! What no file may be, and what none may hold.

use crate::tree::files;

/// More than that is more than one concept.
const LINES: usize = 500;

#[test]
fn no_file_of_the_crates_is_long() {
    let mut long = Vec::new();
    for file in files() {
        if !file.path.starts_with("crates/") || !file.path.ends_with(".rs") {
            continue;
        }
        let lines = file.text.lines().count();
        if lines > LINES {
            long.push(format!("{}: {lines} lines, {LINES} are allowed", file.path));
        }
    }
    assert!(long.is_empty(), "split these by concept:\n{}", long.join("\n"));
}

/// Folders that exist on one machine. They are put together here, so that this file does not hold them.
fn machine_paths() -> Vec<String> {
    let mut paths: Vec<_> = ["root", "home", "work", "Users"].iter().map(|folder| format!("/{folder}/")).collect();
    paths.push(["C:", "\\Users\\"].concat());
    paths
}

#[test]
fn no_file_holds_a_path_of_one_machine() {
    let paths = machine_paths();
    let mut held = Vec::new();
    for file in files() {
        for (at, line) in file.text.lines().enumerate() {
            // As in `$root/root/`, a folder within another is something else.
            let is_held = paths.iter().any(|path| {
                line.match_indices(path).any(|(start, _)| {
                    !line[..start].ends_with(|before: char| before.is_alphanumeric() || "/.}…-_".contains(before))
                })
            });
            if is_held {
                held.push(format!("{}:{}: {line}", file.path, at + 1));
            }
        }
    }
    assert!(held.is_empty(), "paths of one machine:\n{}", held.join("\n"));
}

/// The hosts that files may name. A mirror of a registry is not among them: a build has to work without it.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "crates.io",
    "docs.djangoproject.com",
    "docs.rs",
    "embarkstudios.github.io",
    "github.com",
    "keepachangelog.com",
    "localhost",
    "rustup.rs",
    "semver.org",
    "thrift.apache.org",
    "www.apache.org",
    "www.w3.org",
];

#[test]
fn no_file_names_another_host_than_public_ones() {
    let mut named = Vec::new();
    for file in files() {
        for (at, line) in file.text.lines().enumerate() {
            for host in hosts(line).filter(|host| !is_allowed(host)) {
                named.push(format!("{}:{}: {host}", file.path, at + 1));
            }
        }
    }
    assert!(named.is_empty(), "hosts that are not known to be public (HOSTS lists those):\n{}", named.join("\n"));
}

/// The hosts of a line's web addresses, empty for those that are put together.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").filter_map(|(at, separator)| {
        let scheme = line[..at].rsplit(|c: char| !c.is_ascii_alphanumeric()).next()?;
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        let rest = &line[at + separator.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !".-".contains(c)).unwrap_or(rest.len());
        Some(&rest[..end])
    })
}

/// Names that nobody can register are for examples and tests.
fn is_allowed(host: &str) -> bool {
    let reserved = [".example", ".test", ".invalid"];
    !host.contains('.') || HOSTS.contains(&host) || reserved.iter().any(|end| host.ends_with(end))
}

#[test]
fn the_lock_file_names_no_mirror() {
    let lock = files().into_iter().filter(|file| file.path.ends_with("Cargo.lock"));
    for file in lock {
        for line in file.text.lines().filter(|line| line.starts_with("source = ")) {
            let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
            assert_eq!(line, registry, "{}", file.path);
        }
    }
}

#[test]
fn the_changelog_has_a_place_for_what_is_not_released() {
    let changelog = files().into_iter().find(|file| file.path == "CHANGELOG.md").expect("CHANGELOG.md");
    let mut sections = changelog.text.lines().filter(|line| line.starts_with("## "));
    assert_eq!(sections.next(), Some("## [Unreleased]"), "the first section of CHANGELOG.md");
}
