//! Which paths a source file names, without comments, texts and unit tests.

/// A path as it stands in a file, with the inline modules around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) inside: Vec<String>,
    pub(crate) path: Vec<String>,
    /// It stands in a `pub use`.
    pub(crate) is_reexport: bool,
}

/// The paths of a file: those of its `use` lines, one for each name, and those in its code.
pub(crate) fn paths(text: &str) -> Vec<Named> {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, at: 0, inside: Vec::new(), depth: 0, found: Vec::new() };
    reader.read();
    reader.found
}

struct Reader<'a> {
    tokens: &'a [String],
    at: usize,
    /// The inline modules that are open, each with the depth of its brace.
    inside: Vec<(String, usize)>,
    depth: usize,
    found: Vec<Named>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn read(&mut self) {
        let (mut is_public, mut is_test) = (false, false);
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "#" => is_test |= self.attribute(),
                "pub" => {
                    is_public = true;
                    self.at += 1;
                    if self.peek(0) == "(" {
                        self.skip_to(")");
                    }
                }
                "mod" if is_test => {
                    self.skip_block();
                    (is_public, is_test) = (false, false);
                }
                "mod" if self.peek(2) == "{" => {
                    self.depth += 1;
                    self.inside.push((self.peek(1).to_owned(), self.depth));
                    self.at += 3;
                    is_public = false;
                }
                "use" => {
                    self.at += 1;
                    self.use_tree(&mut Vec::new(), is_public);
                    (is_public, is_test) = (false, false);
                }
                _ => {
                    self.code();
                    (is_public, is_test) = (false, false);
                }
            }
        }
    }

    fn code(&mut self) {
        match self.peek(0) {
            "{" => self.depth += 1,
            "}" => {
                if self.inside.last().is_some_and(|(_, depth)| *depth == self.depth) {
                    self.inside.pop();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            word if is_word(word) && self.peek(1) == "::" => {
                let mut path = vec![word.to_owned()];
                while self.peek(1) == "::" && is_word(self.peek(2)) {
                    path.push(self.peek(2).to_owned());
                    self.at += 2;
                }
                self.add(path, false);
            }
            _ => {}
        }
        self.at += 1;
    }

    /// Reads one tree of a `use`, up to what ends it.
    fn use_tree(&mut self, prefix: &mut Vec<String>, is_reexport: bool) {
        let length = prefix.len();
        loop {
            let token = self.peek(0).to_owned();
            self.at += 1;
            match token.as_str() {
                "{" => {
                    while !matches!(self.peek(0), "}" | "") {
                        self.use_tree(prefix, is_reexport);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    break;
                }
                "::" => {}
                "as" => self.at += 1,
                "self" if prefix.len() > length || (length > 0 && prefix.len() == length) => {}
                word if is_word(word) || word == "*" => prefix.push(token),
                _ => {
                    self.at -= 1;
                    break self.add(prefix.clone(), is_reexport);
                }
            }
        }
        prefix.truncate(length);
        if length == 0 && self.peek(0) == ";" {
            self.at += 1;
        }
    }

    fn add(&mut self, path: Vec<String>, is_reexport: bool) {
        let inside = self.inside.iter().map(|(name, _)| name.clone()).collect();
        self.found.push(Named { inside, path, is_reexport });
    }

    /// Passes an attribute. Whether it is `#[cfg(test)]`, or another one with that condition.
    fn attribute(&mut self) -> bool {
        let begin = self.at;
        self.at += 1;
        if self.peek(0) == "!" {
            self.at += 1;
        }
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "[" => depth += 1,
                "]" => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        let words: Vec<&str> = self.tokens[begin..self.at].iter().map(String::as_str).collect();
        words.contains(&"cfg") && words.contains(&"test") && !words.contains(&"not")
    }

    fn skip_to(&mut self, end: &str) {
        while self.at < self.tokens.len() && self.peek(0) != end {
            self.at += 1;
        }
        self.at += 1;
    }

    /// Passes `mod tests { … }` or `mod tests;`.
    fn skip_block(&mut self) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            let ends = depth == 0 && matches!(self.peek(0), "}" | ";");
            self.at += 1;
            if ends {
                return;
            }
        }
    }
}

fn is_word(token: &str) -> bool {
    token == "$crate" || token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::` and single signs; comments and texts are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        at += match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => quoted(rest),
            ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] if raw(rest).is_some() => raw(rest).unwrap_or(1),
            ['\'', '\\', ..] => {
                2 + rest[2..].iter().skip(1).position(|c| *c == '\'').map_or(rest.len() - 2, |at| at + 2)
            }
            ['\'', _, '\'', ..] => 3,
            // In a macro, which other crates expand: see `graph::target`.
            ['$', 'c', 'r', 'a', 't', 'e', ..] => {
                tokens.push("$crate".to_owned());
                6
            }
            [':', ':', ..] => {
                tokens.push("::".to_owned());
                2
            }
            [first, ..] if first.is_alphanumeric() || *first == '_' => {
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                let length = word.chars().count();
                tokens.push(word);
                length
            }
            [first, ..] => {
                if !first.is_whitespace() {
                    tokens.push(first.to_string());
                }
                1
            }
            [] => 1,
        };
    }
    tokens
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw text, if one begins here.
fn raw(rest: &[char]) -> Option<usize> {
    let begin = rest.iter().position(|c| *c == 'r')? + 1;
    let hashes = rest[begin..].iter().take_while(|c| **c == '#').count();
    if rest.get(begin + hashes) != Some(&'"') {
        return None;
    }
    let body = begin + hashes + 1;
    let ends = |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    let end = (body..rest.len()).find(ends)?;
    Some(end + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<String> {
        paths(text).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn groups_are_one_path_for_each_name() {
        let text = "use crate::a::{self, b::{C, D as E}, f};\npub(crate) use super::g::*;";
        assert_eq!(joined(text), ["crate::a", "crate::a::b::C", "crate::a::b::D", "crate::a::f", "super::g::*"]);
        assert!(paths(text)[4].is_reexport && !paths(text)[0].is_reexport);
    }

    #[test]
    fn code_counts_and_comments_texts_and_tests_do_not() {
        let text = r##"
            // crate::comment::A
            /* crate::comment::B /* crate::nested::C */ */
            /// [`A`](crate::doc::D)
            fn f<'a>(x: &'a str) -> crate::code::E { ('"', '\'', b"crate::text::F", r#"crate::"raw::G"#, super::h::i()) }
            #[cfg(test)]
            mod tests { use crate::test::J; fn g() { { crate::test::K } } }
            fn after() { self::l::m() }
        "##;
        assert_eq!(joined(text), ["crate::code::E", "super::h::i", "self::l::m"]);
    }

    #[test]
    fn inline_modules_are_known() {
        let found = paths("mod inner { use super::a::B; mod deeper { fn f() {} } } use super::c::D;");
        assert_eq!(
            (found[0].inside.as_slice(), found[0].path.join("::").as_str()),
            (&["inner".to_owned()][..], "super::a::B")
        );
        assert!(found[1].inside.is_empty());
    }
}
