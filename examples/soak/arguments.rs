//! What the command line says.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::Fallible;

pub const USAGE: &str = "usage: soak [--seconds N | --minutes N] [--workers N] [--svg FILE]\n\
                         default: 10 seconds for all stories together, 4 workers, no picture";

pub struct Arguments {
    /// For all stories together.
    pub time: Duration,
    pub workers: u64,
    pub svg: Option<PathBuf>,
}

impl Arguments {
    /// `None` where only the usage is asked for.
    pub fn read(mut words: impl Iterator<Item = String>) -> Fallible<Option<Self>> {
        let mut read = Self { time: Duration::from_secs(10), workers: 4, svg: None };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => read.time = Duration::from_secs(number(&word, words.next(), 2, 86_400)?),
                "--minutes" => read.time = Duration::from_secs(60 * number::<u64>(&word, words.next(), 1, 1_440)?),
                "--workers" => read.workers = number(&word, words.next(), 1, 64)?,
                "--svg" => read.svg = Some(words.next().ok_or("--svg needs the name of a file")?.into()),
                "--help" | "-h" => return Ok(None),
                _ => {
                    return Err(format!("{word}: not an argument; {}", USAGE.lines().next().unwrap_or_default()).into());
                }
            }
        }
        Ok(Some(read))
    }
}

fn number<T: FromStr + PartialOrd + Display>(name: &str, text: Option<String>, least: T, most: T) -> Fallible<T> {
    let number = text.as_deref().and_then(|text| text.parse().ok()).filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| {
        let given = text.map(|text| format!(", not {text:?}")).unwrap_or_default();
        format!("{name} needs a whole number from {least} to {most}{given}").into()
    })
}
