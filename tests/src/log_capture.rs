//! The log of this process, as a list.

use std::sync::{Mutex, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};

static LINES: Mutex<Vec<(Level, String, String)>> = Mutex::new(Vec::new());

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("dockline") {
            let line = (record.level(), record.target().to_owned(), record.args().to_string());
            LINES.lock().unwrap().push(line);
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

/// The lines with this target that contain this text, with their levels.
pub fn lines(target: &str, text: &str) -> Vec<(Level, String)> {
    let lines = LINES.lock().unwrap();
    let wanted = lines.iter().filter(|(_, of, line)| of == target && line.contains(text));
    wanted.map(|(level, _, line)| (*level, line.clone())).collect()
}
