//! Which file of a crate names which, and what must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source::{Named, paths};

/// The path of a module that has a file: `slot::turn`.
pub(crate) type Module = Vec<String>;

/// The modules of a crate, each with those that it names. The crate's root is not among them: it holds all the others.
pub(crate) struct Graph {
    pub(crate) arrows: BTreeMap<Module, BTreeSet<Module>>,
    /// Names that were taken from the crate's root, where no file says whose they are.
    pub(crate) by_root: Vec<(Module, String)>,
}

impl Graph {
    /// Reads the files below `src`.
    pub(crate) fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut files);
        Self::of(&files)
    }

    pub(crate) fn of(files: &BTreeMap<Module, String>) -> Self {
        let mut graph = Self { arrows: BTreeMap::new(), by_root: Vec::new() };
        for (module, text) in files {
            let mut named = BTreeSet::new();
            for found in paths(text) {
                match target(module, &found, files) {
                    Some(to) if to.is_empty() => {
                        let name = found.path.get(1).cloned().unwrap_or_default();
                        graph.by_root.push((module.clone(), name));
                    }
                    Some(to) if to != *module => drop(named.insert(to)),
                    _ => {}
                }
            }
            graph.arrows.insert(module.clone(), named);
        }
        graph
    }

    /// The files that name each other in a circle, circle by circle.
    pub(crate) fn circles(&self) -> Vec<Vec<Module>> {
        let reachable: BTreeMap<&Module, BTreeSet<&Module>> =
            self.arrows.keys().map(|module| (module, self.reachable(module))).collect();
        let mut circles: BTreeSet<Vec<Module>> = BTreeSet::new();
        for (module, others) in &reachable {
            if others.contains(module) {
                let circle = others.iter().filter(|other| reachable[**other].contains(module));
                circles.insert(circle.map(|other| (*other).clone()).collect());
            }
        }
        circles.into_iter().collect()
    }

    fn reachable(&self, from: &Module) -> BTreeSet<&Module> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Module> = self.arrows[from].iter().collect();
        while let Some(module) = next.pop() {
            if found.insert(module) {
                next.extend(&self.arrows[module]);
            }
        }
        found
    }

    /// What does not keep to the layers, the lowest first: a file outside of them, an arrow upwards, a name from the crate's root.
    pub(crate) fn against(&self, layers: &[&str]) -> Vec<String> {
        let height = |module: &Module| layers.iter().position(|layer| module[0] == *layer);
        let mut faults = Vec::new();
        for (from, others) in &self.arrows {
            let Some(own) = height(from) else {
                faults.push(format!("{} is in no layer", from.join("::")));
                continue;
            };
            let above = others.iter().filter(|to| height(to).is_some_and(|to| to > own));
            faults.extend(above.map(|to| format!("{} names {}, which is above it", from.join("::"), to.join("::"))));
        }
        let by_root = self.by_root.iter();
        faults.extend(by_root.map(|(from, name)| format!("{} names crate::{name}; name its file", from.join("::"))));
        faults
    }
}

fn collect(folder: &Path, module: &mut Module, files: &mut BTreeMap<Module, String>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name in UTF-8").to_owned();
        // Unit tests may name what they like.
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            module.push(name);
            collect(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let own = [name].into_iter().filter(|name| name != "mod");
            let file: Module = module.iter().cloned().chain(own).collect();
            if !module.is_empty() || (file != ["lib"] && file != ["main"]) {
                files.insert(file, std::fs::read_to_string(&path).expect("a text"));
            }
        }
    }
}

/// The file that a path leads to; empty: the crate's root. `None`: another crate, or something of the file itself.
fn target(module: &Module, named: &Named, files: &BTreeMap<Module, String>) -> Option<Module> {
    let first = named.path.first()?.as_str();
    let mut rest = named.path.as_slice();
    let mut at: Module = match first {
        "crate" | "$crate" => {
            rest = &rest[1..];
            Vec::new()
        }
        "super" | "self" => module.iter().chain(&named.inside).cloned().collect(),
        // A child of this file. That a parent shows what its children have is no arrow.
        _ if !named.is_reexport && named.inside.is_empty() => {
            let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
            files.contains_key(&child).then_some(())?;
            module.clone()
        }
        _ => return None,
    };
    while let Some(word) = rest.first().filter(|word| ["super", "self"].contains(&word.as_str())) {
        if word == "super" {
            at.pop();
        }
        rest = &rest[1..];
    }
    at.extend(rest.iter().cloned());
    while !at.is_empty() && !files.contains_key(&at) {
        at.pop();
    }
    // A macro names what other crates can name too: that is at the root.
    (first != "$crate" || !at.is_empty()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(files: &[(&str, &str)]) -> Graph {
        let module = |path: &str| path.split("::").map(str::to_owned).collect();
        Graph::of(&files.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect())
    }

    #[test]
    fn an_arrow_upwards_is_found() {
        let files = [
            ("base", ""),
            ("base::error", "use crate::slot::Slot;"),
            ("slot", "use crate::base::error::Error;"),
            ("slot::turn", "fn f() -> super::super::base::error::Error {}"),
        ];
        assert_eq!(made_up(&files).against(&["base", "slot"]), ["base::error names slot, which is above it"]);
        let below = [("base::error", ""), files[2], files[3]];
        assert!(made_up(&below).against(&["base", "slot"]).is_empty());
    }

    #[test]
    fn a_file_outside_the_layers_and_a_name_from_the_root_are_found() {
        let graph = made_up(&[("base", "use crate::Error;"), ("stray", "")]);
        assert_eq!(graph.against(&["base"]), ["stray is in no layer", "base names crate::Error; name its file"]);
    }

    #[test]
    fn circles_are_found_whichever_way_a_file_is_named() {
        let graph = made_up(&[
            ("a", "use crate::b::B;"),
            ("b", "fn f() { super::c::g() }"),
            ("c", "use self::inner::X; use crate::a;"),
            ("c::inner", ""),
            ("parent", "mod child; fn f() { child::g() }"),
            ("parent::child", "use super::Parent;"),
            ("alone", "use crate::a::A;"),
        ]);
        let circles: Vec<Vec<String>> =
            graph.circles().iter().map(|circle| circle.iter().map(|module| module.join("::")).collect()).collect();
        assert_eq!(circles, [vec!["a", "b", "c"], vec!["parent", "parent::child"]]);
    }

    #[test]
    fn a_parent_may_show_what_its_children_have() {
        let graph = made_up(&[("value", "mod from; pub use from::From;"), ("value::from", "use super::Value;")]);
        assert!(graph.circles().is_empty());
    }
}
