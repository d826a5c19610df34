//! What the session and its stream tell each other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::direct::Handover;
use crate::frame::Frame;
use crate::prefix::{Answers, Does, Prefix};
use crate::protocol::{Protocol, Seen, Status};
use crate::types::Described;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// What the session knows of its stream, and what it asks of it. Only one thread uses it at a time; the atomics are there
/// because it has to be `Sync`.
#[derive(Default)]
pub(crate) struct Watch {
    status: AtomicU8,
    bound: AtomicU64,
    reports: AtomicU64,
    written: AtomicU64,
    /// How many of the driver's bytes had been written when the call began.
    written_before: AtomicU64,
    /// The driver is not told of the end of the stream while nothing is owed to it: see [`Watch::hides_end`].
    guards: AtomicBool,
    /// The stream has ended behind an answer.
    ended: AtomicBool,
    /// Which call of the session the stream serves.
    call: AtomicU64,
    /// How long a read may wait, in nanoseconds; 0: for ever.
    limit: AtomicU64,
    /// The limit is that of the call, and not of each read.
    whole: AtomicBool,
    /// The prefix goes out with what the call sends.
    armed: AtomicBool,
    prefix: Mutex<Prefix>,
    /// How many rows the first chunk of a result has; 0: all of them.
    first: AtomicU32,
    /// What is to become of a result behind a chunk.
    order: AtomicU32,
    /// How many prefixes that run something have gone out.
    prefixes: AtomicU64,
    /// The last of them has not been answered.
    unanswered: AtomicBool,
    /// The driver has let go of a statement, and has not told the server yet.
    owes_close: AtomicBool,
    /// The next call of the driver's goes on with what was done in its place.
    hands_over: AtomicBool,
    handover: Mutex<Handover>,
    closing: AtomicU8,
    /// The driver is not told which types are not built in.
    hides_types: AtomicBool,
    /// The columns that were described last.
    columns: Mutex<Vec<Described>>,
    protocol: Mutex<Protocol>,
}

/// What is to become of a result behind a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The rest is not wanted.
    Leave,
    /// Nobody knows yet.
    Wait,
    /// So many rows more.
    Fetch(u32),
}

const LEAVE: u32 = 0;
const WAIT: u32 = u32::MAX;

/// Whether the connection is being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    No,
    /// With a goodbye, for which there is a little time.
    AtRest,
    AtOnce,
}

impl Watch {
    pub(crate) fn status(&self) -> Status {
        match self.status.load(Ordering::Relaxed) {
            0 => Status::Idle,
            1 => Status::InTransaction,
            _ => Status::Failed,
        }
    }

    fn set_status(&self, status: Status) {
        self.status.store(status as u8, Ordering::Relaxed);
    }

    /// How many statements of the driver's have been bound to their parameters: the last step before they run.
    pub(crate) fn bound(&self) -> u64 {
        self.bound.load(Ordering::Relaxed)
    }

    /// How often the server has reported a setting.
    pub(crate) fn reports(&self) -> u64 {
        self.reports.load(Ordering::Relaxed)
    }

    /// How many bytes of the driver's have been written in all.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// A call begins that is over within that time, however often something comes: connecting.
    pub(crate) fn begin_whole_call(&self, limit: Duration) {
        self.begin_call(Some(limit));
        self.whole.store(true, Ordering::Relaxed);
        self.guards.store(false, Ordering::Relaxed);
    }

    /// The driver is lent: what it is asked for is not known, and it is told all that comes.
    pub(crate) fn begin_lending(&self) {
        self.begin_call(None);
        self.guards.store(false, Ordering::Relaxed);
    }

    /// It is back. What was asked of the server has been answered.
    pub(crate) fn end_lending(&self) {
        lock(&self.protocol).count_anew();
    }

    /// Whether the stream has ended behind the answer to the last call: that call is well, and the connection is lost.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The transaction is over, though the server did not come to say so at the end of its answer.
    pub(crate) fn transaction_has_ended(&self) {
        self.set_status(Status::Idle);
    }

    /// A call begins: each of its reads may wait that long. A prefix that an earlier one did not take goes out no more.
    pub(crate) fn begin_call(&self, limit: Option<Duration>) {
        // With its first step the driver writes what it has not yet written.
        self.owes_close.store(false, Ordering::Relaxed);
        self.begin(limit);
    }

    fn begin(&self, limit: Option<Duration>) {
        self.armed.store(false, Ordering::Relaxed);
        self.unanswered.store(false, Ordering::Relaxed);
        self.whole.store(false, Ordering::Relaxed);
        self.guards.store(true, Ordering::Relaxed);
        self.first.store(0, Ordering::Relaxed);
        self.order.store(LEAVE, Ordering::Relaxed);
        self.written_before.store(self.written(), Ordering::Relaxed);
        lock(&self.protocol).begin_call();
        self.call.fetch_add(1, Ordering::Relaxed);
        let limit = limit.map_or(0, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The same, and these messages, which begin a transaction, go out before the first statement that it sends.
    pub(crate) fn begin_call_with(&self, limit: Option<Duration>, prefix: Prefix) {
        self.begin_call(limit);
        *lock(&self.prefix) = prefix;
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Whether the socket is free for messages past the driver: nothing of the driver's is on its way, and it has nothing to write on the
    /// side. Then such a call begins.
    pub(crate) fn begin_direct(&self) -> bool {
        let is_free = !self.owes_close.load(Ordering::Relaxed) && !self.has_ended();
        let is_free = is_free && self.closing() == Closing::No && lock(&self.protocol).is_at_rest();
        if is_free {
            self.begin(None);
        }
        is_free
    }

    /// The call past the driver was answered as it should be. This is the end of the answer: from what says that the statement has run.
    /// So many bytes had gone out for it, in the driver's form, behind a prefix that did this.
    pub(crate) fn direct_is_done(&self, sent: usize, prefix: Option<Does>, is_bound: bool, end: &[u8]) {
        self.wrote(sent, 1);
        self.prefixes.fetch_add(u64::from(prefix == Some(Does::Run)), Ordering::Relaxed);
        if is_bound {
            lock(&self.protocol).bind();
        }
        self.read(end);
    }

    /// The driver is to go on with what was done in its place, by the same call.
    pub(crate) fn hand_over(&self, what: Handover) {
        *lock(&self.handover) = what;
        self.hands_over.store(true, Ordering::Relaxed);
    }

    /// The driver has let go of a statement: it tells the server with the next thing that it sends.
    pub(crate) fn owe_close(&self) {
        self.owes_close.store(true, Ordering::Relaxed);
    }

    /// What the call runs stops after so many rows, if it gives more, until it is told how it goes on.
    pub(crate) fn fetch_first(&self, rows: u32) {
        self.first.store(rows, Ordering::Relaxed);
        self.order.store(WAIT, Ordering::Relaxed);
    }

    /// So many rows more, when it has stopped.
    pub(crate) fn fetch(&self, rows: u32) {
        self.order.store(rows, Ordering::Relaxed);
    }

    /// No more rows.
    pub(crate) fn leave(&self) {
        self.order.store(LEAVE, Ordering::Relaxed);
    }

    /// Whether something was answered to its end in this call, and an error came for what was asked behind it.
    pub(crate) fn has_failed_behind_an_answer(&self) -> bool {
        lock(&self.protocol).has_failed_behind_an_answer()
    }

    /// From now on the driver is not told which types are not built in.
    pub(crate) fn hide_types(&self) {
        self.hides_types.store(true, Ordering::Relaxed);
    }

    pub(crate) fn hides_types(&self) -> bool {
        self.hides_types.load(Ordering::Relaxed)
    }

    /// The columns that the server described last in this call, if the driver is not told of all types.
    pub(crate) fn columns(&self) -> Vec<Described> {
        lock(&self.columns).clone()
    }

    /// How many prefixes that run something have gone out.
    pub(crate) fn prefixes(&self) -> u64 {
        self.prefixes.load(Ordering::Relaxed)
    }

    /// Whether a prefix of this call has gone out, and the server has not said that it has run.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// The connection is being closed: the driver must not wait for the server any more, except, where it is `at_rest`, for
    /// its own goodbye to go out.
    pub(crate) fn close(&self, at_rest: bool) {
        self.begin_call(Some(GOODBYE));
        let closing = if at_rest { Closing::AtRest } else { Closing::AtOnce };
        self.closing.store(closing as u8, Ordering::Relaxed);
    }

    /// Asks what was seen.
    pub(crate) fn seen<R>(&self, ask: impl FnOnce(&mut Seen) -> R) -> R {
        ask(lock(&self.protocol).seen_mut())
    }
}

/// The side of the stream.
impl Watch {
    /// What the driver goes on with, when this call begins.
    pub(crate) fn take_handover(&self) -> Option<Handover> {
        if !self.hands_over.load(Ordering::Relaxed) {
            return None;
        }
        self.hands_over.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *lock(&self.handover)))
    }

    pub(crate) fn closing(&self) -> Closing {
        match self.closing.load(Ordering::Relaxed) {
            0 => Closing::No,
            1 => Closing::AtRest,
            _ => Closing::AtOnce,
        }
    }

    /// The number of the call that the stream serves.
    pub(crate) fn call(&self) -> u64 {
        self.call.load(Ordering::Relaxed)
    }

    /// How long a read may wait; `None`: for ever.
    pub(crate) fn limit(&self) -> Option<Duration> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0).map(Duration::from_nanos)
    }

    /// Whether the limit is that of the call, and not of each read.
    pub(crate) fn limits_the_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }

    /// The prefix that waits for what it is to go with.
    pub(crate) fn armed(&self) -> Option<MutexGuard<'_, Prefix>> {
        self.armed.load(Ordering::Relaxed).then(|| lock(&self.prefix))
    }

    /// It begins to go out. The answer is what is to come for it.
    pub(crate) fn prefix_goes(&self) -> Answers {
        self.armed.store(false, Ordering::Relaxed);
        self.unanswered.store(true, Ordering::Relaxed);
        let does = lock(&self.prefix).does;
        self.prefixes.fetch_add(u64::from(does == Does::Run), Ordering::Relaxed);
        Answers::at(self.frame(), does)
    }

    /// The server has done it. If it ran something, a transaction is open, though the server tells so only at the end of the unit.
    pub(crate) fn prefix_is_done(&self, does: Does) {
        self.unanswered.store(false, Ordering::Relaxed);
        if does == Does::Run {
            self.set_status(Status::InTransaction);
        }
    }

    /// Whether what the driver does is asked for by the session, and not by who has it for a while.
    pub(crate) fn is_ours(&self) -> bool {
        self.guards.load(Ordering::Relaxed)
    }

    pub(crate) fn set_columns(&self, columns: Vec<Described>) {
        *lock(&self.columns) = columns;
    }

    /// Where in the server's stream the next byte belongs.
    pub(crate) fn frame(&self) -> Frame {
        lock(&self.protocol).frame()
    }

    /// How many rows the first chunk has, if there are to be chunks.
    pub(crate) fn first_chunk(&self) -> Option<u32> {
        Some(self.first.load(Ordering::Relaxed)).filter(|rows| *rows > 0)
    }

    /// The Execute of the first chunk has gone out. The answer is where the server's stream is.
    pub(crate) fn first_chunk_goes(&self) -> Frame {
        self.first.store(0, Ordering::Relaxed);
        lock(&self.protocol).frame()
    }

    /// What is to become of a result that has stopped.
    pub(crate) fn take_order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            LEAVE => Order::Leave,
            WAIT => Order::Wait,
            rows => {
                self.order.store(WAIT, Ordering::Relaxed);
                // An error of the next chunk is one of the same statement.
                lock(&self.protocol).begin_call();
                Order::Fetch(rows)
            }
        }
    }

    /// So many bytes of the driver's were written, and with them so many units that the server answers.
    pub(crate) fn wrote(&self, count: usize, asked: u32) {
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        if asked > 0 {
            lock(&self.protocol).asked(asked);
        }
    }

    /// The next bytes have come. The answer is how many of them are for the driver.
    pub(crate) fn read(&self, bytes: &[u8]) -> usize {
        let mut protocol = lock(&self.protocol);
        let told = protocol.read(bytes, self.is_guarded());
        if let Some(status) = told.status {
            self.set_status(status);
        }
        self.bound.store(protocol.bound(), Ordering::Relaxed);
        self.reports.store(protocol.reports(), Ordering::Relaxed);
        if told.answers < bytes.len() {
            self.ended.store(true, Ordering::Relaxed);
        }
        told.answers
    }

    /// Whether the end of the stream, which has come, is kept from the driver. It is when all that was asked in this call has
    /// been answered: the driver looks at the stream before it looks at what came of it, and would take the end for the answer.
    pub(crate) fn hides_end(&self) -> bool {
        let hides = self.has_ended() || (self.is_guarded() && lock(&self.protocol).is_at_rest());
        self.ended.store(hides, Ordering::Relaxed);
        hides
    }

    fn is_guarded(&self) -> bool {
        self.is_ours() && self.written() > self.written_before.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
