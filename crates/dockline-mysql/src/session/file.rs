//! LOAD DATA LOCAL in disguise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dockline_core::{Error, ErrorKind, Fact, Result};
use mysql::{Conn, LocalInfileHandler};

/// The driver answers a server that asks for a file with an empty one, and all would seem well. The text of a statement is searched for
/// that before; what gets by is at least an error. Answers the flag that says that a file was asked for.
pub(super) fn watch(conn: &mut Conn) -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&asked);
    let handler = LocalInfileHandler::new(move |_, _| {
        flag.store(true, Ordering::Relaxed);
        Ok(())
    });
    conn.set_local_infile_handler(Some(handler));
    asked
}

/// An error, if a file was asked for since the last time.
pub(super) fn none_was_sent(asked: &AtomicBool) -> Result<()> {
    // The handler runs on the thread of the statement.
    if !asked.load(Ordering::Relaxed) {
        return Ok(());
    }
    asked.store(false, Ordering::Relaxed);
    let message = "the server asked for a file of the client's, and got an empty one; LOAD DATA LOCAL goes by native, with \
                   the driver's set_local_infile_handler";
    Err(Error::new(ErrorKind::NotSupported, message).with_fact(Fact::MayHaveExecuted))
}
