//! How the paths are counted, on each database that is there.

use dockline::{Connections, Databases, Settings};
use dockline_tests::allocations;
use dockline_tests::servers::{Kind, Server, end_shared};
use nix::libc;

use super::bare::Bare;
use super::page::{self, Calls, Row};
use super::paths::{PATHS, fill};
use super::trace::{mark, traced};

/// How often each path runs while it is counted.
const ROUNDS: u64 = 100;

pub(crate) fn run() {
    let mut rows = Vec::new();
    if is_wanted("SQLite") {
        // In memory, so that what is counted is Dockline's own.
        rows.extend(count("SQLite", "sqlite::memory:"));
    }
    for kind in Kind::ALL.iter().filter(|kind| is_wanted(kind.name())) {
        match kind.available() {
            Err(reason) => println!("skipped: {}: {reason}", kind.name()),
            Ok(()) => {
                let database = Server::shared(*kind).database();
                rows.extend(count(kind.name(), &database.url()));
            }
        }
    }
    end_shared();
    let differences = page::compare(&rows);
    assert!(
        differences.is_empty(),
        "a hot path costs something else than docs/costs.md says. If it costs less, or what it does more is wanted, \
         WRITE_COSTS=1 writes the page; if not, the path has become more expensive for everybody:\n{}",
        differences.join("\n")
    );
    println!("\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", rows.len());
}

/// Arguments leave databases out, as those of a harness leave tests out.
fn is_wanted(database: &str) -> bool {
    let mut filters = std::env::args().skip(1).filter(|argument| argument.starts_with(char::is_alphabetic)).peekable();
    filters.peek().is_none() || filters.any(|filter| database.to_lowercase().contains(&filter.to_lowercase()))
}

fn registry(url: &str) -> Connections {
    let settings = Settings::from_url(url).expect("a URL").tls(dockline::Tls::Disable);
    Connections::new(Databases::new().with("default", settings)).expect("a registry")
}

/// Counts all paths on a database.
fn count(database: &'static str, url: &str) -> Vec<Row> {
    let registry = registry(url);
    fill(&registry);
    let db = registry.get("default").expect("an alias");
    let mut bare = Bare::open(url);
    let memory: Vec<_> = PATHS
        .iter()
        .map(|path| {
            let ours = allocations::of_rounds(ROUNDS, || (path.ours)(&registry, &db));
            let bare = path.bare.map(|call| allocations::of_rounds(ROUNDS, || call(&mut bare)));
            (ours, bare)
        })
        .collect();
    let calls = system_calls(url).unwrap_or_else(|reason| {
        println!("skipped: {database}: system calls cannot be counted here: {reason}");
        PATHS.iter().map(|_| None).collect()
    });
    drop(bare);
    registry.close_all();
    let counted = PATHS.iter().zip(memory).zip(calls);
    counted.map(|((path, memory), calls)| Row::new(database, path.name, ROUNDS, memory, calls.as_ref())).collect()
}

/// The system calls of each path, ours and the bare driver's.
fn system_calls(url: &str) -> Result<Vec<Option<Calls>>, String> {
    let mut counted = traced(|| walk(url))?;
    let known: Vec<_> = counted.pop().unwrap_or_default().iter().map(|call| call.number).collect();
    assert_eq!(known, [libc::SYS_getpid as u64], "a call that is known to be made");
    assert_eq!(counted.len(), 2 * PATHS.len(), "{counted:?}");
    let mut counted = counted.into_iter();
    Ok(std::iter::from_fn(|| Some(Some((counted.next()?, counted.next()?)))).collect())
}

/// Walks all paths in the traced child.
fn walk(url: &str) {
    let registry = registry(url);
    if url.starts_with("sqlite:") {
        fill(&registry);
    }
    let db = registry.get("default").expect("an alias");
    let mut bare = Bare::open(url);
    for path in PATHS {
        rounds(|| (path.ours)(&registry, &db));
        match path.bare {
            Some(call) => rounds(|| call(&mut bare)),
            None => rounds(|| ()),
        }
    }
    // One that is known, so that it is seen whether calls are counted at all.
    mark();
    let _ = std::process::id();
    mark();
}

fn rounds(mut call: impl FnMut()) {
    for _ in 0..3 {
        call();
    }
    mark();
    for _ in 0..ROUNDS {
        call();
    }
    mark();
}
