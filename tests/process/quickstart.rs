//! The examples, run as a newcomer would: the main job, and what the others do without a server.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dockline::rusqlite;
use dockline_tests::Database;

fn run(arguments: &[&str], database_url: Option<&str>) -> Output {
    run_example("quickstart", arguments, database_url)
}

fn run_example(example: &str, arguments: &[&str], database_url: Option<&str>) -> Output {
    let mut command = command(example);
    command.args(arguments);
    if let Some(url) = database_url {
        command.env("DATABASE_URL", url);
    }
    command.output().unwrap_or_else(|error| panic!("{example}: {error}; cargo builds it with the workspace"))
}

fn command(example: &str) -> Command {
    // Beside the tests' own folder, where cargo puts the examples of the workspace.
    let deps = std::env::current_exe().unwrap();
    let program: PathBuf = deps.parent().unwrap().with_file_name("examples").join(example);
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("DATABASE_URL").env_remove("WORKERS");
    command
}

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("inner")).unwrap();
    std::fs::write(tree.path().join("a.txt"), "one two\ntwo three\n").unwrap();
    std::fs::write(tree.path().join("inner/b.txt"), "three three\nthree").unwrap();
    std::fs::write(tree.path().join("c.bin"), b"\0\xff").unwrap();
    tree
}

#[test]
fn it_counts_a_tree_and_leaves_nothing_open() {
    let tree = tree();
    let output = run(&[tree.path().to_str().unwrap()], None);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for wanted in ["2 files", "4 lines", "7 words", "three 4", "two 2", "0 open at the end"] {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
}

#[test]
fn it_uses_the_database_that_it_is_given() {
    let (tree, database) = (tree(), Database::new());
    let url = format!("sqlite:{}", database.path().display());
    for _ in 0..2 {
        assert!(run(&[tree.path().to_str().unwrap()], Some(&url)).status.success());
    }
    let connections = database.connections();
    let db = connections.get("default").unwrap();
    let words: i64 = db.query_value("SELECT sum(word_count) FROM quickstart_job WHERE state = 'done'", ()).unwrap();
    assert_eq!(words, 7, "the second run began anew");
}

/// This process is the other one: it writes to the same file by the bare driver, as fast as it can.
#[test]
fn many_workers_beside_another_process_that_writes_meet_no_error() {
    let (tree, database) = (tree(), Database::new());
    for n in 0..60 {
        std::fs::write(tree.path().join(format!("{n}.txt")), format!("one two {n}")).unwrap();
    }
    let bare = rusqlite::Connection::open(database.path()).unwrap();
    bare.busy_timeout(Duration::from_secs(60)).unwrap();
    bare.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = off; CREATE TABLE beside (n)").unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    let other = thread::spawn(move || {
        let mut written = 0;
        while !ends.load(Ordering::Relaxed) {
            bare.execute_batch("BEGIN IMMEDIATE; INSERT INTO beside VALUES (1); COMMIT").unwrap();
            written += 1;
        }
        written
    });
    let url = format!("sqlite:{}?options.busy_timeout=60s&options.synchronous=off", database.path().display());
    let output = command("quickstart").arg(tree.path()).env("DATABASE_URL", url).env("WORKERS", "64").output().unwrap();
    is_over.store(true, Ordering::Relaxed);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("62 files") && text.contains("0 open at the end"), "{text}");
    assert!(other.join().unwrap() > 0, "the other process wrote too");
}

#[test]
fn wrong_inputs_are_one_clear_line() {
    for (arguments, url, wanted) in [
        (&["/nonexistent/tree"][..], None, "/nonexistent/tree"),
        (&["."], Some("sqlit:x"), "did you mean \"sqlite\""),
        (&["."], Some("sqlite:/nonexistent/folder/x.db"), "the folder /nonexistent/folder does not exist"),
        (&["a", "b"], None, "usage"),
    ] {
        let output = run(arguments, url);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(wanted) && text.lines().count() == 1, "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn gone_away_says_that_it_needs_a_server() {
    for url in [None, Some("sqlite::memory:")] {
        let output = run_example("gone_away", &[], url);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("mysql://, mariadb:// or postgres://") && text.lines().count() == 1, "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn migrate_runs_once() {
    let database = Database::new();
    let url = format!("sqlite:{}", database.path().display());
    for wanted in ["sqlite: applied V1__create_note, V2__add_done", "sqlite: nothing to do"] {
        let output = run_example("migrate", &[], Some(&url));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text, format!("{wanted}\nnote 1: water the plants\n"));
    }
}
