//! The stream with a transport in memory, which takes and gives bytes in pieces of every size.

use std::collections::VecDeque;
use std::task::Waker;

use super::*;
use crate::frame::message;
use crate::prefix;
use crate::protocol::Status;

/// The server's side.
#[derive(Default)]
struct Double {
    /// What each write has brought.
    writes: Vec<Vec<u8>>,
    /// How many bytes a write takes at the most; 0: any number.
    takes: usize,
    /// Every other write has to wait.
    hesitates: bool,
    has_waited: bool,
    /// What each read brings; then there is nothing, for the time being.
    reads: VecDeque<Vec<u8>>,
}

impl AsyncRead for Double {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(mut read) = self.reads.pop_front() else { return Poll::Pending };
        let rest = read.split_off(read.len().min(buffer.remaining()));
        buffer.put_slice(&read);
        if !rest.is_empty() {
            self.reads.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Double {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.has_waited = self.hesitates && !self.has_waited;
        if self.has_waited {
            return Poll::Pending;
        }
        let count = if self.takes == 0 { bytes.len() } else { bytes.len().min(self.takes) };
        self.writes.push(bytes[..count].to_vec());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A stream on which the startup is over.
fn stream() -> Observed<Double> {
    let mut stream = Observed::new(Double::default(), Arc::default());
    let startup = [&9_u32.to_be_bytes()[..], b"hello"].concat();
    assert!(matches!(write(&mut stream, &startup), Poll::Ready(9)));
    receive(&mut stream, [message(b'R', &[0; 4]), message(b'Z', b"I")].concat());
    stream.transport.writes.clear();
    stream
}

fn write(stream: &mut Observed<Double>, bytes: &[u8]) -> Poll<usize> {
    let context = &mut Context::from_waker(Waker::noop());
    Pin::new(stream).poll_write(context, bytes).map(Result::unwrap)
}

/// Writes all of it, as the driver does.
fn send(stream: &mut Observed<Double>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        if let Poll::Ready(count) = write(stream, bytes) {
            assert!((1..=bytes.len()).contains(&count), "{count} of {} bytes", bytes.len());
            bytes = &bytes[count..];
        }
    }
}

fn sent(stream: &Observed<Double>) -> Vec<u8> {
    stream.transport.writes.concat()
}

/// What the driver gets of that, with buffers of this size.
fn receive_in(stream: &mut Observed<Double>, reads: Vec<Vec<u8>>, size: usize) -> Vec<u8> {
    stream.transport.reads.extend(reads.into_iter().filter(|read| !read.is_empty()));
    let (mut got, mut memory) = (Vec::new(), vec![0; size]);
    let context = &mut Context::from_waker(Waker::noop());
    loop {
        let mut buffer = ReadBuf::new(&mut memory);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Ready(result) => {
                result.unwrap();
                assert!(!buffer.filled().is_empty(), "that would be the end of the stream");
                got.extend_from_slice(buffer.filled());
            }
            Poll::Pending => return got,
        }
    }
}

fn receive(stream: &mut Observed<Double>, bytes: Vec<u8>) -> Vec<u8> {
    receive_in(stream, vec![bytes], 8 * 1024)
}

fn begin() -> Vec<u8> {
    prefix::messages("BEGIN").bytes
}

/// A statement that was prepared, as the driver sends it.
fn run() -> Vec<u8> {
    [message(b'B', b"\0s1\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
}

/// What the driver sends when it lets go of a statement: with what it sends next.
fn close() -> Vec<u8> {
    [message(b'C', b"Ss0\0"), message(b'S', b"")].concat()
}

#[test]
fn a_prefix_is_parse_bind_and_execute() {
    let wanted: &[u8] = b"P\0\0\0\x0d\0BEGIN\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0";
    assert_eq!(begin(), wanted);
}

#[test]
fn a_prefix_goes_out_in_one_write_with_the_statement() {
    let mut stream = stream();
    stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
    let before = stream.watch.written();
    send(&mut stream, &run());
    assert_eq!(stream.transport.writes, [[begin(), run()].concat()]);
    assert_eq!(stream.watch.written() - before, run().len() as u64, "the driver's bytes are counted");
    assert!(stream.watch.is_unanswered() && stream.watch.prefixes() == 1);
    send(&mut stream, &run());
    assert_eq!(sent(&stream), [begin(), run(), run()].concat(), "it goes once");
}

#[test]
fn writes_of_every_size() {
    let own = [close(), run(), close(), run()].concat();
    let wanted = [close(), begin(), run(), close(), run()].concat();
    for takes in 1..=wanted.len() {
        for hesitates in [false, true] {
            let mut stream = stream();
            (stream.transport.takes, stream.transport.hesitates) = (takes, hesitates);
            stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
            let before = stream.watch.written();
            send(&mut stream, &own);
            assert_eq!(sent(&stream), wanted, "{takes} bytes at a time");
            assert_eq!(stream.watch.written() - before, own.len() as u64);
            assert_eq!(stream.watch.prefixes(), 1);
        }
    }
}

#[test]
fn what_was_not_sent_of_an_earlier_statement_comes_first() {
    let own = run();
    for at in 1..own.len() {
        let mut stream = stream();
        send(&mut stream, &own[..at]);
        stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
        send(&mut stream, &[&own[at..], &run()].concat());
        assert_eq!(sent(&stream), [run(), begin(), run()].concat(), "after {at} bytes");
    }
}

#[test]
fn a_prefix_goes_with_statements_of_the_extended_protocol_alone() {
    let query = message(b'Q', b"SELECT 1\0");
    let mut stream = stream();
    stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
    send(&mut stream, &[query.clone(), close()].concat());
    assert_eq!(stream.watch.prefixes(), 0);
    stream.watch.begin_call(None);
    send(&mut stream, &run());
    assert_eq!(sent(&stream), [query, close(), run()].concat(), "and not with those of a later call");
}

#[test]
fn a_prefix_that_could_not_be_written_is_withdrawn() {
    let mut stream = stream();
    stream.transport.hesitates = true;
    stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
    assert_eq!(write(&mut stream, &run()), Poll::Pending);
    stream.watch.begin_call(None);
    send(&mut stream, &run());
    assert_eq!((sent(&stream), stream.watch.prefixes()), (run(), 0));
}

#[test]
fn a_long_statement_follows_its_prefix() {
    let long = [message(b'B', &[7; 100_000]), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    for takes in [0, 1000, 50_000] {
        let mut stream = stream();
        stream.transport.takes = takes;
        stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
        send(&mut stream, &long);
        assert!(sent(&stream) == [begin(), long.clone()].concat());
    }
}

/// What the server says on the side.
fn asides() -> [Vec<u8>; 3] {
    [message(b'N', b"SNOTICE\0\0"), message(b'S', b"TimeZone\0UTC\0"), message(b'A', b"\0\0\0\x01channel\0payload\0")]
}

/// What comes of a statement that runs in the transaction.
fn answer() -> Vec<u8> {
    let parts = [
        message(b'2', b""),
        message(b'D', &[b'1'; 40]),
        message(b'1', b""),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"T"),
    ];
    parts.concat()
}

/// A stream on which a prefix and a statement have gone out.
fn asked() -> Observed<Double> {
    let mut stream = stream();
    stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
    send(&mut stream, &run());
    stream
}

#[test]
fn answers_to_the_prefix_are_taken_out_however_they_come() {
    let [notice, parameter, notification] = asides();
    let (parsed, bound, complete) = (message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0"));
    let all = [&notice, &parsed, &parameter, &notification, &bound, &notice, &complete, &notification, &answer()[..]]
        .concat();
    let wanted = [&notice, &parameter, &notification, &notice, &notification, &answer()[..]].concat();
    let check = |reads: Vec<Vec<u8>>, size: usize| {
        let mut stream = asked();
        let bound_before = stream.watch.bound();
        let pieces: Vec<usize> = reads.iter().map(Vec::len).collect();
        assert_eq!(receive_in(&mut stream, reads, size), wanted, "pieces of {pieces:?}, buffers of {size}");
        assert_eq!(stream.watch.status(), Status::InTransaction);
        assert_eq!(stream.watch.bound() - bound_before, 1, "the statement's own");
        assert_eq!(stream.watch.seen(|seen| (seen.tag.clone(), seen.parameters.len())), ("SELECT 1".to_owned(), 1));
        assert!(!stream.watch.is_unanswered());
    };
    for at in 1..all.len() {
        for other in at..all.len() {
            check([&all[..at], &all[at..other], &all[other..]].iter().map(|read| read.to_vec()).collect(), 8 * 1024);
        }
    }
    for size in 1..=all.len() {
        check(all.chunks(size).map(<[u8]>::to_vec).collect(), 8 * 1024);
        check(vec![all.clone()], size);
    }
}

#[test]
fn the_transaction_is_known_before_its_first_statement_has_ended() {
    let mut stream = asked();
    let answers = [message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0")].concat();
    assert_eq!(receive(&mut stream, answers), b"");
    assert_eq!(stream.watch.status(), Status::InTransaction);
    let error = [message(b'E', b"SERROR\0VERROR\0C42P01\0Mno\0\0"), message(b'Z', b"E")].concat();
    assert_eq!(receive(&mut stream, error.clone()), error);
    assert_eq!(stream.watch.status(), Status::Failed);
}

#[test]
fn an_error_of_the_prefix_is_the_statements() {
    let answers = [message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0")];
    let error = message(b'E', b"SERROR\0VERROR\0C0A000\0Mno\0\0");
    let ready = message(b'Z', b"I");
    for done in 0..answers.len() {
        let all = [answers[..done].concat(), error.clone(), ready.clone()].concat();
        for size in 1..=all.len() {
            let mut stream = asked();
            let reads = all.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(receive_in(&mut stream, reads, 1024), [&error[..], &ready].concat(), "after {done} answers");
            assert!(stream.watch.is_unanswered());
            assert_eq!(stream.watch.status(), Status::Idle);
            // What comes in a later call is the driver's.
            stream.watch.begin_call(None);
            let later = [answers.concat(), ready.clone()].concat();
            assert_eq!(receive(&mut stream, later.clone()), later);
        }
    }
}

#[test]
fn answers_to_what_was_asked_before_are_the_drivers() {
    let before = [
        message(b'D', &[b'1'; 30]),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
        message(b'3', b""),
        message(b'E', b"SERROR\0VERROR\0C42P01\0Mno\0\0"),
        message(b'Z', b"I"),
    ]
    .concat();
    let answers = [message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0")].concat();
    for at in 0..before.len() {
        let mut stream = stream();
        send(&mut stream, &message(b'S', b"").repeat(2));
        let mut got = receive(&mut stream, before[..at].to_vec());
        stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
        send(&mut stream, &run());
        got.extend(receive(&mut stream, [&before[at..], &answers, &answer()].concat()));
        assert_eq!(got, [before.clone(), answer()].concat(), "{at} bytes had come");
        assert_eq!(stream.watch.status(), Status::InTransaction);
    }
}

/// A result in chunks: what the driver sees, and what it does not.
#[test]
fn chunks_are_asked_for_in_the_drivers_place() {
    let execute = message(b'E', b"\0\0\0\0\x02");
    let next = [message(b'E', b"\0\0\0\0\x07"), message(b'S', b"")].concat();
    let suspended = [message(b's', b""), message(b'Z', b"T")].concat();
    let row = message(b'D', b"row");
    for takes in [0, 1, 3, 20] {
        let mut stream = stream();
        stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
        stream.watch.fetch_first(2);
        stream.transport.takes = takes;
        send(&mut stream, &run());
        let limited = [message(b'B', b"\0s1\0\0\0\0\0\0\0"), execute.clone(), message(b'S', b"")].concat();
        assert_eq!(sent(&stream), [begin(), limited].concat(), "writes of {takes}");
        stream.transport.writes.clear();
        let begun = [message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0")].concat();
        let first = [message(b'2', b""), row.clone(), row.clone()].concat();
        let got = receive(&mut stream, [begun, first.clone(), suspended.clone()].concat());
        assert_eq!(got, first, "the driver is not told that the server waits");
        assert_eq!(receive(&mut stream, Vec::new()), [0; 0]);
        stream.watch.fetch(7);
        assert_eq!(receive(&mut stream, [row.clone(), suspended.clone()].concat()), row);
        assert_eq!(sent(&stream), next);
        stream.watch.leave();
        assert_eq!(receive_in(&mut stream, Vec::new(), 4), suspended, "and then it sees the end");
        // What comes next is left alone.
        stream.watch.begin_call(None);
        stream.transport.writes.clear();
        send(&mut stream, &run());
        assert_eq!(sent(&stream), run());
        assert_eq!(receive(&mut stream, answer()), answer());
    }
}

#[test]
fn the_end_of_the_stream_is_passed_on() {
    let mut stream = asked();
    stream.transport.reads.extend([message(b'1', b""), Vec::new()]);
    let (mut memory, context) = ([0; 64], &mut Context::from_waker(Waker::noop()));
    let mut buffer = ReadBuf::new(&mut memory);
    assert!(Pin::new(&mut stream).poll_read(context, &mut buffer).is_ready());
    assert!(buffer.filled().is_empty() && stream.watch.is_unanswered());
}

/// A stream to whose driver this was handed over.
fn handed_over(came: Vec<u8>, failure: Option<io::Error>) -> Observed<Double> {
    let stream = stream();
    assert!(stream.watch.begin_direct());
    stream.watch.hand_over(Handover { sent: run(), came, failure });
    stream
}

#[test]
fn the_driver_goes_on_with_what_was_done_in_its_place() {
    let whole =
        [message(b'2', b""), message(b'N', b"SNOTICE\0\0"), message(b'C', b"SELECT 0\0"), message(b'Z', b"I")].concat();
    for came in 0..=whole.len() {
        for size in [1, 7, 8 * 1024] {
            let mut stream = handed_over(whole[..came].to_vec(), None);
            stream.watch.begin_call(None);
            let before = stream.watch.written();
            let early = receive_in(&mut stream, vec![whole[came..].to_vec()], size);
            assert!(early.is_empty(), "the driver has not written what this answers");
            send(&mut stream, &run());
            assert!(sent(&stream).is_empty(), "it has gone out already");
            assert_eq!(stream.watch.written() - before, run().len() as u64);
            assert_eq!(receive_in(&mut stream, Vec::new(), size), whole, "{came} bytes had come, buffers of {size}");
            assert_eq!(stream.watch.seen(|seen| seen.tag.clone()), "SELECT 0");
            // What comes next is the driver's alone.
            stream.watch.begin_call(None);
            send(&mut stream, &run());
            assert_eq!(sent(&stream), run());
            assert_eq!(receive(&mut stream, answer()), answer());
        }
    }
}

#[test]
fn a_prefix_that_went_past_the_driver_has_its_answers_taken_out() {
    let begun = [message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0")].concat();
    let mut stream = handed_over([begun, answer()].concat(), None);
    stream.watch.begin_call_with(None, prefix::messages("BEGIN"));
    let before = stream.watch.prefixes();
    send(&mut stream, &run());
    assert!(sent(&stream).is_empty());
    assert_eq!(receive(&mut stream, Vec::new()), answer());
    assert_eq!((stream.watch.status(), stream.watch.prefixes() - before), (Status::InTransaction, 1));
}

#[test]
fn a_limit_that_went_past_the_driver_ends_in_a_chunk() {
    let (row, suspended) = (message(b'D', b"row"), [message(b's', b""), message(b'Z', b"T")].concat());
    let first = [message(b'2', b""), row.clone(), row].concat();
    let mut stream = handed_over([first.clone(), suspended.clone()].concat(), None);
    stream.watch.begin_call(None);
    stream.watch.fetch_first(100);
    send(&mut stream, &run());
    assert_eq!(receive(&mut stream, Vec::new()), first);
    stream.watch.leave();
    assert_eq!(receive(&mut stream, Vec::new()), suspended);
}

#[test]
fn the_driver_meets_with_the_failure_that_was_met_in_its_place() {
    let mut stream = handed_over(message(b'2', b""), Some(io::ErrorKind::TimedOut.into()));
    stream.watch.begin_call(None);
    send(&mut stream, &run());
    let (mut memory, context) = ([0; 64], &mut Context::from_waker(Waker::noop()));
    let mut read = || {
        let mut buffer = ReadBuf::new(&mut memory);
        Pin::new(&mut stream).poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
    };
    assert!(matches!(read(), Poll::Ready(Ok(5))));
    assert!(matches!(read(), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut));
    assert!(read().is_pending());
}

#[test]
fn a_driver_that_writes_something_else_does_not_go_on() {
    let mut stream = handed_over(answer(), None);
    stream.watch.begin_call(None);
    let context = &mut Context::from_waker(Waker::noop());
    // It reads before it writes.
    let mut memory = [0; 64];
    assert!(Pin::new(&mut stream).poll_read(context, &mut ReadBuf::new(&mut memory)).is_pending());
    let other = [close(), run()].concat();
    assert!(matches!(Pin::new(&mut stream).poll_write(context, &other), Poll::Ready(Err(_))));
}

#[test]
fn nothing_goes_past_the_driver_while_something_of_its_own_is_on_its_way() {
    let mut stream = stream();
    let is_free = |stream: &Observed<Double>| stream.watch.begin_direct();
    assert!(is_free(&stream));
    stream.watch.begin_call(None);
    send(&mut stream, &run());
    assert!(!is_free(&stream), "an answer is due");
    let mut answer = answer();
    let last = answer.split_off(answer.len() - 1);
    receive(&mut stream, answer);
    assert!(!is_free(&stream), "it has not all come");
    receive(&mut stream, last);
    assert!(is_free(&stream));
    stream.watch.owe_close();
    assert!(!is_free(&stream), "the driver has something to write");
    stream.watch.begin_call(None);
    assert!(is_free(&stream));
}

/// What was handed over ends in the middle of a message, and the rest of it comes from the server.
#[test]
fn types_are_hidden_behind_what_was_handed_over() {
    let description = |of: u32| {
        let column = [b"m\0".as_slice(), &[0; 6], &of.to_be_bytes(), &[0; 8]].concat();
        message(b'T', &[&[0, 1], column.as_slice()].concat())
    };
    let (commit, run) = (message(b'Q', b"COMMIT\0"), run());
    let answer = [message(b'E', b"C23505\0Mtwice\0\0"), message(b'Z', b"I")].concat();
    for cut in answer.len() - 6..=answer.len() {
        let mut stream = stream();
        stream.watch.hide_types();
        stream.watch.begin_call(None);
        send(&mut stream, &run);
        assert_eq!(receive(&mut stream, description(16_400)), description(705));
        receive(&mut stream, message(b'Z', b"T"));
        stream.watch.begin_call(None);
        let (came, rest) = answer.split_at(cut);
        stream.watch.hand_over(Handover { sent: commit.clone(), came: came.to_vec(), failure: None });
        send(&mut stream, &commit);
        assert_eq!(receive(&mut stream, rest.to_vec()), answer, "cut at {cut}");
        stream.watch.begin_call(None);
        send(&mut stream, &run);
        assert_eq!(receive(&mut stream, description(16_400)), description(705), "cut at {cut}");
    }
}
