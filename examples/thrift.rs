//! A job queue as a Thrift service: a `TServer` whose workers make a request of Dockline of every message, and clients on threads.
//!
//! ```sh
//! cargo run --example thrift               # an SQLite file of its own
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example thrift
//! DATABASE_URL=mysql://app:secret@127.0.0.1/app cargo run --example thrift
//! ```
//!
//! It runs until the clients have put and taken their jobs, or until Ctrl-C, and says how many connections were open at a time: not
//! more than workers, although a worker waits for its client most of the time.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dockline::{Connections, DEFAULT_ALIAS, params};
use dockline_examples::{Tally, databases};
use dockline_thrift::RequestProcessor;
use thrift::protocol::{
    TBinaryInputProtocol, TBinaryInputProtocolFactory, TBinaryOutputProtocol, TBinaryOutputProtocolFactory,
};
use thrift::server::TServer;
use thrift::transport::{
    TBufferedReadTransport, TBufferedReadTransportFactory, TBufferedWriteTransport, TBufferedWriteTransportFactory,
    TIoChannel, TTcpChannel,
};

use jobs::{JobsSyncClient, JobsSyncHandler, JobsSyncProcessor};

const WORKERS: usize = 4;
const CLIENTS: usize = 8;
const JOBS: usize = 25;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thrift: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    let connections = Connections::new(databases(&folder.path().join("jobs.db"))?)?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed))?;
    create_table(&connections)?;
    let tally = Tally::of(&connections);

    let address = serve(&connections)?;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || put_and_take(address, client, &stop))
        })
        .collect();
    let mut taken = 0;
    for client in clients {
        taken += client.join().map_err(|_| "a client panicked")??;
    }
    println!("{CLIENTS} clients have put and taken {taken} jobs, by {WORKERS} workers");
    println!("at most {} connections were open at a time", tally.most());
    let report = connections.shutdown(Duration::from_secs(5));
    println!("shutting down has closed {}, and left {}", report.closed, report.left.len());
    if taken != CLIENTS * JOBS && !stop.load(Ordering::Relaxed) {
        return Err("the jobs do not add up".into());
    }
    Ok(())
}

fn create_table(connections: &Connections) -> dockline::Result<()> {
    let db = connections.get(DEFAULT_ALIAS)?;
    db.execute("DROP TABLE IF EXISTS dockline_thrift_job", ())?;
    db.execute("CREATE TABLE dockline_thrift_job (name VARCHAR(80) PRIMARY KEY, taken INTEGER NOT NULL)", ())?;
    // This thread needs it no more.
    db.close();
    Ok(())
}

/// Starts the server on a free port. It runs until the process ends.
fn serve(connections: &Connections) -> Fallible<SocketAddr> {
    // TServer does not tell the port that it got, so it is asked for one that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let processor = JobsSyncProcessor::new(Jobs { connections: connections.clone() });
    let mut server = TServer::new(
        TBufferedReadTransportFactory::new(),
        TBinaryInputProtocolFactory::new(),
        TBufferedWriteTransportFactory::new(),
        TBinaryOutputProtocolFactory::new(),
        RequestProcessor::new(connections, processor),
        WORKERS,
    );
    thread::Builder::new().name("listener".to_owned()).spawn(move || {
        if let Err(error) = server.listen(address) {
            eprintln!("thrift: the server has ended: {error:?}");
        }
    })?;
    Ok(address)
}

/// The service itself: what a worker runs, in a request.
struct Jobs {
    connections: Connections,
}

impl JobsSyncHandler for Jobs {
    fn handle_put(&self, name: String) -> thrift::Result<()> {
        let put = || {
            let db = self.connections.get(DEFAULT_ALIAS)?;
            db.execute("INSERT INTO dockline_thrift_job (name, taken) VALUES (?, 0)", params![name])
        };
        put().map(drop).map_err(for_client)
    }

    /// An empty name where there is none.
    fn handle_take(&self) -> thrift::Result<String> {
        let take = || {
            let db = self.connections.get(DEFAULT_ALIAS)?;
            let sql = "SELECT name FROM dockline_thrift_job WHERE taken = 0 ORDER BY name LIMIT 1";
            while let Some(row) = db.query_opt(sql, ())? {
                let (name,): (String,) = row.decode()?;
                let sql = "UPDATE dockline_thrift_job SET taken = 1 WHERE name = ? AND taken = 0";
                // Where somebody else was faster, there may be another.
                if db.execute(sql, params![&*name])? == 1 {
                    return Ok(name);
                }
            }
            Ok::<_, dockline::Error>(String::new())
        };
        take().map_err(for_client)
    }
}

/// What a client learns of an error of the database; the log has the rest.
fn for_client(error: dockline::Error) -> thrift::Error {
    log::error!("{error}");
    thrift::Error::from("the database has failed")
}

fn put_and_take(address: SocketAddr, client: usize, stop: &AtomicBool) -> Fallible<usize> {
    let mut jobs = connect(address)?;
    let mut taken = 0;
    for job in 0..JOBS {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        jobs.put(&format!("job-{client}-{job}"))?;
        taken += usize::from(!jobs.take()?.is_empty());
    }
    Ok(taken)
}

/// Waits until the server listens.
fn connect(address: SocketAddr) -> Fallible<JobsSyncClient> {
    let started = Instant::now();
    loop {
        let mut channel = TTcpChannel::new();
        match channel.open(address.to_string()) {
            Ok(()) => {
                let (reads, writes) = channel.split()?;
                return Ok(JobsSyncClient::new(
                    Box::new(TBinaryInputProtocol::new(TBufferedReadTransport::new(reads), true)),
                    Box::new(TBinaryOutputProtocol::new(TBufferedWriteTransport::new(writes), true)),
                ));
            }
            Err(error) if started.elapsed() > Duration::from_secs(10) => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// What the Thrift compiler makes of this, written by hand and shorter:
///
/// ```thrift
/// service Jobs {
///     void put(1: string name)
///     string take()
/// }
/// ```
mod jobs {
    use thrift::protocol::{
        TFieldIdentifier, TInputProtocol, TMessageIdentifier, TMessageType, TOutputProtocol, TStructIdentifier, TType,
        verify_expected_message_type, verify_expected_sequence_number, verify_expected_service_call,
        verify_required_field_exists,
    };
    use thrift::server::{TProcessor, handle_process_result};
    use thrift::{ApplicationError, ApplicationErrorKind};

    pub trait JobsSyncHandler {
        fn handle_put(&self, name: String) -> thrift::Result<()>;
        fn handle_take(&self) -> thrift::Result<String>;
    }

    pub struct JobsSyncProcessor<H> {
        handler: H,
    }

    impl<H: JobsSyncHandler> JobsSyncProcessor<H> {
        pub fn new(handler: H) -> Self {
            Self { handler }
        }

        fn call(&self, method: &str, argument: Option<String>) -> thrift::Result<Option<String>> {
            match method {
                "put" => {
                    verify_required_field_exists("put.name", &argument)?;
                    self.handler.handle_put(argument.unwrap_or_default()).map(|()| None)
                }
                "take" => self.handler.handle_take().map(Some),
                other => {
                    let message = format!("unknown method {other}");
                    Err(ApplicationError::new(ApplicationErrorKind::UnknownMethod, message).into())
                }
            }
        }
    }

    impl<H: JobsSyncHandler> TProcessor for JobsSyncProcessor<H> {
        fn process(&self, input: &mut dyn TInputProtocol, output: &mut dyn TOutputProtocol) -> thrift::Result<()> {
            let head = input.read_message_begin()?;
            let argument = read_struct(input)?;
            input.read_message_end()?;
            let result = self.call(&head.name, argument).and_then(|answer| {
                let reply = TMessageIdentifier::new(head.name.clone(), TMessageType::Reply, head.sequence_number);
                write_message(output, &reply, answer.as_deref().map(|answer| (0, answer)))
            });
            handle_process_result(&head, result, output)
        }
    }

    pub struct JobsSyncClient {
        input: Box<dyn TInputProtocol + Send>,
        output: Box<dyn TOutputProtocol + Send>,
        sequence_number: i32,
    }

    impl JobsSyncClient {
        pub fn new(input: Box<dyn TInputProtocol + Send>, output: Box<dyn TOutputProtocol + Send>) -> Self {
            Self { input, output, sequence_number: 0 }
        }

        pub fn put(&mut self, name: &str) -> thrift::Result<()> {
            self.ask("put", Some((1, name))).map(drop)
        }

        pub fn take(&mut self) -> thrift::Result<String> {
            let answer = self.ask("take", None)?;
            verify_required_field_exists("take.success", &answer)?;
            Ok(answer.unwrap_or_default())
        }

        fn ask(&mut self, method: &str, argument: Option<(i16, &str)>) -> thrift::Result<Option<String>> {
            self.sequence_number += 1;
            let call = TMessageIdentifier::new(method, TMessageType::Call, self.sequence_number);
            write_message(&mut *self.output, &call, argument)?;
            let head = self.input.read_message_begin()?;
            verify_expected_sequence_number(self.sequence_number, head.sequence_number)?;
            verify_expected_service_call(method, &head.name)?;
            if head.message_type == TMessageType::Exception {
                let error = thrift::Error::read_application_error_from_in_protocol(&mut *self.input)?;
                self.input.read_message_end()?;
                return Err(error.into());
            }
            verify_expected_message_type(TMessageType::Reply, head.message_type)?;
            let answer = read_struct(&mut *self.input)?;
            self.input.read_message_end()?;
            Ok(answer)
        }
    }

    /// A message of a struct that has one field of text, or none.
    fn write_message(
        output: &mut dyn TOutputProtocol,
        head: &TMessageIdentifier,
        field: Option<(i16, &str)>,
    ) -> thrift::Result<()> {
        output.write_message_begin(head)?;
        output.write_struct_begin(&TStructIdentifier::new("args"))?;
        if let Some((id, text)) = field {
            output.write_field_begin(&TFieldIdentifier::new("text", TType::String, id))?;
            output.write_string(text)?;
            output.write_field_end()?;
        }
        output.write_field_stop()?;
        output.write_struct_end()?;
        output.write_message_end()?;
        output.flush()
    }

    fn read_struct(input: &mut dyn TInputProtocol) -> thrift::Result<Option<String>> {
        input.read_struct_begin()?;
        let mut text = None;
        loop {
            let field = input.read_field_begin()?;
            match field.field_type {
                TType::Stop => break,
                TType::String => text = Some(input.read_string()?),
                other => input.skip(other)?,
            }
            input.read_field_end()?;
        }
        input.read_struct_end()?;
        Ok(text)
    }
}
