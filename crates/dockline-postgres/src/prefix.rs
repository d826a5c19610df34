//! Messages of ours that go out in one piece with the driver's, and whose answers the driver does not see.
//!
//! The driver sends one statement and waits for its end, so what has to come before takes a round trip of its own. A
//! prefix does not: it is written in front of the driver's messages, and has no Sync. So both are one unit for the server,
//! which discards the driver's messages where it refuses the prefix: a statement never runs without the transaction that
//! was to begin before it.

use crate::frame::{self, Frame};
use crate::portal::{Limit, begins_execute};

/// Messages of ours, and what they are for.
#[derive(Debug, Default)]
pub(crate) struct Prefix {
    pub(crate) bytes: Vec<u8>,
    pub(crate) does: Does,
}

/// What a prefix does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Does {
    /// It runs a statement that leaves a transaction open.
    #[default]
    Run,
    /// It asks for the columns of a statement, and runs nothing.
    Describe,
}

impl Does {
    /// What the server answers where all goes well.
    fn answers(self) -> &'static [&'static [u8]] {
        match self {
            // ParseComplete, BindComplete, CommandComplete.
            Self::Run => &[b"1", b"2", b"C"],
            // ParseComplete, ParameterDescription, RowDescription or NoData.
            Self::Describe => &[b"1", b"t", b"Tn"],
        }
    }
}

impl Prefix {
    /// What the server answers where all goes well.
    pub(crate) fn answers(&self) -> &'static [&'static [u8]] {
        self.does.answers()
    }
}

/// The messages that ask for the columns of a statement: Parse and Describe, with nothing named, and with these types of parameters.
pub(crate) fn describing(sql: &str, types: &[u32]) -> Prefix {
    let mut bytes = Vec::with_capacity(sql.len() + 32);
    let count = u16::try_from(types.len()).unwrap_or_default().to_be_bytes();
    let types: Vec<u8> = types.iter().flat_map(|of| of.to_be_bytes()).collect();
    frame::write(&mut bytes, b'P', &[b"\0", sql.as_bytes(), b"\0", &count, &types]);
    frame::write(&mut bytes, b'D', &[b"S\0"]);
    Prefix { bytes, does: Does::Describe }
}

/// The messages that run a statement by the extended protocol: Parse, Bind and Execute, with nothing named.
pub(crate) fn messages(sql: &str) -> Prefix {
    let mut out = Vec::with_capacity(48);
    // No name, the text, no types of parameters.
    frame::write(&mut out, b'P', &[b"\0", sql.as_bytes(), b"\0", &[0; 2]]);
    // No names, no formats, no parameters, no formats of columns.
    frame::write(&mut out, b'B', &[b"\0", b"\0", &[0; 6]]);
    // No name, no limit to the rows.
    frame::write(&mut out, b'E', &[b"\0", &[0; 4]]);
    Prefix { bytes: out, does: Does::Run }
}

/// So much of the driver's bytes is copied behind a prefix, to go out with it. What is longer takes several writes anyhow.
const TOGETHER: usize = 16 * 1024;

/// The driver's bytes on their way to the server, and the prefix among them.
#[derive(Debug)]
pub(crate) struct Outgoing {
    units: Units,
    /// What of a prefix that has been begun has not been written. It goes before all else.
    owed: Vec<u8>,
    /// How long the prefix is at the beginning of what is joined.
    ahead: usize,
    joined: Vec<u8>,
    /// The limit that an Execute among what is joined has, and where it begins, counted from the driver's next byte.
    limited: Option<(Limit, usize)>,
    /// It has gone out.
    limit_is_out: bool,
}

/// What is to be written next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// So many of the driver's bytes, as they are.
    Own(usize),
    /// [`Outgoing::joined`], with all of a prefix, or with what is owed of it.
    Joined { begins: bool },
    /// The same, without a prefix.
    Limited,
}

impl Outgoing {
    /// For a stream on which nothing has been sent.
    pub(crate) fn new() -> Self {
        Self {
            units: Units::at_startup(),
            owed: Vec::new(),
            ahead: 0,
            joined: Vec::new(),
            limited: None,
            limit_is_out: false,
        }
    }

    /// What is to be written, of the driver's bytes and a prefix that waits. It goes before the first unit that prepares or
    /// runs a statement: not into one that closes statements, which the driver does on the side, and not where it has not
    /// come to the end of what was before.
    pub(crate) fn next(&mut self, prefix: Option<&[u8]>, rows: Option<u32>, bytes: &[u8]) -> Piece {
        let begins = self.owed.is_empty();
        let piece = match prefix {
            _ if !begins => Piece::Joined { begins },
            None => Piece::Own(bytes.len()),
            Some(_) => match self.units.statement_in(bytes) {
                Some(0) => Piece::Joined { begins },
                Some(before) => return Piece::Own(before),
                None => Piece::Own(bytes.len()),
            },
        };
        let together = &bytes[..bytes.len().min(TOGETHER)];
        self.find_execute(rows, together);
        let prefix = match piece {
            Piece::Joined { begins: true } => prefix.unwrap_or_default(),
            Piece::Joined { begins: false } => &self.owed,
            _ if self.limited.is_some() => &[],
            _ => return piece,
        };
        self.joined.clear();
        self.joined.extend_from_slice(prefix);
        self.joined.extend_from_slice(together);
        self.ahead = prefix.len();
        if let Some((limit, at)) = &self.limited {
            limit.write_into(&mut self.joined[self.ahead + at..]);
        }
        if matches!(piece, Piece::Own(_)) { Piece::Limited } else { piece }
    }

    /// Where the Execute is that gets a limit.
    fn find_execute(&mut self, rows: Option<u32>, bytes: &[u8]) {
        // One that was written in part is gone on with.
        if self.limited.is_none_or(|(limit, _)| !limit.has_begun()) {
            self.limited = rows.and_then(|rows| Some((Limit::of(rows), self.units.execute_in(bytes)?)));
        }
    }

    /// So many of the driver's bytes were written. The answer is whether an Execute with a limit has gone out with them.
    fn wrote_limited(&mut self, own: usize) -> bool {
        let Some((limit, at)) = &mut self.limited else { return false };
        let of_it = own.saturating_sub(*at);
        *at = at.saturating_sub(own);
        let is_out = limit.wrote(of_it);
        if is_out {
            self.limited = None;
        }
        is_out
    }

    /// Whether an Execute with a limit has gone out since this was asked last.
    pub(crate) fn take_limited(&mut self) -> bool {
        std::mem::take(&mut self.limit_is_out)
    }

    pub(crate) fn joined(&self) -> &[u8] {
        &self.joined
    }

    /// So many bytes of that piece were written. The answer is how many of them were the driver's.
    pub(crate) fn wrote(&mut self, piece: Piece, count: usize, bytes: &[u8]) -> usize {
        let own = match piece {
            Piece::Own(_) => count,
            Piece::Joined { .. } | Piece::Limited => {
                self.owed.clear();
                self.owed.extend_from_slice(&self.joined[count.min(self.ahead)..self.ahead]);
                count.saturating_sub(self.ahead)
            }
        };
        self.units.advance(&bytes[..own]);
        self.limit_is_out |= self.wrote_limited(own);
        own
    }

    /// How many answers the server owes for what has been written since this was asked last: one for each Sync, and for each
    /// simple query.
    pub(crate) fn take_asked(&mut self) -> u32 {
        std::mem::take(&mut self.units.asked)
    }
}

/// Messages of the extended protocol up to a Sync are a unit: when one fails, the server discards those behind it.
#[derive(Debug, Clone, Copy)]
struct Units {
    frame: Frame,
    /// The message before is of a unit whose Sync has not come yet.
    open: bool,
    /// How many units, and simple queries, have been written.
    asked: u32,
}

impl Units {
    fn at_startup() -> Self {
        Self { frame: Frame::at_startup(), open: false, asked: 0 }
    }

    fn advance(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.message(&bytes[at..]);
        }
    }

    /// Goes to the end of the message that the next byte is in, or of the bytes.
    fn message(&mut self, bytes: &[u8]) -> usize {
        let count = self.frame.advance(bytes);
        if self.frame.is_between() {
            // Parse, Bind, Describe, Execute, Close, Flush.
            self.open = matches!(self.frame.kind(), b'P' | b'B' | b'D' | b'E' | b'C' | b'H');
            self.asked += u32::from(matches!(self.frame.kind(), b'S' | b'Q'));
        }
        count
    }

    /// Where in the bytes an Execute of all rows begins.
    fn execute_in(mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.frame.is_between() && begins_execute(&bytes[at..]) {
                return Some(at);
            }
            at += self.message(&bytes[at..]);
        }
        None
    }

    /// Where in the bytes a unit begins with a Parse or a Bind.
    fn statement_in(mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.frame.is_between() && !self.open && matches!(bytes[at], b'P' | b'B') {
                return Some(at);
            }
            at += self.message(&bytes[at..]);
        }
        None
    }
}

/// The answers to a prefix, on their way from the server.
#[derive(Debug)]
pub(crate) struct Answers {
    frame: Frame,
    does: Does,
    /// The kinds of message that may come next, and behind them those after that.
    expected: &'static [&'static [u8]],
    /// The message that the next byte is in is one of them.
    takes: bool,
    refused: bool,
}

impl Answers {
    /// To a prefix that goes out now; the server's stream is there.
    pub(crate) fn at(frame: Frame, does: Does) -> Self {
        Self { frame, does, expected: does.answers(), takes: false, refused: false }
    }

    /// What the prefix does.
    pub(crate) fn of(&self) -> Does {
        self.does
    }

    /// All of them have come.
    pub(crate) fn are_complete(&self) -> bool {
        self.expected.is_empty()
    }

    /// Something else has come: no more of them do.
    pub(crate) fn are_refused(&self) -> bool {
        self.refused
    }

    /// Takes them out of the next bytes, and answers how many of these are left, at the beginning.
    pub(crate) fn take_out(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut left) = (0, 0);
        while at < bytes.len() {
            if self.are_complete() || (self.frame.is_between() && !self.goes_on_with(bytes[at])) {
                break;
            }
            let end = at + self.frame.advance(&bytes[at..]);
            if !self.takes {
                bytes.copy_within(at..end, left);
                left += end - at;
            } else if self.frame.is_between() {
                self.expected = &self.expected[1..];
            }
            at = end;
        }
        bytes.copy_within(at.., left);
        left + bytes.len() - at
    }

    /// Whether there may be more to take out, now that a message of that type begins.
    fn goes_on_with(&mut self, kind: u8) -> bool {
        self.takes = self.expected.first().is_some_and(|kinds| kinds.contains(&kind));
        // What the server says on the side may come at any time, and before the first answer the end of what it was asked
        // earlier. Else this is the error that the prefix met, which the driver takes for its statement's.
        let is_aside = matches!(kind, b'N' | b'S' | b'A');
        self.refused = !self.takes && !is_aside && self.expected.len() < self.does.answers().len();
        !self.refused
    }
}
