//! As much of Markdown as links and headings take.

/// Returns the lines that are text: none of a block of code, and none of what stands in backquotes.
pub fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            return None;
        }
        (!in_code).then(|| (at + 1, without_code(line)))
    })
}

fn without_code(line: &str) -> String {
    line.split('`').enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, part)| part).collect()
}

/// Returns the targets of a line's links: `[text](target)`.
pub fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, opening)| {
        let rest = &line[at + opening.len()..];
        Some(&rest[..rest.find(')')?])
    })
}

/// Returns the labels that a line refers to: `[text][label]`.
pub fn labels(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("][").filter_map(|(at, opening)| {
        let rest = &line[at + opening.len()..];
        Some(&rest[..rest.find(']')?])
    })
}

/// Returns what a line defines: `[label]: target`.
pub fn definition(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('[')?.split_once("]: ")
}

/// Returns the blocks of code in Rust, each with the line that it begins at and what stands behind its language.
pub fn rust_blocks(text: &str) -> Vec<(usize, String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let code: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        if let Some(flags) = language.strip_prefix("rust") {
            blocks.push((at + 1, flags.to_owned(), code.join("\n")));
        }
    }
    blocks
}

/// Returns the anchors of the headings, as GitHub makes them.
pub fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let Some(heading) = line.strip_prefix('#').filter(|_| !in_code) else { continue };
        let anchor = slug(heading.trim_start_matches('#').trim());
        let same = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
    }
    anchors
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn headings_become_anchors_as_on_github() {
    let text = "# The `Row` type\n```\n# not this\n```\n## What it costs, at most\n## The Row type\n";
    assert_eq!(anchors(text), ["the-row-type", "what-it-costs-at-most", "the-row-type-1"]);
}

#[test]
fn links_of_text_are_found_and_those_of_code_are_not() {
    let text = "See [a](docs/a.md) and [b](#b), `[c](c)`.\n```\n[d](d)\n```\n";
    let lines: Vec<_> = prose(text).collect();
    let found: Vec<_> = lines.iter().flat_map(|(at, line)| links(line).map(move |link| (*at, link))).collect();
    assert_eq!(found, [(1, "docs/a.md"), (1, "#b")]);
}

#[test]
fn labels_and_their_definitions_are_found() {
    assert_eq!(labels("See [a][a.md] and [b][b.md#c].").collect::<Vec<_>>(), ["a.md", "b.md#c"]);
    assert_eq!(definition("[b.md#c]: b.md#c"), Some(("b.md#c", "b.md#c")));
    assert_eq!(definition("See [a][a.md]."), None);
}

#[test]
fn blocks_of_rust_are_found_and_others_are_not() {
    let text = "```toml\na = 1\n```\n```rust,ignore\nlet a = 1;\n\nlet b = 2;\n```\n";
    assert_eq!(rust_blocks(text), [(4, ",ignore".to_owned(), "let a = 1;\n\nlet b = 2;".to_owned())]);
}
