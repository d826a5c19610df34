//! Examples in the documentation of what programs call.

use crate::tree::{File, files};

/// The types whose methods have an example each. Of `Settings` the type has it: its methods are the settings of the README's table.
const TYPES: &[&str] = &[
    "Atomic",
    "AtomicBlock",
    "Canceller",
    "CommitCallbacks",
    "Connection",
    "Connections",
    "Constraint",
    "Databases",
    "Error",
    "Events",
    "Execution",
    "Interval",
    "Other",
    "RawJson",
    "Registry",
    "RegistryBuilder",
    "Retry",
    "Row",
    "Signal",
    "Task",
    "Template",
    "TestCase",
    "TestDatabase",
    "Value",
];

fn sources() -> Vec<File> {
    let is_source = |file: &File| {
        file.path.ends_with(".rs")
            && ["crates/dockline/src/", "crates/dockline-core/src/"].iter().any(|folder| file.path.starts_with(folder))
    };
    let sources: Vec<_> = files().into_iter().filter(is_source).collect();
    assert!(sources.len() > 50, "{} files", sources.len());
    sources
}

#[test]
fn what_programs_call_has_an_example() {
    let (mut with, mut without) = (0, Vec::new());
    for file in sources() {
        for (line, name) in public_functions(&file.text) {
            match documentation(&file.text, line).contains("```") {
                true => with += 1,
                false => without.push(format!("{}:{}: {name}", file.path, line + 1)),
            }
        }
    }
    assert!(with > 150, "{with} with an example");
    assert!(without.is_empty(), "these have no example that a program could begin with:\n{}", without.join("\n"));
}

#[test]
fn every_type_that_programs_meet_has_an_example() {
    let sources = sources();
    let root = sources.iter().find(|file| file.path == "crates/dockline/src/lib.rs").expect("lib.rs");
    let exported = root.text.split("pub use dockline_core::{").nth(1).and_then(|rest| rest.split("};").next());
    let exported: Vec<&str> = exported.expect("what the core exports").split([',', '\n']).map(str::trim).collect();
    let (mut with, mut without) = (0, Vec::new());
    for file in &sources {
        for (at, line) in file.text.lines().enumerate() {
            let Some(name) = type_name(line).filter(|name| exported.contains(name)) else { continue };
            match documentation(&file.text, at).contains("```") {
                true => with += 1,
                false => without.push(format!("{}:{}: {name}", file.path, at + 1)),
            }
        }
    }
    assert!(with > 50, "{with} with an example");
    assert!(without.is_empty(), "these have no example that a program could begin with:\n{}", without.join("\n"));
}

/// The type that a line of the outermost level declares.
fn type_name(line: &str) -> Option<&str> {
    let kinds = ["struct ", "enum ", "trait ", "type "];
    let rest = line.strip_prefix("pub ")?;
    let rest = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    rest.split(|c: char| !c.is_alphanumeric()).next()
}

#[test]
fn examples_name_the_crate_that_programs_have() {
    let mut named = Vec::new();
    for file in sources() {
        let mut in_code = false;
        for (at, line) in file.text.lines().enumerate() {
            let Some(text) = line.trim_start().strip_prefix("//") else { continue };
            let Some(text) = text.strip_prefix(['/', '!']) else { continue };
            in_code ^= text.trim_start().starts_with("```");
            let is_hidden = text.trim_start().starts_with('#');
            if in_code && !is_hidden && text.contains("dockline_core") {
                named.push(format!("{}:{}", file.path, at + 1));
            }
        }
    }
    assert!(named.is_empty(), "examples that say dockline_core, which a program does not have: {named:?}");
}

/// The public functions of the crate's root, and the public methods of the types, each with the index of its line.
fn public_functions(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut of_type, mut at_root) = (None, text.starts_with("//! The registry of the whole process"));
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("impl") {
            of_type = TYPES.iter().find(|name| implements(line, name));
        } else if line == "}" {
            of_type = None;
        } else if line.starts_with("mod tests") {
            at_root = false;
        }
        let function = match of_type {
            Some(_) => line.strip_prefix("    pub fn ").or_else(|| line.strip_prefix("    pub const fn ")),
            None if at_root => line.strip_prefix("pub fn "),
            None => None,
        };
        if let Some(function) = function {
            let name: String = function.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((at, of_type.map_or(name.clone(), |of_type| format!("{of_type}::{name}"))));
        }
    }
    found
}

/// Whether a line begins the methods of a type: `impl Row {`, `impl<E> Signal<E> {`, `impl Execution<'_> {`.
fn implements(line: &str, name: &str) -> bool {
    let line = line.trim_start_matches("impl");
    let line = if line.starts_with('<') { line.split_once("> ").map_or(line, |(_, rest)| rest) } else { line };
    line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '<']) && !rest.contains(" for "))
}

/// What stands before a line as its documentation.
fn documentation(text: &str, line: usize) -> String {
    let before: Vec<&str> = text.lines().take(line).collect();
    let mut in_attribute = false;
    let item = before.iter().rev().take_while(|line| {
        let line = line.trim_start();
        let is_part = in_attribute || line.starts_with("///") || line.starts_with("#[") || line.ends_with(")]");
        // An attribute of several lines begins at its end here.
        in_attribute = is_part && !line.starts_with("#[") && (in_attribute || line.ends_with(")]"));
        is_part
    });
    item.copied().collect::<Vec<_>>().join("\n")
}

#[test]
fn functions_and_their_documentation_are_found() {
    let text = "impl<E> Signal<E> {\n    /// It.\n    /// ```\n    #[inline]\n    pub fn send(&self) {}\n\n    pub fn other(&self) {}\n}\nimpl Drop for Row {\n    pub fn no() {}\n}\n";
    let found = public_functions(text);
    assert_eq!(found, [(4, "Signal::send".to_owned()), (6, "Signal::other".to_owned())]);
    assert!(documentation(text, 4).contains("```"));
    assert!(!documentation(text, 6).contains("```"));
}
