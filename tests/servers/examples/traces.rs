//! The example that sends traces, to a collector of the test's: what OTLP carries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

use dockline_tests::servers::{Kind, Server};
use serde_json::Value as Json;

use super::{run, text};
use crate::case::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![case!(traces_reach_a_collector), case!(traces_show_themselves)]
}

/// A span as it came.
#[derive(Debug)]
struct Span {
    name: String,
    id: String,
    parent: String,
    trace: String,
    attributes: BTreeMap<String, String>,
    failed: bool,
}

impl Span {
    fn of(json: &Json) -> Self {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let attributes = json["attributes"].as_array().into_iter().flatten().map(|attribute| {
            let value = attribute["value"].as_object().and_then(|value| value.values().next()).unwrap_or(&Json::Null);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (attribute["key"].as_str().unwrap_or_default().to_owned(), value)
        });
        Self {
            name: text("name"),
            id: text("spanId"),
            parent: text("parentSpanId"),
            trace: text("traceId"),
            attributes: attributes.collect(),
            // STATUS_CODE_ERROR
            failed: json["status"]["code"] == 2,
        }
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Runs the example, and answers what reached the collector.
fn collected(url: &str) -> Vec<Span> {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("a port"));
    let address = format!("http://{}", server.server_addr());
    let bodies = Arc::<Mutex<Vec<Json>>>::default();
    let (listener, taken) = (Arc::clone(&server), Arc::clone(&bodies));
    let collector = thread::spawn(move || {
        while let Ok(mut request) = listener.recv() {
            assert_eq!(request.url(), "/v1/traces");
            taken.lock().unwrap().push(serde_json::from_reader(request.as_reader()).expect("JSON"));
            request.respond(tiny_http::Response::from_string("{}")).expect("a client");
        }
    });
    let printed = text(run("traces", &[&address], Some(url)));
    assert_eq!(printed, format!("sent to {address}\n"));
    server.unblock();
    collector.join().expect("no panic");
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let bodies = bodies.lock().unwrap();
    let scopes = bodies.iter().flat_map(|body| list(&body["resourceSpans"])).flat_map(|all| list(&all["scopeSpans"]));
    scopes.flat_map(|scope| list(&scope["spans"])).map(|span| Span::of(&span)).collect()
}

fn traces_reach_a_collector(server: &Server) {
    let database = server.database();
    let spans = collected(&database.url());
    let requests: Vec<&Span> = spans.iter().filter(|span| span.name == "POST /account").collect();
    let [first, second] = requests[..] else { panic!("{spans:#?}") };
    assert_ne!(first.trace, second.trace);
    let inside = |of: &Span| spans.iter().filter(|span| span.parent == of.id).collect::<Vec<_>>();
    let transaction = |request: &Span, outcome: &str| {
        let found = inside(request).into_iter().find(|span| span.attribute("dockline.transaction.outcome") == outcome);
        found.unwrap_or_else(|| panic!("none is {outcome} in {request:?}:\n{spans:#?}"))
    };
    let system = match server.kind() {
        Kind::Postgres => "postgresql",
        Kind::MariaDb => "mariadb",
        Kind::Mysql => "mysql",
    };

    // In the one request: a transaction of two statements, and one behind it.
    let (committed, rolled_back) = (transaction(first, "committed"), transaction(second, "rolled_back"));
    let mut texts: Vec<&str> = inside(committed).iter().map(|span| span.attribute("db.query.text")).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        ["INSERT INTO traced_account VALUES (?, ?)", "UPDATE traced_account SET cents = cents + ? WHERE id = ?",]
    );
    let select = inside(first).into_iter().find(|span| span.attribute("db.operation.name") == "SELECT");
    let select = select.unwrap_or_else(|| panic!("no SELECT in the request: {spans:#?}"));
    assert_eq!(
        (select.name.as_str(), select.attribute("db.query.summary")),
        ("SELECT traced_account", "SELECT traced_account")
    );
    for span in inside(committed).into_iter().chain([select]) {
        assert_eq!(span.trace, first.trace);
        assert_eq!(span.attribute("db.system.name"), system);
        assert_eq!(span.attribute("db.namespace"), database.name());
        assert_eq!(span.attribute("server.address"), "127.0.0.1");
        assert_eq!(span.attribute("server.port"), server.port().to_string());
        assert!(!span.failed && span.attribute("error.type").is_empty(), "{span:?}");
    }

    // In the other: the statement that the database refused, with its code and without its values.
    let failed: Vec<&Span> = inside(rolled_back).into_iter().filter(|span| span.failed).collect();
    let [failed] = failed[..] else { panic!("{spans:#?}") };
    let code = if server.kind().is_postgres() { "23505" } else { "1062" };
    assert_eq!((failed.attribute("db.response.status_code"), failed.attribute("error.type")), (code, code));
    database.admin().wait_until_connections(0);
}

/// Without a collector the example is one, and prints what it got as a tree.
fn traces_show_themselves(server: &Server) {
    super::threads::on_both("traces", server, |text| {
        let tree = "POST /account\n  transaction";
        assert!(text.matches(tree).count() == 2, "{text}");
        for line in
            ["    INSERT traced_account · INSERT INTO traced_account VALUES (?, ?)", "  SELECT traced_account · "]
        {
            assert!(text.contains(line), "{text}");
        }
    });
}
