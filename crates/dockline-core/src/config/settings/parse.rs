//! From text to the values of settings. An error says what would be right.

use std::str::FromStr;
use std::time::Duration;

use super::words::Word;

type Parsed<T> = Result<T, String>;

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| {
        if text.parse::<f64>().is_ok() {
            format!("a duration needs a unit; write {text:?} as \"{text}s\" if seconds are meant")
        } else {
            "not a duration; write a number with a unit, as in \"600s\", \"10m\" or \"250ms\"".to_owned()
        }
    })
}

/// A duration, or `none`.
pub(super) fn limit(text: &str) -> Parsed<Option<Duration>> {
    optional(text, duration)
}

pub(super) fn flag(text: &str) -> Parsed<bool> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("not a boolean; write true or false".to_owned()),
    }
}

pub(super) fn number<T: FromStr>(text: &str) -> Parsed<T> {
    text.trim().parse().map_err(|_| "not a whole number in range; write digits alone, as in \"100\"".to_owned())
}

pub(super) fn optional_number<T: FromStr>(text: &str) -> Parsed<Option<T>> {
    optional(text, number)
}

pub(super) fn percent(text: &str) -> Parsed<u8> {
    let text = text.trim();
    let digits = text.strip_suffix('%').or((text == "0").then_some(text)).unwrap_or_default();
    match digits.trim_end().parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err("not a percentage; write \"0%\" to \"100%\"".to_owned()),
    }
}

pub(super) fn word<W: Word>(text: &str) -> Parsed<W> {
    let text = text.trim();
    let found = W::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
        not_a_word(&words)
    })
}

pub(super) fn not_a_word(words: &[&str]) -> String {
    format!("not one of its words; write {}", words.join(", "))
}

pub(super) fn optional_word<W: Word>(text: &str) -> Parsed<Option<W>> {
    optional(text, word)
}

/// Text that is `none` or empty is not set.
pub(super) fn optional_text(text: &str) -> Option<String> {
    (!is_none(text) && !text.is_empty()).then(|| text.to_owned())
}

fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Parsed<Option<T>> {
    if is_none(text) { Ok(None) } else { parse(text).map(Some).map_err(|why| format!("{why}, or \"none\"")) }
}

fn is_none(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("none")
}

#[cfg(test)]
mod tests {
    use super::super::Tls;
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration("600s"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(limit("none"), Ok(None));
        assert!(duration("600").unwrap_err().contains("\"600s\""));
        for text in ["", "abc", "-5s", "5 parsecs", "none"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        assert!(limit("abc").unwrap_err().ends_with("or \"none\""));
    }

    #[test]
    fn numbers_percentages_and_words_are_checked() {
        assert_eq!(optional_number::<u16>("5432"), Ok(Some(5432)));
        assert!(optional_number::<u16>("65536").is_err());
        assert!(number::<u32>("-1").is_err());
        assert_eq!((percent("0"), percent("10%"), percent("100 %")), (Ok(0), Ok(10), Ok(100)));
        assert!(percent("10").is_err() && percent("101%").is_err() && percent("%").is_err());
        assert_eq!(word::<Tls>("verify-full"), Ok(Tls::VerifyFull));
        assert!(word::<Tls>("on").unwrap_err().contains("disable, prefer, require, verify-ca, verify-full"));
    }
}
