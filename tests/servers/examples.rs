//! The examples as a user runs them, on each server by its URL alone.

use std::path::PathBuf;
use std::process::{Command, Output};

use dockline_tests::servers::Server;

use crate::case::{Case, case};

mod adapters;
mod threads;
mod traces;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case!(quickstart_has_the_summary_of_sqlite),
        case!(gone_away_tells_both_stories),
        case!(transfer_keeps_the_books),
        case!(migrate_runs_once),
        // It takes half of the places that the server has left.
        case!(soak_shows_the_curve).own_server_with(|builder| builder.setting("max_connections", "60")),
    ];
    cases.extend(threads::cases());
    cases.extend(adapters::cases());
    cases.extend(traces::cases());
    cases
}

/// Runs an example, on SQLite where no URL is given.
fn run(example: &str, arguments: &[&str], url: Option<&str>) -> Output {
    command(example, arguments, url).output().expect("a process")
}

fn command(example: &str, arguments: &[&str], url: Option<&str>) -> Command {
    // Beside the tests' own folder, where cargo puts the examples of the workspace.
    let deps = std::env::current_exe().expect("a path");
    let program: PathBuf = deps.parent().expect("a folder").with_file_name("examples").join(example);
    assert!(program.exists(), "{} is missing; cargo builds it with the workspace", program.display());
    let mut command = Command::new(&program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("DATABASE_URL").env_remove("RUST_LOG");
    if let Some(url) = url {
        command.env("DATABASE_URL", url);
    }
    command
}

/// What an example that succeeded has printed.
fn text(output: Output) -> String {
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Words that differ only for a binary comparison, as many of each, and some beyond the basic plane.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a folder");
    let words = "strasse straße STRASSE resume résumé äpfel apfel zebra 𝒜𝒷𝒸 日本語 ";
    std::fs::write(tree.path().join("a.txt"), words.repeat(3)).expect("a file");
    for n in 0..20 {
        std::fs::write(tree.path().join(format!("{n}.txt")), format!("line\none more for {n}\n")).expect("a file");
    }
    tree
}

fn quickstart_has_the_summary_of_sqlite(server: &Server) {
    let (tree, database) = (tree(), server.database());
    let folder = tree.path().to_str().expect("UTF-8");
    // Without what differs from run to run: the time, and which worker did how much.
    let summary = |url: Option<&str>| {
        let text = text(run("quickstart", &[folder], url));
        let told = |line: &&str| {
            line.contains(" files, ") || line.starts_with("most frequent") || line.ends_with("open at the end")
        };
        text.lines().filter(told).map(str::to_owned).collect::<Vec<_>>()
    };
    let embedded = summary(None);
    assert!(embedded.len() == 3 && embedded[0].starts_with("21 files, 41 lines"), "{embedded:?}");
    // The second time it finds its tables.
    for _ in 0..2 {
        assert_eq!(summary(Some(&database.url())), embedded);
    }
    database.admin().wait_until_connections(0);
}

fn transfer_keeps_the_books(server: &Server) {
    let database = server.database();
    for url in [None, Some(database.url())] {
        let text = text(run("transfer", &[], url.as_deref()));
        let number = |line: &str| line.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        let told: Vec<u64> = text.lines().filter_map(number).collect();
        // Stored and refused are all there are; what was undone is by chance.
        assert!(matches!(told[..], [stored, refused, _] if stored + refused == 200 && stored > 0), "{text}");
        assert!(text.ends_with("the sum is 1000 cents, as it was\n"), "{text}");
    }
    database.admin().wait_until_connections(0);
}

fn gone_away_tells_both_stories(server: &Server) {
    let database = server.database();
    let text = text(run("gone_away", &[], Some(&database.url())));
    let (off, on) = text.split_once("With liveness=probe").unwrap_or_else(|| panic!("half of it is missing:\n{text}"));

    // MariaDB hangs up without a word. MySQL and PostgreSQL say why.
    let numbers = if server.kind().is_postgres() { ["(57P05)"; 2] } else { ["(2006)", "(4031)"] };
    let errors: Vec<&str> = off.lines().filter(|line| line.contains("alias \"default\":")).collect();
    assert_eq!(errors.len(), 2, "the query after the pause, and the next:\n{text}");
    assert!(errors.iter().all(|line| numbers.iter().any(|number| line.contains(number))), "{text}");
    assert_eq!(off.matches("is_disconnect").count(), 2, "{text}");
    assert_eq!(off.matches("an answer").count(), 2, "{text}");
    let closing = off.find("5. close_old_connections()").expect("a step");
    assert!(off[closing..].contains("connection 1 is closed"), "{text}");

    assert_eq!(on.matches("an answer").count(), 2, "{text}");
    assert!(!on.contains("is_disconnect"), "{text}");
    assert!(on.contains("(conn_max_age_too_long)"), "{text}");
    database.admin().wait_until_connections(0);
}

fn migrate_runs_once(server: &Server) {
    let database = server.database();
    let vendor = if server.kind().is_postgres() { "postgresql" } else { "mysql" };
    let first = text(run("migrate", &[], Some(&database.url())));
    assert_eq!(first, format!("{vendor}: applied V1__create_note, V2__add_done\nnote 1: water the plants\n"));
    let second = text(run("migrate", &[], Some(&database.url())));
    assert_eq!(second, format!("{vendor}: nothing to do\nnote 1: water the plants\n"));
    database.admin().wait_until_connections(0);
}

fn soak_shows_the_curve(server: &Server) {
    let database = server.database();
    let folder = tempfile::tempdir().expect("a folder");
    for url in [Some(database.url()), None] {
        let picture = folder.path().join("soak.svg");
        let file = picture.to_str().expect("UTF-8");
        let text = text(run("soak", &["--seconds", "6", "--workers", "3", "--svg", file], url.as_deref()));
        // The most on the server's list, the most by Dockline's count, workers, threads, opened, jobs, errors.
        let told = |story: &str| -> [u64; 7] {
            let line = text.lines().find_map(|line| line.strip_prefix(story).filter(|rest| rest.starts_with("   ")));
            let numbers = line.map(|line| line.split_whitespace().map_while(|word| word.parse().ok()).collect());
            let numbers: Vec<u64> = numbers.unwrap_or_default();
            numbers.try_into().unwrap_or_else(|_| panic!("no {story} in\n{text}"))
        };
        let [listed, held, workers, threads, opened, jobs, errors] = told("bare closures");
        assert!(workers == 3 && threads >= 9 && jobs > 0 && errors == 0, "{text}");
        assert!(listed == threads && held == threads && opened == threads, "one for each thread:\n{text}");
        assert!(url.is_none() || listed < 40, "short of the limit:\n{text}");
        for story in ["task", "task, CloseAll"] {
            let [listed, held, _, of_threads, opened, jobs, errors] = told(story);
            assert!(held <= 3 && of_threads == threads && opened == jobs && jobs > 0 && errors == 0, "{text}");
            // A server lists what was closed until its process has ended.
            assert!(listed < threads, "{text}");
        }
        let [listed, held, _, threads, opened, jobs, errors] = told("task, one pool");
        assert!(listed == 3 && held == 3 && threads == 3 && opened == 3 && jobs > 0 && errors == 0, "{text}");
        assert_eq!(text.matches(" closed, 0 left").count(), 4, "{text}");
        assert_eq!(text.matches("and the server lists 0").count(), if url.is_some() { 4 } else { 0 }, "{text}");

        let svg = std::fs::read_to_string(&picture).expect("the picture");
        assert_well_formed(&svg);
        // Four curves above, three below.
        assert_eq!(svg.matches("<path class=\"line ").count(), 4 + 4 + 3, "with the legend:\n{svg}");
    }
    database.admin().wait_until_connections(0);

    let refused = run("soak", &["--seconds", "soon"], None);
    let reason = String::from_utf8(refused.stderr).expect("UTF-8");
    assert_eq!((refused.status.code(), reason.lines().count()), (Some(2), 1), "{reason}");
    assert!(reason.contains("--seconds needs a whole number"), "{reason}");
}

/// As far as the pictures go: every tag is closed in its turn, and texts hold no character that is markup.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut pieces = xml.split('<');
    assert_eq!(pieces.next(), Some(""), "nothing before the first tag");
    for piece in pieces {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {piece}"));
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let ends = ["&amp;", "&lt;", "&gt;"].iter().map(|entity| text.matches(entity).count()).sum::<usize>();
        assert!(!text.contains('>') && text.matches('&').count() == ends && !tag.contains('&'), "{piece}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{piece}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().expect("a name")),
        }
        assert!(!open.is_empty() || text.trim().is_empty(), "text behind the last tag: {text}");
    }
    assert!(open.is_empty(), "{open:?} are open");
}
