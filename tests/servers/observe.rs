//! Metrics and traces on real servers: what an exporter and a collector get.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use dockline::observe::{BUCKETS, Metrics, Traces, describe};
use dockline::{Error, ErrorKind, params};
use dockline_tests::servers::{Kind, Server};
use dockline_tests::wait_until;
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::case::{Case, case};
use crate::opened::Opened;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(statements_and_connections_are_measured),
        case!(a_span_for_each_statement_inside_its_transactions),
        case!(a_failed_statement_has_its_code_and_no_value),
    ]
}

/// `db.system.name` of OpenTelemetry.
fn system(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "postgresql",
        Kind::MariaDb => "mariadb",
        Kind::Mysql => "mysql",
    }
}

fn statements_and_connections_are_measured(server: &Server) {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap().build_recorder();
    let handle = recorder.handle();
    let opened = &Opened::new(server);
    let metrics = Metrics::install(&opened.connections);
    let db = &opened.db;
    metrics::with_local_recorder(&recorder, || {
        describe();
        db.execute("CREATE TABLE t (n int PRIMARY KEY)", ()).unwrap();
        db.atomic(|| db.execute("INSERT INTO t VALUES (?)", params![1])).unwrap();
        db.execute("INSERT INTO t VALUES (?)", params![1]).unwrap_err();
        db.atomic(|| Err::<(), _>(Error::new(ErrorKind::Data, "no"))).unwrap_err();
        metrics.refresh();
    });
    let page = handle.render();
    let line = |parts: &[&str]| {
        let found = page.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        found.unwrap_or_else(|| panic!("{parts:?} is missing in\n{page}")).to_owned()
    };
    let system = format!("db_system_name=\"{}\"", system(server.kind()));
    let code = if server.kind().is_postgres() { "23505" } else { "1062" };
    line(&["db_client_operation_duration_count", &system, "db_operation_name=\"CREATE\"", "} 1"]);
    line(&["db_client_operation_duration_bucket", &system, "db_operation_name=\"INSERT\"", "le=\"0.001\""]);
    line(&["db_client_operation_duration_count", "error_type", code, "} 1"]);
    line(&["db_client_connection_create_time_count", "db_client_connection_pool_name=\"default\"", "} 1"]);
    line(&["db_client_connection_count", "db_client_connection_state=\"idle\"", "} 1"]);
    line(&["db_client_connection_count", "db_client_connection_state=\"used\"", "} 0"]);
    line(&["dockline_connections_opened", "} 1"]);
    line(&["dockline_connections_probes", "seen=\"alive\""]);
    line(&["dockline_transactions", "outcome=\"committed\"", "} 1"]);
    line(&["dockline_transactions", "outcome=\"rolled_back\"", "} 1"]);
    metrics.remove();
    metrics::with_local_recorder(&recorder, || db.query("SELECT 1", ()).map(drop)).unwrap();
    assert!(!handle.render().contains("db_operation_name=\"SELECT\""), "it is removed");
}

/// A span that has ended.
#[derive(Debug, Clone)]
struct Ended {
    id: u64,
    parent: Option<u64>,
    name: &'static str,
    fields: BTreeMap<String, String>,
}

impl Ended {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// A collector of spans.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Ended>>>);

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields(BTreeMap::new());
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        record.record(context.span(id).unwrap().extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let fields = span.extensions().get::<Fields>().unwrap().0.clone();
        let parent = span.parent().map(|parent| parent.id().into_u64());
        self.0.lock().unwrap().push(Ended { id: id.into_u64(), parent, name: span.name(), fields });
    }
}

impl Collector {
    fn of<S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync>(
        subscriber: S,
    ) -> (Self, impl Subscriber + Send + Sync) {
        let collector = Self::default();
        (collector.clone(), subscriber.with(collector))
    }

    fn spans(&self) -> Vec<Ended> {
        self.0.lock().unwrap().clone()
    }
}

fn a_span_for_each_statement_inside_its_transactions(server: &Server) {
    let opened = &Opened::new(server);
    let db = &opened.db;
    let traces = Traces::install(&opened.connections);
    let (collector, subscriber) = Collector::of(tracing_subscriber::registry());
    tracing::subscriber::with_default(subscriber, || {
        let request = tracing::info_span!("request").entered();
        db.execute("CREATE TABLE t (n int)", ()).unwrap();
        db.atomic(|| db.execute("INSERT INTO t VALUES (?), (8)", params![1])).unwrap();
        assert_eq!(db.query("SELECT n FROM t", ()).unwrap().len(), 2);
        drop(request);
        traces.remove();
        db.query("SELECT 1", ()).unwrap();
    });
    let spans = collector.spans();
    let names: Vec<&str> = spans.iter().map(|span| span.name).collect();
    assert_eq!(names, ["statement", "statement", "transaction", "statement", "request"]);
    let [create, insert, transaction, select, request] = &spans[..] else { unreachable!("as many as names") };
    assert_eq!(insert.parent, Some(transaction.id));
    for span in [create, transaction, select] {
        assert_eq!(span.parent, Some(request.id), "{span:?}");
    }
    assert_eq!(transaction.field("dockline.transaction.outcome"), "committed");
    for span in [create, insert, select] {
        assert_eq!(span.field("db.system.name"), system(server.kind()));
        assert_eq!((span.field("server.address"), span.field("otel.kind")), ("127.0.0.1", "client"));
        assert!(!span.field("db.namespace").is_empty() && span.field("error.type").is_empty());
    }
    assert_eq!(create.field("db.query.summary"), "CREATE t");
    assert_eq!((insert.field("db.operation.name"), insert.field("otel.name")), ("INSERT", "INSERT t"));
    assert_eq!(insert.field("db.query.text"), "INSERT INTO t VALUES (?), (?)");
    assert_eq!((select.field("db.query.summary"), select.field("db.response.returned_rows")), ("SELECT t", "2"));
}

fn a_failed_statement_has_its_code_and_no_value(server: &Server) {
    let opened = &Opened::new(server);
    let db = &opened.db;
    let _traces = Traces::install(&opened.connections);
    let (collector, subscriber) = Collector::of(tracing_subscriber::registry());
    tracing::subscriber::with_default(subscriber, || {
        db.execute("CREATE TABLE t (n varchar(20) PRIMARY KEY)", ()).unwrap();
        db.execute("INSERT INTO t VALUES ('s3cr3t')", ()).unwrap();
        db.execute("INSERT INTO t VALUES ('s3cr3t') /* s3cr3t */", ()).unwrap_err();
        // The server kills it in the middle of a block.
        let id = db.server_connection_id().unwrap();
        db.atomic(|| {
            db.query("SELECT 1", ())?;
            opened.database.admin().kill_and_wait(id);
            db.query("SELECT 2", ()).map(drop)
        })
        .unwrap_err();
    });
    wait_until("all spans have ended", || collector.spans().iter().any(|span| span.name == "transaction"));
    let spans = collector.spans();
    let failed = spans.iter().find(|span| span.field("otel.status_code") == "ERROR").unwrap();
    let code = if server.kind().is_postgres() { "23505" } else { "1062" };
    assert_eq!((failed.field("error.type"), failed.field("db.response.status_code")), (code, code));
    assert_eq!(failed.field("db.query.text").trim_end(), "INSERT INTO t VALUES (?)");
    let transaction = spans.iter().find(|span| span.name == "transaction").unwrap();
    assert_eq!(transaction.field("dockline.transaction.outcome"), "lost");
    assert!(!format!("{spans:?}").contains("s3cr3t"), "{spans:?}");
}
