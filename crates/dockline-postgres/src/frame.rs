//! Where messages begin and end: both sides of the protocol cut their streams in the same way.

/// The type of a message and its length, which counts itself and not the type.
pub(crate) const HEAD: usize = 5;

/// Where in a stream of messages the next byte belongs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Frame {
    head: [u8; HEAD],
    /// How much of the head has come; none between two messages.
    filled: usize,
    /// How much of the body has not come yet.
    left: usize,
}

impl Frame {
    /// At the startup message, the only one without a type.
    pub(crate) fn at_startup() -> Self {
        Self { filled: 1, ..Self::default() }
    }

    /// Whether the next byte is the first of a message: its type.
    pub(crate) fn is_between(&self) -> bool {
        self.filled == 0
    }

    /// The type of the message that the last byte was in; 0 for the startup message.
    pub(crate) fn kind(&self) -> u8 {
        self.head[0]
    }

    /// How long the body of that message is, when its head has come.
    pub(crate) fn body(&self) -> usize {
        let [_, length @ ..] = self.head;
        usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX).saturating_sub(HEAD - 1)
    }

    /// Goes to the end of the message that the next byte is in, or of the bytes, and answers how many of them that is.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        if self.filled < HEAD {
            at = bytes.len().min(HEAD - self.filled);
            self.head[self.filled..self.filled + at].copy_from_slice(&bytes[..at]);
            self.filled += at;
            if self.filled < HEAD {
                return at;
            }
            self.left = self.body();
        }
        let take = self.left.min(bytes.len() - at);
        self.left -= take;
        if self.left == 0 {
            self.filled = 0;
        }
        at + take
    }
}

/// A message in one piece: its type, its body, and what stands behind it.
#[inline]
pub(crate) fn whole(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, a, b, c, d, ..] = *bytes else { return None };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let end = length.checked_add(1).filter(|end| *end >= HEAD)?;
    Some((kind, bytes.get(HEAD..end)?, bytes.get(end..)?))
}

/// Writes a message.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, body: &[&[u8]]) {
    let length = HEAD - 1 + body.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    body.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, kind, &[body]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_their_length_says() {
        let messages = [message(b'B', b"abc"), message(b'S', b""), message(b'd', &[7; 300])];
        let bytes = messages.concat();
        for size in [1, 2, 3, 4, 5, 6, 64, bytes.len()] {
            let (mut frame, mut ends, mut at) = (Frame::default(), Vec::new(), 0);
            for piece in bytes.chunks(size) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let count = frame.advance(rest);
                    (rest, at) = (&rest[count..], at + count);
                    if frame.is_between() {
                        ends.push((frame.kind(), frame.body(), at));
                    }
                }
            }
            assert_eq!(ends, [(b'B', 3, 8), (b'S', 0, 13), (b'd', 300, bytes.len())], "pieces of {size}");
        }
    }

    #[test]
    fn the_startup_message_has_no_type() {
        let startup = [&12_u32.to_be_bytes()[..], b"12345678"].concat();
        let mut frame = Frame::at_startup();
        assert_eq!(frame.advance(&startup), 12);
        assert!(frame.is_between());
        assert_eq!(frame.advance(&message(b'p', b"secret")), 11);
        assert!(frame.is_between() && frame.kind() == b'p');
    }

    #[test]
    fn a_length_that_cannot_be_is_no_body() {
        let mut frame = Frame::default();
        assert_eq!(frame.advance(&[b'Z', 0, 0, 0, 0, b'Z']), 5);
        assert!(frame.is_between());
        assert_eq!(whole(&[b'Z', 0, 0, 0, 3, b'I']), None);
    }
}
