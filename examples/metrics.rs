//! Metrics for Prometheus, scraped from an HTTP server with a few threads, `tiny_http`.
//!
//! ```sh
//! cargo run --example metrics                 # asks itself a few times, shows what a scrape reads, and ends
//! cargo run --example metrics -- 127.0.0.1:8000                         # serves until it is killed
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example metrics -- 127.0.0.1:8000
//!
//! curl http://127.0.0.1:8000/now
//! curl http://127.0.0.1:8000/metrics
//! ```
//!
//! `examples/grafana.json` is a dashboard for what it exports. `GET /status` says what each thread has open.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use dockline::observe::{BUCKETS, Metrics, describe};
use dockline_examples::databases;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tiny_http::{Response, Server};

const WORKERS: usize = 4;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    let address = std::env::args().nth(1);
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    dockline::init(databases(&folder.path().join("metrics.db"))?)?;

    // Durations are histograms if the exporter is told of buckets, and summaries else.
    let exporter = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
    describe();
    let exposed = Arc::new(Exposed { exporter, metrics: Metrics::install(dockline::connections()) });

    let server = Arc::new(Server::http(address.as_deref().unwrap_or("127.0.0.1:0"))?);
    let bound = server.server_addr().to_ip().ok_or("not an address of TCP")?;
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (server, exposed) = (Arc::clone(&server), Arc::clone(&exposed));
            thread::spawn(move || serve(&server, &exposed))
        })
        .collect();
    if address.is_some() {
        println!("serving http://{bound}/metrics");
    } else {
        let asked = ask_some(bound);
        (0..WORKERS).for_each(|_| server.unblock());
        asked?;
    }
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")?;
    }
    Ok(())
}

/// What a scrape reads.
struct Exposed {
    exporter: PrometheusHandle,
    metrics: Metrics,
}

impl Exposed {
    fn page(&self) -> String {
        // Nobody writes down how many connections are in use as that changes: it is looked up now.
        self.metrics.refresh();
        self.exporter.run_upkeep();
        self.exporter.render()
    }
}

fn serve(server: &Server, exposed: &Exposed) {
    while let Ok(request) = server.recv() {
        let answer = match request.url() {
            // A scrape needs no connection, and is no request of Dockline.
            "/metrics" => Ok(exposed.page()),
            "/status" => Ok(status()),
            _ => dockline::in_request(|| {
                let db = dockline::connection()?;
                db.atomic(|| db.query_value::<String>("SELECT CAST(CURRENT_TIMESTAMP AS CHAR(26))", ()))
            })
            .map(|now| format!("{}\n", now.trim())),
        };
        let (code, body) = answer.map_or_else(|error: dockline::Error| (500, format!("{error}\n")), |body| (200, body));
        // A client that has left is no error.
        let _ = request.respond(Response::from_string(body).with_status_code(code));
    }
}

/// One line for each connection.
fn status() -> String {
    let status = dockline::connections().status();
    let connections = status.aliases.iter().flat_map(|alias| alias.connections.iter().map(move |one| (alias, one)));
    connections
        .map(|(alias, one)| {
            let (alias, age) = (&alias.alias, one.age);
            format!("{alias} {} on thread {}: {:?}, {age:.0?} old\n", one.serial, one.thread, one.phase)
        })
        .collect()
}

/// What a client and Prometheus would do.
fn ask_some(address: SocketAddr) -> Fallible<()> {
    for _ in 0..10 {
        ask(address, "/now")?;
    }
    print!("{}", ask(address, "/status")?);
    let page = ask(address, "/metrics")?;
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket") && !line.is_empty()) {
        println!("{line}");
    }
    Ok(())
}

/// The body of the answer.
fn ask(address: SocketAddr, path: &str) -> Fallible<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("not HTTP")?;
    // A long answer comes in chunks: lines with sizes stand between them.
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok(if chunked { without_sizes(body) } else { body.to_owned() })
}

fn without_sizes(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let Some(chunk) = usize::from_str_radix(size.trim(), 16).ok().and_then(|size| rest.get(..size)) else { break };
        body.push_str(chunk);
        chunks = rest[chunk.len()..].trim_start_matches("\r\n");
    }
    body
}
