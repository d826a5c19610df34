//! Watches the server's messages on their way to the driver, which hides most of what they say.
//!
//! Only the heads are read, and the bodies of the few messages that matter; rows go by unseen. The message formats are
//! those of the chapter "Frontend/Backend Protocol" of PostgreSQL's manual.

use std::collections::BTreeMap;

use crate::frame::{self, Frame};

/// What the server has said, as far as it matters.
#[derive(Debug, Default)]
pub(crate) struct Protocol {
    frame: Frame,
    /// What has come of a message that matters and is not whole.
    parts: Vec<u8>,
    bound: u64,
    /// How often the server has reported a setting.
    reports: u64,
    /// How many answers are still to come.
    due: u32,
    /// The server's last word has begun: nothing comes behind it.
    ended: bool,
    /// How many answers have come in this call.
    answered: u32,
    /// An error has come in this call, behind an answer: to something else than the call was about.
    failed_behind: bool,
    seen: Seen,
}

/// What the next bytes from the server have told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The transaction state, if they told one.
    pub(crate) status: Option<Status>,
    /// How many of them are answers. What stands behind is the server's last word on a session that owes nothing more.
    pub(crate) answers: usize,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The process id and the secret, for the cancel request.
    pub(crate) key: Option<(i32, i32)>,
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

fn matters(kind: u8) -> bool {
    matches!(kind, b'K' | b'Z' | b'C' | b'E' | b'S' | b'2')
}

/// Longer ones are not kept: no message that matters is as long.
const LONGEST: usize = 16 * 1024;

impl Protocol {
    pub(crate) fn seen_mut(&mut self) -> &mut Seen {
        &mut self.seen
    }

    /// How many statements have been bound to their parameters.
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// One more has, and its BindComplete is not among what [comes here](Self::read).
    pub(crate) fn bind(&mut self) {
        self.bound += 1;
    }

    /// How often the server has reported a setting.
    pub(crate) fn reports(&self) -> u64 {
        self.reports
    }

    /// A call begins.
    pub(crate) fn begin_call(&mut self) {
        (self.answered, self.failed_behind) = (0, false);
    }

    /// Whether something was answered to its end in this call, and an error came for what was asked behind it.
    pub(crate) fn has_failed_behind_an_answer(&self) -> bool {
        self.failed_behind
    }

    /// So many more answers are to come.
    pub(crate) fn asked(&mut self, count: u32) {
        self.due += count;
    }

    /// Nothing is to come of what was asked before.
    pub(crate) fn count_anew(&mut self) {
        self.due = 0;
    }

    /// Whether all has been answered that was asked, to the last byte.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.due == 0 && self.frame.is_between()
    }

    /// The next bytes from the server. An error that comes when `in_call` everything has been answered is its last word.
    pub(crate) fn read(&mut self, bytes: &[u8], in_call: bool) -> Told {
        let mut told = Told { status: None, answers: if self.ended { 0 } else { bytes.len() } };
        let mut rest = bytes;
        while !rest.is_empty() {
            if in_call && !self.ended && rest[0] == b'E' && self.is_at_rest() {
                self.ended = true;
                told.answers = bytes.len() - rest.len();
            }
            rest = match self.whole_message(rest, &mut told.status) {
                Some(behind) => behind,
                None => self.part(rest, &mut told.status),
            };
        }
        told
    }

    /// Where in the stream the next byte from the server belongs.
    pub(crate) fn frame(&self) -> Frame {
        self.frame
    }

    /// Mostly a message comes in one piece. The answer is what stands behind it.
    #[inline]
    fn whole_message<'b>(&mut self, bytes: &'b [u8], told: &mut Option<Status>) -> Option<&'b [u8]> {
        if !self.frame.is_between() {
            return None;
        }
        let (kind, body, rest) = frame::whole(bytes)?;
        if matters(kind) && body.len() <= LONGEST {
            self.message(kind, body, told);
        }
        Some(rest)
    }

    /// A part of a message: one that matters is put together.
    fn part<'b>(&mut self, bytes: &'b [u8], told: &mut Option<Status>) -> &'b [u8] {
        let (part, rest) = bytes.split_at(self.frame.advance(bytes));
        if matters(self.frame.kind()) && self.parts.len() <= LONGEST {
            self.parts.extend_from_slice(part);
        }
        if self.frame.is_between() {
            let parts = std::mem::take(&mut self.parts);
            if let Some((kind, body, _)) = frame::whole(&parts) {
                self.message(kind, body, told);
            }
        }
        rest
    }

    fn message(&mut self, kind: u8, body: &[u8], told: &mut Option<Status>) {
        match kind {
            b'Z' => {
                self.seen.error_waits = false;
                self.due = self.due.saturating_sub(1);
                self.answered += 1;
                *told = Some(match body.first() {
                    Some(b'T') => Status::InTransaction,
                    Some(b'E') => Status::Failed,
                    _ => Status::Idle,
                });
            }
            b'2' => self.bound += 1,
            _ => {
                self.reports += u64::from(kind == b'S');
                self.failed_behind |= kind == b'E' && self.answered > 0;
                self.seen.message(kind, body);
            }
        }
    }
}

impl Seen {
    fn message(&mut self, kind: u8, body: &[u8]) {
        match kind {
            b'C' => {
                let text = until_zero(body);
                if self.tag.as_bytes() != text {
                    self.tag.clear();
                    self.tag.push_str(&String::from_utf8_lossy(text));
                }
            }
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
        protocol.read(bytes, false);
        protocol.seen.fatal
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::message;

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
                states.extend(protocol.read(piece, false).status);
            }
            assert_eq!(states.last(), Some(&Status::Idle), "pieces of {size}");
            assert_eq!(protocol.bound(), 1);
            let seen = protocol.seen_mut();
            assert_eq!(seen.key, Some((1234, 7)));
            assert_eq!(seen.tag, "ROLLBACK");
            assert_eq!(seen.parameters["server_version"], "15.20");
            let fatal = Fatal { sqlstate: "57P01".to_owned(), message: "terminating connection".to_owned() };
            assert_eq!(seen.fatal, Some(fatal), "an error that is not fatal is the driver's business");
        }
    }

    #[test]
    fn each_state_is_told() {
        let mut protocol = Protocol::default();
        for (letter, status) in [(b"T", Status::InTransaction), (b"E", Status::Failed), (b"I", Status::Idle)] {
            assert_eq!(protocol.read(&message(b'Z', letter), false).status, Some(status));
        }
        assert_eq!(protocol.read(&message(b'2', b""), false).status, None);
    }

    #[test]
    fn the_last_word_is_no_answer() {
        let answers = [message(b'C', b"COMMIT\0"), message(b'Z', b"I")].concat();
        let last = message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0");
        let bytes = [answers.clone(), last.clone()].concat();
        for size in [1, 2, 5, 16, bytes.len()] {
            let mut protocol = Protocol::default();
            protocol.asked(1);
            let got: usize = bytes.chunks(size).map(|piece| protocol.read(piece, true).answers).sum();
            assert_eq!(got, answers.len(), "pieces of {size}");
            assert_eq!(protocol.seen_mut().fatal.as_ref().unwrap().sqlstate, "57P01");
        }
        // As long as something is owed, it is the answer.
        let mut protocol = Protocol::default();
        protocol.asked(2);
        assert_eq!(protocol.read(&bytes, true).answers, bytes.len());
    }

    #[test]
    fn what_is_waiting_is_fatal_or_not() {
        let bytes = message(b'E', b"SFATAL\0VFATAL\0C57P05\0Midle\0\0");
        assert_eq!(Fatal::waiting(&bytes).unwrap().sqlstate, "57P05");
        assert_eq!(Fatal::waiting(&message(b'A', b"\0\0\0\x01channel\0\0")), None);
        assert_eq!(Fatal::waiting(&bytes[..10]), None);
    }
}
