//! Every transition, compared with the table beside this file and with the diagram in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;
use crate::base::error::ErrorKind;

/// Every state, a loss by each cause among them, with its name.
fn states() -> Vec<(&'static str, Standing)> {
    let lost = |cause, marked| Standing::Lost(Loss::new(cause, "first").marked(marked));
    vec![
        ("outside", Standing::Outside),
        ("marked outside", Standing::MarkedOutside),
        ("in a block", Standing::InBlock),
        ("marked", Standing::Marked),
        ("lost with the connection", lost(Cause::Connection, false)),
        ("lost with the connection, marked", lost(Cause::Connection, true)),
        ("lost by the database", lost(Cause::Database, true)),
        ("lost with a savepoint", lost(Cause::Savepoint, true)),
        ("ending", Standing::Ending),
    ]
}

/// The name of a state: that of the one in `states` that is like it.
fn name(state: &Standing) -> &'static str {
    let alike = |other: &Standing| match (state, other) {
        // What the database took is gone whether it is marked or not.
        (Standing::Lost(a), Standing::Lost(b)) => {
            a.cause == b.cause && (a.marked == b.marked || a.cause != Cause::Connection)
        }
        _ => state == other,
    };
    states().into_iter().find(|(_, other)| alike(other)).map_or("unknown", |(name, _)| name)
}

/// Every event, with its name.
fn events() -> Vec<(String, Event)> {
    let loss = |cause| Loss::new(cause, "second");
    let mut events = vec![
        ("enters".to_owned(), Event::Enters),
        ("entered".to_owned(), Event::Entered),
        ("mark".to_owned(), Event::Mark),
        ("unmark".to_owned(), Event::Unmark),
    ];
    let exits = [("commits", Exit::Commit), ("rolls back", Exit::RollBack)];
    for (word, exit) in exits {
        for (what, level) in [("with savepoint", Level::Savepoint), ("joined", Level::Joined)] {
            for connected in [true, false] {
                let off = if connected { "" } else { ", no connection" };
                let event = Event::LeavesInner { exit, level, connected };
                events.push((format!("inner block {what} {word}{off}"), event));
            }
        }
    }
    events.push(("savepoint was missing".to_owned(), Event::NotUndone));
    events.push(("rolling back to the savepoint failed".to_owned(), Event::Unrestored(loss(Cause::Savepoint))));
    for (word, exit) in exits {
        events.push((format!("manual block left, {word}"), Event::LeftManual { exit }));
    }
    for (word, exit) in exits {
        for connected in [true, false] {
            let off = if connected { "" } else { ", no connection" };
            events.push((format!("transaction {word}{off}"), Event::LeavesTransaction { exit, connected }));
        }
    }
    events.push(("ended".to_owned(), Event::Ended));
    events.push(("connection lost".to_owned(), Event::Lose(loss(Cause::Connection))));
    events.push(("rolled back by the database".to_owned(), Event::Lose(loss(Cause::Database))));
    events.push(("connection closed".to_owned(), Event::Closed(loss(Cause::Connection))));
    events.push(("forked".to_owned(), Event::Forked(loss(Cause::Connection))));
    events.push(("connected".to_owned(), Event::Connected));
    events.push(("manual rollback".to_owned(), Event::RolledBack));
    events
}

fn word(next: &Next) -> &'static str {
    match next {
        Next::Nothing => "",
        Next::Release => "release",
        Next::Undo => "undo",
        Next::UndoAndTell(_) => "undo, tell",
        Next::Commit => "commit",
        Next::RollBack => "roll back",
        Next::RollBackAndTell(_) => "roll back, tell",
        Next::Tell(_) => "tell",
        Next::DropHooks => "drop hooks",
        Next::DisownHooks => "disown hooks",
    }
}

/// One line a transition that changes something: `state | event | next state | what to do`.
fn table() -> String {
    let mut table = String::new();
    for (from, state) in states() {
        for (event, happens) in events() {
            // Only an open block can be left.
            let leaves = matches!(
                happens,
                Event::LeavesInner { .. } | Event::LeftManual { .. } | Event::LeavesTransaction { .. }
            );
            if leaves && !state.in_atomic_block() {
                continue;
            }
            let mut after = state.clone();
            let next = after.on(happens);
            if after != state || next != Next::Nothing {
                let _ = writeln!(table, "{from} | {event} | {} | {}", name(&after), word(&next));
            }
        }
    }
    table
}

/// What a diagram calls an event: those that differ by details alone have one label.
fn label(event: &str) -> &str {
    match event {
        "enters" | "entered" => "a block is entered",
        event if event.starts_with("manual block left") => "the outermost block ended, autocommit is off",
        event if event.starts_with("transaction") && event.ends_with("no connection") => {
            "the outermost block ends without a connection"
        }
        event if event.starts_with("transaction") => "the outermost block ends",
        event if event.starts_with("inner block") && event.ends_with("no connection") => {
            "an inner block ends without a connection"
        }
        event if event.starts_with("inner block with savepoint") => "an inner block is rolled back to its savepoint",
        event => event,
    }
}

/// The transitions from state to state, as a diagram.
fn diagram() -> String {
    let id = |name: &str| name.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    let mut diagram = String::from("```mermaid\nstateDiagram-v2\n    [*] --> outside\n");
    for (state, _) in states() {
        let _ = writeln!(diagram, "    state \"{state}\" as {}", id(state));
    }
    let mut arrows: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    let place = |name: &str| states().iter().position(|(other, _)| *other == name).unwrap_or(usize::MAX);
    for line in table().lines() {
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let (from, to) = (place(cells[0]), place(cells[2]));
        let labels = arrows.entry((from, to)).or_default();
        if from != to && !labels.iter().any(|other| other == label(cells[1])) {
            labels.push(label(cells[1]).to_owned());
        }
    }
    for ((from, to), events) in arrows.into_iter().filter(|(_, events)| !events.is_empty()) {
        let _ = writeln!(diagram, "    {} --> {}: {}", id(states()[from].0), id(states()[to].0), events.join("; "));
    }
    diagram + "```\n"
}

#[test]
fn every_transition_is_in_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/slot/standing/table.txt");
    let expected = fs::read_to_string(path).unwrap();
    let actual = table();
    for (expected, actual) in expected.lines().zip(actual.lines()) {
        assert_eq!(actual, expected);
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "the table has:\n{actual}");
}

#[test]
fn the_documentation_has_the_diagram() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/architecture.md");
    // The packaged crate comes without the documentation.
    if let Ok(documentation) = fs::read_to_string(path) {
        let diagram = diagram();
        assert!(documentation.contains(&diagram), "docs/architecture.md lacks this diagram:\n{diagram}");
    }
}

#[test]
fn no_state_is_without_a_name() {
    assert!(!table().contains("unknown"), "{}", table());
}

#[test]
fn the_first_reason_is_the_one_that_is_told() {
    for (from, state) in states() {
        let Standing::Lost(_) = state else { continue };
        for (event, happens) in events() {
            let mut after = state.clone();
            let told = match after.on(happens) {
                Next::Tell(loss) | Next::RollBackAndTell(loss) | Next::UndoAndTell(loss) => Some(loss),
                _ => None,
            };
            let kept = if let Standing::Lost(loss) = after { Some(loss) } else { None };
            for loss in told.iter().chain(&kept) {
                assert_eq!(loss.reason, "first", "{from}, {event}");
            }
        }
    }
}

/// Whatever happens in between, the end of an outermost block that was to commit either commits, tells, or was marked by
/// somebody who asked for that.
#[test]
fn work_that_is_lost_is_told_at_the_end_of_the_outermost_block() {
    for (from, state) in states() {
        for connected in [true, false] {
            if !state.in_atomic_block() {
                continue;
            }
            let mut after = state.clone();
            let next = after.on(Event::LeavesTransaction { exit: Exit::Commit, connected });
            let tells = matches!(next, Next::Tell(_) | Next::RollBackAndTell(_));
            match (&state, connected) {
                (Standing::Marked, true) => assert_eq!(next, Next::RollBack, "{from}"),
                (Standing::InBlock, true) => assert_eq!(next, Next::Commit, "{from}"),
                // The commit finds that the connection is gone.
                (Standing::Lost(loss), true) if loss.cause == Cause::Connection && !loss.marked => {
                    assert_eq!(next, Next::Commit, "{from}");
                }
                _ => assert!(tells, "{from}, connected {connected}: {next:?}"),
            }
            assert!(!after.in_atomic_block(), "{from}");
        }
    }
}

#[test]
fn what_refuses_statements_says_why() {
    let refusal = |state: &Standing, connected| state.refusal(connected);
    for (name, state) in states() {
        let error = refusal(&state, true);
        match name {
            "outside" | "in a block" | "ending" | "lost with the connection" => assert!(error.is_none(), "{name}"),
            "marked" | "marked outside" => {
                let error = error.unwrap();
                assert!(error.message().contains("marked for rollback") && !error.is_work_lost(), "{error}");
            }
            _ => {
                let error = error.unwrap();
                assert!(error.is_work_lost() && error.message().contains("first"), "{name}: {error}");
                assert_eq!(error.kind(), ErrorKind::TransactionManagement);
            }
        }
    }
    assert!(refusal(&Standing::MarkedOutside, false).is_none(), "a new connection makes all well");
}

#[test]
fn a_loss_that_may_pass_can_be_tried_again() {
    let deadlock = Error::new(ErrorKind::Operational, "deadlock").with_fact(Fact::Retryable);
    let mut standing = Standing::InBlock;
    standing.on(Event::Lose(Loss::by(Cause::Database, &deadlock)));
    let error = standing.refusal(true).unwrap();
    assert!(error.is_retryable() && error.is_work_lost(), "{error:?}");
}

#[test]
fn what_a_block_is_to_the_database() {
    let level = |state: &Standing, autocommit, savepoint| state.level(autocommit, savepoint);
    assert_eq!(level(&Standing::Outside, true, true), Level::Transaction);
    assert_eq!(level(&Standing::Outside, true, false), Level::Transaction);
    assert_eq!(level(&Standing::Outside, false, true), Level::Savepoint);
    assert_eq!(level(&Standing::Outside, false, false), Level::Joined);
    assert_eq!(level(&Standing::InBlock, false, true), Level::Savepoint);
    assert_eq!(level(&Standing::Marked, false, true), Level::Joined, "as Django, which makes no savepoint then");
}
