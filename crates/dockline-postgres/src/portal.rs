//! Large results in chunks, so that the rest of one costs nothing to leave.
//!
//! The driver asks for all rows of a portal at once. Inside a transaction the number in its Execute is replaced by a small
//! one. The server then stops after so many rows (PortalSuspended), and the unnamed portal stays until the next statement.
//! That it has stopped is kept from the driver, which takes the chunks for one long result: either the next chunk is asked
//! for in its place, or it gets to see the end, and the rest of the rows is never made.

use crate::frame::{self, Frame};

/// An Execute of the unnamed portal without a limit, as the driver sends it: type, length, no name, no number of rows.
const EXECUTE: [u8; 10] = [b'E', 0, 0, 0, 9, 0, 0, 0, 0, 0];

/// Where in it the number of rows stands.
const ROWS: usize = 6;

/// The Execute on its way to the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    rows: [u8; 4],
    /// How much of the Execute has been written.
    written: usize,
}

impl Limit {
    pub(crate) fn of(rows: u32) -> Self {
        Self { rows: rows.to_be_bytes(), written: 0 }
    }

    /// Writes the number into an Execute, of which `bytes` has what stands behind that which was written before.
    pub(crate) fn write_into(&self, bytes: &mut [u8]) {
        for (at, byte) in (ROWS..).zip(self.rows) {
            if let Some(place) = at.checked_sub(self.written).and_then(|at| bytes.get_mut(at)) {
                *place = byte;
            }
        }
    }

    /// So much more of it was written. The answer is whether that is all.
    pub(crate) fn wrote(&mut self, count: usize) -> bool {
        self.written += count;
        self.written >= EXECUTE.len()
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.written > 0
    }
}

/// Whether such an Execute begins here.
pub(crate) fn begins_execute(bytes: &[u8]) -> bool {
    bytes.starts_with(&EXECUTE)
}

/// The messages that ask for the next chunk.
pub(crate) fn next_chunk(rows: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    frame::write(&mut out, b'E', &[b"\0", &rows.to_be_bytes()]);
    frame::write(&mut out, b'S', &[]);
    out
}

/// The answers to chunks, on their way from the server.
#[derive(Debug)]
pub(crate) struct Portal {
    frame: Frame,
    /// PortalSuspended and the ReadyForQuery behind it, as far as they have come.
    kept: Vec<u8>,
    /// What has come behind them: it is the driver's, and not before they are.
    behind: Vec<u8>,
    /// The message that the next byte is in is one of them.
    keeps: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rows,
    Suspending,
    /// The server waits.
    Suspended,
    /// The result is at its end.
    Over,
}

impl Portal {
    /// A result begins, when the server's stream is there.
    pub(crate) fn at(frame: Frame) -> Self {
        Self { frame, kept: Vec::new(), behind: Vec::new(), keeps: false, stage: Stage::Rows }
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.stage == Stage::Suspended
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The next chunk has been asked for. The answer is what the driver gets before that.
    pub(crate) fn resume(&mut self) -> Vec<u8> {
        self.kept.clear();
        self.stage = Stage::Rows;
        let mut at = 0;
        while at < self.behind.len() {
            at += self.frame.advance(&self.behind[at..]);
        }
        std::mem::take(&mut self.behind)
    }

    /// What was kept from the driver: it ends the result. Behind it stands what the driver has asked meanwhile, as far as it has come.
    pub(crate) fn leave(mut self) -> Vec<u8> {
        self.kept.append(&mut self.behind);
        self.kept
    }

    /// Takes the end of a chunk out of the next bytes, and answers how many of these are left, at the beginning.
    pub(crate) fn take_out(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut left) = (0, 0);
        while at < bytes.len() {
            if self.stage == Stage::Suspended {
                self.behind.extend_from_slice(&bytes[at..]);
                break;
            }
            if self.frame.is_between() {
                self.begin(bytes[at]);
            }
            let end = at + self.frame.advance(&bytes[at..]);
            if self.keeps {
                self.kept.extend_from_slice(&bytes[at..end]);
                if self.frame.is_between() && self.frame.kind() == b'Z' {
                    self.stage = Stage::Suspended;
                }
            } else {
                bytes.copy_within(at..end, left);
                left += end - at;
            }
            at = end;
        }
        left
    }

    fn begin(&mut self, kind: u8) {
        self.keeps = match (self.stage, kind) {
            (Stage::Rows, b's') => {
                self.stage = Stage::Suspending;
                true
            }
            (Stage::Rows, b'C' | b'E' | b'Z') => {
                self.stage = Stage::Over;
                false
            }
            (Stage::Suspending, b'Z') => true,
            _ => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::message;

    #[test]
    fn the_number_is_written_wherever_the_execute_is_cut() {
        for cut in 1..EXECUTE.len() {
            let mut limit = Limit::of(0x0102_0304);
            let mut first = EXECUTE[..cut].to_vec();
            limit.write_into(&mut first);
            assert!(!limit.wrote(cut) && limit.has_begun());
            let mut second = [&EXECUTE[cut..], b"S"].concat();
            limit.write_into(&mut second);
            assert!(limit.wrote(EXECUTE.len() - cut));
            assert_eq!([first, second].concat(), [b'E', 0, 0, 0, 9, 0, 1, 2, 3, 4, b'S'], "cut at {cut}");
        }
        assert_eq!(next_chunk(5), [b'E', 0, 0, 0, 9, 0, 0, 0, 0, 5, b'S', 0, 0, 0, 4]);
    }

    /// What is left for the driver of these bytes, which come in pieces of that size.
    fn left_of(portal: &mut Portal, bytes: &[u8], size: usize) -> Vec<u8> {
        let mut got = Vec::new();
        for piece in bytes.chunks(size) {
            let mut piece = piece.to_vec();
            let left = portal.take_out(&mut piece);
            got.extend_from_slice(&piece[..left]);
        }
        got
    }

    #[test]
    fn the_end_of_a_chunk_is_kept() {
        let rows = [message(b'2', b""), message(b'D', b"row")].concat();
        let end = [message(b's', b""), message(b'Z', b"T")].concat();
        let bytes = [rows.clone(), end.clone()].concat();
        for size in 1..=bytes.len() {
            let mut portal = Portal::at(Frame::default());
            let got = left_of(&mut portal, &bytes, size);
            assert!(portal.is_suspended(), "pieces of {size}");
            assert_eq!(got, rows);
            portal.resume();
            let mut last = [message(b'D', b"row"), message(b'C', b"SELECT 2\0"), message(b'Z', b"T")].concat();
            assert_eq!(portal.take_out(&mut last), last.len());
            assert!(portal.is_over() && !portal.is_suspended());
        }
    }

    #[test]
    fn a_portal_that_is_left_ends_for_the_driver() {
        let mut portal = Portal::at(Frame::default());
        let mut end = [message(b's', b""), message(b'Z', b"T")].concat();
        let whole = end.clone();
        assert_eq!(portal.take_out(&mut end), 0);
        assert_eq!(portal.leave(), whole);
    }

    #[test]
    fn what_comes_behind_a_chunk_stays_behind_it() {
        let rows = [message(b'2', b""), message(b'D', b"row")].concat();
        let end = [message(b's', b""), message(b'Z', b"T")].concat();
        let behind = [message(b'I', b""), message(b'Z', b"T")].concat();
        let bytes = [rows.clone(), end, behind.clone()].concat();
        for size in 1..=bytes.len() {
            for leaves in [false, true] {
                let mut portal = Portal::at(Frame::default());
                let mut got = left_of(&mut portal, &bytes, size);
                assert_eq!(got, rows, "pieces of {size}");
                got.extend(if leaves { portal.leave() } else { portal.resume() });
                let wanted = if leaves { bytes.clone() } else { [rows.clone(), behind.clone()].concat() };
                assert_eq!(got, wanted, "pieces of {size}");
            }
        }
    }

    #[test]
    fn an_error_ends_the_result() {
        let mut portal = Portal::at(Frame::default());
        let mut bytes = [message(b'D', b"row"), message(b'E', b"\0"), message(b'Z', b"E")].concat();
        assert_eq!(portal.take_out(&mut bytes), bytes.len());
        assert!(portal.is_over());
    }
}
