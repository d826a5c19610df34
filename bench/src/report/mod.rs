//! The page that a run leaves: tables and plots, with what they were made of.

mod plot;
mod table;

use std::path::Path;
use std::time::Duration;

pub(crate) use plot::{Axis, Plot};
pub(crate) use table::Table;

use crate::machine;
use crate::options::Options;
use crate::place::Places;

/// Written as it grows, and printed at once: a run that is interrupted leaves what it has found on the screen.
pub(crate) struct Report {
    head: String,
    body: String,
    foot: String,
    plots: Vec<(String, String)>,
    section: String,
}

const INTRODUCTION: &str = "# Benchmarks

Dockline beside the bare drivers and beside the pools that people use, on one machine in one run. A program made this page; nobody
has edited its numbers.

How to read it:

- Contestants take turns (A B C, B C A, …). A ratio is the median over the rounds of one contestant's figure beside the bare driver's of
  the same round; in brackets stands between which figures half of the ratios lie. 1.00 is the bare driver with one connection for each
  thread, opened once, with its statements prepared once: the limit.
- Throughput: more is better. Processor time is that of the whole client process for one request, and p99 is what 99 of 100 requests stay
  below: less is better.
- A *request* of Dockline's begins and ends as a server's does: the hooks run, the connection is found by its alias, and is looked at
  before its first statement. Of a pool it takes a connection out and puts it back.
- \"Checks off\" leaves out the pool's questions to the server whether a connection lives. It is a pool's fastest setting, and one that
  hands out dead connections.
- SQLite: sqlx wants an older version of its C code than rusqlite, and one program can hold only one, so sqlx is compared on the
  servers alone. diesel is compared on SQLite alone: its other backends need the servers' C libraries.
";

impl Report {
    pub(crate) fn new(options: &Options, places: &Places) -> Self {
        let mut head = INTRODUCTION.to_owned();
        let crates: Vec<String> = machine::crates().iter().map(|(name, version)| format!("{name} {version}")).collect();
        head.push_str(&format!(
            "\nMade by `{}`.\n\n| | |\n|---|---|\n| machine | {} |\n| databases | {} |\n| crates | {} |\n| compiler | {}, {} |\n\
             | load when it began | {} |\n",
            options.command(),
            machine::describe(),
            places.versions.join(", "),
            crates.join(", "),
            machine::compiler(),
            if cfg!(debug_assertions) { "not optimised: the times mean nothing" } else { "release, thin LTO" },
            machine::load(),
        ));
        for missing in &places.missing {
            head.push_str(&format!("\nMissing: {missing}\n"));
        }
        if !cfg!(feature = "rivals") {
            head.push_str("\nBuilt without deadpool, sqlx and diesel (feature `rivals`).\n");
        }
        print!("{head}");
        Self { head, body: String::new(), foot: String::new(), plots: Vec::new(), section: String::new() }
    }

    pub(crate) fn section(&mut self, name: &str, title: &str) {
        self.section = name.to_owned();
        self.add(&format!("\n## {title}\n"));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.add(&format!("\n{text}\n"));
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.add(&format!("\n### {text}\n"));
    }

    pub(crate) fn table(&mut self, table: &Table) {
        self.add(&format!("\n{table}"));
    }

    /// A drawing, with a name that no other of this section has.
    pub(crate) fn plot(&mut self, name: &str, plot: &Plot) {
        let file = format!("{}-{name}.svg", self.section).to_lowercase().replace(' ', "-");
        self.add(&format!("\n![{}](benchmarks/{file})\n", plot.title));
        self.plots.push((file, plot.draw()));
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.foot = format!("\nThe run took {:.1} minutes.\n", time.as_secs_f64() / 60.0);
        print!("{}", self.foot);
    }

    fn add(&mut self, text: &str) {
        print!("{text}");
        self.body.push_str(text);
    }

    /// Writes the page and its drawings, if they are wanted.
    pub(crate) fn write(&self, options: &Options) -> Result<(), String> {
        let Some(folder) = options.folder() else { return Ok(()) };
        let write = |path: &Path, content: &str| {
            std::fs::write(path, content).map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        let drawings = folder.join("benchmarks");
        std::fs::create_dir_all(&drawings)
            .map_err(|error| format!("cannot make the folder {}: {error}", drawings.display()))?;
        write(&folder.join("benchmarks.md"), &format!("{}{}{}", self.head, self.body, self.foot))?;
        for (file, drawing) in &self.plots {
            write(&drawings.join(file), drawing)?;
        }
        Ok(())
    }
}
