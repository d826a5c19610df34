//! No code of the program runs inside the destructor of a thread-local: not its logger, not its receivers, not the `Drop` of its
//! values. Each of these uses a thread-local of its own here, which is gone when the thread's connections are closed, and
//! aborts the process if it finds it gone: as a panic would in a program with `panic = "abort"`.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dockline::signals::CloseReason;
use dockline::{Atomic, Connections, Databases, Settings};

thread_local! {
    /// As a logger's buffer, a random number generator or a span has it.
    static BUFFER: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static CLOSED: Mutex<Vec<(CloseReason, String)>> = Mutex::new(Vec::new());
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Uses the thread-local, which must be there.
fn use_buffer(line: &str) {
    let used = BUFFER.try_with(|buffer| buffer.borrow_mut().push(line.to_owned()));
    if used.is_err() {
        eprintln!("code of the program runs while the thread-locals are being destroyed: {line}");
        std::process::abort();
    }
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        use_buffer("enabled");
        metadata.target().starts_with("dockline")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = record.args().to_string();
            use_buffer(&line);
            LINES.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// A value of the program, in a hook, a wrapper or a password provider.
struct Value;

impl Drop for Value {
    fn drop(&mut self) {
        use_buffer("a value is dropped");
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

fn connections(value: Value) -> Connections {
    let settings = Settings::from_url("sqlite::memory:").unwrap().password_provider(move || {
        let _keeps = &value;
        Ok("secret".into())
    });
    let connections = Connections::new(Databases::new().with("default", settings)).unwrap();
    connections.signals().connection_closed.connect(|event| {
        use_buffer("a receiver");
        CLOSED.lock().unwrap().push((event.reason(), event.thread().to_owned()));
    });
    connections
}

/// Runs `work` on a thread of that name, on which Dockline's thread-local comes before the program's, or after it.
fn on_thread(name: &str, program_first: bool, work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let run = || {
            if program_first {
                use_buffer("first");
            }
            work();
            use_buffer("last");
        };
        thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run).unwrap().join().unwrap();
    });
}

#[test]
fn nothing_of_the_program_runs_while_a_thread_is_being_destroyed() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);

    for program_first in [false, true] {
        let connections = connections(Value);
        on_thread("a-query", program_first, || {
            connections.get("default").unwrap().execute("CREATE TABLE t (n)", ()).unwrap();
        });
        assert_eq!(CLOSED.lock().unwrap().pop(), Some((CloseReason::ThreadExit, "\"a-query\"".to_owned())));
        let closed = LINES.lock().unwrap().pop().unwrap();
        assert!(closed.contains("closed connection") && closed.contains("thread \"a-query\""), "{closed}");

        let before = DROPPED.load(Ordering::SeqCst);
        on_thread("a-block", program_first, || {
            let db = connections.get("default").unwrap();
            let wrapper = {
                let value = Value;
                db.execute_wrapper(move |execution| {
                    let _keeps = &value;
                    execution.run()
                })
            };
            std::mem::forget(wrapper);
            std::mem::forget(db.begin_atomic(Atomic::new()).unwrap());
            db.execute("SELECT 1", ()).unwrap();
            let value = Value;
            db.on_commit(move || drop(value)).unwrap();
        });
        let lines = std::mem::take(&mut *LINES.lock().unwrap());
        assert!(lines.iter().any(|line| line.contains("an atomic block is open on a thread that ends")), "{lines:?}");
        assert_eq!(DROPPED.load(Ordering::SeqCst), before, "what cannot go to another thread is leaked");

        // The thread is the last to hold the configuration of a registry: another one drops it.
        let other = self::connections(Value);
        on_thread("the-last", program_first, move || {
            other.get("default").unwrap().query("SELECT 1", ()).unwrap();
            thread::spawn(move || drop(other)).join().unwrap();
        });
        let dropped = || DROPPED.load(Ordering::SeqCst) > before;
        for _ in 0..1_000 {
            if dropped() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert!(dropped(), "the configuration was dropped, by another thread");
        CLOSED.lock().unwrap().clear();
    }
}
