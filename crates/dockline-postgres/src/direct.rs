//! Messages that go to the server past the driver, and what comes back.
//!
//! The driver is blocking on the outside and async within. Running one prepared statement is a request in a channel, two turns of an event
//! loop and a task that is woken, and takes several times as long as everything else that a client does for it. So a statement that the
//! driver has prepared is run by the same messages without the driver, if nothing of the driver's is on its way. Whoever sends them
//! knows what the answer looks like when all is well. Anything else is the driver's to read: it is handed what was sent and what has come
//! (a [`Handover`]), and goes on as if it had done that itself. So errors, notices and notifications have one reader.

use std::error::Error as StdError;
use std::io;

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type};
use postgres_protocol::IsNull as Null;
use postgres_protocol::message::frontend;

use crate::frame;

/// What was done in the driver's place, for the driver to go on with.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    /// The messages that went out, as the driver writes them.
    pub(crate) sent: Vec<u8>,
    /// What has come of the answer.
    pub(crate) came: Vec<u8>,
    /// How the connection failed behind that.
    pub(crate) failure: Option<io::Error>,
}

/// What stands behind an Execute: a Sync.
const SYNC: usize = frame::HEAD;
/// The limit of an Execute is its last part.
const LIMIT: usize = 4;

/// Writes the messages that run a prepared statement, as the driver writes them: Bind, Execute of all rows, Sync.
///
/// # Errors
///
/// A value does not fit its type. The driver finds that, too, and says so.
pub(crate) fn write_run<P: ToSql>(
    name: &str,
    types: &[Type],
    params: impl ExactSizeIterator<Item = P> + Clone,
    out: &mut BytesMut,
) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let formats = params.clone().zip(types).map(|(param, of)| param.encode_format(of) as i16);
    let written = frontend::bind(
        "",
        name,
        formats,
        params.zip(types),
        |(param, of), out| {
            Ok(match param.to_sql(of, out)? {
                IsNull::Yes => Null::Yes,
                IsNull::No => Null::No,
            })
        },
        // All columns come in binary form.
        Some(1),
        out,
    );
    match written {
        Err(frontend::BindError::Conversion(error)) => return Err(error),
        Err(frontend::BindError::Serialization(error)) => return Err(error.into()),
        Ok(()) => {}
    }
    frontend::execute("", 0, out)?;
    frontend::sync(out);
    Ok(())
}

/// Limits the Execute in [such messages](write_run) to so many rows.
pub(crate) fn limit_rows(messages: &mut [u8], rows: u32) {
    let place = messages.len().checked_sub(SYNC).and_then(|end| messages[..end].last_chunk_mut::<LIMIT>());
    if let Some(place) = place {
        *place = rows.to_be_bytes();
    }
}

/// Where an answer is that is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The answers to the prefix come first: these kinds are left.
    Prefix(&'static [&'static [u8]]),
    /// The statement is to be bound.
    Binding,
    Rows,
    /// The statement has run.
    Complete,
    /// A text without rows is to run.
    Text,
    /// A statement of it has run, and there may be more.
    MoreText,
    /// The server is ready for the next.
    Ready,
}

/// What a message is in an answer that is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It says how far the server is.
    Progress,
    Row,
}

impl Stage {
    /// The next message is of this kind. `None`: that is not as it should be.
    #[inline]
    pub(crate) fn go_on(&mut self, kind: u8) -> Option<Part> {
        *self = match (*self, kind) {
            (Self::Rows, b'D') => return Some(Part::Row),
            (Self::Prefix(&[kinds, ref left @ ..]), kind) if kinds.contains(&kind) => Self::behind(left),
            (Self::Binding, b'2') => Self::Rows,
            // CommandComplete, or EmptyQueryResponse.
            (Self::Rows, b'C' | b'I') => Self::Complete,
            (Self::Text | Self::MoreText, b'C') => Self::MoreText,
            (Self::Complete | Self::MoreText, b'Z') => Self::Ready,
            _ => return None,
        };
        Some(Part::Progress)
    }

    /// Behind the answers to a prefix, of which these are left.
    pub(crate) fn behind(left: &'static [&'static [u8]]) -> Self {
        if left.is_empty() { Self::Binding } else { Self::Prefix(left) }
    }
}

/// The columns of a DataRow, each as it came; `None` for null. What is cut ends it early.
pub(crate) struct Fields<'b> {
    count: usize,
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    pub(crate) fn of(body: &'b [u8]) -> Self {
        match *body {
            [a, b, ref rest @ ..] => Self { count: u16::from_be_bytes([a, b]).into(), rest },
            _ => Self { count: 0, rest: &[] },
        }
    }

    /// How many there are to be.
    pub(crate) fn expected(&self) -> usize {
        self.count
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Option<&'b [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        // -1 is null.
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Some(None);
        };
        let (field, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(field))
    }
}

/// How many rows a CommandComplete tells of: its last word. The driver reads it so.
pub(crate) fn count(tag: &[u8]) -> u64 {
    let text = tag.strip_suffix(b"\0").unwrap_or(tag);
    let word = text.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(word).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use dockline_core::Value;

    use super::*;
    use crate::param::numbered;

    #[test]
    fn a_run_is_bind_execute_and_sync() {
        let mut out = BytesMut::new();
        write_run("s7", &[Type::INT4, Type::TEXT], numbered(&[Value::Int(1), Value::Null]), &mut out).unwrap();
        let bind =
            [b"\0s7\0\0\x02\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x01".as_slice(), &[255; 4], b"\0\x01\0\x01"].concat();
        let whole = |rows: u8| {
            let execute = frame::message(b'E', &[0, 0, 0, 0, rows]);
            [frame::message(b'B', &bind), execute, frame::message(b'S', b"")].concat()
        };
        assert_eq!(out, whole(0));
        limit_rows(&mut out, 2);
        assert_eq!(out, whole(2));
        limit_rows(&mut [], 2);
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused() {
        let refused = write_run("s0", &[Type::INT2], numbered(&[Value::Int(70_000)]), &mut BytesMut::new());
        assert!(refused.is_err());
    }

    #[test]
    fn an_answer_that_is_as_it_should_be() {
        let parts = |mut stage: Stage, kinds: &[u8]| -> Option<Vec<Part>> {
            kinds.iter().map(|kind| stage.go_on(*kind)).collect()
        };
        use Part::{Progress, Row};
        assert_eq!(parts(Stage::Binding, b"2DDCZ"), Some(vec![Progress, Row, Row, Progress, Progress]));
        assert_eq!(parts(Stage::Binding, b"2IZ"), Some(vec![Progress; 3]));
        let prefix = Stage::behind(&[b"1", b"2", b"C"]);
        assert_eq!(parts(prefix, b"12C2CZ"), Some(vec![Progress; 6]));
        for other in
            [&b"D"[..], b"E", b"2E", b"2N", b"2S", b"2A", b"2s", b"2DE", b"2CC", b"2CE", b"2CZZ", b"2Z", b"12C"]
        {
            assert_eq!(parts(Stage::Binding, other), None, "{}", String::from_utf8_lossy(other));
        }
        assert_eq!(parts(Stage::Text, b"CCZ"), Some(vec![Progress; 3]));
        for other in [&b"Z"[..], b"CE", b"T", b"I", b"2"] {
            assert_eq!(parts(Stage::Text, other), None, "{}", String::from_utf8_lossy(other));
        }
        assert_eq!(parts(prefix, b"2"), None);
        assert_eq!(parts(prefix, b"1E"), None);
    }

    #[test]
    fn fields_of_a_row() {
        let body = [b"\0\x03\0\0\0\x01a".as_slice(), &[255; 4], b"\0\0\0\0"].concat();
        let fields = Fields::of(&body);
        assert_eq!(fields.expected(), 3);
        assert_eq!(fields.collect::<Vec<_>>(), [Some(&b"a"[..]), None, Some(b"")]);
        for cut in 0..body.len() {
            assert!(Fields::of(&body[..cut]).count() < 3, "cut at {cut}");
        }
    }

    #[test]
    fn a_tag_ends_with_a_number() {
        assert_eq!(count(b"INSERT 0 12\0"), 12);
        assert_eq!(count(b"SELECT 3\0"), 3);
        assert_eq!(count(b"CREATE TABLE\0"), 0);
        assert_eq!(count(b""), 0);
    }
}
