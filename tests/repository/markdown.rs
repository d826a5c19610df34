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
