//! The pages of `docs` that are modules of `dockline::guide` as well, and code on pages that tests run.

use std::fs;

use crate::markdown::{definition, links, prose, rust_blocks};
use crate::tree::{files, root};

/// Where the pages of the guide are seen by the crate, and what their links mean there.
const FOLDER: &str = "crates/dockline/src/guide";

/// The pages of the guide, with their texts.
fn pages() -> Vec<(String, String)> {
    let folder = fs::read_dir(root().join(FOLDER)).expect(FOLDER);
    let names = folder.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"));
    let pages: Vec<_> = names.filter(|name| name != "links.md").collect();
    assert!(pages.len() > 10, "{pages:?}");
    pages
        .into_iter()
        .map(|name| (fs::read_to_string(root().join("docs").join(&name)).expect(&name), name))
        .map(|(text, name)| (name, text))
        .collect()
}

/// The module that a link between pages means.
fn module(target: &str) -> String {
    let (page, anchor) = target.split_once('#').map_or((target, None), |(page, anchor)| (page, Some(anchor)));
    let module = match page.strip_suffix(".md").expect("a page") {
        "guide" => "crate::guide".to_owned(),
        page => format!("crate::guide::{}", page.replace('-', "_")),
    };
    anchor.map_or(module.clone(), |anchor| format!("{module}#{anchor}"))
}

#[test]
fn pages_of_the_guide_are_those_of_docs() {
    for (name, text) in pages() {
        let seen = fs::read_to_string(root().join(FOLDER).join(&name)).expect(&name);
        assert!(seen == text, "{FOLDER}/{name} is to be a symbolic link to docs/{name}");
    }
}

#[test]
fn links_of_the_guide_lead_to_modules() {
    let known = fs::read_to_string(root().join(FOLDER).join("links.md")).expect("links.md");
    let known: Vec<_> = known.lines().filter_map(definition).collect();
    let pages = pages();
    let mut faults = Vec::new();
    for (name, text) in &pages {
        for (line, text) in prose(text) {
            // Of a picture, docs.rs shows what stands in its place.
            let is_page = |link: &&str| link.contains(".md") && !link.contains("://");
            for link in links(&text).filter(is_page) {
                faults.push(format!(
                    "docs/{name}:{line}: write [text][{link}], and at the end of the page [{link}]: {link}"
                ));
            }
            let Some((label, target)) = definition(&text) else { continue };
            let wanted = module(target);
            if label != target || !known.contains(&(label, &wanted)) {
                faults.push(format!("docs/{name}:{line}: {FOLDER}/links.md lacks [{target}]: {wanted}"));
            }
            let page = target.split('#').next().unwrap_or_default();
            if !pages.iter().any(|(name, _)| name == page) {
                faults.push(format!("docs/{name}:{line}: {page} is no page of the guide"));
            }
        }
    }
    assert!(faults.is_empty(), "links that work in the repository, and not on docs.rs:\n{}", faults.join("\n"));
}

/// Their code stands in `tests/src/recipes`, where it is run on every database.
#[test]
fn code_of_recipes_is_code_that_runs() {
    let run: Vec<_> = files().into_iter().filter(|file| file.path.starts_with("tests/src/recipes/")).collect();
    let mut stale = Vec::new();
    for page in ["docs/recipes.md", "docs/porting.md"] {
        let text = fs::read_to_string(root().join(page)).expect(page);
        let blocks: Vec<_> = rust_blocks(&text).into_iter().filter(|(_, flags, _)| flags.is_empty()).collect();
        assert!(blocks.len() > 2, "{page}: {} blocks", blocks.len());
        for (line, _, code) in blocks {
            let is_run = run.iter().any(|file| code.split("\n\n").all(|part| file.text.contains(part)));
            if !is_run {
                stale.push(format!("{page}:{line}"));
            }
        }
    }
    assert!(stale.is_empty(), "blocks that are not to be found in a file of tests/src/recipes: {stale:?}");
}

#[test]
fn every_message_of_the_compiler_is_explained() {
    let page = fs::read_to_string(root().join("docs/compile-errors.md")).expect("compile-errors.md");
    let mut missing = Vec::new();
    let mut found = 0;
    for file in files().into_iter().filter(|file| file.path.starts_with("crates/dockline-core/src/")) {
        for message in messages(&file.text) {
            found += 1;
            if !page.lines().any(|line| has_parts(line, &message)) {
                missing.push(format!("{}: {message}", file.path));
            }
        }
    }
    assert!(found > 8, "{found} messages");
    assert!(missing.is_empty(), "docs/compile-errors.md lacks\n{}", missing.join("\n"));
}

/// What `#[diagnostic::on_unimplemented]` says in a file.
fn messages(text: &str) -> Vec<String> {
    let attributes = text.split("#[diagnostic::on_unimplemented(").skip(1).filter_map(|rest| rest.split(")]\n").next());
    let strings = attributes.flat_map(str::lines).filter_map(|line| {
        let line = line.trim().trim_end_matches(',');
        let text = line.strip_prefix("message = \"").or_else(|| line.strip_prefix("note = \""))?;
        text.strip_suffix('"').map(|text| text.replace("{{", "{").replace("}}", "}"))
    });
    strings.collect()
}

/// Whether a line has a message, with a type in each place of `{Self}`.
fn has_parts(line: &str, message: &str) -> bool {
    let mut rest = line;
    message.split("{Self}").all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}
