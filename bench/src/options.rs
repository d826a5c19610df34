//! What a run is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use crate::place::Place;
use crate::work::ITEMS;

pub(crate) const HELP: &str = "usage: scripts/bench [--smoke] [--rounds N] [--only NAME]... [--without NAME]... [--django] [--out FOLDER] [--list]
  --smoke      every kind of work with tiny numbers: whether it runs at all. Nothing is written, and no time is judged
  --rounds N   how often each contestant has its turn (15); each item keeps a limit of its own for what takes long
  --only       this item alone; it may be given several times, and --list names them
  --without    leaves an item out
  --django     real Django too, which needs python3 with Django and a driver
  --out        the folder to write to (docs); --only writes nothing unless it is given";

/// What the command line asks for.
pub(crate) enum Wish {
    Run(Options),
    List,
    Help,
    /// A child process that measures what one contestant's connections take.
    Footprint {
        contestant: String,
        place: Place,
        held: usize,
    },
    /// A child process whose instructions are counted.
    Repeat {
        contestant: String,
        place: Place,
        work: String,
        calls: u32,
    },
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) smoke: bool,
    pub(crate) django: bool,
    rounds: usize,
    only: Vec<String>,
    without: Vec<String>,
    out: Option<PathBuf>,
}

impl Options {
    /// How often each contestant has its turn, at the most so often.
    pub(crate) fn rounds(&self, at_most: usize) -> usize {
        if self.smoke { 1 } else { self.rounds.min(at_most) }
    }

    /// How long one turn takes.
    pub(crate) fn slice(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(if self.smoke { 2 } else { milliseconds })
    }

    /// A number of rows or the like: a hundredth of it for a smoke test.
    pub(crate) fn amount(&self, full: u32) -> u32 {
        if self.smoke { (full / 100).max(10) } else { full }
    }

    /// Numbers of threads, of which a smoke test takes the first two.
    pub(crate) fn some<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        if self.smoke { &all[..all.len().min(2)] } else { all }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|only| only == name))
            && !self.without.iter().any(|without| without == name)
            && (name != "django" || self.django || self.smoke || self.only.iter().any(|only| only == name))
    }

    /// Where the report goes; `None` prints it alone.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        match &self.out {
            Some(folder) => Some(folder.clone()),
            None if self.smoke || !self.only.is_empty() => None,
            None => Some("docs".into()),
        }
    }

    /// The command that makes the same run.
    pub(crate) fn command(&self) -> String {
        let mut command = "scripts/bench".to_owned();
        if self.smoke {
            command.push_str(" --smoke");
        }
        if self.rounds != ROUNDS {
            command.push_str(&format!(" --rounds {}", self.rounds));
        }
        for (option, names) in [("--only", &self.only), ("--without", &self.without)] {
            names.iter().for_each(|name| command.push_str(&format!(" {option} {name}")));
        }
        if self.django {
            command.push_str(" --django");
        }
        command
    }
}

const ROUNDS: usize = 15;

pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut options =
        Options { smoke: false, django: false, rounds: ROUNDS, only: Vec::new(), without: Vec::new(), out: None };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match &*argument {
            "--smoke" => options.smoke = true,
            "--django" => options.django = true,
            "--rounds" => {
                let given = value()?;
                options.rounds = given
                    .parse()
                    .ok()
                    .filter(|rounds| *rounds > 0)
                    .ok_or_else(|| format!("--rounds {given:?} is no number from 1 on"))?;
            }
            "--only" => options.only.push(item(&value()?)?),
            "--without" => options.without.push(item(&value()?)?),
            "--out" => options.out = Some(value()?.into()),
            "--list" => return Ok(Wish::List),
            "--help" | "-h" => return Ok(Wish::Help),
            "--footprint-of" => {
                let (contestant, place, held) = (value()?, place(&value()?, &value()?)?, number(&value()?)?);
                return Ok(Wish::Footprint { contestant, place, held: held as usize });
            }
            "--repeat" => {
                let (contestant, place) = (value()?, place(&value()?, &value()?)?);
                return Ok(Wish::Repeat { contestant, place, work: value()?, calls: number(&value()?)? });
            }
            other => return Err(format!("{other:?} is no option")),
        }
    }
    Ok(Wish::Run(options))
}

fn place(kind: &str, url: &str) -> Result<Place, String> {
    Place::of(kind, url).ok_or_else(|| format!("{kind:?} is no kind of database"))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn item(name: &str) -> Result<String, String> {
    if ITEMS.iter().any(|item| item.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = ITEMS.iter().map(|item| item.name).collect();
    Err(format!("there is no item {name:?}; there are {}", names.join(", ")))
}
