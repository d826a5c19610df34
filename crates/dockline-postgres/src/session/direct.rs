//! Running a prepared statement past the driver: see [`crate::direct`].

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dockline_core::Value;
use dockline_core::backend::{Expect, RowSink, RowValues};
use postgres::Column;
use postgres::types::ToSql;
use postgres_protocol::message::frontend;

use super::PostgresSession;
use super::prepared::Prepared;
use crate::direct::{Fields, Handover, Part, Stage, count, limit_rows, write_run};
use crate::frame;
use crate::line::Line;
use crate::param::{numbered, size};
use crate::prefix::Prefix;
use crate::rows::WORTH_READING;
use crate::value::Reader;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direct {
    /// It has run, and changed or gave so many rows.
    Done(u64),
    /// It was left before its end, and the connection can only be closed.
    Unread,
    /// The driver is to run it, or to go on with it.
    Driver,
}

/// Who takes the rows.
pub(super) enum Taker<'s> {
    /// Nobody: they are counted.
    Count,
    /// One is expected, or none: it is given on when the statement has ended.
    One(Option<Vec<Value>>),
    /// Who wants one after the other, until it wants no more.
    Each(Each<'s>),
}

pub(super) struct Each<'s> {
    sink: &'s mut dyn RowSink,
    names: &'s Arc<[String]>,
    /// The connection may be closed in the place of reading on, if nothing is lost with it.
    may_leave: bool,
    has_stopped: bool,
}

impl<'s> Each<'s> {
    pub(super) fn of(prepared: &'s Prepared, sink: &'s mut dyn RowSink) -> Self {
        let may_leave = sink.expects() == Expect::Stream && prepared.outline.reads_only();
        Self { sink, names: &prepared.columns, may_leave, has_stopped: false }
    }

    /// Whether it wants no more.
    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped
    }
}

/// Who runs more at once has the driver do it: it reads while it writes.
const LONGEST: usize = 16 * 1024;
/// So much room is there for an answer before any of it has come.
const ROOM: usize = 8 * 1024;
/// Larger buffers are not kept.
const KEPT: usize = 64 * 1024;

/// What goes out and what comes in. The connections of a thread have them in turn, so an idle one has none.
#[derive(Default)]
struct Buffers {
    out: BytesMut,
    came: Vec<u8>,
}

thread_local! {
    static BUFFERS: Cell<Buffers> = Cell::default();
}

impl Buffers {
    fn take() -> Self {
        // A thread that is ending has none any more.
        let mut buffers = BUFFERS.try_with(Cell::take).unwrap_or_default();
        buffers.out.clear();
        buffers.came.clear();
        buffers
    }

    fn keep(self) {
        if self.out.capacity() <= KEPT && self.came.capacity() <= KEPT {
            let _ = BUFFERS.try_with(|buffers| buffers.set(self));
        }
    }
}

/// What is sent: a prefix, and the messages that the driver would send.
struct Request<'a> {
    prefix: Option<&'a Prefix>,
    /// Where the driver's messages begin.
    ahead: usize,
    /// The Execute among them is limited, which the driver does not know.
    is_limited: bool,
}

/// An answer, as far as it has come.
struct Answer {
    stage: Stage,
    /// Where in the buffer the next message begins.
    at: usize,
    /// Where the rows begin.
    rows: usize,
    /// Where what says that the statement has run begins.
    end: usize,
    /// Rows have been given on, or forgotten: the driver does not see them.
    has_given: bool,
    /// So many rows came when no more were wanted.
    read_on: usize,
    count: u64,
}

impl Answer {
    fn at(stage: Stage) -> Self {
        Self { stage, at: 0, rows: 0, end: 0, has_given: false, read_on: 0, count: 0 }
    }

    /// Forgets rows that have been looked at, if there are many.
    fn forget_rows(&mut self, came: &mut Vec<u8>) {
        if self.stage == Stage::Rows && self.at - self.rows > KEPT / 2 {
            came.drain(self.rows..self.at);
            self.at = self.rows;
            self.has_given = true;
        }
    }

    /// What the driver is to read of it.
    fn for_the_driver(&self, came: &[u8]) -> Vec<u8> {
        if !self.has_given {
            return came.to_vec();
        }
        let rest = if matches!(self.stage, Stage::Complete | Stage::Ready) { self.end } else { self.at };
        [&came[..self.rows], &came[rest..]].concat()
    }
}

/// How looking at what has come has ended.
enum Found {
    /// The answer is complete, and as it should be.
    End,
    /// It is not all here.
    Part,
    /// The driver is to read it.
    Other,
    /// Who took a row was forked in that, and this is the child.
    Forked,
    /// The rest is not worth reading.
    Unread,
}

impl PostgresSession {
    /// Runs it, if it can go past the driver.
    pub(super) fn run_directly(&mut self, prepared: &Prepared, params: &[Value], taker: &mut Taker<'_>) -> Direct {
        self.run_directly_with(prepared, params, numbered(params), taker)
    }

    /// The same, with these values in parameters of another form.
    pub(super) fn run_directly_with<P: ToSql>(
        &mut self,
        prepared: &Prepared,
        values: &[Value],
        params: impl ExactSizeIterator<Item = P> + Clone,
        taker: &mut Taker<'_>,
    ) -> Direct {
        // Long ones are not written in vain.
        if values.iter().map(size).sum::<usize>() > LONGEST {
            return Direct::Driver;
        }
        let Some(statement) = &prepared.statement else { return Direct::Driver };
        let Some(name) = statement.name() else { return Direct::Driver };
        if !self.may_go_directly() {
            return Direct::Driver;
        }
        let mut buffers = Buffers::take();
        let prefix = self.due_prefix();
        if let Some(prefix) = &prefix {
            buffers.out.extend_from_slice(&prefix.bytes);
        }
        let ahead = buffers.out.len();
        // A value that does not fit has its error from the driver.
        let is_written = write_run(name, statement.params(), params, &mut buffers.out).is_ok();
        if !is_written || buffers.out.len() > LONGEST {
            return Direct::Driver;
        }
        // Where a large result comes in chunks, the first is of two for who expects one row.
        let is_limited = matches!(taker, Taker::One(_)) && self.comes_in_chunks(prepared);
        if is_limited {
            limit_rows(&mut buffers.out, 2);
        }
        let stage = Stage::behind(prefix.as_ref().map(Prefix::answers).unwrap_or_default());
        let request = Request { prefix: prefix.as_ref(), ahead, is_limited };
        let direct = self.converse(&request, self.plan.read_timeout, stage, statement.columns(), &mut buffers, taker);
        buffers.keep();
        direct
    }

    /// Runs a text that gives no rows, if it can go past the driver. The answer is whether it has run.
    pub(super) fn run_text_directly(&mut self, sql: &str, limit: Option<Duration>) -> bool {
        if sql.len() > LONGEST || !self.may_go_directly() {
            return false;
        }
        let mut buffers = Buffers::take();
        let request = Request { prefix: None, ahead: 0, is_limited: false };
        let direct = match frontend::query(sql, &mut buffers.out) {
            Ok(()) => self.converse(&request, limit, Stage::Text, &[], &mut buffers, &mut Taker::Count),
            Err(_) => Direct::Driver,
        };
        buffers.keep();
        matches!(direct, Direct::Done(_))
    }

    /// Whether nothing speaks against it. As the driver, which reads before it writes, it looks at the socket first, unless that has just
    /// been done.
    fn may_go_directly(&mut self) -> bool {
        if self.broken || self.was_lent || !self.watch.begin_direct() {
            return false;
        }
        let has_looked = std::mem::take(&mut self.has_looked);
        self.line(None).is_some_and(|line| line.is_quiet(has_looked))
    }

    /// Sends the messages, and reads the answer.
    fn converse(
        &mut self,
        request: &Request<'_>,
        limit: Option<Duration>,
        stage: Stage,
        columns: &[Column],
        buffers: &mut Buffers,
        taker: &mut Taker<'_>,
    ) -> Direct {
        let sent = self.line(limit).map_or(0, |mut line| line.send(&buffers.out));
        if sent == 0 {
            // The driver meets with the same, and knows that nothing was sent.
            return Direct::Driver;
        }
        let mut answer = Answer::at(stage);
        let mut failure = None;
        let found = loop {
            match self.look_through(&mut answer, &buffers.came, columns, taker) {
                Found::Part if sent == buffers.out.len() => {}
                found => break found,
            }
            if !matches!(taker, Taker::One(_)) {
                answer.forget_rows(&mut buffers.came);
            }
            buffers.came.reserve(ROOM);
            match self.line(limit).map(|mut line| line.receive(&mut buffers.came)) {
                Some(Ok(1..)) => {}
                // The driver finds the end of the stream, too.
                Some(Ok(0)) | None => break Found::Other,
                Some(Err(error)) => {
                    failure = Some(error);
                    break Found::Other;
                }
            }
        };
        match found {
            Found::End => {
                let (count, does) = (buffers.out.len() - request.ahead, request.prefix.map(|prefix| prefix.does));
                self.watch.direct_is_done(count, does, stage != Stage::Text, &buffers.came[answer.end..]);
                Direct::Done(answer.count)
            }
            Found::Forked => {
                // Taking the savepoint away went out with the statement. Nothing more is sent in its place.
                self.owes_release = false;
                Direct::Done(0)
            }
            Found::Unread => {
                self.broken = true;
                Direct::Unread
            }
            Found::Part | Found::Other => {
                if request.is_limited {
                    limit_rows(&mut buffers.out, 0);
                }
                let sent = buffers.out[request.ahead..].to_vec();
                self.watch.hand_over(Handover { sent, came: answer.for_the_driver(&buffers.came), failure });
                Direct::Driver
            }
        }
    }

    /// The socket of the driver's client, which does nothing meanwhile.
    fn line(&mut self, limit: Option<Duration>) -> Option<Line<'_>> {
        Some(Line::of(self.wire.as_ref()?, self.encrypted.as_ref(), self.client.as_mut()?, limit))
    }

    /// Looks at the messages that have come, and gives their rows on.
    fn look_through(&mut self, answer: &mut Answer, came: &[u8], columns: &[Column], taker: &mut Taker<'_>) -> Found {
        while let Some((kind, body, rest)) = frame::whole(&came[answer.at..]) {
            let before = answer.stage;
            let Some(part) = answer.stage.go_on(kind) else { return Found::Other };
            if part == Part::Row {
                if let Some(found) = self.take(answer, body, columns, taker) {
                    return found;
                }
            } else if (before, answer.stage) == (Stage::Rows, Stage::Complete) {
                answer.end = answer.at;
                answer.count = if kind == b'C' { count(body) } else { 0 };
            }
            answer.at = came.len() - rest.len();
            if before == Stage::Binding {
                answer.rows = answer.at;
                if let Taker::Each(each) = taker {
                    each.sink.columns(each.names);
                }
            }
        }
        match answer.stage {
            Stage::Ready if answer.at == came.len() => Found::End,
            // Something stands behind it.
            Stage::Ready => Found::Other,
            _ => Found::Part,
        }
    }

    /// Gives a row on. The answer says if that is to end all.
    #[inline]
    fn take(&mut self, answer: &mut Answer, body: &[u8], columns: &[Column], taker: &mut Taker<'_>) -> Option<Found> {
        match taker {
            Taker::Count => {}
            // One too many.
            Taker::One(Some(_)) => return Some(Found::Other),
            Taker::One(first) => match row(body, columns, self.reader) {
                None => return Some(Found::Other),
                one => *first = one,
            },
            Taker::Each(each) if each.has_stopped => {
                answer.read_on += 1;
                if each.may_leave && answer.read_on > WORTH_READING {
                    return Some(Found::Unread);
                }
            }
            Taker::Each(each) => {
                let Some(values) = row(body, columns, self.reader) else { return Some(Found::Other) };
                answer.has_given = true;
                if each.sink.row(values).is_break() {
                    if each.sink.was_forked() {
                        return Some(Found::Forked);
                    }
                    each.has_stopped = true;
                    each.may_leave = each.may_leave && self.may_close(each.sink);
                }
            }
        }
        None
    }
}

/// The values of a DataRow; `None` if it has not what its columns say.
fn row(body: &[u8], columns: &[Column], reader: Reader) -> Option<Vec<Value>> {
    let fields = Fields::of(body);
    if fields.expected() != columns.len() {
        return None;
    }
    let mut values = RowValues::with_columns(columns.len());
    let mut written = 0;
    for (field, column) in fields.zip(columns) {
        reader.value_into(&mut values, column.type_(), field);
        written += 1;
    }
    (written == columns.len()).then(|| values.finish())
}
