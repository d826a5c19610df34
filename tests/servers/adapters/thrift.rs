//! `thrift`: a `TServer`, whose workers wait for their clients most of the time, and threads of one's own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dockline::TaskPolicy;
use dockline_tests::servers::{Server, free_port};
use dockline_tests::{wait_until, wait_while_it_moves};
use dockline_thrift::RequestProcessor;
use thrift::protocol::{
    TBinaryInputProtocol, TBinaryInputProtocolFactory, TBinaryOutputProtocol, TBinaryOutputProtocolFactory,
    TInputProtocol, TMessageIdentifier, TMessageType, TOutputProtocol,
};
use thrift::server::{TProcessor, TServer};
use thrift::transport::{
    ReadHalf, TBufferedReadTransport, TBufferedReadTransportFactory, TBufferedWriteTransport,
    TBufferedWriteTransportFactory, TIoChannel, TTcpChannel, WriteHalf,
};

use super::load::{Expected, Job, Load, WORKERS, hundred_connections, tasks};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(load_on_thrift).own_server_with(hundred_connections),
        case!(thrift_closes_with_its_clients).own_server_with(hundred_connections),
        case!(thrift_on_threads_of_ones_own).own_server_with(hundred_connections),
    ]
}

/// Answers each message when the job has run.
struct Jobs(Job);

impl TProcessor for Jobs {
    fn process(&self, input: &mut dyn TInputProtocol, output: &mut dyn TOutputProtocol) -> thrift::Result<()> {
        let head = input.read_message_begin()?;
        input.read_message_end()?;
        self.0.run();
        output.write_message_begin(&TMessageIdentifier::new(head.name, TMessageType::Reply, head.sequence_number))?;
        output.write_message_end()?;
        output.flush()
    }
}

type Input = TBinaryInputProtocol<TBufferedReadTransport<ReadHalf<TTcpChannel>>>;
type Output = TBinaryOutputProtocol<TBufferedWriteTransport<WriteHalf<TTcpChannel>>>;

fn protocols(stream: TcpStream) -> (Input, Output) {
    stream.set_nodelay(true).unwrap();
    let (reads, writes) = TTcpChannel::with_stream(stream).split().unwrap();
    let input = TBinaryInputProtocol::new(TBufferedReadTransport::new(reads), true);
    (input, TBinaryOutputProtocol::new(TBufferedWriteTransport::new(writes), true))
}

struct Client {
    input: Input,
    output: Output,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let (input, output) = protocols(TcpStream::connect(address).unwrap());
        Self { input, output }
    }

    fn ask(&mut self, number: i32) {
        self.output.write_message_begin(&TMessageIdentifier::new("run", TMessageType::Call, number)).unwrap();
        self.output.write_message_end().unwrap();
        self.output.flush().unwrap();
        let answer = self.input.read_message_begin().unwrap();
        assert_eq!((answer.message_type, answer.sequence_number), (TMessageType::Reply, number));
        self.input.read_message_end().unwrap();
    }
}

/// Starts a `TServer`, which runs until the process ends, and waits until it listens.
fn start(processor: RequestProcessor<Jobs>) -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut server = TServer::new(
        TBufferedReadTransportFactory::new(),
        TBinaryInputProtocolFactory::new(),
        TBufferedWriteTransportFactory::new(),
        TBinaryOutputProtocolFactory::new(),
        processor,
        WORKERS,
    );
    thread::spawn(move || server.listen(address));
    wait_until("the server listens", || TcpStream::connect(address).is_ok());
    address
}

/// So many clients, each of which sends so many messages. They stay until they are dropped.
fn ask(address: SocketAddr, clients: usize, each: usize) -> Vec<Client> {
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::new(address);
                for number in 0..each {
                    client.ask(i32::try_from(number).unwrap());
                }
                client
            })
        })
        .collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

fn load_on_thrift(server: &Server) {
    let load = Load::new(server, &["default", "other"], TaskPolicy::CloseDue);
    let (started, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&started);
    load.connections.signals().request_started.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let count = Arc::clone(&finished);
    load.connections.signals().request_finished.connect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let address = start(RequestProcessor::new(&load.connections, Jobs(load.job())));
    // One for each of the workers.
    let clients = ask(address, WORKERS, tasks() / WORKERS);
    assert_eq!(load.story.opened(), WORKERS * 2, "each worker has opened each alias once");
    // The last of them end after their answers, and the workers wait: that is no request.
    wait_while_it_moves("requests have ended", tasks(), || finished.load(Ordering::SeqCst));
    assert_eq!(started.load(Ordering::SeqCst), tasks());
    load.check(&Expected { jobs: tasks(), at_most: WORKERS * 2, left: WORKERS * 2 });
    drop(clients);
}

/// The workers live on, and have nothing open.
fn thrift_closes_with_its_clients(server: &Server) {
    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let processor = RequestProcessor::new(&load.connections, Jobs(load.job()));
    let address = start(processor.when_client_leaves(TaskPolicy::CloseAll));
    for round in 1..=3 {
        drop(ask(address, WORKERS, 100));
        assert_eq!(load.story.opened(), WORKERS * round);
        wait_until("all is closed", || load.story.open() == 0);
    }
    // A worker closes before it takes the next client, and the server may still list it a moment longer.
    load.check(&Expected { jobs: WORKERS * 300, at_most: WORKERS * 2, left: 0 });
}

fn thrift_on_threads_of_ones_own(server: &Server) {
    let load = Load::new(server, &["default"], TaskPolicy::CloseDue);
    let processor = Arc::new(RequestProcessor::new(&load.connections, Jobs(load.job())));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients = thread::spawn(move || drop(ask(address, WORKERS, 500)));
    let threads: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (mut input, mut output) = protocols(listener.accept().unwrap().0);
            let processor = Arc::clone(&processor);
            thread::spawn(move || processor.serve(&mut input, &mut output))
        })
        .collect();
    clients.join().unwrap();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    load.check(&Expected { jobs: WORKERS * 500, at_most: WORKERS, left: 0 });
}
