//! Traces for a collector of OpenTelemetry: a span for each statement, inside that of its transaction, inside that of the request.
//!
//! ```sh
//! cargo run --example traces                             # shows what a collector gets, and ends
//! cargo run --example traces -- http://localhost:4318    # sends it to a collector, as Jaeger or the OpenTelemetry Collector
//! DATABASE_URL=postgres://app:secret@localhost/app cargo run --example traces
//! ```
//!
//! Spans go the usual way: `tracing`, `tracing-opentelemetry`, `opentelemetry_sdk`, `opentelemetry-otlp`. What is Dockline's is one
//! line: `Traces::install`.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use dockline::observe::Traces;
use dockline::{Connection, params};
use dockline_examples::databases;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value as Json;
use tiny_http::{Response, Server};
use tracing::{Level, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traces: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Fallible<()> {
    let collector = std::env::args().nth(1);
    // Until this is dropped: the database of a run without DATABASE_URL.
    let folder = tempfile::tempdir()?;
    dockline::init(databases(&folder.path().join("traces.db"))?)?;

    // Without a collector, one of this program's own.
    let own = if collector.is_none() { Some(Collector::start()?) } else { None };
    let address = collector.or(own.as_ref().map(Collector::address)).ok_or("no collector")?;
    let provider = send_to(&address)?;
    let traces = Traces::install(dockline::connections());
    let served = serve();
    traces.remove();
    // What has not been sent yet is sent now.
    provider.shutdown()?;
    match own {
        Some(collector) => print!("{}", collector.stop()?),
        None => println!("sent to {address}"),
    }
    served
}

/// Has spans sent to a collector, in the background.
fn send_to(address: &str) -> Fallible<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("{}/v1/traces", address.trim_end_matches('/')))
        .build()?;
    let resource = Resource::builder().with_service_name("traces").build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("traces"));
    // Not the spans of the exporter's own HTTP client.
    let ours = Targets::new().with_target("dockline_observe", Level::INFO).with_target("traces", Level::INFO);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer.with_filter(ours)))?;
    Ok(provider)
}

/// Two requests: one is well, and in the other the database refuses a statement.
fn serve() -> Fallible<()> {
    let db = dockline::connection()?;
    db.execute("DROP TABLE IF EXISTS traced_account", ())?;
    db.execute("CREATE TABLE traced_account (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL)", ())?;
    in_span("POST /account", || open_account(&db, 1))?;
    if in_span("POST /account", || open_account(&db, 1)).is_ok() {
        return Err("the same account was opened twice".into());
    }
    db.execute("DROP TABLE traced_account", ())?;
    db.close();
    Ok(())
}

/// A request as a server would trace it.
fn in_span<T>(name: &str, call: impl FnOnce() -> dockline::Result<T>) -> dockline::Result<T> {
    let span = info_span!("request", otel.name = name, otel.kind = "server");
    span.in_scope(|| dockline::in_request(call))
}

fn open_account(db: &Connection, id: i64) -> dockline::Result<i64> {
    db.atomic(|| {
        db.execute("INSERT INTO traced_account VALUES (?, ?)", params![id, 0])?;
        db.execute("UPDATE traced_account SET cents = cents + 100 WHERE id = ?", params![id])
    })?;
    db.query_value("SELECT cents FROM traced_account WHERE id = ?", params![id])
}

/// Takes traces by OTLP over HTTP with JSON, for a run without a real collector.
struct Collector {
    server: Arc<Server>,
    spans: Arc<Mutex<Vec<Json>>>,
    thread: JoinHandle<()>,
}

impl Collector {
    fn start() -> Fallible<Self> {
        let server = Arc::new(Server::http("127.0.0.1:0")?);
        let spans = Arc::<Mutex<Vec<Json>>>::default();
        let (listener, taken) = (Arc::clone(&server), Arc::clone(&spans));
        let thread = thread::spawn(move || {
            while let Ok(mut request) = listener.recv() {
                if let Ok(body) = serde_json::from_reader::<_, Json>(request.as_reader()) {
                    taken.lock().unwrap_or_else(PoisonError::into_inner).extend(spans_of(&body));
                }
                let _ = request.respond(Response::from_string("{}"));
            }
        });
        Ok(Self { server, spans, thread })
    }

    fn address(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    /// What it got, each span below the one that it is in.
    fn stop(self) -> Fallible<String> {
        self.server.unblock();
        self.thread.join().map_err(|_| "the collector panicked")?;
        let mut spans = std::mem::take(&mut *self.spans.lock().unwrap_or_else(PoisonError::into_inner));
        spans.sort_by_key(|span| text(&span["startTimeUnixNano"]).parse::<u64>().unwrap_or(0));
        let mut page = String::new();
        show(&spans, "", 0, &mut page);
        Ok(page)
    }
}

fn spans_of(body: &Json) -> Vec<Json> {
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let scopes = list(&body["resourceSpans"]).into_iter().flat_map(|resource| list(&resource["scopeSpans"]));
    scopes.flat_map(|scope| list(&scope["spans"])).collect()
}

fn show(spans: &[Json], parent: &str, depth: usize, page: &mut String) {
    for span in spans.iter().filter(|span| text(&span["parentSpanId"]) == parent) {
        let _ = write!(page, "{:indent$}{}", "", text(&span["name"]), indent = depth * 2);
        for name in ["db.query.text", "db.response.status_code", "dockline.transaction.outcome"] {
            let found = span["attributes"].as_array().into_iter().flatten().find(|attribute| attribute["key"] == name);
            if let Some(attribute) = found {
                let _ = write!(page, " · {}", text(&attribute["value"]["stringValue"]));
            }
        }
        page.push('\n');
        show(spans, text(&span["spanId"]), depth + 1, page);
    }
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}
