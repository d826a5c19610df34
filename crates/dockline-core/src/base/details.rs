//! What is known of an error besides its message, and how it is shown: as psql shows it.

use std::fmt;

/// What is known of an error besides its message. It may quote values, so no log has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Details {
    pub(super) place: Option<Place>,
    pub(super) detail: Option<String>,
    pub(super) hint: Option<String>,
}

/// Where in its statement an error is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// In characters, counted from 1.
    pub(super) position: usize,
    excerpt: String,
}

/// So many characters of a long line are shown, about.
const WIDTH: usize = 72;

impl Place {
    /// A position of a statement, in characters, counted from 1; `None` if the statement has no such position.
    pub(super) fn of(statement: &str, position: usize) -> Option<Self> {
        let at = position.checked_sub(1)?;
        let before: String = statement.chars().take(at).collect();
        if before.chars().count() < at {
            return None;
        }
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let text: Vec<char> = statement.split('\n').nth(line)?.trim_end().chars().map(plain).collect();
        let from = if text.len() > WIDTH { column.saturating_sub(WIDTH / 2) } else { 0 };
        let to = text.len().min(from + WIDTH);
        let before = format!("LINE {}: {}", line + 1, if from > 0 { "..." } else { "" });
        let after = if to < text.len() { "..." } else { "" };
        let shown: String = text.get(from..to).unwrap_or_default().iter().collect();
        let caret = before.chars().count() + column - from;
        Some(Self { position, excerpt: format!("{before}{shown}{after}\n{:caret$}^", "") })
    }
}

/// A tab would put the mark below in the wrong place.
fn plain(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

/// Each on lines of its own, with a line break before it.
impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "\n{}", place.excerpt)?;
        }
        if let Some(detail) = &self.detail {
            write!(f, "\nDETAIL:  {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nHINT:  {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(statement: &str, position: usize) -> String {
        Place::of(statement, position).unwrap().excerpt
    }

    #[test]
    fn the_mark_stands_below_the_position() {
        assert_eq!(shown("SELECT nam FROM t", 8), "LINE 1: SELECT nam FROM t\n               ^");
        assert_eq!(shown("SELECT 1,\n\tä, nam\nFROM t", 15), "LINE 2:  ä, nam\n            ^");
        assert_eq!(shown("SELECT", 7), "LINE 1: SELECT\n              ^", "at its end");
        assert_eq!(shown("SELECT 1\r\nFRM t", 11), "LINE 2: FRM t\n        ^");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_position_is_shown() {
        let statement = format!("SELECT {} x {}", "a,".repeat(100), "b,".repeat(100));
        let shown = shown(&statement, 209);
        let (text, mark) = shown.split_once('\n').unwrap();
        assert!(text.starts_with("LINE 1: ...") && text.ends_with("...") && text.len() < 100, "{text}");
        assert_eq!(text.chars().nth(mark.len() - 1), Some('x'), "{shown}");
    }

    #[test]
    fn a_position_that_is_not_there_is_none() {
        assert_eq!((Place::of("x", 0), Place::of("x", 3)), (None, None));
    }

    proptest! {
        #[test]
        fn any_position_of_any_text_is_shown_or_none(statement in "[\\PC\n\t]{0,200}", position in 0_usize..300) {
            let _ = Place::of(&statement, position);
        }
    }
}
