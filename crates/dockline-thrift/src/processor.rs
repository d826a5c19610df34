//! The processor around another one.

use std::fmt;

use dockline_core::{Registry, TaskPolicy};
use thrift::TransportErrorKind;
use thrift::protocol::{TInputProtocol, TMessageIdentifier, TOutputProtocol, TStoredInputProtocol};
use thrift::server::TProcessor;

/// A processor that makes a request of each message, and has another one answer it.
///
/// What is inside may be a processor of the Thrift compiler's, or a `TMultiplexedProcessor`; it can also be registered with one.
/// It keeps its registry alive, as the registry's own clones do.
///
/// What it is for stands at the [crate](crate).
pub struct RequestProcessor<P> {
    registry: Registry,
    inner: P,
    client_leaves: TaskPolicy,
}

impl<P> RequestProcessor<P> {
    /// Requests on a registry, answered by `inner`. A `&Connections` of the crate `dockline` will do.
    pub fn new(registry: &Registry, inner: P) -> Self {
        Self { registry: registry.clone(), inner, client_leaves: TaskPolicy::default() }
    }

    /// What becomes of the worker's connections when its client has left, or is dropped after an error: it may be long until the
    /// next one comes. By default those that are due are closed, and the others wait for the next client.
    #[must_use]
    pub fn when_client_leaves(mut self, policy: TaskPolicy) -> Self {
        self.client_leaves = policy;
        self
    }

    /// The registry whose requests these are.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The processor inside.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    fn read_head(&self, input: &mut dyn TInputProtocol) -> thrift::Result<TMessageIdentifier> {
        input.read_message_begin().inspect_err(|_| self.client_left())
    }

    fn client_left(&self) {
        match self.client_leaves {
            TaskPolicy::CloseAll => self.registry.close_all(),
            TaskPolicy::Keep => {}
            _ => self.registry.close_old_connections(),
        }
    }
}

impl<P: TProcessor> RequestProcessor<P> {
    /// Answers the messages of one client, until it leaves: for servers with threads of their own.
    ///
    /// # Errors
    ///
    /// As [`process`](TProcessor::process), after which the client is to be dropped. That it has left is none, unless it was in the
    /// middle of what the processor inside reads.
    ///
    /// ```no_run
    /// # use dockline_thrift::RequestProcessor;
    /// # use std::sync::Arc;
    /// # use thrift::server::TProcessor;
    /// use std::net::TcpListener;
    /// use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol};
    /// use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport, TIoChannel, TTcpChannel};
    ///
    /// fn listen<P>(listener: &TcpListener, processor: &Arc<RequestProcessor<P>>) -> thrift::Result<()>
    /// where
    ///     P: TProcessor + Send + Sync + 'static,
    /// {
    ///     for stream in listener.incoming() {
    ///         let (reads, writes) = TTcpChannel::with_stream(stream?).split()?;
    ///         let processor = Arc::clone(processor);
    ///         std::thread::spawn(move || {
    ///             let mut input = TBinaryInputProtocol::new(TBufferedReadTransport::new(reads), true);
    ///             let mut output = TBinaryOutputProtocol::new(TBufferedWriteTransport::new(writes), true);
    ///             if let Err(error) = processor.serve(&mut input, &mut output) {
    ///                 eprintln!("a client was dropped: {error:?}");
    ///             }
    ///         }); // the thread ends, and its connections are closed
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn serve(&self, input: &mut dyn TInputProtocol, output: &mut dyn TOutputProtocol) -> thrift::Result<()> {
        loop {
            match self.read_head(input) {
                Ok(head) => self.answer(head, input, output)?,
                Err(error) if is_end(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn answer(
        &self,
        head: TMessageIdentifier,
        input: &mut dyn TInputProtocol,
        output: &mut dyn TOutputProtocol,
    ) -> thrift::Result<()> {
        let request = self.registry.request_around();
        let result = self.inner.process(&mut TStoredInputProtocol::new(input, head), output);
        drop(request);
        // Servers drop a client for whom this failed.
        result.inspect_err(|_| self.client_left())
    }
}

impl<P: TProcessor> TProcessor for RequestProcessor<P> {
    /// Waits for a message, and makes a request of having it answered.
    ///
    /// # Errors
    ///
    /// Those of reading the head, where no request began, as when the client has left; and those of the processor inside.
    fn process(&self, input: &mut dyn TInputProtocol, output: &mut dyn TOutputProtocol) -> thrift::Result<()> {
        let head = self.read_head(input)?;
        self.answer(head, input, output)
    }
}

fn is_end(error: &thrift::Error) -> bool {
    matches!(error, thrift::Error::Transport(transport) if transport.kind == TransportErrorKind::EndOfFile)
}

impl<P> fmt::Debug for RequestProcessor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestProcessor").field("registry", &self.registry).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Mutex};

    use dockline::{Connections, Databases, Settings};
    use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol, TMessageType};
    use thrift::server::TMultiplexedProcessor;
    use thrift::transport::{ReadHalf, TBufferChannel, TIoChannel, WriteHalf};

    use super::*;

    type Log = Arc<Mutex<Vec<String>>>;

    /// A registry that notes its requests and connections.
    fn connections(log: &Log) -> Connections {
        let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:").unwrap());
        let connections = Connections::new(databases).unwrap();
        let note = |text: &'static str| {
            let log = Arc::clone(log);
            move || log.lock().unwrap().push(text.to_owned())
        };
        let started = note("started");
        connections.signals().request_started.connect(move |_| started());
        let (finished, panicked) = (note("finished"), note("panicked"));
        connections
            .signals()
            .request_finished
            .connect(move |event| if event.panicked() { panicked() } else { finished() });
        let closed = note("closed");
        connections.signals().connection_closed.connect(move |_| closed());
        connections
    }

    /// Answers with a statement's value; or fails, or panics, as its message is called.
    struct Service {
        connections: Connections,
        log: Log,
    }

    impl TProcessor for Service {
        fn process(&self, input: &mut dyn TInputProtocol, output: &mut dyn TOutputProtocol) -> thrift::Result<()> {
            let head = input.read_message_begin()?;
            let argument = input.read_string()?;
            input.read_message_end()?;
            self.log.lock().unwrap().push(format!("{} {argument}", head.name));
            match head.name.as_str() {
                "fails" => return Err("it fails".into()),
                "panics" => panic!("it panics"),
                _ => {}
            }
            let one: i64 = self.connections.get("default").unwrap().query_value("SELECT 1", ()).unwrap();
            if head.message_type == TMessageType::OneWay {
                return Ok(());
            }
            output.write_message_begin(&TMessageIdentifier::new(
                head.name,
                TMessageType::Reply,
                head.sequence_number,
            ))?;
            output.write_i64(one)?;
            output.write_message_end()?;
            output.flush()?;
            self.log.lock().unwrap().push("answered".to_owned());
            Ok(())
        }
    }

    /// The server's end of a channel on which these messages wait.
    struct Client {
        channel: TBufferChannel,
        input: TBinaryInputProtocol<ReadHalf<TBufferChannel>>,
        output: TBinaryOutputProtocol<WriteHalf<TBufferChannel>>,
    }

    impl Client {
        fn sends(messages: &[(&str, TMessageType)]) -> Self {
            let sent = TBufferChannel::with_capacity(0, 4_096);
            let mut output = TBinaryOutputProtocol::new(sent.clone(), true);
            for (number, (name, kind)) in (1..).zip(messages) {
                output.write_message_begin(&TMessageIdentifier::new(*name, *kind, number)).unwrap();
                output.write_string("argument").unwrap();
                output.write_message_end().unwrap();
            }
            output.flush().unwrap();
            let mut channel = TBufferChannel::with_capacity(4_096, 4_096);
            channel.set_readable_bytes(&sent.write_bytes());
            let (reads, writes) = channel.clone().split().unwrap();
            let input = TBinaryInputProtocol::new(reads, true);
            Self { channel, input, output: TBinaryOutputProtocol::new(writes, true) }
        }
    }

    fn service(log: &Log) -> (Connections, RequestProcessor<Service>) {
        let connections = connections(log);
        let service = Service { connections: connections.clone(), log: Arc::clone(log) };
        let processor = RequestProcessor::new(&connections, service);
        (connections, processor)
    }

    fn noted(log: &Log) -> Vec<String> {
        std::mem::take(&mut *log.lock().unwrap())
    }

    const CALL: TMessageType = TMessageType::Call;

    /// Notes when it is read from.
    struct Noting<R> {
        inner: R,
        log: Log,
    }

    impl<R: Read> Read for Noting<R> {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            let mut log = self.log.lock().unwrap();
            if log.last().is_none_or(|last| last != "reads") {
                log.push("reads".to_owned());
            }
            self.inner.read(bytes)
        }
    }

    #[test]
    fn a_request_begins_when_a_message_has_arrived_and_ends_when_it_is_answered() {
        let log = Log::default();
        let (_connections, processor) = service(&log);
        let mut client = Client::sends(&[("one", CALL), ("two", CALL)]);
        let (reads, _) = client.channel.clone().split().unwrap();
        let mut input = TBinaryInputProtocol::new(Noting { inner: reads, log: Arc::clone(&log) }, true);
        for name in ["one", "two"] {
            processor.process(&mut input, &mut client.output).unwrap();
            let argument = format!("{name} argument");
            assert_eq!(noted(&log), ["reads", "started", "reads", &argument, "answered", "finished"]);
        }
        // The client has left.
        let error = processor.process(&mut input, &mut client.output).unwrap_err();
        assert!(is_end(&error), "{error}");
        assert_eq!(noted(&log), ["reads"]);
    }

    #[test]
    fn the_answer_is_that_of_the_processor_inside() {
        let log = Log::default();
        let (_connections, processor) = service(&log);
        let mut client = Client::sends(&[("one", CALL)]);
        processor.serve(&mut client.input, &mut client.output).unwrap();
        client.channel.copy_write_buffer_to_read_buffer();
        let mut answer = TBinaryInputProtocol::new(client.channel, true);
        assert_eq!(answer.read_message_begin().unwrap(), TMessageIdentifier::new("one", TMessageType::Reply, 1));
        assert_eq!(answer.read_i64().unwrap(), 1);
    }

    #[test]
    fn a_request_ends_also_after_an_error_and_a_panic() {
        let log = Log::default();
        let (_connections, processor) = service(&log);
        let mut client = Client::sends(&[("fails", CALL), ("panics", CALL), ("one", CALL)]);
        let error = processor.serve(&mut client.input, &mut client.output).unwrap_err();
        assert!(format!("{error:?}").contains("it fails"), "{error:?}");
        assert_eq!(noted(&log), ["started", "fails argument", "finished"]);
        let panicked =
            catch_unwind(AssertUnwindSafe(|| processor.process(&mut client.input, &mut client.output).is_ok()));
        panicked.unwrap_err();
        assert_eq!(noted(&log), ["started", "panics argument", "panicked"]);
        processor.process(&mut client.input, &mut client.output).unwrap();
        assert_eq!(noted(&log), ["started", "one argument", "answered", "finished"]);
    }

    #[test]
    fn one_way_messages_are_requests() {
        let log = Log::default();
        let (_connections, processor) = service(&log);
        let mut client = Client::sends(&[("one", TMessageType::OneWay)]);
        processor.process(&mut client.input, &mut client.output).unwrap();
        assert_eq!(noted(&log), ["started", "one argument", "finished"]);
        assert!(client.channel.write_bytes().is_empty());
    }

    #[test]
    fn it_goes_around_a_multiplexed_processor_and_into_one() {
        let log = Log::default();
        let (connections, processor) = service(&log);
        let mut inside = TMultiplexedProcessor::new();
        inside
            .register("jobs", Box::new(Service { connections: connections.clone(), log: Arc::clone(&log) }), false)
            .unwrap();
        let around = RequestProcessor::new(&connections, inside);
        let mut into = TMultiplexedProcessor::new();
        into.register("jobs", Box::new(processor), false).unwrap();
        let processors: [&dyn TProcessor; 2] = [&around, &into];
        for processor in processors {
            let mut client = Client::sends(&[("jobs:one", CALL)]);
            processor.process(&mut client.input, &mut client.output).unwrap();
            assert_eq!(noted(&log), ["started", "one argument", "answered", "finished"]);
        }
    }

    #[test]
    fn what_a_client_leaves_is_kept_or_closed() {
        let log = Log::default();
        for (policy, wanted) in [(TaskPolicy::CloseDue, 0), (TaskPolicy::Keep, 0), (TaskPolicy::CloseAll, 1)] {
            for last in ["one", "fails"] {
                let (connections, processor) = service(&log);
                let processor = processor.when_client_leaves(policy);
                let mut client = Client::sends(&[("one", CALL), (last, CALL)]);
                assert_eq!(processor.serve(&mut client.input, &mut client.output).is_err(), last == "fails");
                let closed = |notes: &[String]| notes.iter().filter(|note| *note == "closed").count();
                let notes = noted(&log);
                assert_eq!(closed(&notes), wanted, "{policy:?} {last}: {notes:?}");
                connections.close_all();
                assert_eq!(closed(&noted(&log)), 1 - wanted);
            }
        }
    }

    #[test]
    fn what_is_due_goes_with_the_client() {
        let log = Log::default();
        let (connections, processor) = service(&log);
        let mut client = Client::sends(&[("one", CALL)]);
        processor.process(&mut client.input, &mut client.output).unwrap();
        // While the worker waits, the alias gets other settings.
        connections.replace("default", Settings::from_url("sqlite::memory:").unwrap()).unwrap();
        noted(&log);
        processor.process(&mut client.input, &mut client.output).unwrap_err();
        assert_eq!(noted(&log), ["closed"]);
    }

    /// A head that cannot be read is no client that has left.
    #[test]
    fn what_is_no_message_is_an_error() {
        let log = Log::default();
        let (_connections, processor) = service(&log);
        let mut channel = TBufferChannel::with_capacity(64, 64);
        channel.set_readable_bytes(&[0xff; 32]);
        let (reads, writes) = channel.split().unwrap();
        let (mut input, mut output) =
            (TBinaryInputProtocol::new(reads, true), TBinaryOutputProtocol::new(writes, true));
        let error = processor.serve(&mut input, &mut output).unwrap_err();
        assert!(matches!(error, thrift::Error::Protocol(_)), "{error}");
        assert_eq!(noted(&log), [] as [String; 0]);
    }
}
