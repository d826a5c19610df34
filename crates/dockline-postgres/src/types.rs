//! Hides from the driver which types are not built in.
//!
//! The driver looks such a type up when a result has one, by statements with names, after the statement has run. Behind a
//! pooler in transaction mode another session may get them, or has statements of the same names: the look-up fails, or
//! meets another statement, when the work is done. So the driver is told that the type is unknown, and does not ask. The session
//! knows which type it is, and asks by itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use postgres::types::Type;
use tokio::io::{AsyncRead, ReadBuf};

use crate::frame::{self, Frame};

/// A column as the server describes it: its name, and the number of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) of: u32,
}

/// Descriptions of rows, on their way from the server.
#[derive(Debug)]
pub(crate) struct Types {
    frame: Frame,
    /// The beginning of a description whose end has not come.
    part: Vec<u8>,
    /// What has come, and was not taken yet.
    waiting: Vec<u8>,
}

impl Types {
    /// From where the server's stream is.
    pub(crate) fn at(frame: Frame) -> Self {
        Self { frame, part: Vec::new(), waiting: Vec::new() }
    }

    /// Reads from the transport. What the server describes is hidden if it `is_ours`, and `told` of: who has the driver for a while has
    /// its types too.
    pub(crate) fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        transport: &mut T,
        (is_ours, told): (bool, &dyn Fn(Vec<Described>)),
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.waiting.is_empty() {
                let count = self.waiting.len().min(buffer.remaining());
                buffer.put_slice(&self.waiting[..count]);
                self.waiting.drain(..count);
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *transport).poll_read(context, buffer))?;
            let came = &mut buffer.filled_mut()[before..];
            if came.is_empty() {
                if self.part.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.waiting = std::mem::take(&mut self.part);
            } else if self.part.is_empty() {
                let left = self.hide(is_ours, told, came);
                self.part.extend_from_slice(&came[left..]);
                buffer.set_filled(before + left);
                if left > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let mut all = std::mem::take(&mut self.part);
                all.extend_from_slice(came);
                buffer.set_filled(before);
                let left = self.hide(is_ours, told, &mut all);
                self.part = all.split_off(left);
                self.waiting = all;
            }
        }
    }

    /// These bytes have gone another way: they end where the next ones from the transport begin. No description begins among them.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.frame.advance(&bytes[at..]);
        }
    }

    /// Hides the types in these bytes, up to a description that is not whole. The answer is how many bytes that is.
    fn hide(&mut self, is_ours: bool, told: &dyn Fn(Vec<Described>), bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if is_ours && self.frame.is_between() && bytes[at] == b'T' {
                let Some((_, body, _)) = frame::whole(&bytes[at..]) else { return at };
                let (columns, hidden) = columns(body);
                told(columns);
                for place in hidden {
                    let place = at + frame::HEAD + place;
                    bytes[place..place + 4].copy_from_slice(&Type::UNKNOWN.oid().to_be_bytes());
                }
            }
            at += self.frame.advance(&bytes[at..]);
        }
        at
    }
}

/// The columns of a RowDescription, and where in it the numbers of those types stand that the driver does not know.
fn columns(body: &[u8]) -> (Vec<Described>, Vec<usize>) {
    let (mut columns, mut hidden) = (Vec::new(), Vec::new());
    let mut at = 2;
    while let Some(length) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
        let name = String::from_utf8_lossy(&body[at..at + length]).into_owned();
        // Behind the name: the table (4), the column (2), the type (4), its size (2), its modifier (4), the format (2).
        let place = at + length + 7;
        let Some(&[a, b, c, d]) = body.get(place..place + 4) else { break };
        let of = u32::from_be_bytes([a, b, c, d]);
        if Type::from_oid(of).is_none() {
            hidden.push(place);
        }
        columns.push(Described { name, of });
        at = place + 12;
    }
    (columns, hidden)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;
    use crate::frame::message;

    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(piece) = self.0.pop_front() {
                buffer.put_slice(&piece);
            }
            Poll::Ready(Ok(()))
        }
    }

    /// What comes out of these bytes when they come in pieces of that size, up to their end, and what was described last.
    fn read(is_ours: bool, bytes: &[u8], size: usize) -> (Vec<u8>, Vec<Described>) {
        let described = RefCell::new(Vec::new());
        let mut pieces = Pieces(bytes.chunks(size).map(<[u8]>::to_vec).collect());
        let (mut types, mut got) = (Types::at(Frame::default()), Vec::new());
        loop {
            let mut space = [0; 700];
            let mut buffer = ReadBuf::new(&mut space);
            let context = &mut Context::from_waker(Waker::noop());
            let read = types.poll_read(
                &mut pieces,
                (is_ours, &|columns| *described.borrow_mut() = columns),
                context,
                &mut buffer,
            );
            assert!(matches!(read, Poll::Ready(Ok(()))));
            if buffer.filled().is_empty() {
                return (got, described.into_inner());
            }
            got.extend_from_slice(buffer.filled());
        }
    }

    fn description(types: &[u32]) -> Vec<u8> {
        let mut body = u16::try_from(types.len()).unwrap().to_be_bytes().to_vec();
        for (n, oid) in types.iter().enumerate() {
            body.extend_from_slice(format!("column {n}\0").as_bytes());
            body.extend_from_slice(&[0; 6]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&[0; 8]);
        }
        message(b'T', &body)
    }

    fn conversation(types: &[u32]) -> Vec<u8> {
        let parts = [message(b'2', b""), description(types), message(b'D', b"T row"), message(b'C', b"SELECT 1\0")];
        [parts.concat(), description(types), message(b'Z', b"I")].concat()
    }

    #[test]
    fn types_of_the_databases_own_are_unknown_wherever_they_are_cut() {
        let (bytes, wanted) = (conversation(&[23, 16_400, 25, 99_999]), conversation(&[23, 705, 25, 705]));
        for size in 1..=bytes.len() {
            let (got, described) = read(true, &bytes, size);
            assert_eq!(got, wanted, "pieces of {size}");
            assert_eq!(described.iter().map(|column| column.of).collect::<Vec<_>>(), [23, 16_400, 25, 99_999]);
            assert_eq!(described[3].name, "column 3");
        }
        // Also what ends in the middle comes out.
        let cut = bytes.len() - 20;
        assert_eq!(read(true, &bytes[..cut], 7).0.len(), cut);
    }

    #[test]
    fn who_has_the_driver_has_its_types() {
        let bytes = conversation(&[16_400]);
        assert_eq!(read(false, &bytes, 11), (bytes, Vec::new()));
    }

    #[test]
    fn a_description_that_is_broken_is_left_as_it_is() {
        for body in [&b""[..], &[0, 1], b"\0\x01name\0\0\0", b"\0\x01name"] {
            let bytes = message(b'T', body);
            assert_eq!(read(true, &bytes, 3).0, bytes);
        }
    }
}
