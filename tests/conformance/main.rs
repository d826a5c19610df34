//! `conformance --engine mysql|postgres|sqlite --url URL FILE...`: plays scenarios over Dockline, and prints the trace of
//! each as one line of JSON. FORMAT.md says how both read.

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments.run(),
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("conformance: {reason}; {USAGE}");
            ExitCode::from(2)
        }
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("conformance: it runs on Unix systems only, as the servers of the tests do");
    std::process::exit(1);
}

#[cfg(unix)]
use command::{Arguments, USAGE};

#[cfg(unix)]
mod command {
    use std::io::Write;
    use std::process::ExitCode;

    use dockline_tests::conformance::{self, Engine, Place, Scenario, Trace};

    pub(crate) const USAGE: &str = "usage: conformance --engine mysql|postgres|sqlite --url URL FILE...";

    /// What it is called with.
    pub(crate) struct Arguments {
        place: Place,
        files: Vec<String>,
    }

    impl Arguments {
        /// None where help is asked for.
        pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
            let (mut engine, mut url, mut files) = (None, None, Vec::new());
            let mut arguments = arguments.into_iter();
            while let Some(argument) = arguments.next() {
                let (name, value) = match argument.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (argument.as_str(), None),
                };
                let into = match name {
                    "--help" | "-h" => return Ok(None),
                    "--engine" => &mut engine,
                    "--url" => &mut url,
                    "--" => {
                        files.extend(arguments);
                        break;
                    }
                    _ if name.starts_with("--") => return Err(format!("there is no option {name}")),
                    _ => {
                        files.push(argument);
                        continue;
                    }
                };
                let value = value.or_else(|| arguments.next());
                *into = Some(value.ok_or_else(|| format!("{name} needs a value"))?);
            }
            let engine: Engine = engine.ok_or("--engine is missing")?.parse()?;
            let place = Place::from_url(engine, &url.ok_or("--url is missing")?)?;
            if files.is_empty() {
                return Err("no file is given".to_owned());
            }
            Ok(Some(Self { place, files }))
        }

        /// Plays all that can be played.
        pub(crate) fn run(&self) -> ExitCode {
            let mut code = ExitCode::SUCCESS;
            for file in &self.files {
                if let Err(reason) = self.play(file).and_then(|trace| print(&trace)) {
                    eprintln!("conformance: {file}: {}", one_line(&reason));
                    code = ExitCode::FAILURE;
                }
            }
            code
        }

        fn play(&self, file: &str) -> Result<Trace, String> {
            let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
            conformance::run(&Scenario::parse(&text)?, &self.place)
        }
    }

    fn print(trace: &Trace) -> Result<(), String> {
        let line = serde_json::to_string(trace).map_err(|error| error.to_string())?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| format!("standard output: {error}"))
    }

    fn one_line(reason: &str) -> String {
        reason.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
