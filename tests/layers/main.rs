//! The layers of the core, and that no crate's files need each other in a circle.

mod graph;
mod source;

use std::path::{Path, PathBuf};

use graph::Graph;

/// The folders of the core, the lowest first. Each may name itself and those before it.
const LAYERS: [&str; 8] = ["base", "config", "link", "slot", "handle", "shared", "thread", "registry"];

/// Circles that are allowed to be, each with its crate. It is to be empty; what is here and no circle any more is a fault too.
const KNOTS: [&str; 0] = [];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("crates")
}

#[test]
fn layers_of_the_core_name_only_what_is_below_them() {
    let graph = Graph::read(&crates().join("dockline-core/src"));
    assert!(graph.arrows.len() > 40, "{} files", graph.arrows.len());
    let faults = graph.against(&LAYERS);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_layer_says_what_it_may_know() {
    for layer in LAYERS {
        let text = std::fs::read_to_string(crates().join("dockline-core/src").join(layer).join("mod.rs")).expect(layer);
        let says: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(says.contains("may"), "{layer}/mod.rs does not say what the layer may not know: {says}");
    }
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let mut found = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(crates()).expect("the crates") {
        let folder = entry.expect("a crate").path();
        let graph = Graph::read(&folder.join("src"));
        files += graph.arrows.len();
        for circle in graph.circles() {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            let name = folder.file_name().expect("a name").to_string_lossy();
            found.push(format!("{name}: {}", names.join(", ")));
        }
    }
    assert!(files > 100, "{files} files");
    assert_eq!(found, KNOTS, "circles of files: those that there are, and those that may be");
}
