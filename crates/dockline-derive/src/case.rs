//! How the name of a variant is written as a word.

#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
    Snake,
    Screaming,
    Kebab,
    Camel,
    Pascal,
}

impl Case {
    pub(crate) const EXPLAINED: &'static str =
        "write lowercase, UPPERCASE, snake_case, SCREAMING_SNAKE_CASE, kebab-case, camelCase or PascalCase";

    pub(crate) fn of(text: &str) -> Option<Self> {
        Some(match text {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::Screaming,
            "kebab-case" => Self::Kebab,
            "camelCase" => Self::Camel,
            "PascalCase" => Self::Pascal,
            _ => return None,
        })
    }

    /// Writes a name that is in PascalCase.
    pub(crate) fn write(self, name: &str) -> String {
        match self {
            Self::Lower => name.to_lowercase(),
            Self::Upper => name.to_uppercase(),
            Self::Snake => joined(name, '_'),
            Self::Screaming => joined(name, '_').to_uppercase(),
            Self::Kebab => joined(name, '-'),
            Self::Pascal => name.to_owned(),
            Self::Camel => {
                let mut letters = name.chars();
                letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
            }
        }
    }
}

fn joined(name: &str, between: char) -> String {
    let mut text = String::new();
    for (at, letter) in name.chars().enumerate() {
        if at > 0 && letter.is_uppercase() {
            text.push(between);
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_in_every_case() {
        for (case, wanted) in [
            ("lowercase", "inprogress"),
            ("UPPERCASE", "INPROGRESS"),
            ("snake_case", "in_progress"),
            ("SCREAMING_SNAKE_CASE", "IN_PROGRESS"),
            ("kebab-case", "in-progress"),
            ("camelCase", "inProgress"),
            ("PascalCase", "InProgress"),
        ] {
            assert_eq!(Case::of(case).unwrap().write("InProgress"), wanted);
        }
        assert!(Case::of("Title Case").is_none());
    }
}
