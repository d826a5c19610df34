//! Logging from where nothing may go wrong.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Logs what becomes of connections, as the macro of the crate `log` of that level does. A logger is the program's code: where one panics, a boundary or a close still
/// goes on to its end. A panic here may also meet another one that is under way, which would end the process.
macro_rules! say {
    ($level:ident, $($arguments:tt)+) => {
        $crate::base::logging::guarded(|| log::$level!(target: "dockline::connection", $($arguments)+))
    };
}
pub(crate) use say;

pub(crate) fn guarded(log: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(log)) {
        // What was thrown may panic again when it is dropped.
        std::mem::forget(panic);
    }
}

/// Returns what a panic says, if it says it as text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}
