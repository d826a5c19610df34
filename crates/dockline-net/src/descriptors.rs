//! Whether the process has descriptors left.

use std::fs::File;
use std::io;

use dockline_core::backend::is_out_of_descriptors;
use dockline_core::{Error, ErrorKind, Fact, Result};

/// Checks that so many more files can be opened. Drivers panic, or hide the reason, if they cannot.
///
/// # Errors
///
/// An error with [`Fact::Exhausted`] if the process, or the system, has no descriptor left.
pub fn descriptors_left(wanted: usize) -> Result<()> {
    let mut opened = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        match File::open("/dev/null") {
            Ok(file) => opened.push(file),
            Err(error) if is_out_of_descriptors(&error) => return Err(exhausted(error)),
            // If there is no such device, nothing can be said.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn exhausted(error: io::Error) -> Error {
    let message = format!(
        "this process, or the system, has run out of file descriptors ({error}); close connections, or raise the limit (ulimit -n)"
    );
    Error::new(ErrorKind::Operational, message).with_fact(Fact::Exhausted).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_some_left() {
        descriptors_left(4).unwrap();
        assert!(exhausted(io::Error::from_raw_os_error(24)).is_exhausted());
    }
}
