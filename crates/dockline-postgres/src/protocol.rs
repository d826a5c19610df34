//! Watches the server's messages on their way to the driver, which hides most of what they say.
//!
//! Only the heads are read, and the bodies of the few messages that matter; rows go by unseen. The message formats are
//! those of the chapter "Frontend/Backend Protocol" of PostgreSQL's manual.

use std::collections::BTreeMap;

/// What the server has said, as far as it matters.
#[derive(Debug, Default)]
pub(crate) struct Protocol {
    reader: Reader,
    seen: Seen,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The transaction state of the last ReadyForQuery.
    pub(crate) status: Status,
    /// The process id and the secret, for the cancel request.
    pub(crate) key: Option<(i32, i32)>,
    /// How many statements have been bound to their parameters: the last step before they run.
    pub(crate) bound: u64,
    /// An error has come, and not yet the ReadyForQuery behind it, which says what became of the transaction.
    pub(crate) error_waits: bool,
    /// The tag of the last CommandComplete, as `ROLLBACK` or `INSERT 0 1`.
    pub(crate) tag: String,
    /// The last error that ended the session.
    pub(crate) fatal: Option<Fatal>,
    /// What the server reports of itself and of the session, as `server_version`.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// Whether a transaction is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Status {
    #[default]
    Idle,
    InTransaction,
    /// A statement of it has failed; the server refuses all but its end.
    Failed,
}

/// An error that ended the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fatal {
    pub(crate) sqlstate: String,
    pub(crate) message: String,
}

/// Where in the stream of messages the next byte belongs.
#[derive(Debug)]
enum Reader {
    /// The type, and the four bytes of the length, as far as they have come.
    Head { bytes: [u8; 5], filled: usize },
    /// The rest of a message that does not matter.
    Skip { left: usize },
    /// The rest of one that does.
    Body { kind: u8, left: usize, bytes: Vec<u8> },
}

impl Default for Reader {
    fn default() -> Self {
        Self::Head { bytes: [0; 5], filled: 0 }
    }
}

/// The type and the length of a message.
const HEAD: usize = 5;

fn matters(kind: u8) -> bool {
    matches!(kind, b'K' | b'Z' | b'C' | b'E' | b'S' | b'2')
}

/// Longer ones are not kept: no message that matters is as long.
const LONGEST: usize = 16 * 1024;

impl Protocol {
    pub(crate) fn seen_mut(&mut self) -> &mut Seen {
        &mut self.seen
    }

    /// The next bytes from the server. The answer is the transaction state, where they told one.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Option<Status> {
        let mut told = None;
        while !bytes.is_empty() {
            bytes = match self.whole_message(bytes, &mut told) {
                Some(rest) => rest,
                None => self.step(bytes, &mut told),
            };
        }
        told
    }

    /// Mostly a message comes in one piece. The answer is what stands behind it.
    #[inline]
    fn whole_message<'b>(&mut self, bytes: &'b [u8], told: &mut Option<Status>) -> Option<&'b [u8]> {
        if !matches!(self.reader, Reader::Head { filled: 0, .. }) {
            return None;
        }
        let [kind, a, b, c, d, ..] = *bytes else { return None };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        // The length counts itself, and not the byte before it.
        let end = length.checked_add(1).filter(|end| *end >= HEAD)?;
        let body = bytes.get(HEAD..end)?;
        if matters(kind) && body.len() <= LONGEST {
            self.seen.message(kind, body, told);
        }
        bytes.get(end..)
    }

    fn step<'b>(&mut self, input: &'b [u8], told: &mut Option<Status>) -> &'b [u8] {
        match &mut self.reader {
            Reader::Head { bytes, filled } => {
                let take = input.len().min(bytes.len() - *filled);
                bytes[*filled..*filled + take].copy_from_slice(&input[..take]);
                *filled += take;
                if *filled == bytes.len() {
                    let [kind, length @ ..] = *bytes;
                    // The length counts itself.
                    let left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX).saturating_sub(4);
                    if left == 0 && matters(kind) {
                        self.seen.message(kind, &[], told);
                    }
                    self.reader = match (matters(kind) && left <= LONGEST, left) {
                        (_, 0) => Reader::default(),
                        (true, left) => Reader::Body { kind, left, bytes: Vec::new() },
                        (false, left) => Reader::Skip { left },
                    };
                }
                &input[take..]
            }
            Reader::Skip { left } => {
                let take = input.len().min(*left);
                *left -= take;
                if *left == 0 {
                    self.reader = Reader::default();
                }
                &input[take..]
            }
            Reader::Body { kind, left, bytes } => {
                let take = input.len().min(*left);
                *left -= take;
                if *left > 0 {
                    bytes.extend_from_slice(&input[..take]);
                } else {
                    let kind = *kind;
                    bytes.extend_from_slice(&input[..take]);
                    let whole = std::mem::take(bytes);
                    self.seen.message(kind, &whole, told);
                    self.reader = Reader::default();
                }
                &input[take..]
            }
        }
    }
}

impl Seen {
    fn message(&mut self, kind: u8, body: &[u8], told: &mut Option<Status>) {
        match kind {
            b'Z' => {
                self.error_waits = false;
                self.status = match body.first() {
                    Some(b'T') => Status::InTransaction,
                    Some(b'E') => Status::Failed,
                    _ => Status::Idle,
                };
                *told = Some(self.status);
            }
            b'C' => {
                let text = until_zero(body);
                if self.tag.as_bytes() != text {
                    self.tag.clear();
                    self.tag.push_str(&String::from_utf8_lossy(text));
                }
            }
            b'2' => self.bound += 1,
            b'K' => {
                if let [a, b, c, d, e, f, g, h, ..] = *body {
                    self.key = Some((i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes([e, f, g, h])));
                }
            }
            b'S' => {
                let mut parts = body.split(|byte| *byte == 0);
                if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    self.parameters.insert(text(name), text(value));
                }
            }
            b'E' => {
                self.error_waits = true;
                if let Some(fatal) = Fatal::parse(body) {
                    self.fatal = Some(fatal);
                }
            }
            _ => {}
        }
    }
}

impl Fatal {
    /// From the fields of an ErrorResponse, where its severity says that the session is over.
    fn parse(body: &[u8]) -> Option<Self> {
        let (mut severity, mut sqlstate, mut message) = (None, None, None);
        for field in body.split(|byte| *byte == 0) {
            let Some((code, text)) = field.split_first() else { continue };
            let text = String::from_utf8_lossy(text).into_owned();
            match code {
                // V is the severity that is never translated.
                b'V' => severity = Some(text),
                b'S' if severity.is_none() => severity = Some(text),
                b'C' => sqlstate = Some(text),
                b'M' => message = Some(text),
                _ => {}
            }
        }
        let ends = severity.is_some_and(|severity| severity == "FATAL" || severity == "PANIC");
        ends.then(|| Self { sqlstate: sqlstate.unwrap_or_default(), message: message.unwrap_or_default() })
    }

    /// From what is waiting on an idle connection, where that is such a message.
    pub(crate) fn waiting(bytes: &[u8]) -> Option<Self> {
        let mut protocol = Protocol::default();
        protocol.read(bytes);
        protocol.seen.fatal
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn conversation() -> Vec<u8> {
        [
            message(b'R', &[0, 0, 0, 0]),
            message(b'S', b"server_version\x0015.20\0"),
            message(b'K', &[0, 0, 4, 210, 0, 0, 0, 7]),
            message(b'Z', b"I"),
            message(b'2', b""),
            message(b'D', &[b'E'; 300]),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"T"),
            message(b'E', b"SERROR\0VERROR\0C42P01\0Mno such table\0\0"),
            message(b'Z', b"E"),
            message(b'C', b"ROLLBACK\0"),
            message(b'Z', b"I"),
            message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"),
        ]
        .concat()
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_come() {
        let bytes = conversation();
        for size in [1, 2, 3, 5, 7, 64, bytes.len()] {
            let mut protocol = Protocol::default();
            let mut states = Vec::new();
            for piece in bytes.chunks(size) {
                states.extend(protocol.read(piece));
            }
            assert_eq!(states.last(), Some(&Status::Idle), "pieces of {size}");
            let seen = protocol.seen_mut();
            assert_eq!(seen.key, Some((1234, 7)));
            assert_eq!((seen.tag.as_str(), seen.bound), ("ROLLBACK", 1));
            assert_eq!(seen.parameters["server_version"], "15.20");
            let fatal = Fatal { sqlstate: "57P01".to_owned(), message: "terminating connection".to_owned() };
            assert_eq!(seen.fatal, Some(fatal), "an error that is not fatal is the driver's business");
        }
    }

    #[test]
    fn each_state_is_told() {
        let mut protocol = Protocol::default();
        for (letter, status) in [(b"T", Status::InTransaction), (b"E", Status::Failed), (b"I", Status::Idle)] {
            assert_eq!(protocol.read(&message(b'Z', letter)), Some(status));
        }
        assert_eq!(protocol.read(&message(b'2', b"")), None);
    }

    #[test]
    fn what_is_waiting_is_fatal_or_not() {
        let bytes = message(b'E', b"SFATAL\0VFATAL\0C57P05\0Midle\0\0");
        assert_eq!(Fatal::waiting(&bytes).unwrap().sqlstate, "57P05");
        assert_eq!(Fatal::waiting(&message(b'A', b"\0\0\0\x01channel\0\0")), None);
        assert_eq!(Fatal::waiting(&bytes[..10]), None);
    }
}
