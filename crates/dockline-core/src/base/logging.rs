//! Logging from where nothing may go wrong.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::teller;

/// Logs what becomes of connections, as the macro of the crate `log` of that level does. A logger is the program's code: if it
/// panics, a boundary or a close still goes on to its end. A panic here may also meet another one that is under way, which
/// would end the process. On a thread that is ending, the teller logs it.
macro_rules! say {
    ($level:ident, $($arguments:tt)+) => {
        if $crate::base::ending::is_ending() {
            $crate::base::logging::say_later(stringify!($level), || format!($($arguments)+))
        } else {
            $crate::base::logging::guarded(|| log::$level!(target: "dockline::connection", $($arguments)+))
        }
    };
}
pub(crate) use say;

pub(crate) fn guarded(log: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(log)) {
        // What was thrown may panic again when it is dropped.
        std::mem::forget(panic);
    }
}

/// Has the teller log something for this thread, which is ending. Whether anybody listens is asked of `log` alone, not of
/// the program's logger.
#[cold]
pub(crate) fn say_later(level: &str, text: impl FnOnce() -> String) {
    let level = level.parse().unwrap_or(log::Level::Warn);
    if level > log::max_level() {
        return;
    }
    let text = format!("{} (thread {})", text(), thread_name());
    teller::tell(move || log::log!(target: "dockline::connection", level, "{text}"));
}

/// Returns the name of this thread, or its id if it has none.
pub(crate) fn thread_name() -> String {
    let thread = std::thread::current();
    thread.name().map_or_else(|| format!("{:?}", thread.id()), |name| format!("{name:?}"))
}

/// Returns what a panic says, if it says it as text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}
