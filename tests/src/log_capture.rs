//! The log of this process, as a list; and a logger that panics, for tests that ask for it.

use std::sync::{Mutex, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};

static LINES: Mutex<Vec<(Level, String, String)>> = Mutex::new(Vec::new());
static PANICS_AT: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("dockline") {
            let line = (record.level(), record.target().to_owned(), record.args().to_string());
            let text = line.2.clone();
            LINES.lock().unwrap().push(line);
            // Not under the lock, which others take.
            let panics = PANICS_AT.lock().unwrap().iter().any(|at| text.contains(at));
            assert!(!panics, "the logger panics: {text}");
        }
    }

    fn flush(&self) {}
}

/// Captures from now on.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).expect("no other logger");
        log::set_max_level(LevelFilter::Debug);
    });
}

/// From now on, the logger panics at every line that contains this text, once the line is in the list. All tests of the process
/// share the logger: the text is to be one that no other test has, as an alias.
pub fn panic_at(text: &str) {
    start();
    PANICS_AT.lock().unwrap().push(text.to_owned());
}

/// The lines with this target that contain this text, with their levels.
pub fn lines(target: &str, text: &str) -> Vec<(Level, String)> {
    let lines = LINES.lock().unwrap();
    let wanted = lines.iter().filter(|(_, of, line)| of == target && line.contains(text));
    wanted.map(|(level, _, line)| (*level, line.clone())).collect()
}
