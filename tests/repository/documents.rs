//! Documents that a reader can find, with links that lead somewhere.

use std::collections::HashMap;
use std::path::{Component, Path};

use crate::markdown::{anchors, definition, labels, links, prose};
use crate::tree::{File, files, root};

fn documents() -> Vec<File> {
    files().into_iter().filter(|file| file.path.ends_with(".md")).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = documents();
    let anchors: HashMap<_, _> = documents.iter().map(|file| (file.path.as_str(), anchors(&file.text))).collect();
    let (mut followed, mut broken) = (0, Vec::new());
    for document in &documents {
        let defined: Vec<_> = document.text.lines().filter_map(definition).map(|(label, _)| label).collect();
        for (line, text) in prose(&document.text) {
            let targets = links(&text).chain(definition(&text).map(|(_, target)| target));
            for link in targets.filter(|link| !link.contains("://") && !link.starts_with("crate::")) {
                followed += 1;
                if let Err(reason) = follow(&document.path, link, &anchors) {
                    broken.push(format!("{}:{line}: {link}: {reason}", document.path));
                }
            }
            for label in labels(&text).filter(|label| !defined.contains(label)) {
                broken.push(format!("{}:{line}: [{label}] is defined nowhere on the page", document.path));
            }
        }
    }
    assert!(followed > 20, "{followed} links");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

fn follow(document: &str, link: &str, anchors: &HashMap<&str, Vec<String>>) -> Result<(), String> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { document.to_owned() } else { beside(document, path) };
    if !root().join(&path).exists() {
        return Err(format!("there is no {path}"));
    }
    match anchor {
        None => Ok(()),
        Some(anchor) => match anchors.get(path.as_str()) {
            Some(there) if there.iter().any(|heading| heading == anchor) => Ok(()),
            _ => Err(format!("{path} has no heading for it")),
        },
    }
}

/// The path that a link of a document means, below the root.
fn beside(document: &str, link: &str) -> String {
    let mut parts = Vec::new();
    let folder = Path::new(document).parent().expect("a folder");
    for component in folder.join(link).components() {
        match component {
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(part) => parts.push(part.to_str().expect("a name in UTF-8").to_owned()),
            _ => {}
        }
    }
    parts.join("/")
}

#[test]
fn the_readme_leads_to_every_page() {
    let documents = documents();
    let readme = documents.iter().find(|file| file.path == "README.md").expect("README.md");
    let linked: Vec<String> = prose(&readme.text)
        .flat_map(|(_, line)| {
            links(&line).map(|link| link.split('#').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let lonely: Vec<_> = documents
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| path.starts_with("docs/") && !linked.iter().any(|link| link == path))
        .collect();
    assert!(lonely.is_empty(), "the README has no link to these: {lonely:?}");
}
